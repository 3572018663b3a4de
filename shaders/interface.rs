//! Reads every shader with naga and tells Rust what is in it.
//!
//! A file `shaders/DIR/NAME.wgsl` becomes the module `DIR::NAME` of `interface.rs` in the output folder: its `Params` as a Rust
//! struct, and for each entry point the bindings, the tasks' typed arguments and one `Variant` per preset. A mistake in a shader
//! is a build error with file, line and excerpt. Three habits of our files are settled here, once:
//! - `// import: bits, step` appends `shaders/shared/{bits,step}.wgsl` (at the end, so line numbers stay those of the file);
//! - `const TILE: u32 = 8u; // tunable S=4 M=8` makes a preset of each letter: the text once more, with other values;
//! - a `for` loop over constant bounds whose line ends in `// unroll` is written out, since naga's loops defeat other unrollers.

use std::{collections::BTreeMap, env, fmt::Write as _, fs, path::Path, path::PathBuf};

#[path = "kernels.rs"]
mod kernels;
#[path = "reflect.rs"]
mod reflect;
#[path = "text.rs"]
mod text;

/// Folders of kernels, in the order of the floors; `shared/` holds what they import.
const ROOMS: [&str; 2] = ["ops", "optim"];

/// Reads the shaders, writes `interface.rs` to the output folder. The error names file and line, with an excerpt.
pub fn write() -> Result<(), String> {
    let package = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let target = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
    let root = package.join("shaders");
    let shared: BTreeMap<String, String> = wgsl_files(&root.join("shared"))?.into_iter().collect();
    let mut out = String::from("// Made by shaders/build.rs from the shaders.\n");
    out += &reflect::shared_struct("StepParams", &parse("shared/step.wgsl", &shared["step"])?)?;
    // For kernels from outside the crate, which may import the same files.
    writeln!(out, "pub(super) const SHARED: &[(&str, &str)] = &{:?};", shared.iter().collect::<Vec<_>>())
        .expect("strings grow");
    for room in ROOMS {
        writeln!(out, "#[doc = \"Kernels of `shaders/{room}/`.\"]\npub mod {room} {{").expect("strings grow");
        for (name, source) in wgsl_files(&root.join(room))? {
            let path = format!("{room}/{name}.wgsl");
            out += &shader(room, &name, &source, &shared).map_err(|e| format!("shaders/{path}: {e}"))?;
        }
        out += "}\n";
    }
    for room in ROOMS {
        write_changed(&target.join(format!("kernels_{room}.rs")), &kernels::registry(&package.join("src"), room)?)?;
    }
    write_changed(&target.join("interface.rs"), &out)
}

/// Leaves a file alone that already says this, so that nothing is compiled again for it.
fn write_changed(path: &Path, text: &str) -> Result<(), String> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}

/// `(stem, text)` of each `.wgsl` file of a folder, sorted.
fn wgsl_files(folder: &Path) -> Result<Vec<(String, String)>, String> {
    let failed = |e: std::io::Error| format!("{}: {e}", folder.display());
    let entries: Result<Vec<_>, _> = fs::read_dir(folder).map_err(failed)?.collect();
    let mut files: Vec<PathBuf> = entries.map_err(failed)?.into_iter().map(|e| e.path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "wgsl"));
    files.sort();
    let stem = |path: &Path| path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    files.iter().map(|path| Ok((stem(path), fs::read_to_string(path).map_err(failed)?))).collect()
}

/// One file: every preset parsed and validated, then its module.
fn shader(room: &str, name: &str, source: &str, shared: &BTreeMap<String, String>) -> Result<String, String> {
    let path = format!("{room}/{name}.wgsl");
    let whole = text::with_imports(source, shared)?;
    let mut texts = Vec::new();
    for (preset, rolled) in text::presets(&whole)? {
        // Mistakes are reported on the text as written; what is shipped is the unrolled text, checked once more.
        parse(&path, &rolled)?;
        let unrolled = text::unroll(&rolled)?;
        let parsed = parse(&format!("{path}, preset {preset}, unrolled"), &unrolled)?;
        texts.push((preset, unrolled, parsed));
    }
    reflect::module(room, name, &texts)
}

/// A parsed shader and what the validator found out about it.
pub struct Parsed {
    module: naga::Module,
    info: naga::valid::ModuleInfo,
}

fn parse(path: &str, source: &str) -> Result<Parsed, String> {
    let module = naga::front::wgsl::parse_str(source).map_err(|e| e.emit_to_string_with_path(source, path))?;
    // No capability beyond core WGSL: every kernel here runs in a browser.
    let mut validator =
        naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty());
    let info = validator.validate(&module).map_err(|e| e.emit_to_string_with_path(source, path))?;
    Ok(Parsed { module, info })
}
