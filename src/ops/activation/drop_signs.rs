//! Dropout of signs. A dropped sign becomes 0, the mean of the signs +1 and -1, so a product with it is the mean of two products of signs.

use crate::error::{Error, Result};
use crate::graph::{Backward, Bound, Op, Value};
use crate::ops::activation::dropout::{check_share, threshold};
use crate::runtime::interface::ops::drop_signs::{Params, drop_signs, drop_signs_backward};
use crate::runtime::{Grid, Recording, kernel::kernel};
use crate::tensor::{DType, Draws, PANEL, TensorType, words_of};

kernel!(
    /// The two copies of signs.
    DROP_SIGNS = ops::drop_signs::{ drop_signs }, twin = twin
);
kernel!(
    /// The gradient of the signs from those of the two copies.
    DROP_SIGNS_BACKWARD = ops::drop_signs::{ drop_signs_backward }, twin = backward_twin
);

/// Words of a task.
const CHUNK: usize = 4096;

/// Outputs two copies of signs. Where a sign is dropped, with probability p, the first copy has +1 and the second -1. The mean of the
/// copies is the kept sign, or 0 (Srivastava et al. 2014). [`crate::ops::JoinDropped`] adds the products with both copies and divides by 2
/// (1 - p). A hash of (seed, step, stream, element) decides what is dropped, so that backward reproduces the decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DropSigns {
    /// p, in [0, 1): the probability that a sign is dropped.
    pub probability: f32,
    /// Stream of its random numbers ([`crate::tensor::stream_word`]).
    pub stream: u32,
}

impl DropSigns {
    fn params(&self, signs: &TensorType) -> Params {
        Params {
            rows: signs.rows() as u32,
            columns: signs.columns() as u32,
            stream: self.stream,
            threshold: threshold(self.probability),
        }
    }
}

impl Op for DropSigns {
    fn name(&self) -> &'static str {
        "drop_signs"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        check_share("drop_signs", self.probability)?;
        if inputs[0].dtype != DType::Bits {
            return Err(Error::shape("drop_signs", "signs", inputs[0]));
        }
        Ok(vec![inputs[0].clone(); 2])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let ((a, ty), [plus, minus]) = (bound.inputs[0], [0, 1].map(|i| bound.output(i)));
        let panel = words_of(ty.columns()) * PANEL;
        let buffers = drop_signs::Buffers { a, plus: plus.per_task(panel), minus: minus.per_task(panel) };
        let (grid, tasks) = (Grid::Linear(ty.words() as u64), ty.rows().div_ceil(PANEL));
        recording.dispatch(&DROP_SIGNS, self.params(ty), buffers, grid, tasks);
    }

    fn backward(&self, cx: &mut Backward<'_>) -> Result<Vec<Option<Value>>> {
        let [up, down] = [0, 1].map(|i| cx.grad(i));
        let (Some(up), Some(down)) = (up, down) else { return Ok(vec![None]) };
        Ok(vec![Some(cx.push(DropSignsBackward(*self), &[up, down])?[0])])
    }

    fn rematerialise(&self) -> bool {
        true
    }
}

/// The gradient of the signs: the sum of the copies' gradients where a sign is kept, else 0. Inputs: the two gradients.
#[derive(Clone, Copy, Debug)]
pub struct DropSignsBackward(pub DropSigns);

impl Op for DropSignsBackward {
    fn name(&self) -> &'static str {
        "drop_signs_backward"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        if inputs[0].dtype != DType::F32 || inputs[0] != inputs[1] {
            return Err(Error::shape("drop_signs_backward", format!("two of {}", inputs[0]), inputs[1]));
        }
        Ok(vec![inputs[0].clone()])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (da, ty) = bound.outputs[0];
        let (grid, tasks) = (Grid::Linear(ty.words() as u64), ty.words().div_ceil(CHUNK));
        let buffers = drop_signs_backward::Buffers { up: bound.input(0), down: bound.input(1), da: da.per_task(CHUNK) };
        recording.dispatch(&DROP_SIGNS_BACKWARD, self.0.params(ty), buffers, grid, tasks);
    }
}

/// A task covers 32 rows.
fn twin(args: drop_signs::Args<'_>) {
    let Params { rows, columns, stream, threshold, .. } = *args.params;
    let (words, first) = (words_of(columns as usize), args.index * PANEL);
    let draws = Draws::new(args.step.seed, args.step.step, stream);
    let a = &args.a[first * words..];
    for (i, (plus, minus)) in args.plus.iter_mut().zip(args.minus).enumerate() {
        let (row, word) = (first + i % PANEL, i / PANEL);
        let number = ((row * words + word) * PANEL) as u32;
        let drops = |lane: u32| u32::from(draws.word(number.wrapping_add(lane)) < threshold) << lane;
        let dropped = (0..PANEL as u32).fold(0, |dropped, lane| dropped | drops(lane));
        let left = (columns as usize - word * PANEL).min(PANEL);
        let inside = if row < rows as usize { u32::MAX >> (PANEL - left) } else { 0 };
        *plus = (a[i] | dropped) & inside;
        *minus = a[i] & !dropped;
    }
}

fn backward_twin(args: drop_signs_backward::Args<'_>) {
    let Params { rows, columns, stream, threshold, .. } = *args.params;
    let (rows, words, first) = (rows as usize, words_of(columns as usize), args.index * CHUNK);
    let draws = Draws::new(args.step.seed, args.step.step, stream);
    let gradients = args.up[first..].iter().zip(&args.down[first..]);
    for (i, (da, (up, down))) in (first..).zip(args.da.iter_mut().zip(gradients)) {
        let (row, panel) = (i / PANEL % rows, i / PANEL / rows);
        let keeps = draws.word(((row * words + panel) * PANEL + i % PANEL) as u32) >= threshold;
        *da = if keeps { up + down } else { 0.0 };
    }
}
