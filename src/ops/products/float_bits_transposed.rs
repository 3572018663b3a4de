//! Floats by signs with the floats transposed: the weight gradient of binary layers.

use crate::bits;
use crate::error::{Error, Result};
use crate::graph::{Bound, Op};
use crate::ops::products::float_bits::floats_and_bits;
use crate::runtime::interface::producers::float_bits_transposed::{Params, float_bits_transposed};
use crate::runtime::{BufferId, Grid, Recording, kernel::kernel};
use crate::tensor::{DType, PANEL, TensorType, words_of};

kernel!(
    /// y\[i\]\[c\] = sum_j x\[j\]\[i\] * s\[j\]\[c\].
    FLOAT_BITS_TRANSPOSED = producers::float_bits_transposed::{ float_bits_transposed }, twin = twin
);

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
        let (rows, columns, depth, words) = (rows as u32, columns as u32, depth as u32, words_of(columns) as u32);
        let params = Params { rows, columns, depth, words };
        recording.dispatch(&FLOAT_BITS_TRANSPOSED, params, buffers, grid, (rows as usize).div_ceil(PANEL));
        recording.set_multiply_adds([rows, columns, depth].map(|extent| extent as usize));
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

/// A task has one panel of 32 rows, all columns.
fn twin(mut args: float_bits_transposed::Args<'_>) {
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
    bits::current().float_bits(&task, &mut bits::StridedPanels(args.y.panel(0), PANEL));
}
