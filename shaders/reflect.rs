//! Generates Rust from parsed shaders: parameter structs, constants, bindings and their extents, tasks' arguments, variants.

use super::shape::{Shape, canonical, comment, literal};
use super::{Combination, Files, Parsed, assemble, extent};
use naga::{AddressSpace, ArraySize, Scalar, ScalarKind, TypeInner, valid::Capabilities, valid::GlobalUse};
use std::fmt::Write as _;

/// Group of the tensors; the other group holds the uniforms.
const TENSORS: u32 = 0;

/// Bytes of workgroup memory that WebGPU guarantees.
const WORKGROUP_BYTES: u32 = 16_384;

/// Returns the naga capabilities that the text's line `// requires: NAME, ...` names; without such a line only core WGSL is permitted. A line may
/// also name the size of subgroups, `subgroup_size N`.
pub fn capabilities(text: &str) -> Capabilities {
    assemble::marked(text, "requires").fold(Capabilities::empty(), |all, name| match name {
        "subgroups" => all | Capabilities::SUBGROUP,
        "f16" => all | Capabilities::SHADER_FLOAT16,
        _ => all,
    })
}

/// Generates the structs that a shared file declares itself.
pub fn own_structs(text: &str, parsed: &Parsed) -> Result<String, String> {
    let names = ["Params", "StepParams"].into_iter().filter(|name| declares(text, name));
    names.map(|name| rust_struct(name, &parsed.module)).collect()
}

fn declares(text: &str, name: &str) -> bool {
    text.lines().any(|line| line.strip_prefix("struct ").and_then(|rest| rest.split_whitespace().next()) == Some(name))
}

/// Generates `Params` of a kernel's file: its own struct, or a re-export from the shared file that declares it.
pub fn params(files: &Files, path: &str, parsed: &Parsed) -> Result<String, String> {
    if declares(&files[path], "Params") {
        return rust_struct("Params", &parsed.module);
    }
    let (mut wanted, mut seen) = (vec![path.to_string()], Vec::new());
    while let Some(path) = wanted.pop() {
        let Some(text) = files.get(&path).filter(|_| !seen.contains(&path)) else { continue };
        if let (Some(name), true) = (path.strip_prefix("shared/"), declares(text, "Params")) {
            return Ok(format!("pub use super::super::shared::{name}::Params;\n"));
        }
        wanted.extend(assemble::marked(text, "import").map(|name| format!("shared/{name}")));
        seen.push(path);
    }
    Ok(String::new())
}

/// Generates the scalar constants of a file that are not tunable.
pub fn constants(text: &str, parsed: &Parsed) -> String {
    let mut out = String::new();
    for line in text.lines().filter(|line| line.starts_with("const ") && !line.contains("// tunable")) {
        let name = line["const ".len()..].split(':').next().unwrap_or_default().trim();
        let (ty, value) = match literal(parsed, name) {
            Some(naga::Literal::U32(value)) => ("u32", value.to_string()),
            Some(naga::Literal::I32(value)) => ("i32", value.to_string()),
            Some(naga::Literal::F32(value)) => ("f32", format!("{value:?}")),
            _ => continue,
        };
        writeln!(out, "#[doc = \"Constant `{name}` of the shader.\"]\npub const {name}: {ty} = {value};")
            .expect("writing to a string cannot fail");
    }
    out
}

/// Generates the struct of a uniform.
pub fn uniform_struct(uniform: &str, parsed: &Parsed) -> Result<String, String> {
    let mut globals = parsed.module.global_variables.iter().map(|(_, global)| global);
    let found = globals.find(|global| global.name.as_deref() == Some(uniform));
    let name = found.and_then(|global| parsed.module.types[global.ty].name.as_deref());
    rust_struct(name.ok_or_else(|| format!("there is no uniform `{uniform}` of a struct"))?, &parsed.module)
}

/// Returns each entry point with the elements that one of its workgroups covers.
pub fn covers(combination: &Combination) -> Result<Vec<(String, [u32; 3])>, String> {
    let parsed = &combination.texts[0].parsed;
    let points = parsed.module.entry_points.iter();
    points.map(|p| Ok((p.name.clone(), cover(parsed, &p.name)?.unwrap_or(p.workgroup_size)))).collect()
}

/// Generates a `#[repr(C)]` struct whose members have their WGSL offsets.
fn rust_struct(name: &str, module: &naga::Module) -> Result<String, String> {
    let mut types = module.types.iter().map(|(_, t)| t);
    let found = types.find(|t| t.name.as_deref() == Some(name)).ok_or(format!("there is no struct `{name}`"))?;
    let TypeInner::Struct { members, span } = &found.inner else { return Err(format!("`{name}` is not a struct")) };
    let mut out = format!(
        "#[doc = \"`{name}` of the shader, member for member.\"]\n#[repr(C)]\n\
         #[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]\npub struct {name} {{\n"
    );
    let mut at = 0;
    for member in members {
        if member.offset != at {
            return Err(format!(
                "`{name}` has padding before `{}`: order its members by size",
                member.name.clone().unwrap_or_default()
            ));
        }
        let label = member.name.clone().ok_or("a member without a name")?;
        let (rust, bytes) = rust_type(module, &module.types[member.ty].inner)?;
        writeln!(out, "#[doc = \"Member `{label}`.\"]\npub {label}: {rust},").expect("writing to a string cannot fail");
        at += bytes;
    }
    if at != *span {
        // WGSL rounds the size of a uniform struct up to the alignment of its vectors.
        writeln!(
            out,
            "#[doc = \"Padding to the alignment of the struct's vectors; must be 0.\"]\npub padding: [u32; {}],",
            (span - at) / 4
        )
        .expect("writing to a string cannot fail");
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
        other => Err(format!("{other:?} has no Rust equivalent")),
    }
}

fn scalar_type(scalar: Scalar) -> Result<&'static str, String> {
    match (scalar.kind, scalar.width) {
        (ScalarKind::Float, 4) => Ok("f32"),
        (ScalarKind::Sint, 4) => Ok("i32"),
        (ScalarKind::Uint, 4) => Ok("u32"),
        _ => Err(format!("{scalar:?} has no Rust equivalent")),
    }
}

/// Rust description of a tensor binding.
struct Binding {
    index: u32,
    name: String,
    access: &'static str,
    element: &'static str,
    /// Whether a task writes a part of every panel.
    per_panel: bool,
    /// Extent, in the syntax of [`extent`].
    extent: String,
}

/// Generates the modules of a combination's entry points, named after the entry point with `suffix` appended.
pub fn entries(combination: &Combination, suffix: &str) -> Result<String, String> {
    let points = combination.texts[0].parsed.module.entry_points.len();
    (0..points).map(|index| entry(combination, index, suffix)).collect()
}

fn entry(combination: &Combination, index: usize, suffix: &str) -> Result<String, String> {
    let first = &combination.texts[0].parsed;
    let name = &first.module.entry_points[index].name;
    let label = format!("{}::{name}{suffix}", combination.names[0].replace('/', "::"));
    let (interface, bindings) = interface(combination, index, &label)?;
    let variants = variants(combination, index)?;
    let (params, step) = (uses(first, index, 0), uses(first, index, 1));
    Ok(format!(
        "#[doc = \"Entry point `{name}{suffix}`.\"]\npub mod {name}{suffix} {{\nuse crate::runtime::kernel as k;\n{interface}{variants}{}}}\n",
        arguments(&bindings, params, step)
    ))
}

/// Returns whether an entry point uses a uniform of group 1.
fn uses(parsed: &Parsed, index: usize, number: u32) -> bool {
    let info = parsed.info.get_entry_point(index);
    let mut globals = parsed.module.global_variables.iter();
    globals.any(|(h, g)| !info[h].is_empty() && g.binding.as_ref().is_some_and(|b| (b.group, b.binding) == (1, number)))
}

/// Returns whether a module declares a uniform of group 1.
fn has_uniform(parsed: &Parsed, number: u32) -> bool {
    let binding = |g: &naga::GlobalVariable| g.binding.as_ref().map(|b| (b.group, b.binding));
    parsed.module.global_variables.iter().any(|(_, global)| binding(global) == Some((1, number)))
}

/// Generates the constant `INTERFACE` of an entry point.
pub fn interface_text(combination: &Combination, index: usize, label: &str) -> Result<String, String> {
    interface(combination, index, label).map(|(text, _)| text)
}

fn interface(combination: &Combination, index: usize, label: &str) -> Result<(String, Vec<Binding>), String> {
    let first = &combination.texts[0].parsed;
    let name = &first.module.entry_points[index].name;
    let bindings = tensor_bindings(combination, index)?;
    let [params, step, epilogue] = [0, 1, 2].map(|number| uses(first, index, number));
    let grid = has_uniform(first, 3);
    let extents = bindings.iter().map(|binding| binding.extent.as_str());
    let shape = Shape::of(&combination.text, first, name, extents)?;
    let mut out = format!(
        "#[doc = \"Bindings of the entry point, in order.\"]\n\
         pub const INTERFACE: k::Interface = k::Interface {{ label: {label:?}, params: {params}, step: {step}, epilogue: {epilogue}, grid: {grid}, \
         shape: {}, bindings: std::borrow::Cow::Borrowed(&[",
        shape.rust()
    );
    for b in &bindings {
        writeln!(
            out,
            "k::Binding {{ index: {}, name: std::borrow::Cow::Borrowed({:?}), access: k::Access::{}, extent: std::borrow::Cow::Borrowed({:?}) }},",
            b.index, b.name, b.access, b.extent
        )
        .expect("writing to a string cannot fail");
    }
    Ok((out + "]) };\n", bindings))
}

/// Generates the constant `VARIANTS` of an entry point: one for each preset.
pub fn variants(combination: &Combination, index: usize) -> Result<String, String> {
    let mut out = String::from("#[doc = \"One variant per preset.\"]\npub const VARIANTS: &[k::Variant] = &[");
    for text in &combination.texts {
        let parsed = &text.parsed;
        let point = &parsed.module.entry_points[index];
        let cover = cover(parsed, &point.name)?.unwrap_or(point.workgroup_size);
        let (sizes, features): (Vec<&str>, Vec<&str>) =
            assemble::marked(&combination.text, "requires").partition(|name| name.starts_with("subgroup_size "));
        if let Some(unknown) = features.iter().find(|name| !["subgroups", "f16"].contains(name)) {
            return Err(format!("`// requires: {unknown}`: expected subgroups, f16 or subgroup_size N"));
        }
        let subgroup_size: u32 = match sizes[..] {
            [] => 0,
            [size] => size["subgroup_size ".len()..]
                .trim()
                .parse()
                .map_err(|_| format!("`// requires: {size}`: expected a number"))?,
            _ => return Err("`// requires:` names more than one size of subgroups".into()),
        };
        let bytes = workgroup_bytes(parsed, index);
        let invocations: u32 = point.workgroup_size.iter().product();
        if features.is_empty() && (bytes > WORKGROUP_BYTES || invocations > 256) {
            return Err(format!(
                "`{}` uses {bytes} bytes of workgroup memory and {invocations} invocations, more than WebGPU guarantees: add `// requires:`",
                point.name
            ));
        }
        writeln!(
            out,
            "k::Variant {{ entry: std::borrow::Cow::Borrowed({:?}), preset: {:?}, source: k::Source::Pieces(&{:?}), workgroup: {:?}, cover: {cover:?}, \
             requires: k::Requirements {{ features: &{features:?}, workgroup_bytes: {bytes}, invocations: {invocations}, subgroup_size: {subgroup_size} }} }},",
            point.name, text.preset, combination.names, point.workgroup_size
        )
        .expect("writing to a string cannot fail");
    }
    Ok(out + "];\n")
}

/// Returns the bytes of workgroup memory that an entry point uses.
fn workgroup_bytes(parsed: &Parsed, index: usize) -> u32 {
    let info = parsed.info.get_entry_point(index);
    let globals = parsed.module.global_variables.iter();
    let used = globals.filter(|(h, g)| g.space == AddressSpace::WorkGroup && !info[*h].is_empty());
    used.map(|(_, g)| parsed.layouter[g.ty].size).sum()
}

/// Returns the tensor bindings that an entry point uses, in index order.
fn tensor_bindings(combination: &Combination, entry: usize) -> Result<Vec<Binding>, String> {
    let parsed = &combination.texts[0].parsed;
    let (module, info) = (&parsed.module, parsed.info.get_entry_point(entry));
    let entry = &module.entry_points[entry].name;
    let per_panel: Vec<&str> = assemble::marked(&combination.text, "per panel").collect();
    let mut out = Vec::new();
    for (handle, global) in module.global_variables.iter() {
        let (Some(binding), Some(name)) = (&global.binding, &global.name) else { continue };
        let AddressSpace::Storage { access } = global.space else { continue };
        if binding.group != TENSORS || info[handle].is_empty() {
            continue;
        }
        let TypeInner::Array { base, .. } = &module.types[global.ty].inner else {
            return Err(format!("`{name}` is not an array"));
        };
        let (element, atomic) = match &module.types[*base].inner {
            TypeInner::Atomic(scalar) => (scalar_type(*scalar)?, true),
            TypeInner::Scalar(scalar) | TypeInner::Vector { scalar, .. } => (scalar_type(*scalar)?, false),
            other => return Err(format!("`{name}`: elements of type {other:?} have no Rust equivalent")),
        };
        let writes = access.contains(naga::StorageAccess::STORE);
        if writes && !atomic && !info[handle].contains(GlobalUse::WRITE) {
            return Err(format!("`{name}` is read_write, but entry point `{entry}` never writes it"));
        }
        let access = match (atomic, writes) {
            (true, _) => "Atomic",
            (false, true) => "Write",
            (false, false) => "Read",
        };
        let extent =
            canonical(comment(&combination.text, name)?, entry).map_err(|e| format!("binding `{name}`: {e}"))?;
        let per_panel = access == "Write" && per_panel.contains(&name.as_str());
        out.push(Binding { index: binding.binding, name: name.clone(), access, element, per_panel, extent });
    }
    let bound: Vec<String> = out.iter().map(|b| b.name.clone()).collect();
    for binding in &mut out {
        // `as NAME` may refer to a binding that this entry point does not use: the extent of NAME is inlined.
        if let extent::Extent::As(name) = extent::parse(&binding.extent, entry)?
            && !bound.iter().any(|other| other == name)
        {
            binding.extent = canonical(comment(&combination.text, name)?, entry)?;
        }
    }
    out.sort_by_key(|b| b.index);
    if out.len() > assemble::MAX_STORAGE_BUFFERS {
        let names = out.iter().map(|b| b.name.as_str()).collect::<Vec<_>>().join(", ");
        return Err(format!("`{entry}` binds {} storage buffers ({names}): WebGPU guarantees only 8", out.len()));
    }
    Ok(out)
}

/// Returns the elements that a workgroup covers: `const COVER_entry: vec3<u32>`, or `const COVER` for all entry points of the file.
fn cover(parsed: &Parsed, entry: &str) -> Result<Option<[u32; 3]>, String> {
    let module = &parsed.module;
    let named =
        |name: &str| module.constants.iter().find(|(_, c)| c.name.as_deref() == Some(name)).map(|(_, c)| c.init);
    let Some(init) = named(&format!("COVER_{entry}")).or(named("COVER")) else { return Ok(None) };
    let literal = |handle| match module.global_expressions[handle] {
        naga::Expression::Literal(naga::Literal::U32(value)) => Ok(value),
        _ => Err("COVER: expected a vec3<u32> of constants".to_string()),
    };
    match &module.global_expressions[init] {
        naga::Expression::Compose { components, .. } if components.len() == 3 => {
            Ok(Some([literal(components[0])?, literal(components[1])?, literal(components[2])?]))
        }
        _ => Err("COVER: expected a vec3<u32> of constants".into()),
    }
}

/// Generates `Args`, the arguments of a twin's task, and `Buffers`, the buffers of a dispatch.
fn arguments(bindings: &[Binding], params: bool, step: bool) -> String {
    let (mut args, mut take, mut buffers, mut list) = (String::new(), String::new(), String::new(), String::new());
    for Binding { name, access, element, per_panel, .. } in bindings {
        let (rust, buffer) = match *access {
            "Write" if *per_panel => (format!("k::TaskPanels<'a, {element}>"), "k::BufferArg"),
            "Read" => (format!("&'a [{element}]"), "k::BufferId"),
            "Write" => (format!("&'a mut [{element}]"), "k::BufferArg"),
            _ => ("&'a [std::sync::atomic::AtomicU32]".to_string(), "k::BufferId"),
        };
        let (getter, convert) = match *access {
            "Write" if *per_panel => ("panels", ""),
            "Read" => ("read", ".into()"),
            "Write" => ("write", ""),
            _ => ("atomic", ".into()"),
        };
        writeln!(args, "#[doc = \"Binding `{name}`.\"]\npub {name}: {rust},").expect("writing to a string cannot fail");
        writeln!(take, "{name}: task.{getter}({}),", list.lines().count()).expect("writing to a string cannot fail");
        writeln!(buffers, "#[doc = \"Binding `{name}`.\"]\npub {name}: {buffer},")
            .expect("writing to a string cannot fail");
        writeln!(list, "self.{name}{convert},").expect("writing to a string cannot fail");
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
        "#[doc = \"Arguments of one task of the twin.\"]\npub struct Args<'a> {{ #[doc = \"Number of the task.\"] pub index: usize,\n{args}}}\n\
         impl<'a> Args<'a> {{ #[doc = \"Takes the slices of a task by their names.\"]\npub fn take(task: &mut k::Task<'a>) -> Self {{ Self {{ index: task.index(),\n{take}}} }} }}\n\
         #[doc = \"Buffers that a dispatch binds.\"]\npub struct Buffers {{\n{buffers}}}\n\
         impl k::Bind for Buffers {{ type Params = {of}; fn list(self) -> Vec<k::BufferArg> {{ vec![{list}] }} }}\n"
    )
}
