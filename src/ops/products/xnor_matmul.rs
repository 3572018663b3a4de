//! Signs by signs: the forward product of a layer whose input and weights are both binary.

use crate::bits;
use crate::error::{Error, Result};
use crate::graph::{Backward, Bound, Op, Value};
use crate::ops::epilogue::{Epilogue, Epilogues};
use crate::ops::producer::{Chain, Producer};
use crate::ops::products::float_bits::FloatBits;
use crate::ops::products::float_bits_transposed::FloatBitsTransposed;
use crate::runtime::interface::producers::xnor_matmul::{Params, xnor_matmul};
use crate::runtime::{BufferArg, BufferId, Grid, Kernel, Recording, Task, kernel::kernel};
use crate::tensor::{DType, PANEL, TensorType, words_of};

kernel!(
    /// y\[r\]\[c\] = sum_k a\[r\]\[k\] * w\[c\]\[k\], exact.
    XNOR_MATMUL = producers::xnor_matmul::{ xnor_matmul | xnor_matmul_tiled }, task = twin
);
kernel!(
    /// [`XNOR_MATMUL`] with statistics.
    XNOR_MATMUL_STATISTICS = producers::xnor_matmul::{ xnor_matmul_statistics | xnor_matmul_tiled_statistics }, task = twin
);

/// y\[r\]\[c\] = depth - 2 popcount(a\[r\] ^ w\[c\]) for bits `a` `[rows, depth]` and `w` `[columns, depth]`; integers in panels.
///
/// Backward: da = dy * w and dw = dyᵀ * a, floats by signs.
#[derive(Clone, Copy, Debug)]
pub struct XnorMatmul;

impl XnorMatmul {
    /// Records the product alone: `a` and `w` bits with rows of `depth` signs, `y` integers `[rows, columns]`.
    pub fn dispatch(recording: &mut Recording, tensors: [BufferId; 3], extents: [usize; 3]) {
        record(recording, &XNOR_MATMUL, tensors, extents, Vec::new());
    }
}

fn record(
    recording: &mut Recording,
    kernel: &'static Kernel,
    [a, w, y]: [BufferId; 3],
    [rows, columns, depth]: [usize; 3],
    epilogues: Vec<BufferArg>,
) {
    let params =
        Params { rows: rows as u32, columns: columns as u32, depth: depth as u32, words: words_of(depth) as u32 };
    let panels = columns.div_ceil(PANEL);
    let buffers = xnor_matmul::Buffers { a, w, y: y.per_task(rows * PANEL) };
    let grid = Grid::Tiles([(panels * PANEL) as u32, rows as u32, 1]);
    recording.dispatch_with(kernel, params, buffers, epilogues, grid, panels);
    recording.set_multiply_adds([rows, columns, depth]);
}

impl Producer for XnorMatmul {
    fn kernels(&self) -> &'static [(Epilogues, &'static Kernel)] {
        const { &[(Epilogues::Store, &XNOR_MATMUL), (Epilogues::Statistics, &XNOR_MATMUL_STATISTICS)] }
    }

    fn rows_per_task(&self, _bound: &Bound<'_>) -> Option<usize> {
        None
    }

    fn record_chain(&self, recording: &mut Recording, bound: &Bound<'_>, chain: Chain) {
        let ((a, a_type), (w, w_type)) = (bound.inputs[0], bound.inputs[1]);
        let extents = [a_type.rows(), w_type.rows(), a_type.columns()];
        record(recording, chain.kernel, [a, w, bound.output(0)], extents, chain.buffers);
    }
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
        self.record_alone(recording, bound);
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
fn twin(task: &mut Task<'_>) {
    let xnor_matmul::Args { index, a, w, y, params, .. } = xnor_matmul::Args::take(task);
    let Params { rows, columns, depth, words } = *params;
    let valid = task.step().valid_rows as usize;
    let mut epilogue = Epilogue::take(task, [rows, columns].map(|v| v as usize), valid);
    let product = bits::Xnor {
        a,
        w: &w[index * words as usize * PANEL..],
        k: depth as usize,
        columns: PANEL.min(columns as usize - index * PANEL),
        row_begin: 0,
        row_end: rows as usize,
    };
    bits::current().xnor(&product, y);
    epilogue.integers(index, 0, y);
}
