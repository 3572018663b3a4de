//! A kernel: its interface as the shader states it, the shader in its variants, and its twin on the processor.

use super::assemble;
pub use super::binding::{Access, Binding, BufferArg, BufferId};
use super::task::TaskFn;
pub use super::task::{Task, TaskPanels};
use crate::error::{Error, Result};
use std::borrow::Cow;

/// What extents refer to, and what else must hold of a dispatch; from the shader's comments.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The u32 members of `Params` by name, and where they are, in words.
    pub members: &'static [(&'static str, u32)],
    /// Named lengths and constants: name and expression.
    pub lengths: &'static [(&'static str, &'static str)],
    /// Comparisons that must hold.
    pub limits: &'static [&'static str],
    /// The largest grid that the shader takes, in brackets; empty where it guards its indices itself.
    pub grid: &'static str,
}

impl Shape {
    /// Of a kernel that says nothing.
    pub const NONE: Self = Self { members: &[], lengths: &[], limits: &[], grid: "" };
}

/// What a kernel binds: tensors in group 0; its parameters and the step's values as bindings 0 and 1 of group 1.
#[derive(Clone, Debug)]
pub struct Interface {
    /// `folder::file::entry`: what profiles and errors call it.
    pub label: &'static str,
    /// Whether it has a `Params` uniform.
    pub params: bool,
    /// Whether it reads the `StepParams` uniform.
    pub step: bool,
    /// Whether its layout has the `grid` uniform of linear and folded grids, which says where a part of one begins.
    pub grid: bool,
    /// What extents of the bindings refer to.
    pub shape: Shape,
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
    /// Where its text comes from.
    pub source: Source,
    /// `@workgroup_size`; zeros for a kernel from outside the crate, which only its shader knows.
    pub workgroup: [u32; 3],
    /// Elements of the grid that one workgroup covers.
    pub cover: [u32; 3],
    /// What a device must have for it.
    pub requires: Requirements,
}

/// Where a variant's text comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Pieces of `shaders/`, by path: they are joined when the pipeline is made.
    Pieces(&'static [&'static str]),
    /// WGSL as it is.
    Text(String),
}

/// What a device must have for a variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requirements {
    /// Features by their names in WGSL: `subgroups`, `f16`.
    pub features: &'static [&'static str],
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
    /// Invocations of a workgroup.
    pub invocations: u32,
}

impl Requirements {
    /// What every device has.
    pub const NONE: Self = Self { features: &[], workgroup_bytes: 0, invocations: 0 };
}

impl Variant {
    /// Its WGSL, assembled; for `browser` with the `enable` directives that browsers want and naga does not take.
    pub fn text(&self, browser: bool) -> Result<String> {
        let text = match &self.source {
            Source::Text(text) => text.clone(),
            Source::Pieces(names) => {
                let wrong = |message: String| Error::Kernel { kernel: names.join(" + "), message };
                let joined = assemble::assemble(&assemble::piece, names).map_err(wrong)?;
                let tuned = assemble::tuned(&joined.text, self.preset).map_err(wrong)?;
                assemble::unroll(&tuned).map_err(wrong)?
            }
        };
        let enable: String = self.requires.features.iter().map(|name| format!("enable {name};\n")).collect();
        Ok(if browser { enable + &text } else { text })
    }
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

/// An entry point, and the elements of the grid that one workgroup of it covers.
pub(crate) struct Cover<'a> {
    pub entry: &'a str,
    pub cover: [u32; 3],
}

/// A kernel from outside the crate, before it is checked.
pub struct CustomKernel<'a> {
    /// What profiles and errors call it.
    pub label: &'a str,
    /// WGSL. Tensors are `var<storage, ..>` by name (`@group(0)`), a `Params` uniform is `var<uniform> params: Params` (`@group(1) @binding(0)`).
    /// Extents behind the tensors (`// [columns/32][rows][32]`, see `shaders/extent.rs`) are for readers: the shader runs with bounds checks on.
    pub source: &'a str,
    /// Files of `shaders/shared/` that are appended: `index`, `bits`, `step`.
    pub imports: &'a [&'a str],
    /// Entry point.
    pub entry: &'a str,
    /// Tensors by name, in the order of their declarations.
    pub bindings: &'a [(&'a str, Access)],
    /// Elements of the grid that one workgroup covers.
    pub cover: [u32; 3],
}

impl Kernel {
    /// A kernel from outside the crate, with its twin. The source is checked by naga where there is one: with the feature `gpu`, but not in a
    /// browser, whose own compiler checks it later. It must parse, have the entry point, and bind what is declared. Kernels live as long as the program.
    pub fn new(custom: &CustomKernel<'_>, twin: impl Fn(&mut Task<'_>) + Sync + 'static) -> Result<&'static Self> {
        let wrong = |message: String| Error::Kernel { kernel: custom.label.into(), message };
        const OWN: &str = "custom";
        let find = |name: &str| if name == OWN { Some(custom.source) } else { assemble::piece(name) };
        let shared: Vec<String> = custom.imports.iter().map(|name| format!("shared/{name}")).collect();
        if let Some(name) = custom.imports.iter().find(|name| find(&format!("shared/{name}")).is_none()) {
            return Err(wrong(format!(
                "import: expected one of {}, got `{name}`",
                assemble::shared_names().join(", ")
            )));
        }
        let names: Vec<&str> = [OWN].into_iter().chain(shared.iter().map(String::as_str)).collect();
        let source = assemble::assemble(&find, &names).map_err(wrong)?.text;
        let cover = Cover { entry: custom.entry, cover: custom.cover };
        Self::from_text(custom.label, source, &[cover], custom.bindings, twin)
    }

    /// The update by a rule from outside the crate, for one storage of its states.
    pub(crate) fn of_rule(
        label: &str,
        rule: &str,
        storage: &str,
        twin: impl Fn(&mut Task<'_>) + Sync + 'static,
    ) -> Result<&'static Self> {
        let wrong = |message: String| Error::Kernel { kernel: label.into(), message };
        const OWN: &str = "rules/outside";
        let find = |name: &str| if name == OWN { Some(rule) } else { assemble::piece(name) };
        let storage = format!("storage/{storage}");
        let names = [OWN, "producers/gradient", "epilogues/update", &storage];
        let text =
            assemble::assemble(&find, &names).and_then(|joined| assemble::unroll(&joined.text)).map_err(wrong)?;
        let bindings: Vec<(&str, Access)> = text.lines().filter_map(declared_binding).collect();
        use super::interface::producers::gradient::{THREADS, WORDS};
        let entries = [("update_words", THREADS), ("update_quads", WORDS)];
        let entries = entries.map(|(entry, words)| Cover { entry, cover: [words, 1, 1] });
        Self::from_text(label, text.clone(), &entries, &bindings, twin)
    }

    /// A kernel with an assembled text; several entry points bind the same.
    pub(crate) fn from_text(
        label: &str,
        source: String,
        entries: &[Cover<'_>],
        bindings: &[(&str, Access)],
        twin: impl Fn(&mut Task<'_>) + Sync + 'static,
    ) -> Result<&'static Self> {
        let uniforms = [0, 1, 3].map(|number| source.contains(&format!("@group(1) @binding({number})")));
        #[cfg(all(feature = "gpu", not(target_arch = "wasm32")))]
        let uniforms = {
            let _ = uniforms;
            let wrong = |message: String| Error::Kernel { kernel: label.into(), message };
            super::gpu::check_source(&source, entries[0].entry, bindings).map_err(wrong)?
        };
        let name = |text: &str| Cow::Owned(text.to_string());
        let binding = |(i, (label, access)): (usize, &(&str, Access))| Binding {
            index: i as u32,
            name: name(label),
            access: *access,
            extent: Cow::Borrowed("any length"),
        };
        let interface = Interface {
            label: String::leak(label.to_string()),
            params: uniforms[0],
            step: uniforms[1],
            grid: uniforms[2],
            shape: Shape::NONE,
            bindings: bindings.iter().enumerate().map(binding).collect(),
        };
        let variant = |cover: &Cover<'_>| -> &'static [Variant] {
            Box::leak(Box::new([Variant {
                entry: name(cover.entry),
                preset: "M",
                source: Source::Text(source.clone()),
                workgroup: [0; 3],
                cover: cover.cover,
                requires: Requirements::NONE,
            }]))
        };
        Ok(Box::leak(Box::new(Self {
            interface,
            variants: entries.iter().map(variant).collect::<Vec<_>>().leak(),
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

/// Name and access of a storage binding that a line of WGSL declares.
fn declared_binding(line: &str) -> Option<(&str, Access)> {
    let (_, rest) = line.split_once(" var<storage, ")?;
    let (access, rest) = rest.split_once("> ")?;
    let (name, ty) = rest.split_once(':')?;
    let access = match (access, ty.contains("atomic<")) {
        (_, true) => Access::Atomic,
        ("read", false) => Access::Read,
        _ => Access::Write,
    };
    Some((name, access))
}

/// A generated struct of buffers: binds by name, in the order of the interface.
pub trait Bind {
    /// The kernel's parameter struct, `()` where it has none.
    type Params: bytemuck::Pod;
    /// The tensors, in binding order.
    fn list(self) -> Vec<BufferArg>;
}

/// Declares a kernel: `kernel!(ADD = ops::add::add, twin = add)`; several entry points of one file may follow each other with `|`.
/// The twin takes the generated `Args` of the first entry; with `task = twin` it takes the task itself, so that one twin serves a producer with any
/// epilogues.
macro_rules! kernel {
    ($(#[$meta:meta])* $name:ident = $folder:ident :: $file:ident :: { $first:ident $(| $more:ident)* }, twin = $twin:path) => {
        $crate::runtime::kernel::kernel!($(#[$meta])* $name = $folder::$file::{ $first $(| $more)* }, |task| {
            $twin($crate::runtime::interface::$folder::$file::$first::Args::take(task))
        });
    };
    ($(#[$meta:meta])* $name:ident = $folder:ident :: $file:ident :: { $first:ident $(| $more:ident)* }, task = $twin:path) => {
        $crate::runtime::kernel::kernel!($(#[$meta])* $name = $folder::$file::{ $first $(| $more)* }, |task| $twin(task));
    };
    ($(#[$meta:meta])* $name:ident = $folder:ident :: $file:ident :: { $first:ident $(| $more:ident)* }, |$task:ident| $twin:expr) => {
        $(#[$meta])*
        pub static $name: $crate::runtime::kernel::Kernel = $crate::runtime::kernel::Kernel {
            interface: $crate::runtime::interface::$folder::$file::$first::INTERFACE,
            variants: &[
                $crate::runtime::interface::$folder::$file::$first::VARIANTS
                $(, $crate::runtime::interface::$folder::$file::$more::VARIANTS)*
            ],
            trusted: true,
            twin: &|$task: &mut $crate::runtime::kernel::Task<'_>| $twin,
        };
    };
}
pub(crate) use kernel;
