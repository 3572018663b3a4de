//! Softmax and cross-entropy against (smoothed) labels.

use crate::error::{Error, Result};
use crate::graph::{Backward, Bound, Op, Value};
use crate::ops::loss::class_weights::weighted;
use crate::runtime::interface::ops::softmax_cross_entropy::{
    Params, softmax_cross_entropy, softmax_cross_entropy_backward,
};
use crate::runtime::{Grid, Recording, kernel::kernel};
use crate::tensor::{DType, TensorType, number_at};
use std::sync::atomic::Ordering;

kernel!(
    /// loss\[r\] = log sum_c exp z\[r\]\[c\] - sum_c t\[c\] z\[r\]\[c\]; counts correct rows by class.
    FORWARD = ops::softmax_cross_entropy::{ softmax_cross_entropy }, twin = forward_twin
);
kernel!(
    /// dz = (softmax(z) - t) / samples.
    BACKWARD = ops::softmax_cross_entropy::{ softmax_cross_entropy_backward }, twin = backward_twin
);

/// Inputs: logits `[rows, classes]` in panels, labels `[rows]`, and optionally weights `[classes]` of the gradient. Update: correct samples
/// by class. Output: losses by row, without the weights.
#[derive(Clone, Copy, Debug)]
pub struct SoftmaxCrossEntropy {
    /// Part of the target that is spread over all classes: 0 for plain labels.
    pub smoothing: f32,
}

impl SoftmaxCrossEntropy {
    fn params(&self, logits: &TensorType) -> Params {
        Params { rows: logits.rows() as u32, classes: logits.columns() as u32, smoothing: self.smoothing }
    }
}

/// Checks the inputs of a loss on logits and labels.
pub(in crate::ops) fn check_logits(op: &'static str, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
    match inputs {
        [z, labels, ..] if z.dtype == DType::F32 && labels.elements() == z.rows() => {
            Ok(vec![TensorType::plain(DType::F32, &[z.rows()])])
        }
        _ => Err(Error::shape(op, "float logits and one label per row", inputs.len())),
    }
}

impl Op for SoftmaxCrossEntropy {
    fn name(&self) -> &'static str {
        "softmax_cross_entropy"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        check_logits(self.name(), inputs)
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (z, ty) = bound.inputs[0];
        let loss = bound.output(0).per_task(ty.rows());
        let buffers = softmax_cross_entropy::Buffers { z, labels: bound.input(1), loss, correct: bound.update(0) };
        recording.dispatch(&FORWARD, self.params(ty), buffers, Grid::Linear(ty.rows() as u64), 1);
    }

    fn backward(&self, cx: &mut Backward<'_>) -> Result<Vec<Option<Value>>> {
        let (z, labels) = (cx.input(0)?, cx.input(1)?);
        let dz = cx.push(SoftmaxCrossEntropyBackward(*self), &[z, labels])?[0];
        weighted(cx, dz, 2)
    }
}

/// dz = (softmax(z) - t) / samples. Inputs: logits, labels. Output: dz.
#[derive(Clone, Copy, Debug)]
pub struct SoftmaxCrossEntropyBackward(pub SoftmaxCrossEntropy);

impl Op for SoftmaxCrossEntropyBackward {
    fn name(&self) -> &'static str {
        "softmax_cross_entropy_backward"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![inputs[0].clone()])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (z, ty) = bound.inputs[0];
        let dz = bound.output(0).per_task(ty.words());
        let buffers = softmax_cross_entropy_backward::Buffers { z, labels: bound.input(1), dz };
        recording.dispatch(&BACKWARD, self.0.params(ty), buffers, Grid::Linear(ty.rows() as u64), 1);
    }
}

/// Returns the target of a class for a smoothed label.
pub(in crate::ops) fn target(smoothing: f32, classes: usize, class: usize, label: usize) -> f32 {
    smoothing / classes as f32 + if class == label { 1.0 - smoothing } else { 0.0 }
}

/// Returns max z and the sum of exp((z - max) / temperature) of a row.
pub(in crate::ops) fn normaliser(z: &[f32], rows: usize, row: usize, classes: usize, temperature: f32) -> (f32, f32) {
    let logits = || (0..classes).map(|c| z[number_at(rows, row, c)]);
    let top = logits().fold(f32::NEG_INFINITY, f32::max);
    (top, logits().map(|z| ((z - top) / temperature).exp()).sum())
}

fn forward_twin(args: softmax_cross_entropy::Args<'_>) {
    let (rows, classes) = (args.params.rows as usize, args.params.classes as usize);
    let loss = args.loss;
    loss.fill(0.0);
    for (row, loss) in loss.iter_mut().enumerate().take(args.step.valid_rows as usize) {
        let (top, sum) = normaliser(args.z, rows, row, classes, 1.0);
        let label = args.labels[row] as usize;
        let (mut expected, mut best) = (0.0, 0);
        for class in 0..classes {
            let z = args.z[number_at(rows, row, class)];
            expected += target(args.params.smoothing, classes, class, label) * (z - top);
            if z > args.z[number_at(rows, row, best)] {
                best = class;
            }
        }
        *loss = sum.ln() - expected;
        if best == label {
            args.correct[label].fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn backward_twin(args: softmax_cross_entropy_backward::Args<'_>) {
    let (rows, classes, valid) =
        (args.params.rows as usize, args.params.classes as usize, args.step.valid_rows as usize);
    let dz = args.dz;
    dz.fill(0.0);
    for row in 0..valid {
        let (top, sum) = normaliser(args.z, rows, row, classes, 1.0);
        let label = args.labels[row] as usize;
        for class in 0..classes {
            let i = number_at(rows, row, class);
            dz[i] =
                ((args.z[i] - top).exp() / sum - target(args.params.smoothing, classes, class, label)) / valid as f32;
        }
    }
}
