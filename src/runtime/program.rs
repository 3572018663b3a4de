//! A program: tensors, the memory that holds them, and recordings over them, with the checks that make it safe to play.

use super::extents;
use super::interface::StepParams;
use super::kernel::{Access, BufferArg, BufferId};
use super::recording::{Command, Dispatch, Part, Recording};
use crate::error::{Error, Result};
use crate::tensor::TensorType;
use std::collections::HashSet;

/// A tensor of a program.
#[derive(Clone, Debug)]
pub struct BufferInfo {
    /// Name, such as `dense1.weight`; temporary tensors are named after the node that produces them.
    pub name: String,
    /// Type, if the tensor comes from a graph.
    pub ty: Option<TensorType>,
    /// Size in words.
    pub words: usize,
    /// The slot that holds the tensor; tensors whose lifetimes do not overlap may share one.
    pub slot: usize,
}

/// Bounds of those values of a step that kernels use as indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepLimits {
    /// Rows of a batch, the maximum of [`StepParams::valid_rows`].
    pub rows: u32,
    /// Length of the ring of losses, the exclusive upper bound of [`StepParams::loss_slot`].
    pub losses: u32,
}

impl Default for StepLimits {
    /// Returns the limits of one row and one loss.
    fn default() -> Self {
        Self { rows: 1, losses: 1 }
    }
}

/// The input of an engine: tensors, the memory that holds them, and recordings that share both.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Tensors, by [`BufferId`].
    pub buffers: Vec<BufferInfo>,
    /// Words of each slot.
    pub slots: Vec<usize>,
    /// The recordings that can be played.
    pub recordings: Vec<Recording>,
    /// Bounds of the values of a step.
    pub limits: StepLimits,
    /// Word that fresh memory is filled with. Tests set it so that no kernel relies on zeros.
    pub poison: Option<u32>,
}

impl Program {
    /// Returns the bytes of all slots: the peak of tensor memory, since nothing is allocated later.
    pub fn bytes(&self) -> u64 {
        self.slots.iter().map(|&words| 4 * words as u64).sum()
    }

    /// Returns the name and size of a tensor.
    pub fn buffer(&self, id: BufferId) -> &BufferInfo {
        &self.buffers[id.0 as usize]
    }

    /// Returns the name of the largest tensor of a slot, for errors.
    pub fn largest_in(&self, slot: usize) -> &str {
        let tensors = self.buffers.iter().filter(|b| b.slot == slot);
        tensors.max_by_key(|b| b.words).map_or("unused", |b| &b.name)
    }

    /// Validates a play: the recording must exist, the inputs must be the uploads of its first part, and the values of the step must be
    /// within the program's limits.
    pub fn check_play(&self, recording: usize, inputs: &[(BufferId, &[u32])], step: &StepParams) -> Result<()> {
        let found = self.recordings.get(recording);
        let count = self.recordings.len();
        let found = found.ok_or_else(|| Error::shape("play", format!("one of {count} recordings"), recording))?;
        let refuse = |expected, got: String| Err(Error::shape(format!("play `{}`", found.name), expected, got));
        let uploads = || found.parts().take(1).flat_map(Part::uploads);
        if let Some((id, _)) = inputs.iter().find(|(id, _)| uploads().all(|upload| upload != *id)) {
            return refuse("inputs that it uploads".into(), format!("{id:?}"));
        }
        for id in uploads() {
            let (info, given) = (self.buffer(id), inputs.iter().find(|(input, _)| *input == id));
            match given.map(|(_, words)| words.len()) {
                Some(words) if words == info.words => {}
                Some(words) => return refuse(format!("{} words of `{}`", info.words, info.name), words.to_string()),
                None => return refuse(format!("words of `{}`", info.name), "none".into()),
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

    /// Asserts the invariants that both engines rely on: every dispatch binds the tensors that its kernel declares; memory that it writes
    /// is bound once (browsers check this, wgpu does not); the ranges of tasks are disjoint and inside their tensors.
    ///
    /// # Panics
    /// Panics if an invariant does not hold.
    pub fn check(&self) {
        for recording in &self.recordings {
            recording.parts().for_each(|part| self.check_order(part, &recording.name));
            for dispatch in recording.dispatches() {
                self.check_dispatch(dispatch, &recording.name);
            }
        }
    }

    fn check_order(&self, part: Part<'_>, recording: &str) {
        let rank = |command: &Command| match command {
            Command::Upload(_) => 0,
            Command::Dispatch(_) => 1,
            Command::Download(_) => 2,
            Command::Cut(_) => unreachable!("a part contains no cut"),
        };
        assert!(part.commands.is_sorted_by_key(rank), "{recording}: uploads first, downloads last in a part");
        let ids = part.uploads().chain(part.downloads());
        ids.for_each(|id| assert!((id.0 as usize) < self.buffers.len(), "{recording}: {id:?} is not a tensor"));
    }

    fn check_dispatch(&self, dispatch: &Dispatch, recording: &str) {
        let interface = &dispatch.kernel.interface;
        let place = format!("{recording}: {} of `{}`", interface.label, dispatch.scope);
        assert_eq!(dispatch.buffers.len(), interface.bindings.len(), "{place}: number of tensors bound");
        let uniforms = [(&dispatch.params, interface.params), (&dispatch.epilogue, interface.epilogue)];
        for (words, is_bound) in uniforms {
            assert_eq!(!words.is_empty(), is_bound, "{place}: parameters given (left), expected (right)");
            assert!(words.len() <= 64, "{place}: {} words of parameters, expected at most 64", words.len());
        }
        assert!(dispatch.tasks > 0, "{place}: 0 tasks, expected at least 1");
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
                check_tasks(dispatch.tasks, output, info, &place);
            }
        }
        assert!(read.is_disjoint(&written), "{place}: memory is read and written in one dispatch");
        let words = |at: usize| self.buffer(dispatch.buffers[at].id).words as u64;
        if let Err(message) =
            extents::check(interface, [&dispatch.params, &dispatch.epilogue], &dispatch.grid.dimensions(), &words)
        {
            panic!("{place}: {message}");
        }
    }
}

/// Asserts that the ranges of the tasks cover a tensor that they write, without overlap.
fn check_tasks(tasks: usize, output: &BufferArg, info: &BufferInfo, place: &str) {
    let chunk = output.per_task.unwrap_or_else(|| panic!("{place}: `{}` has no words per task", info.name));
    let all = tasks.checked_mul(chunk).unwrap_or_else(|| panic!("{place}: {tasks} tasks of {chunk} words overflow"));
    let part = info.words / output.panels;
    let fits = part * output.panels == info.words && all >= part && all - part < chunk;
    assert!(
        fits,
        "{place}: {tasks} tasks of {chunk} words do not cover `{}` of {} words in {} panels",
        info.name, info.words, output.panels
    );
}
