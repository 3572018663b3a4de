//! Tests of the module structure: modules import only lower layers, the imports of files are acyclic, files do not import their own folder's
//! `mod.rs`, only `runtime/gpu/` uses wgpu, only `cli` prints, and `unsafe` appears only in the permitted folders.
#![allow(clippy::unwrap_used, reason = "tests panic on failure")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Folders by layer. A folder may import lower layers and itself.
const FLOORS: [(&str, u32); 12] = [
    ("cli", 9),
    ("train", 8),
    ("nn", 7),
    ("ops", 6),
    ("optim", 6),
    ("graph", 5),
    ("runtime", 4),
    ("data", 4),
    ("bits", 3),
    ("tensor", 2),
    ("error", 1),
    ("block_on", 0),
];

fn floor(folder: &str) -> Option<u32> {
    FLOORS.iter().find(|(name, _)| *name == folder).map(|(_, floor)| *floor)
}

/// Returns (path below src, text) of every source file.
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
    // Folders named `tests` contain unit tests.
    paths.retain(|path| !path.strip_prefix(&root).unwrap().components().any(|part| part.as_os_str() == "tests"));
    let all: Vec<_> = paths.into_iter().map(read).collect();
    assert!(all.len() > 40, "the sources were found");
    all
}

fn folder(path: &Path) -> String {
    path.components().next().unwrap().as_os_str().to_string_lossy().trim_end_matches(".rs").to_string()
}

/// Returns the numbered lines that are not comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")).map(|(i, line)| (i + 1, line))
}

#[test]
fn imports_go_down() {
    let mut wrong = Vec::new();
    let mut imports = 0;
    for (path, text) in sources() {
        let from = folder(&path);
        let Some(own) = floor(&from) else { continue };
        for (line, code) in code(&text) {
            for (at, _) in code.match_indices("crate::") {
                let before = code[..at].chars().next_back();
                if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                    continue;
                }
                let name: String = code[at + 7..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let to = floor(&name)
                    .unwrap_or_else(|| panic!("{}:{line}: `crate::{name}` is not a folder", path.display()));
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
fn every_folder_of_the_list_exists() {
    let folders: BTreeSet<String> = sources().iter().map(|(path, _)| folder(path)).collect();
    for (name, _) in FLOORS.iter().filter(|(name, _)| *name != "block_on") {
        assert!(folders.contains(*name), "there is no src/{name}");
    }
    for folder in folders.iter().filter(|folder| !["lib", "main"].contains(&folder.as_str())) {
        assert!(floor(folder).is_some(), "src/{folder} has no layer");
    }
}

/// Returns the code of a file without unit tests and comments.
fn library(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    code(&text[..end])
        .map(|(_, line)| line.split_once(" //").map_or(line, |(code, _)| code))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Returns all paths that start with `crate` or `super`: expanded `use` trees, and paths in the code.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for root in ["crate", "super"] {
        for (at, _) in code.match_indices(&format!("{root}::")) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$' || c == ':') {
                continue;
            }
            tree(&code[at..], &mut Vec::new(), &mut found);
        }
    }
    found
}

/// Expands one `a::b::{c, d::e}`. Returns the number of bytes that it occupies.
fn tree(text: &str, prefix: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> usize {
    let depth = prefix.len();
    let mut at = 0;
    loop {
        let name: String = text[at..].chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == '*').collect();
        at += name.len();
        prefix.push(name);
        if !text[at..].starts_with("::") {
            found.push(prefix.clone());
            break;
        }
        at += 2;
        if text[at..].starts_with('{') {
            at += 1;
            loop {
                at += text[at..].len() - text[at..].trim_start_matches(|c: char| c.is_whitespace() || c == ',').len();
                if text[at..].starts_with('}') || text[at..].is_empty() {
                    at += 1;
                    break;
                }
                at += tree(&text[at..], prefix, found);
                // `as NAME`.
                if let Some(rest) = text[at..].strip_prefix(" as ") {
                    at += 4 + rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                }
            }
            break;
        }
    }
    prefix.truncate(depth);
    at
}

/// Resolves a path from a file to another file and its item, or to the `mod.rs` of a folder and an item re-exported there.
fn target(from: &Path, path: &[String], files: &BTreeSet<PathBuf>) -> Option<(PathBuf, Option<String>)> {
    let is_page = from.ends_with("mod.rs");
    let mut folder = PathBuf::new();
    let mut rest = path;
    if path[0] == "super" {
        folder = from.with_extension("");
        if is_page {
            folder.pop();
        }
        while rest.first().is_some_and(|part| part == "super") {
            folder.pop();
            rest = &rest[1..];
        }
    } else {
        rest = &rest[1..];
    }
    for (i, part) in rest.iter().enumerate() {
        let (file, page) = (folder.join(format!("{part}.rs")), folder.join(part).join("mod.rs"));
        if files.contains(&file) {
            // A file may have a folder of the same name.
            let deeper = rest.get(i + 1).map(|next| folder.join(part).join(format!("{next}.rs")));
            return Some(match deeper.filter(|deeper| files.contains(deeper)) {
                Some(deeper) => (deeper, None),
                None => (file, None),
            });
        }
        if !files.contains(&page) {
            return Some((folder.join("mod.rs"), Some(part.clone()))).filter(|(page, _)| files.contains(page));
        }
        folder = folder.join(part);
    }
    None
}

#[test]
fn files_do_not_import_their_own_mod_rs() {
    let all = sources();
    let files: BTreeSet<PathBuf> = all.iter().map(|(path, _)| path.clone()).collect();
    let mut wrong = Vec::new();
    for (from, text) in all.iter().filter(|(path, _)| !path.ends_with("mod.rs")) {
        for path in paths(&library(text)) {
            // The generated interface and macros use full paths.
            if path.iter().any(|part| part == "interface")
                || path.last().is_some_and(|name| name.is_empty() || name == "*")
            {
                continue;
            }
            if let Some((page, Some(item))) = target(from, &path, &files)
                && from.starts_with(page.parent().unwrap())
                && item.chars().next().is_some_and(char::is_uppercase)
            {
                wrong.push(format!("{}: imports {item} from its own folder's {}", from.display(), page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The imports between files have no cycle. `mod.rs` files are excluded, since they re-export their folder.
#[test]
fn files_do_not_import_each_other() {
    let all = sources();
    let files: BTreeSet<PathBuf> = all.iter().map(|(path, _)| path.clone()).collect();
    let mut imports: BTreeMap<&PathBuf, BTreeSet<PathBuf>> = BTreeMap::new();
    for (from, text) in all.iter().filter(|(path, _)| !path.ends_with("mod.rs")) {
        let targets = paths(&library(text)).into_iter().filter_map(|path| target(from, &path, &files));
        let targets = targets.map(|(file, _)| file).filter(|file| !file.ends_with("mod.rs") && file != from);
        imports.insert(from, targets.collect());
    }
    assert!(imports.values().map(BTreeSet::len).sum::<usize>() > 200, "imports were found");
    let mut circles = BTreeSet::new();
    for start in imports.keys() {
        // Depth-first search with the current path.
        let mut ways = vec![vec![(*start).clone()]];
        let mut seen = BTreeSet::new();
        while let Some(way) = ways.pop() {
            for next in imports.get(way.last().unwrap()).into_iter().flatten() {
                if next == *start {
                    let mut names: Vec<String> = way.iter().map(|path| path.display().to_string()).collect();
                    let first = names.iter().enumerate().min_by_key(|(_, name)| (*name).clone()).unwrap().0;
                    names.rotate_left(first);
                    circles.insert(names.join(" -> "));
                } else if seen.insert(next.clone()) {
                    ways.push([&way[..], std::slice::from_ref(next)].concat());
                }
            }
        }
    }
    assert!(circles.is_empty(), "{} circles:\n{}", circles.len(), circles.into_iter().collect::<Vec<_>>().join("\n"));
}

/// The parser of imports finds paths in `use` trees and in code.
#[test]
fn imports_are_read_from_trees_and_from_code() {
    let code =
        "use crate::a::{B, c::{D, E as F}};\nuse super::g::H;\nfn f() -> crate::i::J {}\nfn k(x: $crate::l::M) {}";
    let found: Vec<String> = paths(code).into_iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["crate::a::B", "crate::a::c::D", "crate::a::c::E", "crate::i::J", "super::g::H"]);
    let files = ["a/mod.rs", "a/b.rs", "a/c/mod.rs", "a/c/d.rs"].map(PathBuf::from).into();
    let of = |from: &str, path: &str| {
        let path: Vec<String> = path.split("::").map(str::to_string).collect();
        target(Path::new(from), &path, &files).map(|(file, item)| (file.display().to_string(), item))
    };
    assert_eq!(of("a/b.rs", "crate::a::c::d::X"), Some(("a/c/d.rs".into(), None)));
    assert_eq!(of("a/c/d.rs", "super::super::b::X"), Some(("a/b.rs".into(), None)));
    assert_eq!(of("a/b.rs", "super::X"), Some(("a/mod.rs".into(), Some("X".into()))));
    assert_eq!(of("a/b.rs", "crate::a::c::X"), Some(("a/c/mod.rs".into(), Some("X".into()))));
}

#[test]
fn names_are_used_only_in_their_folders() {
    // A name, and the folders that may use it.
    let rules: [(&str, &[&str]); 5] = [
        ("wgpu::", &["runtime/gpu/"]),
        ("println!", &[]),
        ("eprintln!", &[]),
        ("clap::", &["cli/"]),
        ("std::time::Instant", &["cli/"]),
    ];
    for (path, text) in sources() {
        let name = path.to_string_lossy().replace('\\', "/");
        for (line, code) in code(&text) {
            for (what, folders) in rules {
                let allowed = folders.iter().any(|folder| name.starts_with(folder));
                assert!(allowed || !code.contains(what), "{name}:{line}: `{what}` belongs to {folders:?}");
            }
        }
    }
}

#[test]
fn unsafe_code_stays_in_its_folders() {
    let folders = ["bits/", "runtime/"];
    for (path, text) in sources() {
        let name = path.to_string_lossy().replace('\\', "/");
        for (line, code) in code(&text) {
            let word = code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe");
            assert!(
                !word || folders.iter().any(|folder| name.starts_with(folder)),
                "{name}:{line}: unsafe code: {code}"
            );
        }
    }
}

#[test]
fn data_knows_no_device() {
    for (path, text) in sources().into_iter().filter(|(path, _)| folder(path) == "data") {
        for (line, code) in code(&text) {
            assert!(!code.contains("crate::runtime"), "{}:{line}: {code}", path.display());
        }
    }
}

/// Identifiers and phrases that the project has given up for standard terms.
const RETIRED: &[&str] = &[
    "Verdict",
    "Init::Along",
    "Init::Spread",
    "Init::Planes",
    "Init::Halves",
    "Knob",
    "knob",
    "TALL",
    "turn_of",
    "Maker",
    "Share::of",
    "Trouble",
    "trouble",
    "is_decoded_late",
    "favours_rows",
    "Apart",
    "OptimizerConfig",
    "MeanPool",
    "GlobalMean",
    "Tally",
    "push1",
    "MOST_",
    "judging",
    "roll-call",
    "roll_call",
    "so many ",
    "whoever",
    "Whoever",
    "is no number",
    "no number any more",
    "what is left",
    "the house",
    "all there will be",
    "the system gave none",
    "stands in for",
    "Stands in for",
    "goes on where it stopped",
    "does the sum",
    "how loud",
    "--rule ",
    "--hold",
    "--start ",
    "--preset ",
];

/// Files that name retired settings on purpose: those that refuse them with the new name, the list of changes, scripts with flags of their own.
const MAY_NAME: [&str; 5] = [
    "src/train/settings/optimizer.rs",
    "src/train/settings/tests.rs",
    "CHANGELOG.md",
    "benches/peers/README.md",
    "tests/architecture.rs",
];

#[test]
fn retired_names_and_phrases_are_gone() {
    fn walk(path: &Path, out: &mut Vec<PathBuf>) {
        if path.is_dir() {
            fs::read_dir(path).unwrap().for_each(|entry| walk(&entry.unwrap().path(), out));
        } else if path.extension().is_some_and(|e| ["rs", "wgsl", "md", "toml"].contains(&e.to_str().unwrap_or(""))) {
            out.push(path.to_path_buf());
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for place in ["src", "shaders", "tests", "examples", "docs", "benches", "README.md", "CHANGELOG.md", "Cargo.toml"] {
        walk(&root.join(place), &mut files);
    }
    assert!(files.len() > 200, "{} files", files.len());
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    for path in files {
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
        if MAY_NAME.contains(&name.as_str()) {
            continue;
        }
        for (number, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            for retired in RETIRED {
                // A word of its own, not the beginning of a longer one that the list does not mean.
                let is_word = |at: usize| {
                    let (before, after) = (line[..at].chars().next_back(), line[at + retired.len()..].chars().next());
                    let whole = !retired.ends_with(is_part) || retired.ends_with('_') || !after.is_some_and(is_part);
                    whole && (!retired.starts_with(is_part) || !before.is_some_and(is_part))
                };
                let found = line.match_indices(retired).any(|(at, _)| is_word(at));
                assert!(!found, "{name}:{}: `{retired}` is retired: {line}", number + 1);
            }
        }
    }
}
