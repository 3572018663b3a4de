//! Rules for binary weights as data: a name, knobs, states, and a kernel that does it all in one pass.

use super::knob::{Knob, KnobSpec, Range};
use super::optimizer::{Knobs, Optimizer, Slot};
use crate::bits;
use crate::error::{Error, Result};
use crate::graph::{Bound, Graph, Init, Op, Role, Value};
use crate::runtime::{BufferId, Grid, Kernel, Recording};
use crate::tensor::{DType, Layout, PANEL, TensorType, words_of};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where a state starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At 0.
    Zero,
    /// At -`hold` times the weight, so that the first gradients do not decide every weight; 0 where the rule has no such knob.
    Hold,
    /// At the weight's sign times a number drawn from [0, `init`): a latent weight.
    Latent,
}

/// A rule for binary weights. Its kernel binds what `shaders/shared/weight.wgsl` says (gradient, weight, flips), then the states, all of
/// f32 and as the gradient; `knobs` reach it in their order unless `pack` says otherwise.
#[derive(Clone, Copy, Debug)]
pub struct BinaryRule {
    /// Name in flags and files.
    pub name: &'static str,
    /// What it does, in a line.
    pub doc: &'static str,
    /// Its knobs.
    pub knobs: &'static [KnobSpec],
    /// Its states: the name that follows the parameter's, and the start.
    pub states: &'static [(&'static str, Start)],
    /// What `hold` is where a start is to be held and nobody says how strongly; 0 where the rule has no such knob.
    pub hold: f32,
    /// Whether gradients times any positive number give the same weights.
    pub is_scale_invariant: bool,
    /// Its kernel.
    pub kernel: &'static Kernel,
    /// The knobs of step `step` (from 0), as values in their order, for the kernel.
    pub pack: fn(values: &[f32], step: u64) -> Knobs,
}

/// Knob of the filters whose start can be held.
pub(super) const HOLD: KnobSpec =
    KnobSpec::new("hold", "states start at -hold times the weight; 0: the first step decides", Range::NotNegative, 0.0);

/// The first eight values in their order; a limit that is off is the largest number.
pub fn in_order(values: &[f32], _step: u64) -> Knobs {
    let at = |i: usize| values.get(i).map_or(0.0, |v| v.min(f32::MAX));
    [[0, 1, 2, 3].map(at), [4, 5, 6, 7].map(at)]
}

impl BinaryRule {
    /// The optimizer with its knobs at their defaults but for these. A knob that the rule does not have is an error that names those it has.
    pub fn with<K: Into<Knob>>(
        &'static self,
        knobs: impl IntoIterator<Item = (&'static str, K)>,
    ) -> Result<BinaryOptimizer> {
        self.make(&knobs.into_iter().map(|(name, knob)| (name.to_string(), knob.into())).collect())
    }

    /// The same from a table, as a file has it.
    pub fn make(&'static self, set: &BTreeMap<String, Knob>) -> Result<BinaryOptimizer> {
        if let Some((name, knob)) = set.iter().find(|(name, _)| self.knobs.iter().all(|spec| spec.name != **name)) {
            let names = self.knobs.iter().map(|spec| spec.name).collect::<Vec<_>>().join(", ");
            return Err(Error::setting(format!("knob of optimizer {}", self.name), names, format!("{name} = {knob}")));
        }
        let knobs = self.knobs.iter().map(|spec| spec.resolve(set.get(spec.name))).collect::<Result<_>>()?;
        Ok(BinaryOptimizer { rule: self, knobs })
    }

    /// Records the update alone for a weight matrix `[rows, columns]`: gradient, weight, flips, then the states.
    pub fn dispatch(
        &self,
        recording: &mut Recording,
        tensors: &[BufferId],
        [rows, columns]: [usize; 2],
        knob: u32,
        layer: u32,
    ) {
        let words = words_of(columns);
        let [g, weight, flips] = [0, 1, 2].map(|i| tensors[i]);
        // A task has 32 neighbouring rows.
        let states = tensors[3..].iter().map(|state| state.chunks(PANEL * PANEL * words));
        let buffers = [g.into(), weight.chunks(PANEL * words), flips.into()].into_iter().chain(states).collect();
        let params = vec![rows as u32, words as u32, knob, layer];
        recording.dispatch_raw(self.kernel, params, buffers, Grid::Linear((rows * words) as u64), rows.div_ceil(PANEL));
    }
}

/// A rule with its knobs.
#[derive(Clone, Debug)]
pub struct BinaryOptimizer {
    rule: &'static BinaryRule,
    knobs: Vec<Knob>,
}

impl BinaryOptimizer {
    /// The rule.
    pub fn rule(&self) -> &'static BinaryRule {
        self.rule
    }

    /// Every knob of the rule by name, in the rule's order.
    pub fn settings(&self) -> impl Iterator<Item = (&'static str, &Knob)> {
        self.rule.knobs.iter().map(|spec| spec.name).zip(&self.knobs)
    }

    fn value(&self, name: &str) -> f32 {
        self.settings().find(|(knob, _)| *knob == name).map_or(0.0, |(_, knob)| knob.value)
    }
}

impl Optimizer for BinaryOptimizer {
    fn name(&self) -> &'static str {
        self.rule.name
    }

    fn role(&self) -> Role {
        Role::Binary
    }

    fn knobs(&self, step: u64, total: u64) -> Knobs {
        let values: Vec<f32> = self.knobs.iter().map(|knob| knob.at(step, total)).collect();
        (self.rule.pack)(&values, step)
    }

    fn update(&self, graph: &mut Graph, slot: Slot) -> Result<()> {
        let info = graph.info(slot.parameter).clone();
        let ty = TensorType::new(DType::F32, Layout::Rows, &[info.ty.rows(), info.ty.columns()]);
        let (flips, layer) = slot.flips.expect("a binary rule counts flips");
        let mut updates: Vec<Value> = vec![slot.parameter, flips];
        for (state, start) in self.rule.states {
            let init = match start {
                Start::Hold if self.value("hold") != 0.0 => Init::Along(-self.value("hold")),
                Start::Latent => Init::Spread(self.value("init")),
                Start::Zero | Start::Hold => Init::Fill(0.0),
            };
            updates.push(graph.state(&format!("{}.{state}", info.name), ty.clone(), init));
        }
        graph.push(Arc::new(BinaryUpdate { rule: self.rule, knob: slot.knob, layer }), &[slot.gradient], &updates)?;
        Ok(())
    }

    fn state_bytes(&self) -> usize {
        4 * self.rule.states.len()
    }

    /// The last that starts along the weights; where none does, the last.
    fn verdict(&self) -> Option<&'static str> {
        let along = self.rule.states.iter().rfind(|(_, start)| *start != Start::Zero);
        along.or(self.rule.states.last()).map(|(name, _)| *name)
    }
}

/// Input: gradient. Updates: the weight, the counters of flips, the rule's states.
#[derive(Clone, Copy, Debug)]
pub struct BinaryUpdate {
    /// The rule.
    pub rule: &'static BinaryRule,
    /// The first of its two vec4 of the step's knobs.
    pub knob: u32,
    /// Which counter takes the flips.
    pub layer: u32,
}

impl Op for BinaryUpdate {
    fn name(&self) -> &'static str {
        self.rule.name
    }

    fn outputs(&self, _inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(Vec::new())
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (g, ty) = bound.inputs[0];
        let tensors: Vec<BufferId> = [g].into_iter().chain(bound.updates.iter().map(|(id, _)| *id)).collect();
        self.rule.dispatch(recording, &tensors, [ty.rows(), ty.columns()], self.knob, self.layer);
    }
}

/// A pass over one panel of 32 rows, for twins: `rule` turns a gradient and the states of its weight into new states and a verdict, whose
/// sign the weight becomes the opposite of (0 and not-a-number leave it). Slices begin at the panel. Gives the number of flips.
pub fn sweep<const STATES: usize>(
    g: &[f32],
    weight: &mut [u32],
    mut states: [&mut [f32]; STATES],
    rule: impl Fn(f32, [f32; STATES]) -> ([f32; STATES], f32),
) -> u32 {
    let (isa, words, mut flips) = (bits::current(), weight.len() / PANEL, 0);
    let blocks = states.first().map_or(0, |state| state.len() / PANEL);
    for block in 0..blocks {
        let at = block * PANEL..(block + 1) * PANEL;
        let g: &[f32; PANEL] = g[at.clone()].try_into().expect("32 columns");
        // Copies that nothing else points to: the loop over lanes becomes vector instructions.
        let mut here: [[f32; PANEL]; STATES] =
            std::array::from_fn(|i| states[i][at.clone()].try_into().expect("32 columns"));
        let mut verdicts = [0.0; PANEL];
        for lane in 0..PANEL {
            let (next, verdict) = rule(g[lane], std::array::from_fn(|i| here[i][lane]));
            (0..STATES).for_each(|i| here[i][lane] = next[i]);
            verdicts[lane] = verdict;
        }
        states.iter_mut().zip(&here).for_each(|(state, here)| state[at.clone()].copy_from_slice(here));
        // Not-a-number is in neither word.
        let (mut not_below, mut not_above) = ([0], [0]);
        isa.sign_pack(&verdicts, PANEL, &mut not_below);
        isa.sign_pack(&verdicts.map(|v| -v), PANEL, &mut not_above);
        let word = &mut weight[block % words * PANEL + block / words];
        let next = (*word & !(not_below[0] & !not_above[0])) | (not_above[0] & !not_below[0]);
        flips += (*word ^ next).count_ones();
        *word = next;
    }
    flips
}

/// A twin's whole body: `sweep_panel!(args, [m, h], |g, [m, h]| ([m, h], verdict))`, with the states by the names of the shader's bindings.
macro_rules! sweep_panel {
    ($args:ident, [$($state:ident),*], $rule:expr) => {{
        let first = $args.index * $crate::tensor::PANEL * $crate::tensor::PANEL * $args.params.words as usize;
        let states = [$($args.$state),*];
        let flips = super::binary::sweep(&$args.g[first..], $args.weight, states, $rule);
        $args.flips[$args.params.layer as usize].fetch_add(flips, std::sync::atomic::Ordering::Relaxed);
    }};
}
pub(super) use sweep_panel;
