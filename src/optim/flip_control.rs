//! A controller beside the rules: it moves the rate of every layer so that the share of its weights that flip in a step follows a target.

use super::hyperparameter::{Hyperparameter, HyperparameterSpec, Range};
use super::optimizer::Hyperparameters;
use crate::error::Result;
use crate::graph::{Bound, Graph, Init, Op, Purpose, Value};
use crate::runtime::interface::ops::flip_control::{GAIN, LARGEST_MOVE, Params, SMALLEST, SMOOTHING, flip_control};
use crate::runtime::{Grid, Recording, kernel::kernel};
use crate::tensor::{DType, TensorType};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

kernel!(
    /// r += 0.1 (flips / weights - r), factor *= 1 + 0.05 (target - r) / target, within limits.
    FLIP_CONTROL = ops::flip_control::{ flip_control }, twin = twin
);

/// What the target may be.
const TARGET: HyperparameterSpec =
    HyperparameterSpec::new("target-flip-ratio", "share of a layer's weights that flip in a step", Range::Rate, 1e-3);

/// Words of a layer's entry in the controller's state.
const ENTRY: usize = 5;

/// Steers the share of weights that flip in a step. After the updates of a step it takes each layer's flips, a moving average r of flips / weights at
/// rate 0.1, and multiplies the factor of the layer's rate (alpha, or the learning rate of latent weights) by 1 + 0.05 (target - r) / target:
/// by at most a fifth in a step. The factor stays at or above 1e-6, and the rate within the range of its hyperparameter.
#[derive(Clone, Debug, PartialEq)]
pub struct FlipControl {
    target: Hyperparameter,
}

/// A layer that the controller steers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ControlledLayer {
    /// Number of its binary weights.
    pub weights: u64,
    /// The vec4 of the step's hyperparameters whose x is the rate.
    pub hyper_offset: u32,
    /// Largest value of the rate.
    pub rate_limit: f32,
}

impl FlipControl {
    /// With a target in (0, 1\]; constant unless it has a schedule, which may end at 0.
    pub fn new(target: &Hyperparameter) -> Result<Self> {
        Ok(Self { target: TARGET.resolve(Some(target))? })
    }

    /// The target at step `step` (from 0) of `total`.
    pub fn hyperparameters(&self, step: u64, total: u64) -> Hyperparameters {
        [[self.target.at(step, total), 0.0, 0.0, 0.0], [0.0; 4], [0.0; 4], [0.0; 4]]
    }

    /// Refuses a schedule that leaves the range in a run of `total` steps.
    pub fn check_steps(&self, total: u64) -> Result<()> {
        TARGET.check_steps(&self.target, total)
    }

    /// Adds the controller behind the updates of a step. `counters` are those of the updates, `layers` in their order; the target is in the step's
    /// hyperparameters from `hyper_offset` on.
    pub fn update(graph: &mut Graph, counters: Value, layers: &[ControlledLayer], hyper_offset: u32) -> Result<()> {
        let entry = |layer: &ControlledLayer| {
            [(layer.weights as f32).to_bits(), layer.rate_limit.to_bits(), layer.hyper_offset, 0, 0]
        };
        let first: Vec<u32> = layers.iter().flat_map(entry).collect();
        let ty = TensorType::plain(DType::U32, &[layers.len(), ENTRY]);
        let control = graph.state("flip_control", ty, Purpose::Optimizer, Init::List(first.into()));
        graph.push(Arc::new(FlipControlUpdate { hyper_offset }), &[], &[counters, control])?;
        Ok(())
    }
}

/// Updates: the counters of the step's updates, the controller's state (u32 `[layers][5]`: weights as f32, limit of the rate as f32, vec4 of the rate, flips
/// before the step, average flip ratio as f32).
#[derive(Clone, Copy, Debug)]
pub struct FlipControlUpdate {
    /// The vec4 of the step's hyperparameters whose x is the target.
    pub hyper_offset: u32,
}

impl Op for FlipControlUpdate {
    fn name(&self) -> &'static str {
        "flip_control"
    }

    fn outputs(&self, _inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(Vec::new())
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (control, ty) = bound.updates[1];
        let layers = ty.elements() / ENTRY;
        let params = Params { layers: layers as u32, hyper_offset: self.hyper_offset };
        let buffers = flip_control::Buffers { counters: bound.update(0), control: control.per_task(ENTRY * layers) };
        recording.dispatch(&FLIP_CONTROL, params, buffers, Grid::Linear(layers as u64), 1);
    }
}

fn twin(args: flip_control::Args<'_>) {
    let (layers, step) = (args.params.layers as usize, args.step);
    let wanted = step.hyperparameters[args.params.hyper_offset as usize][0];
    let (entries, _) = args.control.as_chunks_mut::<ENTRY>();
    for (layer, [weights, limit, rate, before, average]) in entries.iter_mut().enumerate() {
        let flips = args.counters[layer].load(Relaxed);
        let ratio = flips.wrapping_sub(*before) as f32 / f32::from_bits(*weights);
        let old = f32::from_bits(*average);
        let smoothed = old + SMOOTHING * (ratio - old);
        (*before, *average) = (flips, smoothed.to_bits());
        let error = match wanted > 0.0 {
            true => (wanted - smoothed) / wanted,
            false => {
                if smoothed > 0.0 {
                    -1e3
                } else {
                    0.0
                }
            }
        };
        let factor = &args.counters[2 * layers + layer];
        let moved = f32::from_bits(factor.load(Relaxed)) * (1.0 + (GAIN * error).clamp(-LARGEST_MOVE, LARGEST_MOVE));
        let rate = step.hyperparameters[*rate as usize][0];
        let most = if rate > 0.0 { f32::from_bits(*limit) / rate } else { f32::MAX };
        factor.store(moved.max(SMALLEST).min(most).to_bits(), Relaxed);
    }
}
