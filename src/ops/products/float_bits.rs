//! Floats by signs: the forward of a layer with float input and binary weights, and the two backward products of binary layers.
//!
//! Each product reads bits that are packed along its *output* axis, so neither backward product needs a transpose.

use crate::bits;
use crate::error::{Error, Result};
use crate::graph::{Backward, Bound, Op, Producer, Value};
use crate::ops::epilogues::contract::Extent;
use crate::ops::epilogues::registry::Epilogue;
use crate::ops::products::matmul::MatmulTransposed;
use crate::runtime::interface::producers::float_bits::Params;
use crate::runtime::{BufferId, Grid, Kernel, Product, Recording, Task, kernel::kernel, multiply_adds};
use crate::tensor::{DType, PANEL, TensorType, words_of};

kernel!(
    /// y\[i\]\[c\] = sum_j x\[i\]\[j\] * s\[j\]\[c\].
    FLOAT_BITS = producers::float_bits::{ float_bits }, task = twin
);
kernel!(
    /// [`FLOAT_BITS`] where a mask is set, 0 elsewhere.
    FLOAT_BITS_MASK = producers::float_bits::{ float_bits_mask }, task = twin
);

pub(in crate::ops) fn floats_and_bits<'a>(
    op: &'static str,
    inputs: &[&'a TensorType],
) -> Result<(&'a TensorType, &'a TensorType)> {
    match inputs {
        [x, bits] if x.dtype == DType::F32 && bits.dtype == DType::Bits => Ok((x, bits)),
        _ => Err(Error::shape(
            op,
            "floats and signs",
            inputs.iter().map(|t| t.to_string()).collect::<Vec<_>>().join(", "),
        )),
    }
}

/// Returns the rows per task of [`FloatBits`]: few for a small batch, so that every thread has work; more for a large one, since each task
/// unpacks all bits.
fn rows_per_task(rows: usize) -> usize {
    (rows / 16).next_multiple_of(24).clamp(24, 96)
}

/// y = x s for floats `x` `[rows, depth]` and signs `s` `[depth, columns]`; floats in panels. Computes the input gradient dX = dY * W.
#[derive(Clone, Copy, Debug)]
pub struct FloatBits;

impl FloatBits {
    /// Records the product without a graph.
    pub fn dispatch(recording: &mut Recording, [x, bits, y]: [BufferId; 3], extents: [usize; 3]) {
        let y = y.per_task_in_each_panel(words_of(extents[1]), rows_per_task(extents[0]) * PANEL);
        recording.dispatch_behind(&FLOAT_BITS, product([x, bits], extents), Vec::new(), [("y", y)]);
    }
}

fn product([x, bits]: [BufferId; 2], extents: [usize; 3]) -> Product {
    let [rows, columns, depth] = extents.map(|extent| extent as u32);
    let words = columns.div_ceil(32);
    Product {
        params: bytemuck::pod_collect_to_vec(&[Params { rows, columns, depth, words }]),
        buffers: vec![("x", x.into()), ("bits", bits.into())],
        grid: Grid::Tiles([words * 32, rows, 1]),
        tasks: extents[0].div_ceil(rows_per_task(extents[0])),
        tile: None,
        scratch: 0,
        multiply_adds: multiply_adds(extents),
    }
}

impl Producer for FloatBits {
    fn shader(&self) -> &'static str {
        "float_bits"
    }

    fn kernels(&self) -> &'static [(&'static str, &'static Kernel)] {
        const { &[("", &FLOAT_BITS), ("mask", &FLOAT_BITS_MASK)] }
    }

    fn product(&self, bound: &Bound<'_>) -> Product {
        let (x, bits) = (bound.inputs[0].1, bound.inputs[1].1);
        product([bound.input(0), bound.input(1)], [x.rows(), bits.columns(), x.columns()])
    }

    fn rows_per_task(&self, bound: &Bound<'_>) -> Option<usize> {
        Some(rows_per_task(bound.inputs[0].1.rows()))
    }
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

    fn producer(&self) -> Option<&dyn Producer> {
        Some(self)
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        self.record_alone(recording, bound);
    }
}

/// y = x wᵀ for floats `x` `[rows, depth]` and binary weights `w` `[columns, depth]`: the forward of a layer with float input. The third input is
/// [`TransposeBits`](crate::ops::TransposeBits) of the weights, which the product reads; backward reads the weights: dx = dy * w, dw = dyᵀ * x.
#[derive(Clone, Copy, Debug)]
pub struct FloatByBits;

impl Op for FloatByBits {
    fn name(&self) -> &'static str {
        "float_by_bits"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let (x, w) = floats_and_bits("float_by_bits", &inputs[..2])?;
        if x.columns() != w.columns() {
            return Err(Error::shape("float_by_bits", format!("weights of {} columns", x.columns()), w));
        }
        let transposed = TensorType::bits(w.columns(), w.rows());
        match inputs[2..] {
            [found] if *found == transposed => Ok(vec![TensorType::panels(DType::F32, x.rows(), w.rows())]),
            _ => Err(Error::shape("float_by_bits", format!("transposed weights {transposed}"), inputs[2..].len())),
        }
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let ((x, x_type), (_, w_type)) = (bound.inputs[0], bound.inputs[1]);
        let shape = [x_type.rows(), w_type.rows(), x_type.columns()];
        FloatBits::dispatch(recording, [x, bound.input(2), bound.output(0)], shape);
    }

    fn backward(&self, cx: &mut Backward<'_>) -> Result<Vec<Option<Value>>> {
        let Some(dy) = cx.grad(0) else { return Ok(vec![None; 3]) };
        let (x, w) = (cx.input(0)?, cx.input(1)?);
        let dx = if cx.needs(0) { Some(cx.push(FloatBits, &[dy, w])?[0]) } else { None };
        let dw = if cx.needs(1) { Some(cx.push(MatmulTransposed, &[dy, x])?[0]) } else { None };
        Ok(vec![dx, dw, None])
    }
}

/// A task covers a number of rows, all columns.
fn twin(task: &mut Task<'_>) {
    let (x, bits): (&[f32], &[u32]) = (task.named("x"), task.named("bits"));
    let (index, Params { rows, columns, depth, words }) = (task.index(), *task.params());
    let mut y = task.stored();
    let extent = Extent { rows: rows as usize, columns: columns as usize, valid: rows as usize };
    let mut epilogue = Epilogue::take(task, extent);
    let first = index * rows_per_task(rows as usize);
    let product = bits::FloatBits {
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
    bits::current().float_bits(&product, &mut y);
    for panel in 0..y.panels() {
        epilogue.floats(panel, first, y.panel(panel));
    }
}
