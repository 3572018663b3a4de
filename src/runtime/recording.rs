//! A step is data before it is action: tensors, and a flat list of dispatches over them.

use super::interface::StepParams;
use super::kernel::{Access, Bind, BufferArg, BufferId, Kernel};
use crate::error::{Error, Result};
use crate::tensor::TensorType;
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

impl Grid {
    /// Its dimensions, x first.
    pub fn dimensions(&self) -> Vec<u64> {
        match self {
            Self::Linear(elements) => vec![*elements],
            Self::Matrix(extents) => extents.map(u64::from).to_vec(),
            Self::Tiles(extents) => extents.map(u64::from).to_vec(),
        }
    }
}

/// One entry of a recording.
#[derive(Clone, Debug)]
pub enum Command {
    /// Calls a kernel.
    Dispatch(Dispatch),
    /// Overwrites a tensor with words from the host; before the dispatches of its part.
    Upload(BufferId),
    /// Copies a tensor to the host; behind the dispatches of its part.
    Download(BufferId),
    /// Ends a submit. The host sees the downloads so far and gives the uploads that follow ([`Host`](super::Host)).
    Cut(String),
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
    /// Words of its thread's memory that a task takes on the processor.
    pub scratch: usize,
    /// Multiply-adds of a product, whatever their operands are; 0 for what only moves numbers.
    pub multiply_adds: u64,
    /// Layer that asked for it.
    pub scope: String,
}

/// Commands in order: a whole step, since nothing that happens in a step lives beside it.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// What it is for: `train`, `eval`.
    pub name: String,
    /// In order; each sees what earlier ones wrote. Between two cuts, uploads come first and downloads last.
    pub commands: Vec<Command>,
    scope: String,
}

/// What a recording does between two cuts.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Uploads, dispatches, downloads.
    pub commands: &'a [Command],
    /// Name of the cut that ends it; `None` for the last.
    pub cut: Option<&'a str>,
}

impl<'a> Part<'a> {
    /// Tensors that the host gives before its dispatches, in order.
    pub fn uploads(self) -> impl Iterator<Item = BufferId> + 'a {
        self.commands.iter().filter_map(|c| if let Command::Upload(id) = c { Some(*id) } else { None })
    }

    /// Calls of kernels, in order.
    pub fn dispatches(self) -> impl Iterator<Item = &'a Dispatch> {
        self.commands.iter().filter_map(|c| if let Command::Dispatch(dispatch) = c { Some(dispatch) } else { None })
    }

    /// Tensors that the host gets after its dispatches, in order.
    pub fn downloads(self) -> impl Iterator<Item = BufferId> + 'a {
        self.commands.iter().filter_map(|c| if let Command::Download(id) = c { Some(*id) } else { None })
    }
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
        let dispatch = Dispatch { kernel, buffers, params, grid, tasks, scratch: 0, multiply_adds: 0, scope };
        self.commands.push(Command::Dispatch(dispatch));
    }

    /// Says that the last dispatch is a product: it makes as many multiply-adds as the product of these extents, from which engines
    /// estimate its time.
    pub fn set_multiply_adds(&mut self, extents: impl IntoIterator<Item = usize>) {
        if let Some(Command::Dispatch(dispatch)) = self.commands.last_mut() {
            dispatch.multiply_adds = extents.into_iter().fold(1, |count, extent| count.saturating_mul(extent as u64));
        }
    }

    /// Says how many words of scratch ([`with_scratch`](super::with_scratch)) a task of the last dispatch takes on the processor. Engines
    /// set them aside when they load a program.
    pub fn set_scratch(&mut self, words: usize) {
        if let Some(Command::Dispatch(dispatch)) = self.commands.last_mut() {
            dispatch.scratch = words;
        }
    }

    /// Records that the host gives a tensor.
    pub fn upload(&mut self, buffer: BufferId) {
        self.commands.push(Command::Upload(buffer));
    }

    /// Records that the host gets a tensor.
    pub fn download(&mut self, buffer: BufferId) {
        self.commands.push(Command::Download(buffer));
    }

    /// Records a cut, where the host may act.
    pub fn cut(&mut self, name: impl Into<String>) {
        self.commands.push(Command::Cut(name.into()));
    }

    /// Calls of kernels, in order.
    pub fn dispatches(&self) -> impl Iterator<Item = &Dispatch> {
        self.parts().flat_map(Part::dispatches)
    }

    /// What lies between its cuts, in order; at least one part.
    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        self.commands.split_inclusive(|command| matches!(command, Command::Cut(_))).chain(self.open_end()).map(|all| {
            match all.split_last() {
                Some((Command::Cut(name), commands)) => Part { commands, cut: Some(name) },
                _ => Part { commands: all, cut: None },
            }
        })
    }

    /// The empty last part behind a cut that ends the list, or of an empty list.
    fn open_end(&self) -> Option<&[Command]> {
        self.commands.last().is_none_or(|last| matches!(last, Command::Cut(_))).then_some(&[])
    }
}

/// A tensor of a program.
#[derive(Clone, Debug)]
pub struct BufferInfo {
    /// `dense1.weight`; temporary ones are named for the node that makes them.
    pub name: String,
    /// Type, where it comes from a graph.
    pub ty: Option<TensorType>,
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

    /// Refuses what no play of this program may ask for: a recording that it does not have, inputs that are not what its first part
    /// uploads, and values of a step beyond its limits.
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

    /// Asserts what both engines rely on: every dispatch binds what its kernel wants; memory that it writes is bound once (wgpu
    /// does not check this, browsers do); tasks' shares are disjoint and inside their tensors.
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
            Command::Cut(_) => unreachable!("parts have none"),
        };
        assert!(part.commands.is_sorted_by_key(rank), "{recording}: uploads first, downloads last in a part");
        let ids = part.uploads().chain(part.downloads());
        ids.for_each(|id| assert!((id.0 as usize) < self.buffers.len(), "{recording}: {id:?} is no tensor"));
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
        if let Err(message) = super::extents::check(interface, &dispatch.params, &dispatch.grid.dimensions(), &words) {
            panic!("{place}: {message}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_lie_between_cuts() {
        let ids = |part: Part<'_>| {
            (part.uploads().collect::<Vec<_>>(), part.downloads().collect::<Vec<_>>(), part.cut.map(String::from))
        };
        let [a, b, c] = [0, 1, 2].map(BufferId);
        let mut recording = Recording::new("test");
        assert_eq!(recording.parts().map(ids).collect::<Vec<_>>(), [(vec![], vec![], None)], "one part of nothing");
        recording.upload(a);
        recording.upload(b);
        recording.download(c);
        assert_eq!(recording.parts().map(ids).collect::<Vec<_>>(), [(vec![a, b], vec![c], None)]);
        recording.cut("first");
        recording.cut("second");
        let cut = |name: &str| Some(name.to_string());
        let mut expected =
            vec![(vec![a, b], vec![c], cut("first")), (vec![], vec![], cut("second")), (vec![], vec![], None)];
        assert_eq!(recording.parts().map(ids).collect::<Vec<_>>(), expected, "what follows the last cut is a part");
        recording.upload(c);
        expected[2].0.push(c);
        assert_eq!(recording.parts().map(ids).collect::<Vec<_>>(), expected);
    }
}
