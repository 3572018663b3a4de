//! Squared hinge loss on +-1 targets, as in the first binary networks.

use crate::error::Result;
use crate::graph::{Backward, Bound, Op, Value};
use crate::ops::loss::class_weights::weighted;
use crate::ops::loss::softmax_cross_entropy::check_logits;
use crate::runtime::interface::ops::squared_hinge::{Params, squared_hinge, squared_hinge_backward};
use crate::runtime::{Grid, Recording, kernel::kernel};
use crate::tensor::{TensorType, number_at};
use std::sync::atomic::Ordering;

kernel!(
    /// loss\[r\] = mean_c max(0, 1 - t\[c\] z\[r\]\[c\])^2; counts correct rows by class.
    FORWARD = ops::squared_hinge::{ squared_hinge }, twin = forward_twin
);
kernel!(
    /// dz = -2 t max(0, 1 - t z) / (classes * samples).
    BACKWARD = ops::squared_hinge::{ squared_hinge_backward }, twin = backward_twin
);

/// Inputs: logits `[rows, classes]` in panels, labels `[rows]`, and optionally weights `[classes]` of the gradient. Update: correct samples by class. Output: losses by row.
/// Courbariaux et al. 2016, section 2.1.
#[derive(Clone, Copy, Debug)]
pub struct SquaredHinge;

fn params(logits: &TensorType) -> Params {
    Params { rows: logits.rows() as u32, classes: logits.columns() as u32 }
}

impl Op for SquaredHinge {
    fn name(&self) -> &'static str {
        "squared_hinge"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        check_logits(self.name(), inputs)
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (z, ty) = bound.inputs[0];
        let loss = bound.output(0).per_task(ty.rows());
        let buffers = squared_hinge::Buffers { z, labels: bound.input(1), loss, correct: bound.update(0) };
        recording.dispatch(&FORWARD, params(ty), buffers, Grid::Linear(ty.rows() as u64), 1);
    }

    fn backward(&self, cx: &mut Backward<'_>) -> Result<Vec<Option<Value>>> {
        let (z, labels) = (cx.input(0)?, cx.input(1)?);
        let dz = cx.push(SquaredHingeBackward, &[z, labels])?[0];
        weighted(cx, dz, 2)
    }
}

/// dz = -2 t max(0, 1 - t z) / (classes * samples). Inputs: z, labels. Output: dz.
#[derive(Clone, Copy, Debug)]
pub struct SquaredHingeBackward;

impl Op for SquaredHingeBackward {
    fn name(&self) -> &'static str {
        "squared_hinge_backward"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![inputs[0].clone()])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (z, ty) = bound.inputs[0];
        let dz = bound.output(0).per_task(ty.words());
        let buffers = squared_hinge_backward::Buffers { z, labels: bound.input(1), dz };
        recording.dispatch(&BACKWARD, params(ty), buffers, Grid::Linear(ty.words() as u64), 1);
    }
}

fn forward_twin(args: squared_hinge::Args<'_>) {
    let (rows, classes) = (args.params.rows as usize, args.params.classes as usize);
    let loss = args.loss;
    loss.fill(0.0);
    for (row, loss) in loss.iter_mut().enumerate().take(args.step.valid_rows as usize) {
        let label = args.labels[row] as usize;
        let (mut sum, mut best) = (0.0, 0);
        for class in 0..classes {
            let z = args.z[number_at(rows, row, class)];
            // The maximum with 0 would hide a NaN.
            let slack = (1.0 - if class == label { z } else { -z }).max(0.0);
            sum += if z.is_finite() { slack * slack } else { z };
            if z > args.z[number_at(rows, row, best)] {
                best = class;
            }
        }
        *loss = sum / classes as f32;
        if best == label {
            args.correct[label].fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn backward_twin(args: squared_hinge_backward::Args<'_>) {
    let (rows, classes, valid) =
        (args.params.rows as usize, args.params.classes as usize, args.step.valid_rows as usize);
    let dz = args.dz;
    dz.fill(0.0);
    for row in 0..valid {
        for class in 0..classes {
            let i = number_at(rows, row, class);
            let sign = if class == args.labels[row] as usize { 1.0 } else { -1.0 };
            dz[i] = -2.0 * sign * (1.0 - sign * args.z[i]).max(0.0) / (classes as f32 * valid as f32);
        }
    }
}
