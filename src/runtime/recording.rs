//! A recording is a step as data: a flat list of commands over tensors.

use super::kernel::{Bind, BufferArg, BufferId, Kernel};
use super::task::TileFn;

/// The amount of work of a dispatch, in elements. An engine divides it by the elements that a workgroup of its variant covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grid {
    /// A number of elements in one dimension; groups beyond the limit of a dimension are folded.
    Linear(u64),
    /// Columns and rows; rows beyond the limit of a dimension are folded into the third (`folded` in shaders/shared/index.wgsl).
    Matrix([u32; 2]),
    /// Extents in x, y and z.
    Tiles([u32; 3]),
}

impl Grid {
    /// Returns the dimensions, x first.
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
    /// Overwrites a tensor with words from the host. Precedes the dispatches of its part.
    Upload(BufferId),
    /// Copies a tensor to the host. Follows the dispatches of its part.
    Download(BufferId),
    /// Ends a submission. The host receives the downloads so far and supplies the uploads that follow ([`Host`](super::Host)).
    Cut(String),
}

/// One call of a kernel.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// The kernel.
    pub kernel: &'static Kernel,
    /// Tensors in the order of the kernel's interface.
    pub buffers: Vec<BufferArg>,
    /// Words of the parameters, which are constant.
    pub params: Vec<u32>,
    /// Words of the epilogue's parameters.
    pub epilogue: Vec<u32>,
    /// Function that computes a tile on the processor, if the dispatch consumes the tiles of a product that is not in memory.
    pub tile: Option<TileFn>,
    /// Amount of work on a GPU.
    pub grid: Grid,
    /// Number of tasks on the processor.
    pub tasks: usize,
    /// Words of scratch memory that a task uses on the processor.
    pub scratch: usize,
    /// Multiply-adds of a product, whatever the type of its operands; 0 for other operations.
    pub multiply_adds: u64,
    /// Layer of the dispatch.
    pub scope: String,
}

/// Tensors by the names of their bindings.
pub type NamedBuffers = Vec<(&'static str, BufferArg)>;

/// The part of a dispatch that computes a product, whose tiles epilogues consume.
#[derive(Clone, Debug)]
pub struct Product {
    /// Words of the product's parameters; empty if the product is in memory.
    pub params: Vec<u32>,
    /// Tensors by the names of their bindings.
    pub buffers: NamedBuffers,
    /// Amount of work on a GPU.
    pub grid: Grid,
    /// Number of tasks on the processor.
    pub tasks: usize,
    /// Function that computes a tile on the processor; `None` if the product is in memory.
    pub tile: Option<TileFn>,
    /// Words of scratch memory of a tile.
    pub scratch: usize,
    /// Multiply-adds of the product.
    pub multiply_adds: u64,
}

/// The commands of a step, in execution order.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// Name, by purpose: `train`, `eval`.
    pub name: String,
    /// The commands. Between two cuts, uploads come first and downloads last.
    pub commands: Vec<Command>,
    scope: String,
}

/// The commands between two cuts.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Uploads, dispatches, downloads.
    pub commands: &'a [Command],
    /// Name of the cut that ends it; `None` for the last.
    pub cut: Option<&'a str>,
}

impl<'a> Part<'a> {
    /// Returns the tensors that the host uploads before the dispatches, in order.
    pub fn uploads(self) -> impl Iterator<Item = BufferId> + 'a {
        self.commands.iter().filter_map(|c| if let Command::Upload(id) = c { Some(*id) } else { None })
    }

    /// Returns the dispatches in order.
    pub fn dispatches(self) -> impl Iterator<Item = &'a Dispatch> {
        self.commands.iter().filter_map(|c| if let Command::Dispatch(dispatch) = c { Some(dispatch) } else { None })
    }

    /// Returns the tensors that the host downloads after the dispatches, in order.
    pub fn downloads(self) -> impl Iterator<Item = BufferId> + 'a {
        self.commands.iter().filter_map(|c| if let Command::Download(id) = c { Some(*id) } else { None })
    }
}

/// Returns the product of extents, saturating at `u64::MAX`.
pub fn multiply_adds(extents: impl IntoIterator<Item = usize>) -> u64 {
    extents.into_iter().fold(1, |count, extent| count.saturating_mul(extent as u64))
}

impl Recording {
    /// Creates an empty recording.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Sets the layer of the dispatches that are added afterwards.
    pub fn set_scope(&mut self, scope: &str) {
        self.scope = scope.to_string();
    }

    /// Records a dispatch of a built-in kernel: its tensors by name, the work for a GPU (`grid`) and for the processor (`tasks`).
    pub fn dispatch<B: Bind>(
        &mut self,
        kernel: &'static Kernel,
        params: B::Params,
        buffers: B,
        grid: Grid,
        tasks: usize,
    ) {
        self.dispatch_raw(kernel, bytemuck::pod_collect_to_vec(&[params]), buffers.list(), grid, tasks);
    }

    /// Records a dispatch of a product and the epilogues that consume it. `params` and `buffers` are those of the epilogues; tensors are
    /// given by the names of their bindings.
    ///
    /// # Panics
    /// Panics if a binding has no tensor or a tensor has no binding.
    pub fn dispatch_behind<N: AsRef<str>>(
        &mut self,
        kernel: &'static Kernel,
        product: Product,
        params: Vec<u32>,
        buffers: impl IntoIterator<Item = (N, BufferArg)>,
    ) {
        let own = product.buffers.into_iter().map(|(name, buffer)| (name.to_string(), buffer));
        let others = buffers.into_iter().map(|(name, buffer)| (name.as_ref().to_string(), buffer));
        let buffers: Vec<_> = own.chain(others).collect();
        let bindings = &kernel.interface.bindings;
        assert_eq!(buffers.len(), bindings.len(), "{}: number of tensors", kernel.label());
        let find = |name: &str| buffers.iter().find(|(of, _)| *of == name).map(|(_, buffer)| *buffer);
        let missing = |name: &str| -> BufferArg { panic!("{}: no tensor for `{name}`", kernel.label()) };
        let list =
            bindings.iter().map(|binding| find(&binding.name).unwrap_or_else(|| missing(&binding.name))).collect();
        self.dispatch_raw(kernel, product.params, list, product.grid, product.tasks);
        if let Some(Command::Dispatch(dispatch)) = self.commands.last_mut() {
            dispatch.epilogue = params;
            dispatch.tile = product.tile;
            dispatch.scratch = product.scratch;
            dispatch.multiply_adds = product.multiply_adds;
        }
    }

    /// Records a dispatch of a kernel from outside the crate: tensors in the order of its bindings, parameters as words.
    pub fn dispatch_raw(
        &mut self,
        kernel: &'static Kernel,
        params: Vec<u32>,
        buffers: Vec<BufferArg>,
        grid: Grid,
        tasks: usize,
    ) {
        let scope = self.scope.clone();
        let dispatch = Dispatch {
            kernel,
            buffers,
            params,
            epilogue: Vec::new(),
            tile: None,
            grid,
            tasks,
            scratch: 0,
            multiply_adds: 0,
            scope,
        };
        self.commands.push(Command::Dispatch(dispatch));
    }

    /// Sets the number of multiply-adds of the last dispatch to the product of these extents. Engines estimate the time of a dispatch from
    /// it.
    pub fn set_multiply_adds(&mut self, extents: impl IntoIterator<Item = usize>) {
        if let Some(Command::Dispatch(dispatch)) = self.commands.last_mut() {
            dispatch.multiply_adds = multiply_adds(extents);
        }
    }

    /// Sets the words of scratch memory ([`with_scratch`](super::with_scratch)) that a task of the last dispatch uses on the processor.
    /// Engines allocate scratch memory when they load a program.
    pub fn set_scratch(&mut self, words: usize) {
        if let Some(Command::Dispatch(dispatch)) = self.commands.last_mut() {
            dispatch.scratch = words;
        }
    }

    /// Records an upload of a tensor from the host.
    pub fn upload(&mut self, buffer: BufferId) {
        self.commands.push(Command::Upload(buffer));
    }

    /// Records a download of a tensor to the host.
    pub fn download(&mut self, buffer: BufferId) {
        self.commands.push(Command::Download(buffer));
    }

    /// Records a cut, at which the host may act.
    pub fn cut(&mut self, name: impl Into<String>) {
        self.commands.push(Command::Cut(name.into()));
    }

    /// Returns the dispatches in order.
    pub fn dispatches(&self) -> impl Iterator<Item = &Dispatch> {
        self.parts().flat_map(Part::dispatches)
    }

    /// Returns the parts between cuts, in order; there is at least one part.
    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        self.commands.split_inclusive(|command| matches!(command, Command::Cut(_))).chain(self.open_end()).map(|all| {
            match all.split_last() {
                Some((Command::Cut(name), commands)) => Part { commands, cut: Some(name) },
                _ => Part { commands: all, cut: None },
            }
        })
    }

    /// Returns the empty last part of a list that ends with a cut, or of an empty list.
    fn open_end(&self) -> Option<&[Command]> {
        self.commands.last().is_none_or(|last| matches!(last, Command::Cut(_))).then_some(&[])
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
        assert_eq!(
            recording.parts().map(ids).collect::<Vec<_>>(),
            [(vec![], vec![], None)],
            "an empty recording has one empty part"
        );
        recording.upload(a);
        recording.upload(b);
        recording.download(c);
        assert_eq!(recording.parts().map(ids).collect::<Vec<_>>(), [(vec![a, b], vec![c], None)]);
        recording.cut("first");
        recording.cut("second");
        let cut = |name: &str| Some(name.to_string());
        let mut expected =
            vec![(vec![a, b], vec![c], cut("first")), (vec![], vec![], cut("second")), (vec![], vec![], None)];
        assert_eq!(recording.parts().map(ids).collect::<Vec<_>>(), expected, "an empty part follows the last cut");
        recording.upload(c);
        expected[2].0.push(c);
        assert_eq!(recording.parts().map(ids).collect::<Vec<_>>(), expected);
    }
}
