//! Weights of classes in a loss: they multiply the gradient of each row by the weight of its class.

use crate::error::{Error, Result};
use crate::graph::{Backward, Bound, Op, Value};
use crate::runtime::interface::ops::class_weights::{Params, class_weights};
use crate::runtime::{Grid, Recording, kernel::kernel};
use crate::tensor::{DType, PANEL, TensorType};

kernel!(
    /// y = w\[label of the row\] x.
    CLASS_WEIGHTS = ops::class_weights::{ class_weights }, twin = twin
);

/// y = w\[label of the row\] x. Inputs: x `[rows, classes]` in panels, labels `[rows]`, weights `[classes]`. Output: y.
#[derive(Clone, Copy, Debug)]
pub struct ClassWeights;

impl Op for ClassWeights {
    fn name(&self) -> &'static str {
        "class_weights"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        match inputs {
            [x, labels, weights]
                if x.dtype == DType::F32 && labels.elements() == x.rows() && weights.elements() == x.columns() =>
            {
                Ok(vec![(*x).clone()])
            }
            _ => Err(Error::shape("class_weights", "floats, one label per row and one weight per class", inputs.len())),
        }
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (x, ty) = bound.inputs[0];
        let (rows, words) = (ty.rows(), ty.words());
        let params = Params { rows: rows as u32, classes: ty.columns() as u32 };
        // A task covers a panel of classes.
        let y = bound.output(0).per_task(rows * PANEL);
        let buffers = class_weights::Buffers { x, labels: bound.input(1), weights: bound.input(2), y };
        recording.dispatch(&CLASS_WEIGHTS, params, buffers, Grid::Linear(words as u64), words / (rows * PANEL));
    }
}

/// Returns the gradient of a loss's logits, with the weights of classes if the loss has them as its input `place`.
pub(in crate::ops) fn weighted(cx: &mut Backward<'_>, gradient: Value, place: usize) -> Result<Vec<Option<Value>>> {
    let mut all = vec![None; cx.inputs()];
    all[0] = Some(gradient);
    if all.len() > place {
        let (labels, weights) = (cx.input(1)?, cx.input(place)?);
        all[0] = Some(cx.push(ClassWeights, &[gradient, labels, weights])?[0]);
    }
    Ok(all)
}

fn twin(args: class_weights::Args<'_>) {
    let (rows, classes) = (args.params.rows as usize, args.params.classes as usize);
    let (first, inside) = (args.index * rows * PANEL, PANEL.min(classes - args.index * PANEL));
    let lanes = args.y.chunks_exact_mut(PANEL).zip(args.x[first..].chunks_exact(PANEL)).zip(args.labels);
    for ((y, x), &label) in lanes {
        let weight = args.weights[(label as usize).min(classes - 1)];
        y.fill(0.0);
        y[..inside].iter_mut().zip(x).for_each(|(y, x)| *y = weight * x);
    }
}
