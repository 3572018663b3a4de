//! The update of a matrix of binary weights by a rule: the node of the graph, and its twin, a single loop for every rule and storage.

use super::counters::{layers_of, raise_failed};
use super::rule::{BinaryRule, GRADIENT};
use super::storage::StateType;
use crate::bits::{self, Storage, Unit, UpdateRow};
use crate::error::Result;
use crate::graph::{Bound, Fused, Graph, Node, Op};
use crate::runtime::interface::epilogues::update::UpdateParams;
use crate::runtime::{BufferArg, BufferId, Grid, Product, Recording, StepParams, Task, with_scratch};
use crate::tensor::{Draws, PANEL, TensorType, words_of};
use bytemuck::Pod;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Declares the kernels of a rule by its shader `shaders/rules/NAME.wgsl` and its function in Rust, which maps a gradient, the states and
/// the hyperparameters (in the order of `pack`) to new states and the decision: `rule_kernels!(cema: all, cema)` for states of every type,
/// `rule_kernels!(bop: f32, bop)`.
macro_rules! rule_kernels {
    ($rule:ident: all, $update:expr) => {
        $crate::runtime::interface::for_each_storage!({ $crate::optim::update::rule_kernels } $rule, $update)
    };
    ($rule:ident, $update:expr; $([$storage:ident $module:ident $name:literal $doc:literal])+) => {
        $crate::optim::update::rule_kernels!($rule => $($module $storage 1 $update),+)
    };
    ($rule:ident: f32, $update:expr) => {
        $crate::optim::update::rule_kernels!($rule => f32_1 F32 1 $update)
    };
    ($rule:ident => $($module:ident $storage:ident $planes:literal $update:expr),+) => {
        &[$(
            $crate::optim::rule::RuleKernel {
                storage: $crate::optim::storage::StateType::$storage,
                planes: $planes,
                behind: {
                    use $crate::runtime::interface::rules::$rule as rule;
                    $crate::runtime::interface::rules::$rule::update_kernels!($module, &|task: &mut $crate::runtime::Task<'_>| {
                        $crate::optim::update::twin::<$crate::bits::$storage, _, _, { rule::DECIDES }>(task, $planes, !rule::HYPERPARAMETERS.is_empty(), $update)
                    })
                },
            }
        ),+]
    };
}
pub(in crate::optim) use rule_kernels;

/// Input: gradient. Updates: the weight, the counters, `row_state` for integers, and the rule's states.
#[derive(Clone, Copy, Debug)]
pub struct BinaryUpdate {
    /// The rule.
    pub rule: &'static BinaryRule,
    /// Numbers per weight in each state's tensor: 1 except for filters.
    pub planes: usize,
    /// Storage of the states.
    pub state: StateType,
    /// Stream of its random numbers.
    pub stream: u32,
    /// Index of its first vec4 of the step's hyperparameters.
    pub hyper_offset: u32,
    /// Index of the layer's counters.
    pub layer: u32,
}

impl BinaryUpdate {
    /// Records the update of a weight matrix `[rows, columns]` without a graph. `tensors` are the gradient, the weight, the counters (of
    /// `layers` layers), `row_state` for integers, then the states.
    pub fn dispatch(&self, recording: &mut Recording, tensors: &[BufferId], shape: [usize; 2], layers: usize) {
        let [rows, columns] = shape;
        let gradient = Product {
            params: Vec::new(),
            buffers: vec![("g", tensors[0].into())],
            grid: Grid::Linear((rows * words_of(columns)) as u64),
            tasks: rows.div_ceil(PANEL),
            tile: None,
            scratch: 0,
            multiply_adds: 0,
        };
        self.dispatch_behind(recording, (GRADIENT, gradient), &tensors[1..], shape, layers);
    }

    /// Records the update with a gradient that a producer computes. `tensors` are those that it changes.
    fn dispatch_behind(
        &self,
        recording: &mut Recording,
        (producer, gradient): (&str, Product),
        tensors: &[BufferId],
        [rows, columns]: [usize; 2],
        layers: usize,
    ) {
        let words = words_of(columns);
        let [weight, counters] = [0, 1].map(|i| tensors[i]);
        let (row_state, states) = tensors[2..].split_at(usize::from(self.state.has_units()));
        // A task covers 32 adjacent rows.
        let per_task = PANEL * PANEL * words * self.planes * self.state.bytes() / 4;
        let first: [(&str, BufferArg); 2] = [("weight", weight.per_task(PANEL * words)), ("counters", counters.into())];
        let mut buffers: Vec<_> = first.into_iter().map(|(name, buffer)| (name.to_string(), buffer)).collect();
        buffers.extend(row_state.iter().map(|&id| ("row_state".to_string(), id.into())));
        let names = self.rule.states.iter().map(|state| state.binding());
        buffers.extend(names.zip(states).map(|(name, id)| (name, id.per_task(per_task))));
        let params = UpdateParams {
            rows: rows as u32,
            words: words as u32,
            hyper_offset: self.hyper_offset,
            layer: self.layer,
            layers: layers as u32,
            stream: self.stream,
        };
        let kernel = self.rule.kernel_behind(producer, self.state, self.planes);
        let params = bytemuck::pod_collect_to_vec(&[params]);
        recording.dispatch_behind(kernel.expect("checked when the node was made"), gradient, params, buffers);
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

/// Updates a weight by a gradient that is never in memory: the kernel computes it tile by tile. Inputs: those of the operation that computes
/// the gradient. Updates: as [`BinaryUpdate`].
#[derive(Clone, Debug)]
pub struct FusedUpdate {
    /// Computes the gradient.
    pub gradient: Arc<dyn Op>,
    /// Consumes it.
    pub update: BinaryUpdate,
}

impl Op for FusedUpdate {
    fn name(&self) -> &'static str {
        self.update.rule.name
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        self.gradient.outputs(inputs).map(|_| Vec::new())
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let producer = self.gradient.producer().expect("checked when the node was made");
        let tensors: Vec<BufferId> = bound.updates.iter().map(|(id, _)| *id).collect();
        let (weight, layers) = (bound.updates[0].1, layers_of(bound.updates[1].1));
        let gradient = (producer.shader(), producer.product(bound));
        self.update.dispatch_behind(recording, gradient, &tensors, [weight.rows(), weight.columns()], layers);
    }
}

/// Fusion that computes a gradient in the kernel of its only reader, the update of a binary weight.
pub fn gradient_and_update(graph: &Graph, i: usize) -> Option<Fused> {
    let node = &graph.nodes()[i];
    let producer = node.op.producer()?.shader();
    if node.outputs.len() > 1 || !node.updates.is_empty() {
        return None;
    }
    let j = graph.only_reader(node.outputs[0])?;
    let reader = &graph.nodes()[j];
    let update = *reader.op_as::<BinaryUpdate>()?;
    update.rule.kernel_behind(producer, update.state, update.planes)?;
    let fused = Node {
        op: Arc::new(FusedUpdate { gradient: node.op.clone(), update }),
        inputs: node.inputs.clone(),
        ..reader.clone()
    };
    graph.can_wait(i, j).then(|| Fused { name: "gradient-update", nodes: vec![i, j], node: fused })
}

/// The twin of every rule and storage behind every producer. A task covers a panel of 32 rows of weights with `planes` planes per state. With
/// `has_rate` the first hyperparameter is a rate, which the layer's factor multiplies.
pub(in crate::optim) fn twin<S: Storage<Stored: Pod>, const N: usize, const H: usize, const DECIDES: usize>(
    task: &mut Task<'_>,
    planes: usize,
    has_rate: bool,
    rule: impl Fn(f32, [f32; N], [f32; H]) -> ([f32; N], f32),
) {
    let pitch = task.epilogue::<UpdateParams>().words as usize * PANEL;
    match task.tile() {
        // The tile stays in cache.
        Some(fill) => with_scratch(PANEL * pitch, |tile| {
            let tile = bytemuck::cast_slice_mut(tile);
            fill(task, tile);
            update_rows::<S, N, H, DECIDES>(task, tile, planes, has_rate, rule);
        }),
        None => {
            let gradient: &[f32] = task.read(task.position("g").expect("the producer binds it"));
            update_rows::<S, N, H, DECIDES>(task, &gradient[task.index() * PANEL * pitch..], planes, has_rate, rule);
        }
    }
}

/// Updates the rows of a task by their gradients.
fn update_rows<S: Storage<Stored: Pod>, const N: usize, const H: usize, const DECIDES: usize>(
    task: &mut Task<'_>,
    g: &[f32],
    planes: usize,
    has_rate: bool,
    rule: impl Fn(f32, [f32; N], [f32; H]) -> ([f32; N], f32),
) {
    let (params, step) = (*task.epilogue::<UpdateParams>(), task.step());
    let first_binding = task.position("weight").expect("an update binds the weight");
    let (weight, counters): (&mut [u32], _) = (task.write(first_binding), task.atomic(first_binding + 1));
    let row_state = S::HAS_UNITS.then(|| task.atomic(first_binding + 2));
    let first_state = first_binding + 2 + usize::from(S::HAS_UNITS);
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
            None => (Unit { old: 1.0 / S::SCALE, inverse: S::SCALE }, 0),
        });
        let mut rows = tensors
            .iter_mut()
            .filter(|tensor| !tensor.is_empty())
            .flat_map(|tensor| tensor[row * planes * pitch..][..planes * pitch].chunks_exact_mut(pitch));
        let updated = bits::current().update::<S, N, DECIDES>(
            UpdateRow {
                row,
                g: &g[row * pitch..][..pitch],
                weight: &mut *weight,
                states: std::array::from_fn(|_| rows.next().expect("one for each state")),
                units: units.map(|(unit, _)| unit),
                draws: (draws, ((first + row) * pitch / 2) as u32),
            },
            // Passed by value: values behind a reference would be reloaded for every weight.
            |g, states| rule(g, states, hyper),
        );
        flips += updated.flips;
        saturated += updated.saturated;
        failed |= updated.has_failed;
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

/// Returns the unit of a state of a row, and where its largest magnitude is written; twin of `begin_row` in
/// `shaders/shared/row_state.wgsl`.
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
    // A saturated state may have any magnitude.
    let up = if peak >= S::MAX { 4 } else { u32::from(peak > 0.75 * S::MAX) };
    let down = if peak < S::MAX / 64.0 { 3 } else { u32::from(peak < 0.25 * S::MAX) };
    let moved = if peak > 0.0 && down > 0 { exponent.max(27 + down) - down } else { (exponent + up).min(227) };
    next.store(moved, Relaxed);
    row_state[after].store(0, Relaxed);
    (Unit { old: f32::from_bits(exponent << 23), inverse: f32::from_bits((254 - moved) << 23) }, now)
}
