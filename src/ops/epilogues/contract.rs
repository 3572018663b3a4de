//! The contract of an epilogue. On the processor it consumes a tile that a producer's twin has just filled, while it is in cache;
//! `shaders/epilogues/` has the same for GPUs.

use crate::graph::Bound;
use crate::runtime::{NamedBuffers, Recording, Task, TaskPanels};
use crate::tensor::TensorType;

/// What an epilogue does with the tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TileUse {
    /// Reads it. It is stored too, and other operations may read it.
    Reads,
    /// Changes it before the store. Nothing else reads the unchanged tile.
    Changes,
    /// Writes its own output. The tile is not stored.
    Consumes,
}

/// An epilogue: the entry in the registry.
#[derive(Debug)]
pub struct EpilogueKind {
    /// Its name: `shaders/epilogues/NAME.wgsl`.
    pub name: &'static str,
    /// What it does with the tile.
    pub tile: TileUse,
    /// Whether its tiles must be integers.
    pub integers: bool,
    /// Number of the operation's outputs that it writes; nothing may read the others.
    pub outputs: usize,
    /// Returns its tensors by the names of their bindings. `bound` has those of the operation without the tile; `rows` as for
    /// [`share`](crate::graph::share).
    pub bind: fn(bound: &Bound<'_>, rows: Option<usize>) -> NamedBuffers,
    /// Records what follows the kernel.
    pub finish: Option<fn(recording: &mut Recording, bound: &Bound<'_>, tile: &TensorType)>,
}

/// The matrix that a producer computes.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Extent {
    pub rows: usize,
    pub columns: usize,
    /// Rows that hold samples.
    pub valid: usize,
}

/// The place of a tile: a panel of 32 columns, from a row on that is the task's first.
#[derive(Clone, Copy)]
pub(in crate::ops) struct TileAt {
    pub panel: usize,
    pub row: usize,
    pub all: Extent,
}

/// An epilogue on the processor, with its tensors of a task.
pub(in crate::ops) trait Consumer<'a>: Sized {
    /// Takes its bindings; `None` if the kernel lacks the epilogue.
    fn take(task: &mut Task<'a>) -> Option<Self>;

    /// Consumes a tile of integers.
    fn integers(&mut self, _at: TileAt, _tile: &[i32]) {}

    /// Consumes or changes a tile of floats.
    fn floats(&mut self, _at: TileAt, _tile: &mut [f32]) {}
}

/// The tiles of a producer's output: ranges of the tensor that stores them, or one tile in scratch memory that the epilogues consume.
pub(in crate::ops) enum Output<'a, 's, T> {
    /// Ranges of the binding `y`.
    Stored(TaskPanels<'a, T>),
    /// A tile for one panel after the other.
    Passing(&'s mut [T]),
}

impl<T: bytemuck::Pod> Output<'_, '_, T> {
    /// Returns the tile of a panel.
    pub fn tile(&mut self, panel: usize) -> &mut [T] {
        match self {
            Self::Stored(y) => y.panel(panel),
            Self::Passing(tile) => tile,
        }
    }
}
