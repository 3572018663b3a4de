//! A step is data before it is action: tensors, and a flat list of dispatches over them.

use super::interface::StepParams;
use super::kernel::{Access, Bind, BufferArg, BufferId, Kernel};
use crate::error::{Error, Result};
use std::collections::HashSet;

/// How much work a dispatch has, in elements; an engine divides by what its variant of the kernel covers.
#[derive(Clone, Copy, Debug)]
pub enum Grid {
    /// So many elements in a row, folded where they exceed a dimension.
    Linear(u64),
    /// Columns and rows; rows that exceed a dimension are folded into the third (`folded` in shaders/shared/index.wgsl).
    Matrix([u32; 2]),
    /// Extents in x, y and z.
    Tiles([u32; 3]),
}

/// One call of a kernel.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// Which.
    pub kernel: &'static Kernel,
    /// Tensors in the order of its interface.
    pub buffers: Vec<BufferArg>,
    /// Its parameters' words; they never change.
    pub params: Vec<u32>,
    /// Work for a GPU.
    pub grid: Grid,
    /// Work for the processor.
    pub tasks: usize,
    /// Layer that asked for it.
    pub scope: String,
}

/// Dispatches in order.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// What it is for: `train`, `eval`.
    pub name: String,
    /// In order; each sees what earlier ones wrote.
    pub dispatches: Vec<Dispatch>,
    scope: String,
}

impl Recording {
    /// An empty recording.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Dispatches from here on belong to this layer.
    pub fn set_scope(&mut self, scope: &str) {
        self.scope = scope.to_string();
    }

    /// Records a call of a built-in kernel: its tensors by name, work for a GPU (`grid`) and for the processor (`tasks`).
    pub fn dispatch<B: Bind>(
        &mut self,
        kernel: &'static Kernel,
        params: B::Params,
        buffers: B,
        grid: Grid,
        tasks: usize,
    ) {
        self.dispatch_with(kernel, params, buffers, Vec::new(), grid, tasks);
    }

    /// The same for a producer with epilogues, whose tensors follow the producer's own.
    pub fn dispatch_with<B: Bind>(
        &mut self,
        kernel: &'static Kernel,
        params: B::Params,
        buffers: B,
        epilogues: Vec<BufferArg>,
        grid: Grid,
        tasks: usize,
    ) {
        let buffers = buffers.list().into_iter().chain(epilogues).collect();
        self.dispatch_raw(kernel, bytemuck::pod_collect_to_vec(&[params]), buffers, grid, tasks);
    }

    /// Records a call of a kernel that is put together of pieces: its tensors by the names of their bindings, in any order.
    ///
    /// # Panics
    /// Where a binding has no tensor, or a tensor no binding.
    pub fn dispatch_named<P: bytemuck::Pod>(
        &mut self,
        kernel: &'static Kernel,
        params: P,
        buffers: &[(String, BufferArg)],
        grid: Grid,
        tasks: usize,
    ) {
        let bindings = &kernel.interface.bindings;
        assert_eq!(buffers.len(), bindings.len(), "{}: tensors", kernel.label());
        let find = |name: &str| buffers.iter().find(|(of, _)| *of == name).map(|(_, buffer)| *buffer);
        let missing = |name: &str| -> BufferArg { panic!("{}: no tensor for `{name}`", kernel.label()) };
        let list =
            bindings.iter().map(|binding| find(&binding.name).unwrap_or_else(|| missing(&binding.name))).collect();
        self.dispatch_raw(kernel, bytemuck::pod_collect_to_vec(&[params]), list, grid, tasks);
    }

    /// The same for a kernel from outside the crate: tensors in the order of its bindings, parameters as words.
    pub fn dispatch_raw(
        &mut self,
        kernel: &'static Kernel,
        params: Vec<u32>,
        buffers: Vec<BufferArg>,
        grid: Grid,
        tasks: usize,
    ) {
        let scope = self.scope.clone();
        self.dispatches.push(Dispatch { kernel, buffers, params, grid, tasks, scope });
    }
}

/// A tensor of a program.
#[derive(Clone, Debug)]
pub struct BufferInfo {
    /// `dense1.weight`; temporary ones are named for the node that makes them.
    pub name: String,
    /// Size.
    pub words: usize,
    /// Which piece of memory holds it; tensors that never live at once share one.
    pub slot: usize,
}

/// What the values of a step may be: kernels index tensors with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepLimits {
    /// Rows of a batch: [`StepParams::valid_rows`] is at most this.
    pub rows: u32,
    /// Length of the ring of losses: [`StepParams::loss_slot`] is below it.
    pub losses: u32,
}

impl Default for StepLimits {
    /// One row, one loss.
    fn default() -> Self {
        Self { rows: 1, losses: 1 }
    }
}

/// Everything an engine needs: tensors, the memory behind them, and recordings that share both.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Tensors, by [`BufferId`].
    pub buffers: Vec<BufferInfo>,
    /// Words of each piece of memory.
    pub slots: Vec<usize>,
    /// What can be played.
    pub recordings: Vec<Recording>,
    /// What a step's values may be.
    pub limits: StepLimits,
    /// Word that fresh memory is filled with; tests poison it so that nothing relies on zeros.
    pub poison: Option<u32>,
}

impl Program {
    /// Bytes of all slots together: the peak, since nothing is allocated later.
    pub fn bytes(&self) -> u64 {
        self.slots.iter().map(|&words| 4 * words as u64).sum()
    }

    /// Size and name of a tensor.
    pub fn buffer(&self, id: BufferId) -> &BufferInfo {
        &self.buffers[id.0 as usize]
    }

    /// Name of the largest tensor of a slot, for errors.
    pub fn largest_in(&self, slot: usize) -> &str {
        let tensors = self.buffers.iter().filter(|b| b.slot == slot);
        tensors.max_by_key(|b| b.words).map_or("unused", |b| &b.name)
    }

    /// Refuses what no play of this program may ask for: a recording that it does not have, inputs of another size, and values of a
    /// step beyond its limits.
    pub fn check_play(&self, recording: usize, inputs: &[(BufferId, &[u32])], step: &StepParams) -> Result<()> {
        let found = self.recordings.get(recording);
        let count = self.recordings.len();
        let found = found.ok_or_else(|| Error::shape("play", format!("one of {count} recordings"), recording))?;
        let refuse = |expected, got: String| Err(Error::shape(format!("play `{}`", found.name), expected, got));
        for (id, words) in inputs {
            match self.buffers.get(id.0 as usize) {
                Some(info) if info.words == words.len() => {}
                Some(info) => {
                    return refuse(format!("{} words of `{}`", info.words, info.name), words.len().to_string());
                }
                None => return refuse(format!("one of {} tensors", self.buffers.len()), format!("{id:?}")),
            }
        }
        let StepLimits { rows, losses } = self.limits;
        if step.valid_rows > rows {
            return refuse(format!("at most {rows} valid rows"), step.valid_rows.to_string());
        }
        if step.loss_slot >= losses {
            return refuse(format!("a loss slot below {losses}"), step.loss_slot.to_string());
        }
        Ok(())
    }

    /// Asserts what both engines rely on: every dispatch binds what its kernel wants; memory that it writes is bound once (wgpu
    /// does not check this, browsers do); tasks' shares are disjoint and inside their tensors.
    pub fn check(&self) {
        for recording in &self.recordings {
            for dispatch in &recording.dispatches {
                self.check_dispatch(dispatch, &recording.name);
            }
        }
    }

    fn check_dispatch(&self, dispatch: &Dispatch, recording: &str) {
        let interface = &dispatch.kernel.interface;
        let place = format!("{recording}: {} of `{}`", interface.label, dispatch.scope);
        assert_eq!(dispatch.buffers.len(), interface.bindings.len(), "{place}: tensors bound");
        assert_eq!(!dispatch.params.is_empty(), interface.params, "{place}: parameters");
        assert!(
            dispatch.params.len() <= 64,
            "{place}: {} words of parameters, expected at most 64",
            dispatch.params.len()
        );
        assert!(dispatch.tasks > 0, "{place}: no task");
        let (mut read, mut written) = (HashSet::new(), HashSet::new());
        for (output, binding) in dispatch.buffers.iter().zip(interface.bindings.iter()) {
            let info = self.buffer(output.id);
            assert!(info.words <= self.slots[info.slot], "{place}: `{}` exceeds its slot", info.name);
            if binding.access == Access::Read {
                read.insert(info.slot);
            } else {
                assert!(written.insert(info.slot), "{place}: `{}` is written through two bindings", info.name);
            }
            if binding.access == Access::Write {
                let chunk =
                    output.per_task.unwrap_or_else(|| panic!("{place}: `{}` is not shared over tasks", binding.name));
                let all = dispatch
                    .tasks
                    .checked_mul(chunk)
                    .unwrap_or_else(|| panic!("{place}: {} tasks of {chunk}", dispatch.tasks));
                let part = info.words / output.panels;
                let fits = part * output.panels == info.words && all >= part && all - part < chunk;
                assert!(
                    fits,
                    "{place}: {} tasks of {chunk} words do not make `{}` of {} in {} parts",
                    dispatch.tasks, info.name, info.words, output.panels
                );
            }
        }
        assert!(read.is_disjoint(&written), "{place}: memory is read and written in one dispatch");
        let words = |at: usize| self.buffer(dispatch.buffers[at].id).words as u64;
        if let Err(message) = super::extents::check(dispatch, &words) {
            panic!("{place}: {message}");
        }
    }
}
