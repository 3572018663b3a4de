//! Packs a bit matrix along its other axis, for products that read it that way.

use crate::bits;
use crate::error::{Error, Result};
use crate::graph::{Bound, Op};
use crate::runtime::interface::ops::transpose_bits::{Params, transpose_bits};
use crate::runtime::{BufferId, Grid, Recording, kernel::kernel};
use crate::tensor::{DType, PANEL, TensorType, words_of};

kernel!(
    /// y(c, r) = x(r, c).
    TRANSPOSE_BITS = ops::transpose_bits::{ transpose_bits }, twin = twin
);

/// y(c, r) = x(r, c) for bits `x` `[rows, columns]`.
#[derive(Clone, Copy, Debug)]
pub struct TransposeBits;

impl TransposeBits {
    /// Records the transpose alone.
    pub fn dispatch(recording: &mut Recording, [x, y]: [BufferId; 2], [rows, columns]: [usize; 2]) {
        let (row_panels, words) = (rows.div_ceil(PANEL), words_of(columns));
        let params = Params { row_panels: row_panels as u32, words: words as u32 };
        let buffers = transpose_bits::Buffers { x, y: y.per_task(row_panels * PANEL) };
        recording.dispatch(&TRANSPOSE_BITS, params, buffers, Grid::Linear((row_panels * words) as u64), words);
    }
}

impl Op for TransposeBits {
    fn name(&self) -> &'static str {
        "transpose_bits"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let x = inputs[0];
        if x.dtype != DType::Bits {
            return Err(Error::shape("transpose_bits", "signs", x));
        }
        Ok(vec![TensorType::bits(x.columns(), x.rows())])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (x, ty) = bound.inputs[0];
        Self::dispatch(recording, [x, bound.output(0)], [ty.rows(), ty.columns()]);
    }
}

/// A task has one panel of y: 32 columns of x.
fn twin(args: transpose_bits::Args<'_>) {
    let words = args.params.words as usize;
    let isa = bits::current();
    let (tiles, _) = args.x.as_chunks::<PANEL>();
    let (out, _) = args.y.as_chunks_mut::<PANEL>();
    for (row_panel, out) in out.iter_mut().enumerate() {
        isa.transpose32(&tiles[row_panel * words + args.index], out);
    }
}
