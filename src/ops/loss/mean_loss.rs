//! The mean of the rows' losses, kept in a ring until it is read back.

use crate::error::Result;
use crate::graph::{Bound, Op};
use crate::runtime::interface::ops::mean_loss::{Params, THREADS, mean_loss};
use crate::runtime::{Grid, Recording, kernel::kernel};
use crate::tensor::TensorType;
use std::sync::atomic::Ordering;

kernel!(
    /// ring\[slot\] = mean of the rows' losses; the first step that is not finite is kept.
    MEAN_LOSS = ops::mean_loss::{ mean_loss }, twin = twin
);

/// Input: losses by row. Updates: the ring of losses by step, and the number of the first step whose loss was not finite
/// (`u32::MAX`: none).
#[derive(Clone, Copy, Debug)]
pub struct MeanLoss;

impl Op for MeanLoss {
    fn name(&self) -> &'static str {
        "mean_loss"
    }

    fn outputs(&self, _inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(Vec::new())
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let params = Params { rows: bound.inputs[0].1.elements() as u32, ring: bound.updates[0].1.elements() as u32 };
        let (ring, ty) = bound.updates[0];
        let buffers =
            mean_loss::Buffers { loss: bound.input(0), ring: ring.per_task(ty.words()), failed: bound.update(1) };
        recording.dispatch(&MEAN_LOSS, params, buffers, Grid::Linear(1), 1);
    }
}

/// Lanes of the shader, so that both sum in the same order.
const LANES: usize = THREADS as usize;

fn twin(args: mean_loss::Args<'_>) {
    let loss = &args.loss[..args.params.rows as usize];
    let lanes = (0..LANES).map(|lane| loss.iter().skip(lane).step_by(LANES).sum::<f32>());
    let mean = lanes.sum::<f32>() / args.step.valid_rows as f32;
    args.ring[args.step.loss_slot as usize] = mean;
    if !mean.is_finite() {
        args.failed[0].fetch_min(args.step.step, Ordering::Relaxed);
    }
}
