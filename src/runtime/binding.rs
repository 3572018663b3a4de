//! Bindings: the tensors that a kernel declares, and those that a dispatch supplies.

use std::borrow::Cow;

/// Index of a tensor in a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub u32);

/// How a kernel uses a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`; tasks write disjoint ranges.
    Write,
    /// An array of atomics that all tasks share.
    Atomic,
}

/// A tensor binding in group 0.
#[derive(Clone, Debug)]
pub struct Binding {
    /// `@binding(index)`.
    pub index: u32,
    /// Name in the shader.
    pub name: Cow<'static, str>,
    /// Access mode.
    pub access: Access,
    /// The number of elements that a dispatch may access, in the syntax of `shaders/extent.rs`: `[columns/32][rows][32]`, `as x`, `any
    /// length`.
    pub extent: Cow<'static, str>,
}

/// A tensor of a dispatch, and how it is divided among tasks if the kernel writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferArg {
    /// The tensor.
    pub id: BufferId,
    /// Words of the tensor (of each of its panels) that a task writes: task `i` writes `per_task` words starting at `i * per_task`, the
    /// last task the remaining words. `None` for tensors that are only read, and for atomics.
    pub per_task: Option<usize>,
    /// Number of panels, each of which is divided among the tasks; 1 if the whole tensor is divided.
    pub panels: usize,
}

impl From<BufferId> for BufferArg {
    fn from(id: BufferId) -> Self {
        Self { id, per_task: None, panels: 1 }
    }
}

impl BufferId {
    /// Returns the argument of a kernel whose task `i` writes `words` words of this tensor, starting at `i * words`.
    pub fn per_task(self, words: usize) -> BufferArg {
        BufferArg { id: self, per_task: Some(words), panels: 1 }
    }

    /// Returns the argument of a kernel whose task `i` writes `words` words of each of `panels` panels of equal length, starting at
    /// `i * words`. The twin receives it as [`TaskPanels`](super::TaskPanels); generated arguments do so for bindings on a line
    /// `// per panel: NAME` of the shader.
    pub fn per_task_in_each_panel(self, panels: usize, words: usize) -> BufferArg {
        BufferArg { id: self, per_task: Some(words), panels }
    }
}
