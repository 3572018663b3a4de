//! The house stands: modules import only lower floors, only `runtime/gpu/` names wgpu, only `cli` prints, unsafe code is in its
//! rooms, nobody inside a folder imports its title page.
#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms by floor; a room may import lower floors and itself.
const FLOORS: [(&str, u32); 14] = [
    ("cli", 9),
    ("train", 8),
    ("export", 8),
    ("nn", 7),
    ("ops", 6),
    ("optim", 6),
    ("graph", 5),
    ("infer", 5),
    ("runtime", 4),
    ("data", 4),
    ("bits", 3),
    ("tensor", 2),
    ("error", 1),
    ("block_on", 0),
];

fn floor(room: &str) -> Option<u32> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// (path below src, text) of every source file.
fn sources() -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, out: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, out)
            } else if path.extension().is_some_and(|e| e == "rs") {
                out.push(path)
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    let read = |path: PathBuf| (path.strip_prefix(&root).unwrap().to_path_buf(), fs::read_to_string(&path).unwrap());
    let all: Vec<_> = paths.into_iter().map(read).collect();
    assert!(all.len() > 40, "the sources were found");
    all
}

fn room(path: &Path) -> String {
    path.components().next().unwrap().as_os_str().to_string_lossy().trim_end_matches(".rs").to_string()
}

/// Code without comments and strings' worth of it: lines that are no comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")).map(|(i, line)| (i + 1, line))
}

#[test]
fn imports_go_down() {
    let mut wrong = Vec::new();
    let mut imports = 0;
    for (path, text) in sources() {
        let from = room(&path);
        let Some(own) = floor(&from) else { continue };
        for (line, code) in code(&text) {
            for (at, _) in code.match_indices("crate::") {
                let before = code[..at].chars().next_back();
                if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                    continue;
                }
                let name: String = code[at + 7..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let to =
                    floor(&name).unwrap_or_else(|| panic!("{}:{line}: `crate::{name}` is no room", path.display()));
                imports += 1;
                if name != from && to >= own {
                    wrong.push(format!("{}:{line}: {from} (floor {own}) imports {name} (floor {to})", path.display()));
                }
            }
        }
    }
    assert!(imports > 100, "{imports} imports were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn title_pages_are_not_imported_from_inside() {
    for (path, text) in sources() {
        let own = room(&path);
        if path.components().count() < 2 || path.ends_with("mod.rs") {
            continue;
        }
        for (line, code) in code(&text) {
            // The generated interface and the macro name their room in full.
            let named = code.contains(&format!("use crate::{own}::")) || code.contains(&format!(" crate::{own}::"));
            let is_generated = code.contains("crate::runtime::interface");
            assert!(!named || is_generated, "{}:{line}: imports its own title page: {code}", path.display());
        }
    }
}

#[test]
fn things_stay_in_their_rooms() {
    // What; where it may be named.
    let rules: [(&str, &[&str]); 6] = [
        ("wgpu::", &["runtime/gpu/"]),
        ("println!", &[]),
        ("eprintln!", &[]),
        (
            "allow(unsafe_code",
            &["bits/", "runtime/task.rs", "runtime/cpu.rs", "runtime/gpu/pipelines.rs", "runtime/product.rs"],
        ),
        ("clap::", &["cli/"]),
        ("std::time::Instant", &["cli/"]),
    ];
    for (path, text) in sources() {
        let name = path.to_string_lossy().replace('\\', "/");
        for (line, code) in code(&text) {
            for (what, rooms) in rules {
                let allowed = rooms.iter().any(|room| name.starts_with(room));
                assert!(allowed || !code.contains(what), "{name}:{line}: `{what}` belongs to {rooms:?}");
            }
        }
    }
}

#[test]
fn data_and_export_know_no_device() {
    for (path, text) in sources() {
        if ["data", "export", "infer"].contains(&room(&path).as_str()) {
            for (line, code) in code(&text) {
                assert!(!code.contains("crate::runtime"), "{}:{line}: {code}", path.display());
            }
        }
    }
}
