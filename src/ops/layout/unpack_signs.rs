//! Signs as floats, for products that have one binary operand.

use crate::error::{Error, Result};
use crate::graph::{Backward, Bound, Op, Value};
use crate::runtime::interface::ops::unpack_signs::{Params, unpack_signs, unpack_signs_rows};
use crate::runtime::{Grid, Recording, kernel::kernel};
use crate::tensor::{DType, Layout, PANEL, TensorType, words_of};

kernel!(
    /// Bits to -1 and +1 in panels.
    UNPACK_SIGNS = ops::unpack_signs::{ unpack_signs }, twin = twin
);
kernel!(
    /// Bits to -1 and +1 in padded rows.
    UNPACK_SIGNS_ROWS = ops::unpack_signs::{ unpack_signs_rows }, twin = rows_twin
);

/// x = -1 or +1 for each bit, as floats in panels (activations) or in padded rows (weights). Made again in backward rather than kept.
#[derive(Clone, Copy, Debug)]
pub struct UnpackSigns(pub Layout);

impl Op for UnpackSigns {
    fn name(&self) -> &'static str {
        "unpack_signs"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        if inputs[0].dtype != DType::Bits || self.0 == Layout::Plain {
            return Err(Error::shape("unpack_signs", "signs", inputs[0]));
        }
        Ok(vec![TensorType::new(DType::F32, self.0, &inputs[0].shape)])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let ((bits, _), (x, ty)) = (bound.inputs[0], bound.outputs[0]);
        let params = Params { rows: ty.rows() as u32, columns: ty.columns() as u32 };
        let (grid, words, blocks) =
            (Grid::Linear(ty.words() as u64), words_of(ty.columns()), ty.rows().div_ceil(PANEL));
        if self.0 == Layout::Rows {
            let buffers = unpack_signs_rows::Buffers { bits, x: x.per_task(PANEL * words * PANEL) };
            recording.dispatch(&UNPACK_SIGNS_ROWS, params, buffers, grid, blocks);
        } else {
            let buffers = unpack_signs::Buffers { bits, x: x.per_task_in_each_panel(words, PANEL * PANEL) };
            recording.dispatch(&UNPACK_SIGNS, params, buffers, grid, blocks);
        }
    }

    /// The derivative is 1: what stands in for the derivative of sign belongs to who made the bits.
    fn backward(&self, cx: &mut Backward<'_>) -> Result<Vec<Option<Value>>> {
        Ok(vec![cx.grad(0)])
    }

    fn rematerialise(&self) -> bool {
        true
    }
}

fn expand(word: u32, columns: usize, x: &mut [f32]) {
    for (lane, x) in x.iter_mut().enumerate() {
        let sign = if word >> lane & 1 == 1 { 1.0 } else { -1.0 };
        *x = if lane < columns { sign } else { 0.0 };
    }
}

/// A task has 32 rows.
fn twin(mut args: unpack_signs::Args<'_>) {
    let columns = args.params.columns as usize;
    let words = words_of(columns);
    for word in 0..words {
        let bits = &args.bits[(args.index * words + word) * PANEL..][..PANEL];
        let x = args.x.panel(word).chunks_exact_mut(PANEL);
        x.zip(bits).for_each(|(x, &bits)| expand(bits, columns - word * PANEL, x));
    }
}

/// The same.
fn rows_twin(mut args: unpack_signs_rows::Args<'_>) {
    let columns = args.params.columns as usize;
    let words = words_of(columns);
    for (row, x) in args.x.panel(0).chunks_exact_mut(words * PANEL).enumerate() {
        for (word, x) in x.chunks_exact_mut(PANEL).enumerate() {
            expand(args.bits[(args.index * words + word) * PANEL + row], columns - word * PANEL, x);
        }
    }
}
