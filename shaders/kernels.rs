//! Generates the registries of kernels, of epilogues and of rules for binary weights from the declarations in Rust files.

use std::{fs, path::Path, path::PathBuf};

/// Returns the text of `KERNELS` for `src/FOLDER/`: every `kernel!( ... NAME = ...)` of its files, by module path.
pub fn kernels(src: &Path, folder: &str) -> Result<String, String> {
    let declared = |text: &str| text.split("\nkernel!(").skip(1).filter_map(kernel).map(str::to_string).collect();
    let list = list(src, folder, &declared)?;
    Ok(format!(
        "/// Every kernel that the files of this folder declare, by module path.\npub static KERNELS: &[&crate::runtime::Kernel] = &[\n{}];\n",
        lines(&list)
    ))
}

/// Returns the text of `EPILOGUES` and of `Epilogue`: the epilogues that declare a `KIND` in `src/ops/epilogues/`, in the order of these chains.
pub fn epilogues(src: &Path, chains: &[&str]) -> Result<String, String> {
    let declared =
        |text: &str| if text.contains("\npub static KIND: EpilogueKind") { vec!["KIND".into()] } else { Vec::new() };
    let mut names: Vec<String> = list(src, "ops/epilogues", &declared)?
        .iter()
        .filter_map(|path| path.strip_prefix("crate::ops::epilogues::")?.strip_suffix("::KIND"))
        .map(str::to_string)
        .collect();
    // An epilogue precedes those that follow it in a chain.
    for chain in chains {
        let at = |names: &[String], name: &str| names.iter().position(|known| known == name);
        let places: Vec<usize> = chain.split('+').filter_map(|name| at(&names, name)).collect();
        let mut sorted = places.clone();
        sorted.sort_unstable();
        let chained: Vec<String> = places.iter().map(|&place| names[place].clone()).collect();
        sorted.into_iter().zip(chained).for_each(|(place, name)| names[place] = name);
    }
    let at = |name: &str| names.iter().position(|known| known == name);
    if let Some(chain) = chains.iter().find(|chain| !chain.split('+').filter_map(at).is_sorted()) {
        return Err(format!("the chain `{chain}` of epilogues contradicts the order of another chain"));
    }
    let each = |line: &dyn Fn(&str) -> String| names.iter().map(|name| line(name)).collect::<String>();
    let path = |name: &str| format!("crate::ops::epilogues::{name}");
    let call = |function: &str| {
        each(&|name| format!("        if let Some(epilogue) = &mut self.{name} {{ epilogue.{function}(at, tile); }}\n"))
    };
    Ok(format!(
        "/// Every epilogue.\npub static EPILOGUES: &[&EpilogueKind] = &[\n{}];\n\
         /// The epilogues of a task; those that its kernel lacks are `None`.\n\
         pub(in crate::ops) struct Epilogue<'a> {{\n    all: Extent,\n{}}}\n\
         impl<'a> Epilogue<'a> {{\n\
         /// Takes the bindings of the kernel that belong to its epilogues.\n\
         pub fn take(task: &mut Task<'a>, all: Extent) -> Self {{ Self {{ all,\n{} }} }}\n\
         /// Consumes integers of a panel; `row` is the first row of the task.\n\
         pub fn integers(&mut self, panel: usize, row: usize, tile: &[i32]) {{\n        let at = TileAt {{ panel, row, all: self.all }};\n{}    }}\n\
         /// Consumes floats of a panel; `row` is the first row of the task.\n\
         pub fn floats(&mut self, panel: usize, row: usize, tile: &mut [f32]) {{\n        let at = TileAt {{ panel, row, all: self.all }};\n{}    }}\n}}\n",
        each(&|name| format!("    &{}::KIND,\n", path(name))),
        each(&|name| format!("    {name}: Option<{}::Twin<'a>>,\n", path(name))),
        each(&|name| format!("        {name}: Consumer::take(task),\n")),
        call("integers"),
        call("floats"),
    ))
}

/// Returns the text of `BINARY_RULES`: every `pub static NAME: BinaryRule` of the files of `src/optim/`.
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

/// Lists the declarations of the files of `src/FOLDER/` by module path, ordered by file path.
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

/// Returns `NAME` of `NAME = folder::file::{ entry }, twin = twin`; doc comments and attributes may precede it.
fn kernel(declaration: &str) -> Option<&str> {
    let mut lines = declaration.lines().map(str::trim);
    let line = lines.find(|line| !line.is_empty() && !line.starts_with("///") && !line.starts_with("#["))?;
    line.split_once(" = ").map(|(name, _)| name)
}
