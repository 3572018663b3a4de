//! Floats by floats: the three products of a layer with float weights, and the weight gradient of a layer with float input.

use crate::error::{Error, Result};
use crate::graph::{Backward, Bound, Op, Value};
use crate::runtime::interface::ops::matmul::{Params, matmul, matmul_input, matmul_transposed};
use crate::runtime::product::{Matrix, product};
use crate::runtime::{Grid, Recording, kernel::kernel};
use crate::tensor::{DType, Layout, PANEL, TensorType, words_of};

kernel!(
    /// y\[r\]\[c\] = sum_k x\[r\]\[k\] * w\[c\]\[k\].
    MATMUL = ops::matmul::{ matmul }, twin = matmul_twin
);
kernel!(
    /// y\[r\]\[c\] = sum_k x\[r\]\[k\] * w\[k\]\[c\].
    MATMUL_INPUT = ops::matmul::{ matmul_input }, twin = input_twin
);
kernel!(
    /// y\[r\]\[c\] = sum_k x\[k\]\[r\] * w\[k\]\[c\].
    MATMUL_TRANSPOSED = ops::matmul::{ matmul_transposed }, twin = transposed_twin
);

fn two_floats<'a>(op: &'static str, inputs: &[&'a TensorType]) -> Result<(&'a TensorType, &'a TensorType)> {
    match inputs {
        [x, w] if x.dtype == DType::F32 && w.dtype == DType::F32 => Ok((x, w)),
        _ => Err(Error::shape(
            op,
            "two tensors of floats",
            inputs.iter().map(|t| t.to_string()).collect::<Vec<_>>().join(", "),
        )),
    }
}

fn params(rows: usize, columns: usize, depth: usize, pitch: usize) -> Params {
    Params { rows: rows as u32, columns: columns as u32, depth: depth as u32, pitch: pitch as u32 }
}

/// y = x wᵀ for `x` `[rows, depth]` in panels and float weights `w` `[columns, depth]` in padded rows; floats in panels.
#[derive(Clone, Copy, Debug)]
pub struct Matmul;

impl Op for Matmul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let (x, w) = two_floats("matmul", inputs)?;
        if x.columns() != w.columns() {
            return Err(Error::shape("matmul", format!("weights of {} columns", x.columns()), w));
        }
        Ok(vec![TensorType::panels(DType::F32, x.rows(), w.rows())])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let ((x, x_type), (w, w_type)) = (bound.inputs[0], bound.inputs[1]);
        let (rows, columns, depth) = (x_type.rows(), w_type.rows(), x_type.columns());
        let buffers = matmul::Buffers { x, w, y: bound.output(0).per_task(rows * PANEL) };
        let grid = Grid::Tiles([(words_of(columns) * PANEL) as u32, rows as u32, 1]);
        let params = params(rows, columns, depth, words_of(depth) * PANEL);
        recording.dispatch(&MATMUL, params, buffers, grid, words_of(columns));
        recording.set_multiply_adds([rows, columns, depth]);
    }

    fn backward(&self, cx: &mut Backward<'_>) -> Result<Vec<Option<Value>>> {
        let Some(dy) = cx.grad(0) else { return Ok(vec![None, None]) };
        let (x, w) = (cx.input(0)?, cx.input(1)?);
        let dx = if cx.needs(0) { Some(cx.push(MatmulInput, &[dy, w])?[0]) } else { None };
        let dw = if cx.needs(1) { Some(cx.push(MatmulTransposed, &[dy, x])?[0]) } else { None };
        Ok(vec![dx, dw])
    }
}

/// y = x w for `x` `[rows, depth]` in panels and float weights `w` `[depth, columns]` in padded rows: dX = dY * W.
#[derive(Clone, Copy, Debug)]
pub struct MatmulInput;

impl Op for MatmulInput {
    fn name(&self) -> &'static str {
        "matmul_input"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let (x, w) = two_floats("matmul_input", inputs)?;
        if x.columns() != w.rows() {
            return Err(Error::shape("matmul_input", format!("weights of {} rows", x.columns()), w));
        }
        Ok(vec![TensorType::panels(DType::F32, x.rows(), w.columns())])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let ((x, x_type), (w, w_type)) = (bound.inputs[0], bound.inputs[1]);
        let (rows, columns, depth) = (x_type.rows(), w_type.columns(), x_type.columns());
        let pitch = words_of(columns) * PANEL;
        let buffers = matmul_input::Buffers { x, w, y: bound.output(0).per_task(rows * PANEL) };
        let grid = Grid::Tiles([pitch as u32, rows as u32, 1]);
        recording.dispatch(&MATMUL_INPUT, params(rows, columns, depth, pitch), buffers, grid, words_of(columns));
        recording.set_multiply_adds([rows, columns, depth]);
    }
}

/// y = xᵀ w for `x` `[depth, rows]` and `w` `[depth, columns]`, both in panels; floats in padded rows: dW = dYᵀ * X.
#[derive(Clone, Copy, Debug)]
pub struct MatmulTransposed;

impl Op for MatmulTransposed {
    fn name(&self) -> &'static str {
        "matmul_transposed"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let (x, w) = two_floats("matmul_transposed", inputs)?;
        if x.rows() != w.rows() {
            return Err(Error::shape("matmul_transposed", format!("{} rows", x.rows()), w));
        }
        Ok(vec![TensorType::new(DType::F32, Layout::Rows, &[x.columns(), w.columns()])])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let ((x, x_type), (w, w_type)) = (bound.inputs[0], bound.inputs[1]);
        let (rows, columns, depth) = (x_type.columns(), w_type.columns(), x_type.rows());
        let pitch = words_of(columns) * PANEL;
        let buffers = matmul_transposed::Buffers { x, w, y: bound.output(0).per_task(PANEL * pitch) };
        let grid = Grid::Tiles([pitch as u32, rows as u32, 1]);
        recording.dispatch(&MATMUL_TRANSPOSED, params(rows, columns, depth, pitch), buffers, grid, words_of(rows));
        recording.set_multiply_adds([rows, columns, depth]);
    }
}

/// A task covers one panel of y; the sum over k runs over the panels of x.
fn matmul_twin(args: matmul::Args<'_>) {
    let Params { rows, columns, depth, pitch } = *args.params;
    let (rows, depth, pitch) = (rows as usize, depth as usize, pitch as usize);
    let first = args.index * PANEL;
    let here = PANEL.min(columns as usize - first);
    let y = args.y;
    y.fill(0.0);
    for k in 0..words_of(depth) {
        let terms = PANEL.min(depth - k * PANEL);
        let x = Matrix { data: &args.x[k * rows * PANEL..], row: PANEL, column: 1 };
        let w = Matrix { data: &args.w[first * pitch + k * PANEL..], row: 1, column: pitch };
        product(x, w, y, PANEL, [rows, here, terms]);
    }
}

/// A task covers one panel of y; the sum over k runs over the panels of x.
fn input_twin(args: matmul_input::Args<'_>) {
    let Params { rows, columns, depth, pitch } = *args.params;
    let (rows, depth, pitch) = (rows as usize, depth as usize, pitch as usize);
    let first = args.index * PANEL;
    let here = PANEL.min(columns as usize - first);
    let y = args.y;
    y.fill(0.0);
    for k in 0..words_of(depth) {
        let terms = PANEL.min(depth - k * PANEL);
        let x = Matrix { data: &args.x[k * rows * PANEL..], row: PANEL, column: 1 };
        let w = Matrix { data: &args.w[k * PANEL * pitch + first..], row: pitch, column: 1 };
        product(x, w, y, PANEL, [rows, here, terms]);
    }
}

/// A task covers 32 rows of y, which are adjacent columns of x; columns run over the panels of w.
fn transposed_twin(args: matmul_transposed::Args<'_>) {
    let Params { rows, columns, depth, pitch } = *args.params;
    let (columns, depth, pitch) = (columns as usize, depth as usize, pitch as usize);
    let here = PANEL.min(rows as usize - args.index * PANEL);
    let x = Matrix { data: &args.x[args.index * depth * PANEL..], row: 1, column: PANEL };
    let y = args.y;
    y.fill(0.0);
    for c in 0..words_of(columns) {
        let w = Matrix { data: &args.w[c * depth * PANEL..], row: PANEL, column: 1 };
        product(x, w, &mut y[c * PANEL..], pitch, [here, PANEL.min(columns - c * PANEL), depth]);
    }
}
