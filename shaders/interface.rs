//! Reads every shader with naga and tells Rust what is in it.
//!
//! A file `shaders/DIR/NAME.wgsl` becomes the module `DIR::NAME` of `interface.rs` in the output folder: its constants, its `Params` as a Rust
//! struct (structs of shared files once, in `shared::NAME`), and for each entry point the bindings with their extents, the tasks' typed arguments
//! and one `Variant` for each preset. A producer has these once for each chain of epilogues that it permits (`// epilogues: store, mask+store`).
//! A mistake in a shader, an extent or a composition is a build error with file and line.

use std::{collections::BTreeMap, env, fmt::Write as _, fs, path::Path, path::PathBuf};

#[path = "assemble.rs"]
mod assemble;
#[path = "extent.rs"]
mod extent;
#[path = "kernels.rs"]
mod kernels;
#[path = "reflect.rs"]
mod reflect;
#[path = "rules.rs"]
mod rules;

use assemble::Assembled;

/// Folders of kernels that become modules; the others hold pieces.
const FOLDERS: [&str; 2] = ["ops", "producers"];
/// Folders of pieces.
const PIECES: [&str; 4] = ["shared", "epilogues", "rules", "storage"];

/// Every file by its path under `shaders/`, without the ending.
pub type Files = BTreeMap<String, String>;

/// Reads the shaders, writes `interface.rs` and the lists of kernels to the output folder. The error names file and line, with an excerpt.
pub fn write() -> Result<(), String> {
    let package = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let target = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
    let mut files = Files::new();
    for folder in FOLDERS.iter().chain(&PIECES) {
        read_folder(&package.join("shaders"), folder, &mut files)?;
    }
    let mut out = String::from("// Made by shaders/build.rs from the shaders.\n");
    writeln!(
        out,
        "/// Every file of `shaders/`: path without the ending, and text.\npub const PIECES: &[(&str, &str)] = &{:?};",
        files.iter().collect::<Vec<_>>()
    )
    .expect("strings grow");
    out += &shared(&files)?;
    for folder in FOLDERS {
        let names = files.keys().filter_map(|path| path.strip_prefix(folder)?.strip_prefix('/'));
        let modules = names.map(|name| module(&files, folder, name)).collect::<Result<String, _>>()?;
        writeln!(out, "#[doc = \"Kernels of `shaders/{folder}/`.\"]\npub mod {folder} {{\n{modules}}}")
            .expect("strings grow");
    }
    out += &rules::modules(&files)?;
    let src = package.join("src");
    for folder in ["ops", "optim"] {
        write_changed(&target.join(format!("kernels_{folder}.rs")), &kernels::kernels(&src, folder)?)?;
    }
    write_changed(&target.join("binary_rules.rs"), &kernels::rules(&src)?)?;
    write_changed(&target.join("interface.rs"), &out)
}

/// Leaves a file alone that already says this, so that nothing is compiled again for it.
fn write_changed(path: &Path, text: &str) -> Result<(), String> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}

/// Adds each `.wgsl` file of a folder.
fn read_folder(shaders: &Path, folder: &str, files: &mut Files) -> Result<(), String> {
    let place = shaders.join(folder);
    let failed = |e: std::io::Error| format!("{}: {e}", place.display());
    for entry in fs::read_dir(&place).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|e| e == "wgsl") {
            let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
            files.insert(format!("{folder}/{stem}"), fs::read_to_string(&path).map_err(failed)?);
        }
    }
    Ok(())
}

/// The modules of shared files: their structs and constants, once.
fn shared(files: &Files) -> Result<String, String> {
    let mut out = String::from("#[doc = \"Structs and constants of `shaders/shared/`.\"]\npub mod shared {\n");
    for (path, text) in files.iter().filter(|(path, _)| path.starts_with("shared/")) {
        // Some pieces need what the file that imports them says, and are no module by themselves; they are validated there.
        let has_struct = text.contains("\nstruct Params") || text.contains("\nstruct StepParams");
        let parsed = parse(&join(files, &[path.as_str()])?);
        if has_struct || parsed.is_ok() {
            let parsed = parsed?;
            let name = path.trim_start_matches("shared/");
            let structs = reflect::own_structs(text, &parsed).map_err(|e| format!("shaders/{path}.wgsl: {e}"))?;
            let constants = reflect::constants(text, &parsed);
            writeln!(out, "#[doc = \"`shaders/{path}.wgsl`.\"]\npub mod {name} {{\n{structs}{constants}}}")
                .expect("strings grow");
        }
    }
    Ok(out + "}\npub use shared::step::StepParams;\n")
}

/// One file: every chain of epilogues and every preset parsed and validated, then its module.
fn module(files: &Files, folder: &str, name: &str) -> Result<String, String> {
    let path = format!("{folder}/{name}");
    let text = &files[&path];
    let chains: Vec<&str> = assemble::marked(text, "epilogues").collect();
    let chains = if chains.is_empty() { vec![""] } else { chains };
    let (mut out, mut is_first) = (String::new(), true);
    for chain in chains {
        let mut names = vec![path.clone()];
        names.extend(chain.split('+').filter(|name| !name.is_empty()).map(|name| format!("epilogues/{name}")));
        // The modules of its entry points are those of the rules; any of them shows its parameters.
        let is_update = chain == "update";
        if is_update {
            names.extend(["rules/ema".to_string(), "storage/f32".to_string()]);
        }
        let kernel = texts(files, &names)?;
        if is_first {
            out += &reflect::params(files, &path, &kernel.texts[0].parsed)
                .map_err(|e| format!("shaders/{path}.wgsl: {e}"))?;
            out += &reflect::constants(text, &kernel.texts[0].parsed);
            is_first = false;
        }
        if !is_update {
            out += &reflect::entries(&kernel, &suffix(chain)).map_err(|e| format!("shaders/{path}.wgsl: {e}"))?;
        }
    }
    Ok(format!("#[doc = \"Kernels of `shaders/{path}.wgsl`.\"]\npub mod {name} {{\n{out}}}\n"))
}

/// What a chain of epilogues adds to an entry point's name.
fn suffix(chain: &str) -> String {
    chain.split('+').filter(|name| !name.is_empty() && *name != "store").map(|name| format!("_{name}")).collect()
}

/// A combination of pieces, and its texts by preset.
pub struct Combination {
    /// Paths of the pieces.
    pub names: Vec<String>,
    /// Their text, before presets and unrolled loops.
    pub text: String,
    /// By preset.
    pub texts: Vec<Text>,
}

/// One text, parsed.
pub struct Text {
    /// Letter of the preset.
    pub preset: String,
    /// The module and what the validator found out about it.
    pub parsed: Parsed,
}

/// Assembles, parses and validates a combination of pieces in every preset.
pub fn texts(files: &Files, names: &[String]) -> Result<Combination, String> {
    let joined = join(files, &names.iter().map(String::as_str).collect::<Vec<_>>())?;
    let mut texts = Vec::new();
    for preset in assemble::presets(&joined.text) {
        // Mistakes are reported on the text as written; what is shipped is the unrolled text, checked once more.
        let rolled = Assembled { text: assemble::tuned(&joined.text, &preset)?, ..joined.clone() };
        parse(&rolled)?;
        let unrolled = assemble::unroll(&rolled.text)?;
        let parsed = parse(&Assembled { text: unrolled, ..joined.clone() })
            .map_err(|e| format!("{e}\n(unrolled, preset {preset})"))?;
        texts.push(Text { preset, parsed });
    }
    Ok(Combination { names: names.to_vec(), text: joined.text, texts })
}

fn join(files: &Files, names: &[&str]) -> Result<Assembled, String> {
    let find = |name: &str| files.get(name).map(String::as_str);
    assemble::assemble(&find, names).map_err(|e| format!("shaders/{}.wgsl: {e}", names.join(" + ")))
}

/// A parsed shader and what the validator found out about it.
pub struct Parsed {
    /// The module.
    pub module: naga::Module,
    /// Uses of globals by entry point.
    pub info: naga::valid::ModuleInfo,
    /// Bytes of workgroup memory by global.
    pub layouter: naga::proc::Layouter,
}

fn parse(assembled: &Assembled) -> Result<Parsed, String> {
    let source = assembled.text.as_str();
    let place = |line: Option<u32>| {
        let (path, line) = assembled.origin(line.unwrap_or(1) as usize);
        format!("shaders/{path}.wgsl:{line}")
    };
    let module = naga::front::wgsl::parse_str(source).map_err(|e| {
        let at = place(e.location(source).map(|location| location.line_number));
        format!("{at}: {}", e.emit_to_string(source))
    })?;
    let mut validator = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), reflect::capabilities(source));
    let info = validator.validate(&module).map_err(|e| {
        let at = place(e.location(source).map(|location| location.line_number));
        format!("{at}: {}", e.emit_to_string(source))
    })?;
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).map_err(|e| e.to_string())?;
    Ok(Parsed { module, info, layouter })
}
