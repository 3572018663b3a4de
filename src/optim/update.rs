//! The update of a matrix of binary weights by a rule: the node of the graph, and its twin, one loop for every rule and storage.

use super::counters::{layers_of, raise_failed};
use super::rule::BinaryRule;
use super::storage::StateType;
use crate::bits::{self, Storage, Unit, UpdateRow};
use crate::error::Result;
use crate::graph::{Bound, Op};
use crate::runtime::interface::producers::gradient::Params;
use crate::runtime::{BufferArg, BufferId, Grid, Recording, StepParams, Task};
use crate::tensor::{Draws, PANEL, TensorType, words_of};
use bytemuck::Pod;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The kernels of a rule by its shader `shaders/rules/NAME.wgsl` and its function in Rust, from a gradient, the states and the hyperparameters in the order in
/// which the host packs them to new states and the decision: `rule_kernels!(cema: all, cema)` for states of every type, `rule_kernels!(bop: f32, bop)`.
macro_rules! rule_kernels {
    ($rule:ident: all, $update:expr) => {
        $crate::optim::update::rule_kernels!($rule => f32_1 F32 1 $update, f16_1 F16 1 $update, i16_1 I16 1 $update, i8_1 I8 1 $update)
    };
    ($rule:ident: f32, $update:expr) => {
        $crate::optim::update::rule_kernels!($rule => f32_1 F32 1 $update)
    };
    ($rule:ident => $($module:ident $storage:ident $planes:literal $update:expr),+) => {
        &[$(
            $crate::optim::rule::RuleKernel {
                storage: $crate::optim::storage::StateType::$storage,
                planes: $planes,
                kernel: &{
                    use $crate::runtime::interface::rules::$rule as rule;
                    $crate::runtime::Kernel {
                        interface: rule::$module::INTERFACE,
                        variants: &[rule::$module::update_words::VARIANTS, rule::$module::update_quads::VARIANTS],
                        trusted: true,
                        twin: &|task: &mut $crate::runtime::Task<'_>| {
                            $crate::optim::update::twin::<$crate::bits::$storage, _, _, { rule::DECIDES }>(task, $planes, !rule::HYPERPARAMETERS.is_empty(), $update)
                        },
                    }
                },
            }
        ),+]
    };
}
pub(in crate::optim) use rule_kernels;

/// Input: gradient. Updates: the weight, the counters, of integers `row_state`, the rule's states.
#[derive(Clone, Copy, Debug)]
pub struct BinaryUpdate {
    /// The rule.
    pub rule: &'static BinaryRule,
    /// States of a weight in each of its tensors: 1 but for filters.
    pub planes: usize,
    /// How they are stored.
    pub state: StateType,
    /// Stream of its random numbers.
    pub stream: u32,
    /// The first of its vec4 of the step's hyperparameters.
    pub hyper_offset: u32,
    /// Which counters are the layer's.
    pub layer: u32,
}

impl BinaryUpdate {
    /// Records the update alone for a weight matrix `[rows, columns]`; `tensors` are the gradient, the weight, the counters (of `layers` layers), of integers
    /// `row_state`, then the states.
    pub fn dispatch(
        &self,
        recording: &mut Recording,
        tensors: &[BufferId],
        [rows, columns]: [usize; 2],
        layers: usize,
    ) {
        let words = words_of(columns);
        let [g, weight, counters] = [0, 1, 2].map(|i| tensors[i]);
        let (row_state, states) = tensors[3..].split_at(usize::from(self.state.has_units()));
        // A task has 32 neighbouring rows.
        let per_task = PANEL * PANEL * words * self.planes * self.state.bytes() / 4;
        let weight = weight.per_task(PANEL * words);
        let first: [(&str, BufferArg); 3] = [("g", g.into()), ("weight", weight), ("counters", counters.into())];
        let mut buffers: Vec<_> = first.into_iter().map(|(name, buffer)| (name.to_string(), buffer)).collect();
        buffers.extend(row_state.iter().map(|&id| ("row_state".to_string(), id.into())));
        let names = self.rule.states.iter().map(|state| state.binding());
        buffers.extend(names.zip(states).map(|(name, id)| (name, id.per_task(per_task))));
        let params = Params {
            rows: rows as u32,
            words: words as u32,
            hyper_offset: self.hyper_offset,
            layer: self.layer,
            layers: layers as u32,
            stream: self.stream,
        };
        let kernel = self.rule.kernel(self.state, self.planes).expect("checked when the optimizer was made");
        recording.dispatch_named(kernel, params, &buffers, Grid::Linear((rows * words) as u64), rows.div_ceil(PANEL));
    }
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
        let layers = layers_of(bound.updates[1].1);
        self.dispatch(recording, &tensors, [ty.rows(), ty.columns()], layers);
    }
}

/// The twin of every rule and storage. A task has a panel of 32 rows of weights with `planes` planes a state. With `has_rate` the first hyperparameter is a
/// rate, which the layer's factor multiplies.
pub(in crate::optim) fn twin<S: Storage<Stored: Pod>, const N: usize, const H: usize, const DECIDES: usize>(
    task: &mut Task<'_>,
    planes: usize,
    has_rate: bool,
    rule: impl Fn(f32, [f32; N], [f32; H]) -> ([f32; N], f32),
) {
    let (params, step) = (*task.params::<Params>(), task.step());
    let (g, weight, counters): (&[f32], &mut [u32], _) = (task.read(0), task.write(1), task.atomic(2));
    let row_state = S::HAS_UNITS.then(|| task.atomic(3));
    let first_state = 3 + usize::from(S::HAS_UNITS);
    let mut tensors: [&mut [S::Stored]; N] = std::array::from_fn(|i| match i % planes {
        0 => bytemuck::cast_slice_mut(task.write::<u32>(first_state + i / planes)),
        _ => &mut [],
    });
    let (layer, layers) = (params.layer as usize, params.layers as usize);
    let packed = step.hyperparameters[params.hyper_offset as usize..].as_flattened();
    let mut hyper: [f32; H] = std::array::from_fn(|i| packed[i]);
    if let Some(rate) = hyper.first_mut().filter(|_| has_rate) {
        *rate *= f32::from_bits(counters[2 * layers + layer].load(Relaxed));
    }
    let (pitch, first) = (params.words as usize * PANEL, task.index() * PANEL);
    let draws = Draws::new(step.seed, step.step, params.stream);
    let (mut flips, mut saturated, mut failed) = (0, 0, false);
    for row in 0..PANEL.min(params.rows as usize - first) {
        let units: [(Unit, usize); N] = std::array::from_fn(|i| match row_state {
            Some(row_state) => unit::<S>(row_state, [i, N], params.rows as usize, first + row, step),
            None if S::IS_NARROW => (StateType::HALVES, 0),
            None => (Unit::ONE, 0),
        });
        let mut rows = tensors
            .iter_mut()
            .filter(|tensor| !tensor.is_empty())
            .flat_map(|tensor| tensor[row * planes * pitch..][..planes * pitch].chunks_exact_mut(pitch));
        let updated = bits::current().update::<S, N, DECIDES>(
            UpdateRow {
                row,
                g: &g[(first + row) * pitch..][..pitch],
                weight: &mut *weight,
                states: std::array::from_fn(|_| rows.next().expect("one for each state")),
                units: units.map(|(unit, _)| unit),
                draws: (draws, ((first + row) * pitch / 2) as u32),
            },
            // By value: what is behind a reference would be read again for every weight.
            |g, states| rule(g, states, hyper),
        );
        flips += updated.flips;
        saturated += updated.saturated;
        failed |= updated.has_failed();
        if let Some(row_state) = row_state {
            for ((_, at), peak) in units.iter().zip(updated.peaks) {
                row_state[*at].store(peak as u32, Relaxed);
            }
        }
    }
    counters[layer].fetch_add(flips, Relaxed);
    counters[layers + layer].fetch_add(saturated, Relaxed);
    if failed {
        raise_failed(counters, params.layers, step.step);
    }
}

/// Unit of a state of a row, and where its largest size goes: `begin_row` of `shaders/shared/row_state.wgsl`.
fn unit<S: Storage>(
    row_state: &[AtomicU32],
    [state, states]: [usize; 2],
    rows: usize,
    row: usize,
    step: &StepParams,
) -> (Unit, usize) {
    let (at, step) = (state * rows + row, step.step);
    let [old, next] = [step, step.wrapping_add(1)].map(|step| &row_state[at * 2 + step as usize % 2]);
    let peaks = 2 * states * rows + at * 3;
    let [now, before, after] = [0, 2, 1].map(|later| peaks + step.wrapping_add(later) as usize % 3);
    let (exponent, peak) = (old.load(Relaxed), row_state[before].load(Relaxed) as f32);
    // At the end a state may be any size.
    let up = if peak >= S::MAX { 4 } else { u32::from(peak > 0.75 * S::MAX) };
    let down = if peak < S::MAX / 64.0 { 3 } else { u32::from(peak < 0.25 * S::MAX) };
    let moved = if peak > 0.0 && down > 0 { exponent.max(27 + down) - down } else { (exponent + up).min(227) };
    next.store(moved, Relaxed);
    row_state[after].store(0, Relaxed);
    (Unit { old: f32::from_bits(exponent << 23), inverse: f32::from_bits((254 - moved) << 23) }, now)
}
