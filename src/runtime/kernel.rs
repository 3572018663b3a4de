//! A kernel: its interface as the shader states it, the shader in its variants, and its twin on the processor.

use super::interface;
use super::task::TaskFn;
pub use super::task::{Pieces, Task};
use crate::error::{Error, Result};
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
}

/// What a kernel binds: tensors in group 0; its parameters and the step's values as bindings 0 and 1 of group 1.
#[derive(Clone, Debug)]
pub struct Interface {
    /// `room::file::entry`: what profiles and errors call it.
    pub label: &'static str,
    /// Whether it has a `Params` uniform.
    pub params: bool,
    /// Whether it reads the `StepParams` uniform.
    pub step: bool,
    /// Tensors, in binding order.
    pub bindings: Cow<'static, [Binding]>,
}

/// One text of a shader that computes what the kernel promises.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Entry point.
    pub entry: Cow<'static, str>,
    /// Letter of the preset.
    pub preset: &'static str,
    /// WGSL.
    pub source: Cow<'static, str>,
    /// `@workgroup_size`; zeros for a kernel from outside the crate, which only its shader knows.
    pub workgroup: [u32; 3],
    /// Elements of the grid that one workgroup covers.
    pub cover: [u32; 3],
}

/// A kernel. Built-in ones are statics made by the `kernel!` macro from what the build script read in the shaders;
/// [`Kernel::new`] makes others. All variants and the twin compute the same.
pub struct Kernel {
    /// What it binds.
    pub interface: Interface,
    /// Its shaders, the simple one first; several entry points may each bring their presets.
    pub variants: &'static [&'static [Variant]],
    /// The same on the processor.
    pub twin: &'static TaskFn,
    /// Whether it is one of ours; only those are compiled without bounds checks.
    pub(crate) trusted: bool,
}

/// A kernel from outside the crate, before it is checked.
pub struct CustomKernel<'a> {
    /// What profiles and errors call it.
    pub label: &'a str,
    /// WGSL. Tensors are `@group(0)`, a `Params` uniform is `@group(1) @binding(0)`.
    pub source: &'a str,
    /// Files of `shaders/shared/` that are appended: `index`, `bits`, `step`.
    pub imports: &'a [&'a str],
    /// Entry point.
    pub entry: &'a str,
    /// Tensors by name, in the order of their `@binding`, from 0.
    pub bindings: &'a [(&'a str, Access)],
    /// Elements of the grid that one workgroup covers.
    pub cover: [u32; 3],
}

impl Kernel {
    /// A kernel from outside the crate, with its twin. The source is checked by naga where there is one: with the feature `gpu`, but not in a
    /// browser, whose own compiler checks it later. It must parse, have the entry point, and bind what is declared. Kernels live as long as the program.
    pub fn new(custom: &CustomKernel<'_>, twin: impl Fn(&mut Task<'_>) + Sync + 'static) -> Result<&'static Self> {
        let wrong = |message: String| Error::Kernel { kernel: custom.label.into(), message };
        let mut source = custom.source.to_string();
        for name in custom.imports {
            let found = interface::SHARED.iter().find(|(shared, _)| shared == name);
            let (_, text) = found.ok_or_else(|| {
                let names: Vec<&str> = interface::SHARED.iter().map(|(name, _)| *name).collect();
                wrong(format!("import: expected one of {}, got `{name}`", names.join(", ")))
            })?;
            source = format!("{source}\n{text}");
        }
        let uniforms = (source.contains("@group(1) @binding(0)"), source.contains("@group(1) @binding(1)"));
        #[cfg(all(feature = "gpu", not(target_arch = "wasm32")))]
        let uniforms = {
            let _ = uniforms;
            super::gpu::check_source(&source, custom.entry, custom.bindings).map_err(wrong)?
        };
        let name = |text: &str| Cow::Owned(text.to_string());
        let binding = |(i, (label, access)): (usize, &(&str, Access))| Binding {
            index: i as u32,
            name: name(label),
            access: *access,
        };
        let interface = Interface {
            label: String::leak(custom.label.to_string()),
            params: uniforms.0,
            step: uniforms.1,
            bindings: custom.bindings.iter().enumerate().map(binding).collect(),
        };
        let variant = Variant {
            entry: name(custom.entry),
            preset: "M",
            source: Cow::Owned(source),
            workgroup: [0; 3],
            cover: custom.cover,
        };
        let variants: &'static [Variant] = Box::leak(Box::new([variant]));
        Ok(Box::leak(Box::new(Self {
            interface,
            variants: Box::leak(Box::new([variants])),
            twin: Box::leak(Box::new(twin)),
            trusted: false,
        })))
    }

    /// What profiles and errors call it.
    pub fn label(&self) -> &'static str {
        self.interface.label
    }

    /// Whether it is part of this crate, so that its shader may run without bounds checks.
    pub fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// Every variant of every entry point.
    pub fn all_variants(&self) -> impl Iterator<Item = &'static Variant> {
        self.variants.iter().flat_map(|entry| entry.iter())
    }
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kernel({})", self.label())
    }
}

/// A tensor in a dispatch, and how its tasks share it if the kernel writes it.
#[derive(Clone, Copy, Debug)]
pub struct BufferArg {
    /// The tensor.
    pub id: BufferId,
    /// Words of it (of each of its parts) that a task writes: task `i` has those from `i * chunk` on, the last one what is left.
    /// `None` for what is read, and for atomics.
    pub per_task: Option<usize>,
    /// Equal parts of the tensor, in each of which a task has a piece.
    pub panels: usize,
}

impl From<BufferId> for BufferArg {
    fn from(id: BufferId) -> Self {
        Self { id, per_task: None, panels: 1 }
    }
}

impl BufferId {
    /// Task `i` writes words `i * chunk ..` of this tensor.
    pub fn per_task(self, words: usize) -> BufferArg {
        BufferArg { id: self, per_task: Some(words), panels: 1 }
    }

    /// The tensor is so many equal parts (the panels of a matrix of numbers); task `i` writes words `i * chunk ..` of each. The shader's
    /// file names such a binding on a line `// pieces: NAME`, and the twin gets [`super::task::Pieces`] of it.
    pub fn per_task_in_each_panel(self, panels: usize, words: usize) -> BufferArg {
        BufferArg { id: self, per_task: Some(words), panels }
    }
}

/// A generated struct of buffers: binds by name, in the order of the interface.
pub trait Bind {
    /// The kernel's parameter struct, `()` where it has none.
    type Params: bytemuck::Pod;
    /// The tensors, in binding order.
    fn list(self) -> Vec<BufferArg>;
}

/// Declares a kernel: `kernel!(ADD = ops::add::add, twin = add)`; several entry points of one file may follow each other with `|`.
/// The twin takes the generated `Args` of the first entry.
macro_rules! kernel {
    ($(#[$meta:meta])* $name:ident = $room:ident :: $file:ident :: { $first:ident $(| $more:ident)* }, twin = $twin:path) => {
        $(#[$meta])*
        pub static $name: $crate::runtime::kernel::Kernel = $crate::runtime::kernel::Kernel {
            interface: $crate::runtime::interface::$room::$file::$first::INTERFACE,
            variants: &[
                $crate::runtime::interface::$room::$file::$first::VARIANTS
                $(, $crate::runtime::interface::$room::$file::$more::VARIANTS)*
            ],
            trusted: true,
            twin: &|task: &mut $crate::runtime::kernel::Task<'_>| {
                $twin($crate::runtime::interface::$room::$file::$first::Args::take(task))
            },
        };
    };
}
pub(crate) use kernel;
