//! Dropout of floats, element by element.

use crate::error::{Error, Result};
use crate::graph::{Backward, Bound, Op, Value};
use crate::runtime::interface::ops::dropout::{Params, dropout};
use crate::runtime::{Grid, Recording, kernel::kernel};
use crate::tensor::{DType, Draws, TensorType};

kernel!(
    /// y = x / (1 - p) where kept, else 0.
    DROPOUT = ops::dropout::{ dropout }, twin = twin
);

/// Words of a task.
const CHUNK: usize = 4096;

/// y = x / (1 - p) where an element is kept, with probability 1 - p, else 0 (Srivastava et al. 2014), for floats of any shape. What is
/// kept is a hash of (seed, step, stream, place), so that backward, the same operation on dy, draws the same again: no mask is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// p, in [0, 1): the share that is dropped.
    pub probability: f32,
    /// Stream of its random numbers ([`crate::tensor::stream_word`]).
    pub stream: u32,
}

/// Refuses what is no share that can be dropped.
pub fn check_share(name: impl Into<String>, probability: f32) -> Result<()> {
    match (0.0..1.0).contains(&probability) {
        true => Ok(()),
        false => Err(Error::setting(name, "a probability in [0, 1)", probability)),
    }
}

/// Random words below it drop: p 2^32, below 2^32 since the largest p is 1 - 2^-24.
pub(in crate::ops) fn threshold(probability: f32) -> u32 {
    (f64::from(probability) * 2_f64.powi(32)) as u32
}

impl Op for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        if inputs[0].dtype != DType::F32 {
            return Err(Error::shape("dropout", "floats", inputs[0]));
        }
        check_share("dropout", self.probability)?;
        Ok(vec![inputs[0].clone()])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let ((x, ty), words) = (bound.inputs[0], bound.inputs[0].1.words());
        let (threshold, scale) = (threshold(self.probability), 1.0 / (1.0 - self.probability));
        let params = Params { stream: self.stream, threshold, scale };
        let buffers = dropout::Buffers { x, y: bound.output(0).per_task(CHUNK) };
        recording.dispatch(&DROPOUT, params, buffers, Grid::Linear(ty.words() as u64), words.div_ceil(CHUNK));
    }

    fn backward(&self, cx: &mut Backward<'_>) -> Result<Vec<Option<Value>>> {
        let Some(dy) = cx.grad(0) else { return Ok(vec![None]) };
        Ok(vec![Some(cx.push(*self, &[dy])?[0])])
    }

    fn rematerialise(&self) -> bool {
        true
    }
}

fn twin(args: dropout::Args<'_>) {
    let Params { stream, threshold, scale, .. } = *args.params;
    let (draws, first) = (Draws::new(args.step.seed, args.step.step, stream), args.index * CHUNK);
    for (i, (y, x)) in (first..).zip(args.y.iter_mut().zip(&args.x[first..])) {
        *y = if draws.word(i as u32) >= threshold { x * scale } else { 0.0 };
    }
}
