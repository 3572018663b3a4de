//! Signs by signs: the forward product of a layer with binary input and binary weights.

use crate::bits;
use crate::error::{Error, Result};
use crate::graph::{Backward, Bound, Op, Producer, Value};
use crate::ops::epilogues::contract::Extent;
use crate::ops::epilogues::registry::Epilogue;
use crate::ops::products::float_bits::FloatBits;
use crate::ops::products::float_bits_transposed::FloatBitsTransposed;
use crate::runtime::interface::producers::xnor_matmul::Params;
use crate::runtime::{BufferId, Grid, Kernel, Product, Recording, Task, kernel::kernel, multiply_adds, with_scratch};
use crate::tensor::{DType, PANEL, TensorType, words_of};

kernel!(
    /// y\[r\]\[c\] = sum_k a\[r\]\[k\] * w\[c\]\[k\], exact.
    XNOR_MATMUL = producers::xnor_matmul::{ xnor_matmul | xnor_matmul_tiled }, task = twin
);
kernel!(
    /// [`XNOR_MATMUL`] with statistics.
    XNOR_MATMUL_STATISTICS = producers::xnor_matmul::{ xnor_matmul_statistics | xnor_matmul_tiled_statistics }, task = twin
);
kernel!(
    /// Sign of batch norm of [`XNOR_MATMUL`].
    XNOR_MATMUL_THRESHOLD = producers::xnor_matmul::{ xnor_matmul_threshold | xnor_matmul_tiled_threshold }, task = twin
);
kernel!(
    /// [`XNOR_MATMUL`] of one copy of dropped signs, joined with that of the other.
    XNOR_MATMUL_JOIN_DROPPED = producers::xnor_matmul::{ xnor_matmul_join_dropped | xnor_matmul_tiled_join_dropped }, task = twin
);

/// y\[r\]\[c\] = depth - 2 popcount(a\[r\] ^ w\[c\]) for bits `a` `[rows, depth]` and `w` `[columns, depth]`; integers in panels.
///
/// Backward: da = dy * w and dw = dyᵀ * a, floats by signs.
#[derive(Clone, Copy, Debug)]
pub struct XnorMatmul;

impl XnorMatmul {
    /// Records the product without a graph: `a` and `w` are bits with rows of `depth` signs, `y` integers `[rows, columns]`.
    pub fn dispatch(recording: &mut Recording, [a, w, y]: [BufferId; 3], extents: [usize; 3]) {
        let y = y.per_task(extents[0] * PANEL);
        recording.dispatch_behind(&XNOR_MATMUL, product([a, w], extents), Vec::new(), [("y", y)]);
    }
}

fn product([a, w]: [BufferId; 2], extents: [usize; 3]) -> Product {
    let [rows, columns, depth] = extents.map(|extent| extent as u32);
    let panels = words_of(extents[1]);
    Product {
        params: bytemuck::pod_collect_to_vec(&[Params { rows, columns, depth, words: depth.div_ceil(32) }]),
        buffers: vec![("a", a.into()), ("w", w.into())],
        grid: Grid::Tiles([(panels * PANEL) as u32, rows, 1]),
        tasks: panels,
        tile: None,
        scratch: extents[0] * PANEL,
        multiply_adds: multiply_adds(extents),
    }
}

impl Producer for XnorMatmul {
    fn shader(&self) -> &'static str {
        "xnor_matmul"
    }

    fn kernels(&self) -> &'static [(&'static str, &'static Kernel)] {
        const {
            &[
                ("", &XNOR_MATMUL),
                ("statistics", &XNOR_MATMUL_STATISTICS),
                ("threshold", &XNOR_MATMUL_THRESHOLD),
                ("join_dropped", &XNOR_MATMUL_JOIN_DROPPED),
            ]
        }
    }

    fn product(&self, bound: &Bound<'_>) -> Product {
        let (a, w) = (bound.inputs[0].1, bound.inputs[1].1);
        product([bound.input(0), bound.input(1)], [a.rows(), w.rows(), a.columns()])
    }

    fn rows_per_task(&self, _bound: &Bound<'_>) -> Option<usize> {
        None
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

    fn producer(&self) -> Option<&dyn Producer> {
        Some(self)
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

/// A task covers one panel of 32 columns.
fn twin(task: &mut Task<'_>) {
    let Params { rows, columns, depth, words } = *task.params();
    let (index, valid) = (task.index(), task.step().valid_rows as usize);
    let product = bits::Xnor {
        a: task.named("a"),
        w: &task.named("w")[index * words as usize * PANEL..],
        k: depth as usize,
        columns: PANEL.min(columns as usize - index * PANEL),
        row_begin: 0,
        row_end: rows as usize,
    };
    let extent = Extent { rows: rows as usize, columns: columns as usize, valid };
    let mut epilogue = Epilogue::take(task, extent);
    let mut fill = |y: &mut [i32]| {
        bits::current().xnor(&product, y);
        epilogue.integers(index, 0, y);
    };
    match task.position("y") {
        Some(y) => fill(task.write(y)),
        None => with_scratch(rows as usize * PANEL, |tile| fill(bytemuck::cast_slice_mut(tile))),
    }
}
