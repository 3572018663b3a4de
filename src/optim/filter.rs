//! The filters whose sign is the weight: one moving average of the gradient, or two in a row.

use super::optimizer::{Knobs, Optimizer, Slot};
use super::schedule::Schedule;
use crate::bits;
use crate::error::{Error, Result};
use crate::graph::{Bound, Graph, Init, Op, Role, Value};
use crate::runtime::interface::optim::cascade::{Params, cascade, ema};
use crate::runtime::{BufferId, Grid, Recording, kernel::kernel};
use crate::tensor::{DType, Layout, PANEL, TensorType, words_of};
use std::sync::{Arc, atomic::Ordering};

kernel!(
    /// m += gamma (g - m), h += alpha (m - h), weight = -sign(h).
    CASCADE = optim::cascade::{ cascade | cascade_shared }, twin = cascade_twin
);
kernel!(
    /// h += alpha (g - h), weight = -sign(h).
    EMA = optim::cascade::{ ema }, twin = ema_twin
);

/// Cascaded moving averages (Quist, Li, van Gemert, ICLR 2023): for the gradient g of a binary weight
///
/// m += gamma (g - m),  h += alpha (m - h),  weight = -1 where h > 0, +1 where h < 0, unchanged where h = 0.
///
/// Both states start at 0, as in the authors' code, so the first gradient decides every weight. Latent SGD with momentum and weight
/// decay is this filter: with PyTorch's settings, alpha * gamma = rate * decay and (1 - alpha)(1 - gamma) = momentum.
#[derive(Clone, Copy, Debug)]
pub struct CascadedEma {
    /// Rate of the second average, in (0, 1\].
    pub alpha: f32,
    /// Rate of the first average, in (0, 1\]; 1 leaves a single average.
    pub gamma: f32,
    /// How alpha moves.
    pub schedule: Schedule,
}

/// One moving average: h += alpha (g - h), weight = -sign(h). Latent SGD with weight decay is this filter, alpha = rate * decay.
#[derive(Clone, Copy, Debug)]
pub struct Ema {
    /// Rate of the average, in (0, 1\].
    pub alpha: f32,
    /// How alpha moves.
    pub schedule: Schedule,
}

/// Refuses a rate outside (0, 1\].
pub(super) fn check_rate(name: &str, value: f32) -> Result<()> {
    if value > 0.0 && value <= 1.0 { Ok(()) } else { Err(Error::setting(name, "a number in (0, 1]", value)) }
}

impl CascadedEma {
    /// Checks the ranges.
    pub fn new(alpha: f32, gamma: f32, schedule: Schedule) -> Result<Self> {
        check_rate("alpha", alpha)?;
        check_rate("gamma", gamma)?;
        Ok(Self { alpha, gamma, schedule })
    }

    /// Records the update alone for a weight matrix `[rows, columns]`: gradient, both states, weight, flips.
    pub fn dispatch(
        recording: &mut Recording,
        [g, m, h, weight, flips]: [BufferId; 5],
        shape: [usize; 2],
        knob: u32,
        layer: u32,
    ) {
        let (params, grid, tasks, floats, bits) = work(shape, knob, layer);
        let buffers =
            cascade::Buffers { g, m: m.chunks(floats), h: h.chunks(floats), weight: weight.chunks(bits), flips };
        recording.dispatch(&CASCADE, params, buffers, grid, tasks);
    }
}

impl Ema {
    /// Checks the range.
    pub fn new(alpha: f32, schedule: Schedule) -> Result<Self> {
        check_rate("alpha", alpha)?;
        Ok(Self { alpha, schedule })
    }
}

/// Parameters, grid, tasks, and a task's share of the states and of the bits: a task has 32 neighbouring rows.
fn work([rows, columns]: [usize; 2], knob: u32, layer: u32) -> (Params, Grid, usize, usize, usize) {
    let words = words_of(columns);
    let params = Params { rows: rows as u32, words: words as u32, knob, layer };
    (params, Grid::Linear((rows * words) as u64), rows.div_ceil(PANEL), PANEL * PANEL * words, PANEL * words)
}

impl Optimizer for CascadedEma {
    fn name(&self) -> &'static str {
        "cema"
    }

    fn role(&self) -> Role {
        Role::Binary
    }

    fn knobs(&self, step: u64, total: u64) -> Knobs {
        [self.schedule.at(self.alpha, step, total), self.gamma, 0.0, 0.0]
    }

    fn update(&self, graph: &mut Graph, slot: Slot) -> Result<()> {
        filter(graph, slot, &["m", "h"])
    }

    fn state_bytes(&self) -> usize {
        8
    }
}

impl Optimizer for Ema {
    fn name(&self) -> &'static str {
        "ema"
    }

    fn role(&self) -> Role {
        Role::Binary
    }

    fn knobs(&self, step: u64, total: u64) -> Knobs {
        [self.schedule.at(self.alpha, step, total), 0.0, 0.0, 0.0]
    }

    fn update(&self, graph: &mut Graph, slot: Slot) -> Result<()> {
        filter(graph, slot, &["h"])
    }

    fn state_bytes(&self) -> usize {
        4
    }
}

/// Adds the states `NAME.m`, `NAME.h` and the update node.
fn filter(graph: &mut Graph, slot: Slot, states: &[&str]) -> Result<()> {
    let info = graph.info(slot.parameter).clone();
    let ty = TensorType::new(DType::F32, Layout::Rows, &[info.ty.rows(), info.ty.columns()]);
    let states: Vec<Value> =
        states.iter().map(|s| graph.state(&format!("{}.{s}", info.name), ty.clone(), Init::Fill(0.0))).collect();
    let (flips, layer) = slot.flips.expect("a binary rule counts flips");
    let updates: Vec<Value> = states.into_iter().chain([slot.parameter, flips]).collect();
    graph.push(Arc::new(Filter { knob: slot.knob, layer }), &[slot.gradient], &updates)?;
    Ok(())
}

/// Input: gradient. Updates: one or two states, the weight, the counters of flips.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    /// Which vec4 of the step's knobs: alpha, gamma.
    pub knob: u32,
    /// Which counter takes the flips.
    pub layer: u32,
}

impl Op for Filter {
    fn name(&self) -> &'static str {
        "filter"
    }

    fn outputs(&self, _inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(Vec::new())
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (g, ty) = bound.inputs[0];
        let shape = [ty.rows(), ty.columns()];
        let ids: Vec<BufferId> = bound.updates.iter().map(|(id, _)| *id).collect();
        if let [m, h, weight, flips] = ids[..] {
            return CascadedEma::dispatch(recording, [g, m, h, weight, flips], shape, self.knob, self.layer);
        }
        let (params, grid, tasks, floats, bits) = work(shape, self.knob, self.layer);
        let buffers = ema::Buffers { g, h: ids[0].chunks(floats), weight: ids[1].chunks(bits), flips: ids[2] };
        recording.dispatch(&EMA, params, buffers, grid, tasks);
    }
}

/// A task has a panel of 32 rows.
fn cascade_twin(args: cascade::Args<'_>) {
    let Params { rows, words, knob, layer } = *args.params;
    let [alpha, gamma, ..] = args.step.knobs[knob as usize];
    let here = PANEL.min(rows as usize - args.index * PANEL);
    let pitch = words as usize * PANEL;
    let task = bits::Cascade { g: &args.g[args.index * PANEL * pitch..][..here * pitch], rows: here, alpha, gamma };
    let flipped = bits::current().cascade(&task, args.m.slice(), args.h.slice(), args.weight.slice());
    args.flips[layer as usize].fetch_add(flipped, Ordering::Relaxed);
}

/// A task has a panel of 32 rows.
fn ema_twin(args: ema::Args<'_>) {
    let Params { words, knob, layer, .. } = *args.params;
    let alpha = args.step.knobs[knob as usize][0];
    let pitch = words as usize * PANEL;
    let (h, weight) = (args.h.slice(), args.weight.slice());
    let mut flipped = 0;
    for (row, (h, g)) in
        h.chunks_exact_mut(pitch).zip(args.g[args.index * PANEL * pitch..].chunks_exact(pitch)).enumerate()
    {
        for (word, (h, g)) in h.chunks_exact_mut(PANEL).zip(g.chunks_exact(PANEL)).enumerate() {
            let (mut off, mut on) = (0, 0);
            for (lane, (h, g)) in h.iter_mut().zip(g).enumerate() {
                *h += alpha * (g - *h);
                off |= u32::from(*h > 0.0) << lane;
                on |= u32::from(*h < 0.0) << lane;
            }
            let old = weight[word * PANEL + row];
            let new = (old & !off) | on;
            weight[word * PANEL + row] = new;
            flipped += (old ^ new).count_ones();
        }
    }
    args.flips[layer as usize].fetch_add(flipped, Ordering::Relaxed);
}
