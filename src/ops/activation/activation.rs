//! Activations of floats, element by element.

use crate::error::{Error, Result};
use crate::graph::{Backward, Bound, Op, Value};
use crate::runtime::interface::ops::activation::{HARDTANH, Params, RELU, activation, activation_backward};
use crate::runtime::{Grid, Recording, kernel::kernel};
use crate::tensor::{DType, TensorType};

kernel!(
    /// y = f(x).
    ACTIVATION = ops::activation::{ activation }, twin = twin
);
kernel!(
    /// dx = dy f'(x).
    ACTIVATION_BACKWARD = ops::activation::{ activation_backward }, twin = backward_twin
);

/// Words of a task.
const CHUNK: usize = 4096;

/// y = f(x) for floats of any shape; made again in backward rather than kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// max(x, 0).
    Relu,
    /// min(max(x, -1), 1).
    Hardtanh,
}

impl Activation {
    fn params(self) -> Params {
        Params {
            kind: match self {
                Self::Relu => RELU,
                Self::Hardtanh => HARDTANH,
            },
        }
    }
}

impl Op for Activation {
    fn name(&self) -> &'static str {
        match self {
            Self::Relu => "relu",
            Self::Hardtanh => "hardtanh",
        }
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        if inputs[0].dtype != DType::F32 {
            return Err(Error::shape(self.name(), "floats", inputs[0]));
        }
        Ok(vec![inputs[0].clone()])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let ((x, ty), words) = (bound.inputs[0], bound.inputs[0].1.words());
        let buffers = activation::Buffers { x, y: bound.output(0).per_task(CHUNK) };
        let grid = Grid::Linear(ty.words() as u64);
        recording.dispatch(&ACTIVATION, self.params(), buffers, grid, words.div_ceil(CHUNK));
    }

    fn backward(&self, cx: &mut Backward<'_>) -> Result<Vec<Option<Value>>> {
        let Some(dy) = cx.grad(0) else { return Ok(vec![None]) };
        let x = cx.input(0)?;
        Ok(vec![Some(cx.push(ActivationBackward(*self), &[x, dy])?[0])])
    }

    fn rematerialise(&self) -> bool {
        true
    }
}

/// dx = dy f'(x). Inputs: x, dy.
#[derive(Clone, Copy, Debug)]
pub struct ActivationBackward(pub Activation);

impl Op for ActivationBackward {
    fn name(&self) -> &'static str {
        "activation_backward"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![inputs[0].clone()])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let words = bound.inputs[0].1.words();
        let dx = bound.output(0).per_task(CHUNK);
        let buffers = activation_backward::Buffers { x: bound.input(0), dy: bound.input(1), dx };
        let grid = Grid::Linear(words as u64);
        recording.dispatch(&ACTIVATION_BACKWARD, self.0.params(), buffers, grid, words.div_ceil(CHUNK));
    }
}

fn twin(args: activation::Args<'_>) {
    let pairs = args.y.iter_mut().zip(&args.x[args.index * CHUNK..]);
    if args.params.kind == Activation::Relu as u32 {
        pairs.for_each(|(y, x)| *y = x.max(0.0));
    } else {
        pairs.for_each(|(y, x)| *y = x.clamp(-1.0, 1.0));
    }
}

fn backward_twin(args: activation_backward::Args<'_>) {
    let first = args.index * CHUNK;
    let triples = args.dx.iter_mut().zip(&args.x[first..]).zip(&args.dy[first..]);
    if args.params.kind == Activation::Relu as u32 {
        triples.for_each(|((dx, &x), &dy)| *dx = if x > 0.0 { dy } else { 0.0 });
    } else {
        triples.for_each(|((dx, &x), &dy)| *dx = if x.abs() < 1.0 { dy } else { 0.0 });
    }
}
