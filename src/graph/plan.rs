//! Plans graphs as a program: lifetimes of values, memory slots, recordings. All memory is allocated when the program is loaded.

use super::bound::Bound;
use super::build::Graph;
use super::initial::Init;
use super::value::{Purpose, State, Value, ValueInfo, ValueKind};
use crate::error::{Error, Result};
use crate::runtime::{BufferId, BufferInfo, Program, Recording, StepLimits, Target};
use crate::tensor::{BitMatrix, DType, Stream};
use std::collections::{BTreeMap, HashMap};

/// A program with its persistent and input tensors by name.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The program that engines load.
    pub program: Program,
    /// Persistent and input tensors by name.
    pub named: BTreeMap<String, (BufferId, ValueInfo)>,
}

impl Plan {
    /// Returns the tensor of that name.
    ///
    /// # Panics
    /// Panics if there is none.
    pub fn id(&self, name: &str) -> BufferId {
        self.named.get(name).unwrap_or_else(|| panic!("the plan has no tensor `{name}`")).0
    }

    /// Returns the states of a purpose.
    pub fn states(&self, purpose: Purpose) -> impl Iterator<Item = &(BufferId, ValueInfo)> {
        self.named.values().filter(move |(_, info)| info.purpose() == Some(purpose))
    }

    /// Returns the initial content of a persistent tensor under a seed; `None` for inputs. A state that is derived from the signs of its
    /// parameter uses `loaded`, or the signs as drawn if that is `None`.
    pub fn initial_words(&self, info: &ValueInfo, seed: u64, loaded: Option<&BitMatrix>) -> Option<Vec<u32>> {
        let init = info.init()?;
        let owner = match &info.kind {
            ValueKind::State(State { parameter: Some(parameter), init: Init::FromSigns(_), .. })
                if loaded.is_none() =>
            {
                self.named.get(parameter).map(|(_, owner)| owner)
            }
            _ => None,
        };
        let drawn = owner
            .filter(|owner| owner.init() == Some(&Init::Signs))
            .map(|owner| BitMatrix::random(owner.ty.rows(), owner.ty.columns(), Stream::new(seed, &owner.name)));
        Some(init.words(&info.name, &info.ty, seed, loaded.or(drawn.as_ref())))
    }

    /// Returns the index of the recording of that name.
    pub fn recording(&self, name: &str) -> Option<usize> {
        self.program.recordings.iter().position(|r| r.name == name)
    }
}

/// Plans several graphs together. Persistent and input values are shared by name; the temporary values of all graphs share one pool of
/// slots, because recordings never run at the same time. Each slot is a separate buffer: a single arena would be bound for reading and
/// writing in one dispatch, which WebGPU forbids. `limits` bounds the values of a step.
///
/// # Errors
/// Fails for a tensor that exceeds the 32-bit indices of kernels or the binding limit of the target.
pub fn plan(graphs: &[(&str, &Graph)], limits: StepLimits, target: &Target) -> Result<Plan> {
    let mut plan = Plan { program: Program { limits, ..Program::default() }, ..Plan::default() };
    let mut pool = Pool::default();
    for (name, graph) in graphs {
        graph.values().try_for_each(|(_, info)| check_size(info, target))?;
        let ids = place(graph, &mut plan, &mut pool);
        plan.program.recordings.push(record(name, graph, &ids));
    }
    plan.program.check();
    Ok(plan)
}

/// Checks that a tensor fits the binding limit of the target, and the 32 bits with which kernels index numbers and words of signs.
fn check_size(info: &ValueInfo, target: &Target) -> Result<()> {
    let (bytes, limit) = (info.ty.bytes(), target.max_tensor_bytes);
    if bytes > limit {
        let (device, tensor) = (target.device.clone(), info.name.clone());
        return Err(Error::TooLarge { device, tensor, bytes, limit_name: "binding limit", limit });
    }
    let numbers_per_word = match info.ty.dtype {
        DType::F16 | DType::I16 => 2,
        DType::I8 | DType::U8 => 4,
        DType::F32 | DType::I32 | DType::U32 | DType::Bits => 1,
    };
    match info.ty.words() as u64 * numbers_per_word {
        count if count <= u64::from(u32::MAX) => Ok(()),
        count => {
            Err(Error::shape(format!("tensor `{}`", info.name), "at most 2^32 - 1 numbers, or words of signs", count))
        }
    }
}

/// The slots that are free for temporary values.
#[derive(Default)]
struct Pool {
    free: Vec<usize>,
}

/// Assigns a tensor to every value of a graph, and a slot to each temporary value for its lifetime.
fn place(graph: &Graph, plan: &mut Plan, pool: &mut Pool) -> HashMap<Value, BufferId> {
    let mut ids = HashMap::new();
    for (value, info) in graph.values().filter(|(_, info)| info.kind != ValueKind::Temporary) {
        let id = match plan.named.get(&info.name) {
            Some((id, known)) => {
                assert_eq!(known.ty, info.ty, "`{}` has two types", info.name);
                *id
            }
            None => {
                plan.program.slots.push(info.ty.words());
                let slot = plan.program.slots.len() - 1;
                let id = tensor(&mut plan.program, info, slot);
                plan.named.insert(info.name.clone(), (id, info.clone()));
                id
            }
        };
        ids.insert(value, id);
    }
    let mut last = HashMap::new();
    for (n, node) in graph.nodes().iter().enumerate() {
        for value in node.inputs.iter().chain(&node.outputs) {
            last.insert(*value, n);
        }
    }
    let mut taken: HashMap<Value, usize> = HashMap::new();
    for (n, node) in graph.nodes().iter().enumerate() {
        for &value in node.outputs.iter().filter(|&&value| graph.info(value).kind == ValueKind::Temporary) {
            let slot = take(&mut plan.program.slots, pool, graph.ty(value).words());
            taken.insert(value, slot);
            ids.insert(value, tensor(&mut plan.program, graph.info(value), slot));
        }
        // Slots are freed only after the whole node, so that no output overlaps an input unless the kernel declares an in-place update.
        let mut dead: Vec<Value> = taken.keys().copied().filter(|value| last[value] == n).collect();
        dead.sort();
        pool.free.extend(dead.into_iter().filter_map(|value| taken.remove(&value)));
    }
    ids
}

fn tensor(program: &mut Program, info: &ValueInfo, slot: usize) -> BufferId {
    let (name, ty) = (info.name.clone(), Some(info.ty.clone()));
    program.buffers.push(BufferInfo { name, ty, words: info.ty.words(), slot });
    BufferId(program.buffers.len() as u32 - 1)
}

/// Takes the free slot with the best fit; otherwise grows the largest free one; otherwise adds a slot.
fn take(slots: &mut Vec<usize>, pool: &mut Pool, words: usize) -> usize {
    let fits =
        pool.free.iter().enumerate().filter(|(_, slot)| slots[**slot] >= words).min_by_key(|(_, slot)| slots[**slot]);
    let choice = fits.or_else(|| pool.free.iter().enumerate().max_by_key(|(_, slot)| slots[**slot]));
    let Some(at) = choice.map(|(at, _)| at) else {
        slots.push(words);
        return slots.len() - 1;
    };
    let slot = pool.free.swap_remove(at);
    slots[slot] = slots[slot].max(words);
    slot
}

fn record(name: &str, graph: &Graph, ids: &HashMap<Value, BufferId>) -> Recording {
    let mut recording = Recording::new(name);
    for (value, _) in graph.values().filter(|(_, info)| info.kind == ValueKind::Input) {
        recording.upload(ids[&value]);
    }
    for node in graph.nodes() {
        let bind = |values: &[Value]| values.iter().map(|v| (ids[v], graph.ty(*v))).collect();
        recording.set_scope(&node.scope);
        let bound = Bound { inputs: bind(&node.inputs), updates: bind(&node.updates), outputs: bind(&node.outputs) };
        node.op.record(&mut recording, &bound);
    }
    recording
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_taken_by_best_fit_and_grow() {
        let (mut slots, mut pool) = (vec![], Pool::default());
        let a = take(&mut slots, &mut pool, 100);
        let b = take(&mut slots, &mut pool, 10);
        pool.free.extend([a, b]);
        assert_eq!(take(&mut slots, &mut pool, 9), b);
        assert_eq!(take(&mut slots, &mut pool, 120), a);
        assert_eq!(slots, [120, 10]);
    }
}
