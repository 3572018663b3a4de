//! Signs by signs: the forward product of a layer whose input and weights are both binary.

use crate::bits;
use crate::error::{Error, Result};
use crate::graph::{Backward, Bound, Op, Value};
use crate::ops::products::float_bits::{FloatBits, FloatBitsTransposed};
use crate::runtime::interface::ops::xnor_matmul::{Params, xnor_matmul};
use crate::runtime::{BufferId, Grid, Recording, kernel::kernel};
use crate::tensor::{DType, PANEL, TensorType, words_of};

kernel!(
    /// y\[r\]\[c\] = sum_k a\[r\]\[k\] * w\[c\]\[k\], exact.
    XNOR_MATMUL = ops::xnor_matmul::{ xnor_matmul | xnor_matmul_tiled }, twin = twin
);

/// y\[r\]\[c\] = depth - 2 popcount(a\[r\] ^ w\[c\]) for bits `a` `[rows, depth]` and `w` `[columns, depth]`; integers in panels.
///
/// Backward: da = dy * w and dw = dyᵀ * a, floats by signs.
#[derive(Clone, Copy, Debug)]
pub struct XnorMatmul;

impl XnorMatmul {
    /// Records the product alone: `a` and `w` bits with rows of `depth` signs, `y` integers `[rows, columns]`.
    pub fn dispatch(recording: &mut Recording, [a, w, y]: [BufferId; 3], [rows, columns, depth]: [usize; 3]) {
        let (params, grid, panels) = extents([rows, columns, depth]);
        let buffers = xnor_matmul::Buffers { a, w, y: y.per_task(rows * PANEL) };
        recording.dispatch(&XNOR_MATMUL, params, buffers, grid, panels);
        recording.set_multiply_adds([rows, columns, depth]);
    }
}

/// Parameters, work for a GPU, tasks for the processor.
pub(in crate::ops) fn extents([rows, columns, depth]: [usize; 3]) -> (Params, Grid, usize) {
    let params =
        Params { rows: rows as u32, columns: columns as u32, depth: depth as u32, words: words_of(depth) as u32 };
    let panels = columns.div_ceil(PANEL);
    (params, Grid::Tiles([(panels * PANEL) as u32, rows as u32, 1]), panels)
}

impl Op for XnorMatmul {
    fn name(&self) -> &'static str {
        "xnor_matmul"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let [a, w] = inputs[..] else { return Err(Error::shape("xnor_matmul", "two inputs", inputs.len())) };
        if a.dtype != DType::Bits || w.dtype != DType::Bits || a.columns() != w.columns() {
            return Err(Error::shape("xnor_matmul", format!("signs of {} columns", w.columns()), a));
        }
        Ok(vec![TensorType::panels(DType::I32, a.rows(), w.rows())])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let ((a, a_type), (w, w_type)) = (bound.inputs[0], bound.inputs[1]);
        Self::dispatch(recording, [a, w, bound.output(0)], [a_type.rows(), w_type.rows(), a_type.columns()]);
    }

    fn backward(&self, cx: &mut Backward<'_>) -> Result<Vec<Option<Value>>> {
        let Some(dy) = cx.grad(0) else { return Ok(vec![None, None]) };
        let (a, w) = (cx.input(0)?, cx.input(1)?);
        let da = if cx.needs(0) { Some(cx.push(FloatBits, &[dy, w])?[0]) } else { None };
        let dw = if cx.needs(1) { Some(cx.push(FloatBitsTransposed, &[dy, a])?[0]) } else { None };
        Ok(vec![da, dw])
    }
}

/// A task has one panel of 32 columns.
fn twin(args: xnor_matmul::Args<'_>) {
    panel(args.params, args.index, [args.a, args.w], args.y);
}

pub(in crate::ops) fn panel(params: &Params, index: usize, [a, w]: [&[u32]; 2], y: &mut [i32]) {
    let Params { rows, columns, depth, words } = *params;
    let task = bits::Xnor {
        a,
        w: &w[index * words as usize * PANEL..],
        k: depth as usize,
        columns: PANEL.min(columns as usize - index * PANEL),
        row_begin: 0,
        row_end: rows as usize,
    };
    bits::current().xnor(&task, y);
}
