//! A kernel: its interface as declared by the shader, the variants of the shader, and its twin on the processor.

use super::assemble;
pub use super::binding::{Access, Binding, BufferArg, BufferId};
use super::task::TaskFn;
pub use super::task::{Task, TaskPanels};
use crate::error::{Error, Result};
use std::borrow::Cow;

/// The names that extents refer to, and the conditions on a dispatch, from the shader's comments.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The u32 members of `Params`, and those of the epilogue's parameters (`epilogue.NAME`): name, and offset in words.
    pub members: [&'static [(&'static str, u32)]; 2],
    /// Named lengths and constants: name and expression.
    pub lengths: &'static [(&'static str, &'static str)],
    /// Comparisons that must hold.
    pub limits: &'static [&'static str],
    /// The largest grid that the shader supports, in brackets; empty if the shader checks its indices itself.
    pub grid: &'static str,
}

impl Shape {
    /// The shape of a kernel without such comments.
    pub const NONE: Self = Self { members: [&[], &[]], lengths: &[], limits: &[], grid: "" };
}

/// The bindings of a kernel: tensors in group 0; uniforms in group 1.
#[derive(Clone, Debug)]
pub struct Interface {
    /// Name in profiles and errors: `folder::file::entry`.
    pub label: &'static str,
    /// Whether the kernel has the `params` uniform, binding 0.
    pub params: bool,
    /// Whether the kernel reads the `step` uniform, binding 1.
    pub step: bool,
    /// Whether the kernel has the `epilogue` uniform, binding 2: the parameters of an epilogue.
    pub epilogue: bool,
    /// Whether the kernel has the `grid` uniform, binding 3, which holds the start of a part of a linear or folded grid.
    pub grid: bool,
    /// The names that extents of the bindings refer to.
    pub shape: Shape,
    /// Tensors, in binding order.
    pub bindings: Cow<'static, [Binding]>,
}

/// A shader that implements the kernel.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Entry point.
    pub entry: Cow<'static, str>,
    /// Letter of the preset.
    pub preset: &'static str,
    /// Source of the text.
    pub source: Source,
    /// `@workgroup_size`; zeros for a kernel from outside the crate, where only the shader declares it.
    pub workgroup: [u32; 3],
    /// Elements of the grid that one workgroup covers.
    pub cover: [u32; 3],
    /// Requirements on the device.
    pub requires: Requirements,
}

/// The source of a variant's text.
#[derive(Clone, Debug)]
pub enum Source {
    /// Files of `shaders/`, by path; they are concatenated when the pipeline is created.
    Pieces(&'static [&'static str]),
    /// The WGSL itself.
    Text(String),
}

/// The requirements of a variant on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requirements {
    /// Features by their names in WGSL: `subgroups`, `f16`.
    pub features: &'static [&'static str],
    /// Minimum workgroup memory in bytes.
    pub workgroup_bytes: u32,
    /// Minimum number of invocations per workgroup.
    pub invocations: u32,
    /// Number of invocations of every subgroup; 0: any.
    pub subgroup_size: u32,
}

impl Requirements {
    /// No requirements beyond WebGPU's defaults.
    pub const NONE: Self = Self { features: &[], workgroup_bytes: 0, invocations: 0, subgroup_size: 0 };
}

impl Variant {
    /// Returns the assembled WGSL. For `browser` it has the `enable` directives that browsers require and naga rejects.
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

/// A kernel. Built-in kernels are statics, declared by the `kernel!` macro from the interfaces that the build script generates;
/// [`Kernel::new`] creates others. All variants and the twin compute the same result.
pub struct Kernel {
    /// Bindings.
    pub interface: Interface,
    /// Shaders by entry point, the simplest first; each entry point may have several presets.
    pub variants: &'static [&'static [Variant]],
    /// The implementation on the processor.
    pub twin: &'static TaskFn,
    /// Whether the kernel is part of this crate. Only those are compiled without bounds checks.
    pub(crate) trusted: bool,
}

/// A producer whose tiles an update can consume.
#[derive(Debug)]
pub struct Updates {
    /// Name of the producer's file in `shaders/producers/`.
    pub producer: &'static str,
    /// Pieces of the update without rule and storage.
    pub pieces: &'static [&'static str],
    /// Elements of the grid that a workgroup of each entry point covers.
    pub covers: &'static [(&'static str, [u32; 3])],
}

/// An entry point, and the number of grid elements that one of its workgroups covers.
pub(crate) struct Cover<'a> {
    pub entry: &'a str,
    pub cover: [u32; 3],
}

/// The definition of a kernel from outside the crate.
pub struct CustomKernel<'a> {
    /// Name in profiles and errors.
    pub label: &'a str,
    /// WGSL source. Tensors are declared as `var<storage, ..>` by name (`@group(0)`), a `Params` uniform as `var<uniform> params: Params`
    /// (`@group(1) @binding(0)`). Extents after the tensors (`// [columns/32][rows][32]`, see `shaders/extent.rs`) are documentation only:
    /// the shader runs with bounds checks.
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
    /// Creates a kernel from outside the crate, with its twin. With the feature `gpu`, naga validates the source; in a browser, the
    /// browser's compiler validates it later. The source must parse, have the entry point, and bind the declared tensors. Kernels live as
    /// long as the process.
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

    /// Creates the kernel that updates by a rule from outside the crate, for one producer of gradients and one storage format of states.
    pub(crate) fn of_rule(
        label: &str,
        rule: &str,
        storage: &str,
        updates: &Updates,
        twin: impl Fn(&mut Task<'_>) + Sync + 'static,
    ) -> Result<&'static Self> {
        let wrong = |message: String| Error::Kernel { kernel: label.into(), message };
        const OWN: &str = "rules/outside";
        let find = |name: &str| if name == OWN { Some(rule) } else { assemble::piece(name) };
        let storage = format!("storage/{storage}");
        let names: Vec<&str> = [OWN].into_iter().chain(updates.pieces.iter().copied()).chain([&*storage]).collect();
        let text =
            assemble::assemble(&find, &names).and_then(|joined| assemble::unroll(&joined.text)).map_err(wrong)?;
        let bindings: Vec<(&str, Access)> = text.lines().filter_map(declared_binding).collect();
        if bindings.len() > assemble::MAX_STORAGE_BUFFERS {
            let names: Vec<&str> = bindings.iter().map(|(name, _)| *name).collect();
            return Err(wrong(format!("expected at most 8 storage buffers, got {}", names.join(", "))));
        }
        let entries: Vec<Cover<'_>> = updates.covers.iter().map(|&(entry, cover)| Cover { entry, cover }).collect();
        Self::from_text(label, text.clone(), &entries, &bindings, twin)
    }

    /// Creates a kernel from an assembled text; several entry points share the bindings.
    pub(crate) fn from_text(
        label: &str,
        source: String,
        entries: &[Cover<'_>],
        bindings: &[(&str, Access)],
        twin: impl Fn(&mut Task<'_>) + Sync + 'static,
    ) -> Result<&'static Self> {
        let uniforms = [0, 1, 2, 3].map(|number| source.contains(&format!("@group(1) @binding({number})")));
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
            epilogue: uniforms[2],
            grid: uniforms[3],
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

    /// Returns the name for profiles and errors.
    pub fn label(&self) -> &'static str {
        self.interface.label
    }

    /// Returns whether the kernel is part of this crate, so that its shader may run without bounds checks.
    pub fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// Returns all variants of all entry points.
    pub fn all_variants(&self) -> impl Iterator<Item = &'static Variant> {
        self.variants.iter().flat_map(|entry| entry.iter())
    }
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kernel({})", self.label())
    }
}

/// Returns name and access of the storage binding that a line of WGSL declares.
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

/// A generated struct of buffers, which binds by name in the order of the interface.
pub trait Bind {
    /// The kernel's parameter struct; `()` if it has none.
    type Params: bytemuck::Pod;
    /// Returns the tensors in binding order.
    fn list(self) -> Vec<BufferArg>;
}

/// Declares a kernel: `kernel!(ADD = ops::add::add, twin = add)`. Several entry points of one file may follow each other, separated by `|`.
/// The twin receives the generated `Args` of the first entry point. With `task = twin` it receives the task itself, so that one twin serves
/// a producer with any epilogues.
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
