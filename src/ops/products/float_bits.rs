//! Floats by signs: the forward of a layer with float input and binary weights, and the two backward products of binary layers.
//!
//! Each product reads bits that are packed along its *output* axis, so neither backward product needs a transpose.

use crate::bits;
use crate::error::{Error, Result};
use crate::graph::{Backward, Bound, Op, Value};
use crate::ops::layout::transpose_bits::TransposeBits;
use crate::ops::products::matmul::MatmulTransposed;
use crate::runtime::interface::ops::float_bits::{Params, float_bits, float_bits_transposed};
use crate::runtime::{
    BufferId, Grid, Recording,
    kernel::{BufferArg, Pieces, kernel},
};
use crate::tensor::{DType, PANEL, TensorType, words_of};

kernel!(
    /// y\[i\]\[c\] = sum_j x\[i\]\[j\] * s\[j\]\[c\].
    FLOAT_BITS = ops::float_bits::{ float_bits }, twin = twin
);
kernel!(
    /// y\[i\]\[c\] = sum_j x\[j\]\[i\] * s\[j\]\[c\].
    FLOAT_BITS_TRANSPOSED = ops::float_bits::{ float_bits_transposed }, twin = transposed_twin
);

fn params(rows: usize, columns: usize, depth: usize) -> Params {
    Params { rows: rows as u32, columns: columns as u32, depth: depth as u32, words: words_of(columns) as u32 }
}

fn floats_and_bits<'a>(op: &'static str, inputs: &[&'a TensorType]) -> Result<(&'a TensorType, &'a TensorType)> {
    match inputs {
        [x, bits] if x.dtype == DType::F32 && bits.dtype == DType::Bits => Ok((x, bits)),
        _ => Err(Error::shape(
            op,
            "floats and signs",
            inputs.iter().map(|t| t.to_string()).collect::<Vec<_>>().join(", "),
        )),
    }
}

/// Rows of a task of [`FloatBits`]: few, so that a small batch keeps every thread at work, more where there are many, since each task unpacks
/// all bits.
fn rows_per_task(rows: usize) -> usize {
    (rows / 16).next_multiple_of(24).clamp(24, 96)
}

/// y = x s for floats `x` `[rows, depth]` and signs `s` `[depth, columns]`; floats in panels. The input gradient dX = dY * W.
#[derive(Clone, Copy, Debug)]
pub struct FloatBits;

impl FloatBits {
    /// Records the product alone.
    pub fn dispatch(recording: &mut Recording, [x, bits, y]: [BufferId; 3], [rows, columns, depth]: [usize; 3]) {
        let (params, y, grid, tasks) = extents(y, [rows, columns, depth]);
        recording.dispatch(&FLOAT_BITS, params, float_bits::Buffers { x, bits, y }, grid, tasks);
        recording.set_multiply_adds([rows, columns, depth]);
    }
}

/// Parameters, a task's share of the output, work for a GPU, tasks for the processor.
pub(in crate::ops) fn extents(y: BufferId, [rows, columns, depth]: [usize; 3]) -> (Params, BufferArg, Grid, usize) {
    let panels = words_of(columns);
    let grid = Grid::Tiles([(panels * PANEL) as u32, rows as u32, 1]);
    (
        params(rows, columns, depth),
        y.per_task_in_each_panel(panels, rows_per_task(rows) * PANEL),
        grid,
        rows.div_ceil(rows_per_task(rows)),
    )
}

impl Op for FloatBits {
    fn name(&self) -> &'static str {
        "float_bits"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let (x, bits) = floats_and_bits("float_bits", inputs)?;
        if x.columns() != bits.rows() {
            return Err(Error::shape("float_bits", format!("{} rows of signs", x.columns()), bits));
        }
        Ok(vec![TensorType::panels(DType::F32, x.rows(), bits.columns())])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let ((x, x_type), (bits, bits_type)) = (bound.inputs[0], bound.inputs[1]);
        Self::dispatch(recording, [x, bits, bound.output(0)], [x_type.rows(), bits_type.columns(), x_type.columns()]);
    }
}

/// y = xᵀ s for floats `x` `[depth, rows]` and signs `s` `[depth, columns]`; floats in padded rows. The weight gradient
/// dW = dYᵀ * A, where `depth` is the batch.
#[derive(Clone, Copy, Debug)]
pub struct FloatBitsTransposed;

impl FloatBitsTransposed {
    /// Records the product alone.
    pub fn dispatch(recording: &mut Recording, [x, bits, y]: [BufferId; 3], [rows, columns, depth]: [usize; 3]) {
        let pitch = words_of(columns) * PANEL;
        let grid = Grid::Tiles([pitch as u32, rows as u32, 1]);
        let buffers = float_bits_transposed::Buffers { x, bits, y: y.per_task(PANEL * pitch) };
        recording.dispatch(&FLOAT_BITS_TRANSPOSED, params(rows, columns, depth), buffers, grid, rows.div_ceil(PANEL));
        recording.set_multiply_adds([rows, columns, depth]);
    }
}

impl Op for FloatBitsTransposed {
    fn name(&self) -> &'static str {
        "float_bits_transposed"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let (x, bits) = floats_and_bits("float_bits_transposed", inputs)?;
        if x.rows() != bits.rows() {
            return Err(Error::shape("float_bits_transposed", format!("{} rows of signs", x.rows()), bits));
        }
        Ok(vec![TensorType::new(DType::F32, crate::tensor::Layout::Rows, &[x.columns(), bits.columns()])])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let ((x, x_type), (bits, bits_type)) = (bound.inputs[0], bound.inputs[1]);
        Self::dispatch(recording, [x, bits, bound.output(0)], [x_type.columns(), bits_type.columns(), x_type.rows()]);
    }
}

/// y = x wᵀ for floats `x` `[rows, depth]` and binary weights `w` `[columns, depth]`: the forward of a layer with float input. Its
/// second output is the weights packed along the other axis. Backward: dx = dy * w, dw = dyᵀ * x.
#[derive(Clone, Copy, Debug)]
pub struct FloatByBits;

impl Op for FloatByBits {
    fn name(&self) -> &'static str {
        "float_by_bits"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let (x, w) = floats_and_bits("float_by_bits", inputs)?;
        if x.columns() != w.columns() {
            return Err(Error::shape("float_by_bits", format!("weights of {} columns", x.columns()), w));
        }
        Ok(vec![TensorType::panels(DType::F32, x.rows(), w.rows()), TensorType::bits(w.columns(), w.rows())])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let ((x, x_type), (w, w_type)) = (bound.inputs[0], bound.inputs[1]);
        TransposeBits::dispatch(recording, [w, bound.output(1)], [w_type.rows(), w_type.columns()]);
        let shape = [x_type.rows(), w_type.rows(), x_type.columns()];
        FloatBits::dispatch(recording, [x, bound.output(1), bound.output(0)], shape);
    }

    fn backward(&self, cx: &mut Backward<'_>) -> Result<Vec<Option<Value>>> {
        let Some(dy) = cx.grad(0) else { return Ok(vec![None, None]) };
        let (x, w) = (cx.input(0)?, cx.input(1)?);
        let dx = if cx.needs(0) { Some(cx.push(FloatBits, &[dy, w])?[0]) } else { None };
        let dw = if cx.needs(1) { Some(cx.push(MatmulTransposed, &[dy, x])?[0]) } else { None };
        Ok(vec![dx, dw])
    }
}

/// A task has some rows, all columns.
fn twin(mut args: float_bits::Args<'_>) {
    tile(args.params, args.index, args.x, args.bits, &mut args.y);
}

/// The rows of task `index`; gives the number of the first.
pub(in crate::ops) fn tile(params: &Params, index: usize, x: &[f32], bits: &[u32], y: &mut Pieces<'_, f32>) -> usize {
    let Params { rows, columns, depth, words } = *params;
    let first = index * rows_per_task(rows as usize);
    let task = bits::FloatBits {
        x: &x[first * PANEL..],
        x_block: rows as usize * PANEL,
        x_inner: 1,
        x_row: PANEL,
        bits,
        bits_block: words as usize * PANEL,
        bits_panel: PANEL,
        inner: depth as usize,
        rows: y.length() / PANEL,
        columns: columns as usize,
        sets: 1,
        y_row: PANEL,
        accumulate: false,
    };
    bits::current().float_bits(&task, y);
    first
}

/// A task has one panel of 32 rows, all columns.
fn transposed_twin(mut args: float_bits_transposed::Args<'_>) {
    let Params { rows, columns, depth, words } = *args.params;
    let (depth, pitch) = (depth as usize, words as usize * PANEL);
    let task = bits::FloatBits {
        x: &args.x[args.index * depth * PANEL..],
        x_block: PANEL * PANEL,
        x_inner: PANEL,
        x_row: 1,
        bits: args.bits,
        bits_block: pitch,
        bits_panel: PANEL,
        inner: depth,
        rows: PANEL.min(rows as usize - args.index * PANEL),
        columns: columns as usize,
        sets: 1,
        y_row: pitch,
        accumulate: false,
    };
    bits::current().float_bits(&task, &mut bits::StridedPanels(args.y.piece(0), PANEL));
}
