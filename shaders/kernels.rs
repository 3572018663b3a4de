//! Lists the kernels that Rust files declare, so that no list of them is kept by hand.

use std::{fs, path::Path};

/// The text of `KERNELS` for `src/ROOM/`: every `kernel!( ... NAME = ...)` of its files, by module path, sorted.
pub fn registry(src: &Path, room: &str) -> Result<String, String> {
    let mut found = Vec::new();
    collect(&src.join(room), &format!("crate::{room}"), &mut found)?;
    found.sort();
    let list: String = found.iter().map(|path| format!("    &{path},\n")).collect();
    Ok(format!(
        "/// Every kernel of `shaders/{room}/`, by module path.\n\
         pub static KERNELS: &[&crate::runtime::Kernel] = &[\n{list}];\n"
    ))
}

fn collect(folder: &Path, module: &str, found: &mut Vec<String>) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("{}: {e}", folder.display());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() {
            collect(&path, &format!("{module}::{stem}"), found)?;
        } else if path.extension().is_some_and(|e| e == "rs") && stem != "mod" {
            let text = fs::read_to_string(&path).map_err(failed)?;
            let declared = text.split("\nkernel!(").skip(1).filter_map(name);
            found.extend(declared.map(|name| format!("{module}::{stem}::{name}")));
        }
    }
    Ok(())
}

/// `NAME` of `NAME = room::file::{ entry }, twin = twin`, behind its documentation.
fn name(declaration: &str) -> Option<&str> {
    let mut lines = declaration.lines().map(str::trim);
    let line = lines.find(|line| !line.is_empty() && !line.starts_with("///") && !line.starts_with("#["))?;
    line.split_once(" = ").map(|(name, _)| name)
}
