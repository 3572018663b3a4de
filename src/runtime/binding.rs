//! Bindings: what a kernel binds, and the tensors that a dispatch binds there.

use std::borrow::Cow;

/// Which tensor of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub u32);

/// How a kernel uses a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`: each task owns its share.
    Write,
    /// An array of atomics: all tasks share it.
    Atomic,
}

/// A tensor binding, in group 0.
#[derive(Clone, Debug)]
pub struct Binding {
    /// `@binding(index)`.
    pub index: u32,
    /// Name in the shader.
    pub name: Cow<'static, str>,
    /// Use.
    pub access: Access,
    /// How many elements a dispatch may touch, as `shaders/extent.rs` reads it: `[columns/32][rows][32]`, `as x`, `any length`.
    pub extent: Cow<'static, str>,
}

/// A tensor in a dispatch, and how its tasks share it if the kernel writes it.
#[derive(Clone, Copy, Debug)]
pub struct BufferArg {
    /// The tensor.
    pub id: BufferId,
    /// Words of it (of each of its panels) that a task writes: task `i` has those from `i * per_task` on, the last one the remaining words.
    /// `None` for what is read, and for atomics.
    pub per_task: Option<usize>,
    /// Panels of the tensor, in each of which a task has a share; 1 where tasks share the whole tensor.
    pub panels: usize,
}

impl From<BufferId> for BufferArg {
    fn from(id: BufferId) -> Self {
        Self { id, per_task: None, panels: 1 }
    }
}

impl BufferId {
    /// Task `i` writes `words` words of this tensor, from `i * words` on.
    pub fn per_task(self, words: usize) -> BufferArg {
        BufferArg { id: self, per_task: Some(words), panels: 1 }
    }

    /// The tensor is `panels` panels of equal length; task `i` writes `words` words of each, from `i * words` on. The shader's file names such a
    /// binding on a line `// per panel: NAME`, and the twin gets [`TaskPanels`] of it.
    pub fn per_task_in_each_panel(self, panels: usize, words: usize) -> BufferArg {
        BufferArg { id: self, per_task: Some(words), panels }
    }
}
