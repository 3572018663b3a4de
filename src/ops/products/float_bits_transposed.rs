//! Floats by signs with the floats transposed: the weight gradient of binary layers.

use crate::bits;
use crate::error::{Error, Result};
use crate::graph::{Bound, Op, Producer};
use crate::ops::products::float_bits::floats_and_bits;
use crate::runtime::interface::producers::float_bits_transposed::{Params, float_bits_transposed};
use crate::runtime::{BufferId, Grid, Kernel, NamedBuffers, Product, Recording, Task, kernel::kernel, multiply_adds};
use crate::tensor::{DType, PANEL, TensorType, words_of};

kernel!(
    /// y\[i\]\[c\] = sum_j x\[j\]\[i\] * s\[j\]\[c\].
    FLOAT_BITS_TRANSPOSED = producers::float_bits_transposed::{ float_bits_transposed }, task = twin
);

/// y = xᵀ s for floats `x` `[depth, rows]` and signs `s` `[depth, columns]`; floats in padded rows. Computes the weight gradient
/// dW = dYᵀ * A, where `depth` is the batch. An update can consume its tiles.
#[derive(Clone, Copy, Debug)]
pub struct FloatBitsTransposed;

impl FloatBitsTransposed {
    /// Records the product without a graph.
    pub fn dispatch(recording: &mut Recording, [x, bits, y]: [BufferId; 3], extents: [usize; 3]) {
        let pitch = words_of(extents[1]) * PANEL;
        let buffers = float_bits_transposed::Buffers { x, bits, y: y.per_task(PANEL * pitch) };
        let (params, grid, tasks) = shape(extents);
        recording.dispatch(&FLOAT_BITS_TRANSPOSED, params, buffers, grid, tasks);
        recording.set_multiply_adds(extents);
    }
}

/// Returns parameters, grid and tasks of a product of `[rows, columns, depth]`.
fn shape([rows, columns, depth]: [usize; 3]) -> (Params, Grid, usize) {
    let words = words_of(columns);
    let grid = Grid::Tiles([(words * PANEL) as u32, rows as u32, 1]);
    let params = Params { rows: rows as u32, columns: columns as u32, depth: depth as u32, words: words as u32 };
    (params, grid, rows.div_ceil(PANEL))
}

/// Returns the extents of the product of two inputs.
fn extents(bound: &Bound<'_>) -> [usize; 3] {
    let (x, bits) = (bound.inputs[0].1, bound.inputs[1].1);
    [x.columns(), bits.columns(), x.rows()]
}

impl Producer for FloatBitsTransposed {
    fn shader(&self) -> &'static str {
        "float_bits_transposed"
    }

    fn kernels(&self) -> &'static [(&'static str, &'static Kernel)] {
        const { &[("", &FLOAT_BITS_TRANSPOSED)] }
    }

    fn rows_per_task(&self, _bound: &Bound<'_>) -> Option<usize> {
        Some(PANEL)
    }

    fn stored(&self, bound: &Bound<'_>) -> NamedBuffers {
        let (y, ty) = bound.outputs[0];
        vec![("y", y.per_task(PANEL * words_of(ty.columns()) * PANEL))]
    }

    fn product(&self, bound: &Bound<'_>) -> Product {
        let extents = extents(bound);
        let (params, grid, tasks) = shape(extents);
        Product {
            params: bytemuck::pod_collect_to_vec(&[params]),
            buffers: vec![("x", bound.input(0).into()), ("bits", bound.input(1).into())],
            grid,
            tasks,
            tile: Some(fill),
            scratch: PANEL * words_of(extents[1]) * PANEL,
            multiply_adds: multiply_adds(extents),
        }
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
        self.record_alone(recording, bound);
    }

    fn producer(&self) -> Option<&dyn Producer> {
        Some(self)
    }
}

/// A task covers one panel of 32 rows, all columns.
fn twin(task: &mut Task<'_>) {
    let y = task.write(task.position("y").expect("it is stored"));
    fill(task, y);
}

/// Fills the 32 rows of y of a task.
fn fill(task: &mut Task<'_>, y: &mut [f32]) {
    let (x, bits): (&[f32], &[u32]) = (task.named("x"), task.named("bits"));
    let Params { rows, columns, depth, words } = *task.params();
    let (depth, pitch, index) = (depth as usize, words as usize * PANEL, task.index());
    let product = bits::FloatBits {
        x: &x[index * depth * PANEL..],
        x_block: PANEL * PANEL,
        x_inner: PANEL,
        x_row: 1,
        bits,
        bits_block: pitch,
        bits_panel: PANEL,
        inner: depth,
        rows: PANEL.min(rows as usize - index * PANEL),
        columns: columns as usize,
        sets: 1,
        y_row: pitch,
        accumulate: false,
    };
    bits::current().float_bits(&product, &mut bits::StridedPanels(y, PANEL));
}
