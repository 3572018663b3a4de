//! Cross-entropy against labels and against a teacher's softmax.

use crate::error::{Error, Result};
use crate::graph::{Backward, Bound, Op, Value};
use crate::ops::loss::class_weights::weighted;
use crate::ops::loss::softmax_cross_entropy::{check_logits, normaliser, target};
use crate::runtime::interface::ops::distillation::{Params, distillation, distillation_backward};
use crate::runtime::{Grid, Recording, kernel::kernel};
use crate::tensor::{TensorType, number_at};
use std::sync::atomic::Ordering;

kernel!(
    /// loss\[r\] = (1 - w) CE(z, labels) + w T² CE(z / T, softmax(t / T)); counts correct rows by class.
    FORWARD = ops::distillation::{ distillation }, twin = forward_twin
);
kernel!(
    /// dz.
    BACKWARD = ops::distillation::{ distillation_backward }, twin = backward_twin
);

/// loss\[r\] = (1 - w) CE(z, labels) + w T² CE(z / T, softmax(t / T)) (Hinton et al. 2015, section 2).
///
/// Inputs: logits z `[rows, classes]` in panels, labels `[rows]`, the teacher's logits t like z, and optionally
/// weights `[classes]` of the gradient; the teacher gets no gradient. Update:
/// correct samples by class. Output: losses by row.
#[derive(Clone, Copy, Debug)]
pub struct Distillation {
    /// Part of the label's target that is spread over all classes.
    pub smoothing: f32,
    /// w, the weight of the teacher's term in the loss, 0 to 1.
    pub weight: f32,
    /// T, above 0: a higher temperature makes the teacher's distribution softer.
    pub temperature: f32,
}

impl Distillation {
    fn params(&self, logits: &TensorType) -> Params {
        Params {
            rows: logits.rows() as u32,
            classes: logits.columns() as u32,
            smoothing: self.smoothing,
            weight: self.weight,
            temperature: self.temperature,
        }
    }
}

impl Op for Distillation {
    fn name(&self) -> &'static str {
        "distillation"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        if inputs[2] != inputs[0] {
            return Err(Error::shape("distillation", format!("a teacher's logits {}", inputs[0]), inputs[2]));
        }
        check_logits(self.name(), &inputs[..2])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (z, ty) = bound.inputs[0];
        let buffers = distillation::Buffers {
            z,
            teacher: bound.input(2),
            labels: bound.input(1),
            loss: bound.output(0).per_task(ty.rows()),
            correct: bound.update(0),
        };
        recording.dispatch(&FORWARD, self.params(ty), buffers, Grid::Linear(ty.rows() as u64), 1);
    }

    fn backward(&self, cx: &mut Backward<'_>) -> Result<Vec<Option<Value>>> {
        let inputs = [cx.input(0)?, cx.input(1)?, cx.input(2)?];
        let dz = cx.push(DistillationBackward(*self), &inputs)?[0];
        weighted(cx, dz, 3)
    }
}

/// Inputs: logits, labels, the teacher's logits. Output: dz.
#[derive(Clone, Copy, Debug)]
pub struct DistillationBackward(pub Distillation);

impl Op for DistillationBackward {
    fn name(&self) -> &'static str {
        "distillation_backward"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![inputs[0].clone()])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (z, ty) = bound.inputs[0];
        let dz = bound.output(0).per_task(ty.words());
        let buffers = distillation_backward::Buffers { z, teacher: bound.input(2), labels: bound.input(1), dz };
        recording.dispatch(&BACKWARD, self.0.params(ty), buffers, Grid::Linear(ty.rows() as u64), 1);
    }
}

fn forward_twin(args: distillation::Args<'_>) {
    let Params { smoothing, weight, temperature, .. } = *args.params;
    let (rows, classes) = (args.params.rows as usize, args.params.classes as usize);
    let loss = args.loss;
    loss.fill(0.0);
    for (row, loss) in loss.iter_mut().enumerate().take(args.step.valid_rows as usize) {
        let (top, sum) = normaliser(args.z, rows, row, classes, 1.0);
        let (_, warm) = normaliser(args.z, rows, row, classes, temperature);
        let (taught, teacher_sum) = normaliser(args.teacher, rows, row, classes, temperature);
        let label = args.labels[row] as usize;
        let (mut by_label, mut by_teacher, mut best) = (0.0, 0.0, 0);
        for class in 0..classes {
            let i = number_at(rows, row, class);
            let z = args.z[i];
            by_label += target(smoothing, classes, class, label) * (z - top);
            let share = ((args.teacher[i] - taught) / temperature).exp() / teacher_sum;
            by_teacher += share * ((z - top) / temperature);
            if z > args.z[number_at(rows, row, best)] {
                best = class;
            }
        }
        let squared = temperature * temperature;
        *loss = (1.0 - weight) * (sum.ln() - by_label) + weight * squared * (warm.ln() - by_teacher);
        if best == label {
            args.correct[label].fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn backward_twin(args: distillation_backward::Args<'_>) {
    let Params { smoothing, weight, temperature, .. } = *args.params;
    let (rows, classes, valid) =
        (args.params.rows as usize, args.params.classes as usize, args.step.valid_rows as usize);
    let dz = args.dz;
    dz.fill(0.0);
    for row in 0..valid {
        let (top, sum) = normaliser(args.z, rows, row, classes, 1.0);
        let (_, warm) = normaliser(args.z, rows, row, classes, temperature);
        let (taught, teacher_sum) = normaliser(args.teacher, rows, row, classes, temperature);
        let label = args.labels[row] as usize;
        for class in 0..classes {
            let i = number_at(rows, row, class);
            let by_label = (args.z[i] - top).exp() / sum - target(smoothing, classes, class, label);
            let student = ((args.z[i] - top) / temperature).exp() / warm;
            let by_teacher = student - ((args.teacher[i] - taught) / temperature).exp() / teacher_sum;
            dz[i] = ((1.0 - weight) * by_label + weight * temperature * by_teacher) / valid as f32;
        }
    }
}
