//! From a parsed shader to Rust: parameter structs, bindings, tasks' arguments, variants.

use super::Parsed;
use naga::{AddressSpace, ArraySize, Scalar, ScalarKind, TypeInner, valid::GlobalUse};
use std::fmt::Write as _;

/// Group of the tensors; the other group holds `Params` (binding 0) and `StepParams` (binding 1).
const TENSORS: u32 = 0;

/// The Rust twin of a struct that several files share.
pub fn shared_struct(name: &str, parsed: &Parsed) -> Result<String, String> {
    rust_struct(name, &parsed.module)
}

/// The module of one file; `texts` holds its presets.
pub fn module(room: &str, file: &str, texts: &[(String, String, Parsed)]) -> Result<String, String> {
    let (_, _, first) = &texts[0];
    let mut out = format!("#[doc = \"Kernels of `shaders/{room}/{file}.wgsl`.\"]\npub mod {file} {{\n");
    for (preset, text, _) in texts {
        writeln!(out, "const SOURCE_{preset}: &str = {text:?};").expect("strings grow");
    }
    if first.module.types.iter().any(|(_, t)| t.name.as_deref() == Some("Params")) {
        out += &rust_struct("Params", &first.module)?;
    }
    for index in 0..first.module.entry_points.len() {
        out += &entry(room, file, index, texts)?;
    }
    Ok(out + "}\n")
}

/// A `#[repr(C)]` struct with the offsets that WGSL gives its members, tail padding included.
fn rust_struct(name: &str, module: &naga::Module) -> Result<String, String> {
    let mut types = module.types.iter().map(|(_, t)| t);
    let found = types.find(|t| t.name.as_deref() == Some(name)).ok_or(format!("there is no struct `{name}`"))?;
    let TypeInner::Struct { members, span } = &found.inner else { return Err(format!("`{name}` is no struct")) };
    let mut out = format!(
        "#[doc = \"`{name}` of the shader, member for member.\"]\n#[repr(C)]\n\
         #[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]\npub struct {name} {{\n"
    );
    let mut at = 0;
    for member in members {
        if member.offset != at {
            return Err(format!(
                "`{name}` has a hole before `{}`: order its members by size",
                member.name.clone().unwrap_or_default()
            ));
        }
        let label = member.name.clone().ok_or("a member without a name")?;
        let (rust, bytes) = rust_type(module, &module.types[member.ty].inner)?;
        writeln!(out, "#[doc = \"Member `{label}`.\"]\npub {label}: {rust},").expect("strings grow");
        at += bytes;
    }
    if at != *span {
        return Err(format!("`{name}` ends in padding: {at} bytes of {span}; fill it up with members"));
    }
    Ok(out + "}\n")
}

fn rust_type(module: &naga::Module, inner: &TypeInner) -> Result<(String, u32), String> {
    match inner {
        TypeInner::Scalar(scalar) => Ok((scalar_type(*scalar)?.to_string(), 4)),
        TypeInner::Vector { size, scalar } => {
            Ok((format!("[{}; {}]", scalar_type(*scalar)?, *size as u32), 4 * *size as u32))
        }
        TypeInner::Array { base, size: ArraySize::Constant(n), stride } => {
            let (element, bytes) = rust_type(module, &module.types[*base].inner)?;
            if bytes != *stride {
                return Err("an array in a uniform struct has a stride of 16 bytes: make it of vec4".into());
            }
            Ok((format!("[{element}; {n}]"), stride * n.get()))
        }
        other => Err(format!("{other:?} has no Rust twin")),
    }
}

fn scalar_type(scalar: Scalar) -> Result<&'static str, String> {
    match (scalar.kind, scalar.width) {
        (ScalarKind::Float, 4) => Ok("f32"),
        (ScalarKind::Sint, 4) => Ok("i32"),
        (ScalarKind::Uint, 4) => Ok("u32"),
        _ => Err(format!("{scalar:?} has no Rust twin")),
    }
}

/// What one tensor binding is in Rust.
struct Binding {
    index: u32,
    name: String,
    access: &'static str,
    element: &'static str,
    /// Whether a task has a piece of each part of it.
    pieces: bool,
}

fn entry(room: &str, file: &str, index: usize, texts: &[(String, String, Parsed)]) -> Result<String, String> {
    let (_, _, first) = &texts[0];
    let name = &first.module.entry_points[index].name;
    let mut bindings = tensor_bindings(first, index)?;
    let text = &texts[0].1;
    let lines = text.lines().filter_map(|line| line.strip_prefix("// pieces:"));
    let pieces: Vec<&str> = lines.flat_map(|names| names.split(',').map(str::trim)).collect();
    for b in bindings.iter_mut().filter(|b| b.access == "Write") {
        b.pieces = pieces.contains(&b.name.as_str());
    }
    let uses = |group: u32, binding: u32| {
        let info = first.info.get_entry_point(index);
        let mut globals = first.module.global_variables.iter();
        globals.any(|(h, g)| {
            !info[h].is_empty() && g.binding.as_ref().is_some_and(|b| (b.group, b.binding) == (group, binding))
        })
    };
    let (params, step) = (uses(1, 0), uses(1, 1));
    let mut out = format!("#[doc = \"Entry point `{name}`.\"]\npub mod {name} {{\nuse crate::runtime::kernel as k;\n");
    writeln!(out, "#[doc = \"Its bindings, in order.\"]\npub const INTERFACE: k::Interface = k::Interface {{ label: \"{room}::{file}::{name}\", params: {params}, step: {step}, bindings: std::borrow::Cow::Borrowed(&[")
        .expect("strings grow");
    for b in &bindings {
        writeln!(
            out,
            "k::Binding {{ index: {}, name: std::borrow::Cow::Borrowed({:?}), access: k::Access::{} }},",
            b.index, b.name, b.access
        )
        .expect("strings grow");
    }
    out += "]) };\n#[doc = \"The text, preset by preset.\"]\npub const VARIANTS: &[k::Variant] = &[";
    for (preset, _, parsed) in texts {
        let point = &parsed.module.entry_points[index];
        let cover = cover(parsed, name)?.unwrap_or(point.workgroup_size);
        writeln!(
            out,
            "k::Variant {{ entry: std::borrow::Cow::Borrowed({name:?}), preset: {preset:?}, source: std::borrow::Cow::Borrowed(super::SOURCE_{preset}), workgroup: {:?}, cover: {cover:?} }},",
            point.workgroup_size
        )
        .expect("strings grow");
    }
    out += "];\n";
    out += &arguments(&bindings, params, step);
    Ok(out + "}\n")
}

/// Tensor bindings that an entry point uses, in index order.
fn tensor_bindings(parsed: &Parsed, entry: usize) -> Result<Vec<Binding>, String> {
    let (module, info) = (&parsed.module, parsed.info.get_entry_point(entry));
    let mut out = Vec::new();
    for (handle, global) in module.global_variables.iter() {
        let (Some(binding), Some(name)) = (&global.binding, &global.name) else { continue };
        let AddressSpace::Storage { access } = global.space else { continue };
        if binding.group != TENSORS || info[handle].is_empty() {
            continue;
        }
        let TypeInner::Array { base, .. } = &module.types[global.ty].inner else {
            return Err(format!("`{name}` is no array"));
        };
        let (element, atomic) = match &module.types[*base].inner {
            TypeInner::Atomic(scalar) => (scalar_type(*scalar)?, true),
            TypeInner::Scalar(scalar) | TypeInner::Vector { scalar, .. } => (scalar_type(*scalar)?, false),
            other => return Err(format!("`{name}`: elements of {other:?} have no Rust twin")),
        };
        let writes = access.contains(naga::StorageAccess::STORE);
        if writes && !atomic && !info[handle].contains(GlobalUse::WRITE) {
            return Err(format!(
                "`{name}` is read_write and entry `{}` never writes it",
                module.entry_points[entry].name
            ));
        }
        let access = if atomic {
            "Atomic"
        } else if writes {
            "Write"
        } else {
            "Read"
        };
        out.push(Binding { index: binding.binding, name: name.clone(), access, element, pieces: false });
    }
    out.sort_by_key(|b| b.index);
    if out.len() > 8 {
        return Err(format!("{} storage buffers in one entry point: 8 are promised everywhere", out.len()));
    }
    Ok(out)
}

/// `const COVER_entry: vec3<u32>`, or `const COVER` for every entry of the file: the elements that a workgroup covers.
fn cover(parsed: &Parsed, entry: &str) -> Result<Option<[u32; 3]>, String> {
    let module = &parsed.module;
    let named =
        |name: &str| module.constants.iter().find(|(_, c)| c.name.as_deref() == Some(name)).map(|(_, c)| c.init);
    let Some(init) = named(&format!("COVER_{entry}")).or(named("COVER")) else { return Ok(None) };
    let literal = |handle| match module.global_expressions[handle] {
        naga::Expression::Literal(naga::Literal::U32(value)) => Ok(value),
        _ => Err("COVER is a vec3<u32> of constants".to_string()),
    };
    match &module.global_expressions[init] {
        naga::Expression::Compose { components, .. } if components.len() == 3 => {
            Ok(Some([literal(components[0])?, literal(components[1])?, literal(components[2])?]))
        }
        _ => Err("COVER is a vec3<u32> of constants".into()),
    }
}

/// `Args`, what a twin receives, and `Buffers`, what a dispatch names.
fn arguments(bindings: &[Binding], params: bool, step: bool) -> String {
    let (mut args, mut take, mut buffers, mut list) = (String::new(), String::new(), String::new(), String::new());
    for Binding { name, access, element, pieces, .. } in bindings {
        let (rust, buffer) = match *access {
            "Write" if *pieces => (format!("k::Pieces<'a, {element}>"), "k::BufferArg"),
            "Read" => (format!("&'a [{element}]"), "k::BufferId"),
            "Write" => (format!("&'a mut [{element}]"), "k::BufferArg"),
            _ => ("&'a [std::sync::atomic::AtomicU32]".to_string(), "k::BufferId"),
        };
        let (getter, convert) = match *access {
            "Write" if *pieces => ("pieces", ""),
            "Read" => ("read", ".into()"),
            "Write" => ("write", ""),
            _ => ("atomic", ".into()"),
        };
        writeln!(args, "#[doc = \"Binding `{name}`.\"]\npub {name}: {rust},").expect("strings grow");
        writeln!(take, "{name}: task.{getter}({}),", list.lines().count()).expect("strings grow");
        writeln!(buffers, "#[doc = \"Binding `{name}`.\"]\npub {name}: {buffer},").expect("strings grow");
        writeln!(list, "self.{name}{convert},").expect("strings grow");
    }
    if params {
        args += "#[doc = \"Parameters of the dispatch.\"]\npub params: &'a super::Params,\n";
        take += "params: task.params(),\n";
    }
    if step {
        args += "#[doc = \"Values of this step.\"]\npub step: &'a crate::runtime::interface::StepParams,\n";
        take += "step: task.step(),\n";
    }
    let of = if params { "super::Params" } else { "()" };
    format!(
        "#[doc = \"What one task of the twin receives.\"]\npub struct Args<'a> {{ #[doc = \"Number of the task.\"] pub index: usize,\n{args}}}\n\
         impl<'a> Args<'a> {{ #[doc = \"Takes the task's slices by their names.\"]\npub fn take(task: &mut k::Task<'a>) -> Self {{ Self {{ index: task.index(),\n{take}}} }} }}\n\
         #[doc = \"What a dispatch binds.\"]\npub struct Buffers {{\n{buffers}}}\n\
         impl k::Bind for Buffers {{ type Params = {of}; fn list(self) -> Vec<k::BufferArg> {{ vec![{list}] }} }}\n"
    )
}
