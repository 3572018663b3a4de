//! Lists what Rust files declare, so that no list of it is kept by hand: kernels, and rules of binary weights.

use std::{fs, path::Path, path::PathBuf};

/// The text of `KERNELS` for `src/ROOM/`: what every `kernel!( ... NAME = ...)` of its files declares, by module path.
pub fn kernels(src: &Path, folder: &str) -> Result<String, String> {
    let declared = |text: &str| text.split("\nkernel!(").skip(1).filter_map(kernel).map(str::to_string).collect();
    let list = list(src, folder, &declared)?;
    Ok(format!(
        "/// Every kernel that the files of this folder declare, by module path.\npub static KERNELS: &[&crate::runtime::Kernel] = &[\n{}];\n",
        lines(&list)
    ))
}

/// The text of `BINARY_RULES`: every `pub static NAME: BinaryRule` of the files of `src/optim/`.
pub fn rules(src: &Path) -> Result<String, String> {
    let declared = |text: &str| {
        let lines = text
            .lines()
            .filter_map(|line| line.strip_prefix("pub static ")?.strip_suffix(": BinaryRule = BinaryRule {"));
        lines.map(str::to_string).collect()
    };
    let list = list(src, "optim", &declared)?;
    Ok(format!(
        "/// Every rule for binary weights, by module path.\npub static BINARY_RULES: [&crate::optim::BinaryRule; {}] = [\n{}];\n",
        list.len(),
        lines(&list)
    ))
}

fn lines(paths: &[String]) -> String {
    paths.iter().map(|path| format!("    &{path},\n")).collect()
}

/// What the files of `src/ROOM/` declare, by module path; files in order of their paths.
fn list(src: &Path, folder: &str, declared: &dyn Fn(&str) -> Vec<String>) -> Result<Vec<String>, String> {
    let mut files = Vec::new();
    collect(&src.join(folder), &mut files)?;
    files.sort();
    let mut found = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let module = path.strip_prefix(src).unwrap_or(&path).with_extension("");
        let module: Vec<String> = module.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        found.extend(declared(&text).into_iter().map(|name| format!("crate::{}::{name}", module.join("::"))));
    }
    Ok(found)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("{}: {e}", folder.display());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "rs") && path.file_name().is_some_and(|name| name != "mod.rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// `NAME` of `NAME = folder::file::{ entry }, twin = twin`, behind its documentation.
fn kernel(declaration: &str) -> Option<&str> {
    let mut lines = declaration.lines().map(str::trim);
    let line = lines.find(|line| !line.is_empty() && !line.starts_with("///") && !line.starts_with("#["))?;
    line.split_once(" = ").map(|(name, _)| name)
}
