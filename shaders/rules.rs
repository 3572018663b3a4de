//! Generates the modules of rules, and the list of producers whose tiles an update can consume. `rules::NAME` has the declarations of the rule's
//! header and, for each storage format that it supports and each such producer, the interface and the variants of its update.

use super::{Combination, Files, assemble, reflect, texts};
use std::fmt::Write as _;

/// A rule and a storage that every chain with an update permits.
pub const ANY: [&str; 2] = ["rules/ema", "storage/f32"];

/// Maximum number of states of an update behind a product.
const MAX_FUSED_STATES: usize = 3;

/// Returns whether a chain of epilogues updates weights by a rule.
pub fn is_update(chain: &str) -> bool {
    chain.split('+').any(|name| name == "update")
}

/// Returns the pieces of each update without rule and storage: a producer and its epilogues. The gradient in memory comes first.
fn updates(files: &Files) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| path.starts_with("producers/")) {
        for chain in assemble::marked(text, "epilogues").filter(|chain| is_update(chain)) {
            let epilogues = chain.split('+').map(|name| format!("epilogues/{name}"));
            found.push([path.clone()].into_iter().chain(epilogues).collect());
        }
    }
    found.sort_by_key(|names: &Vec<String>| names[0] != "producers/gradient");
    found
}

/// Generates and validates every rule with every storage format and number of planes that it supports, behind every producer.
pub fn modules(files: &Files) -> Result<String, String> {
    let mut out = String::from("#[doc = \"Updates by the rules of `shaders/rules/`.\"]\npub mod rules {\n");
    let updates = updates(files);
    for (path, text) in files.iter().filter(|(path, _)| path.starts_with("rules/")) {
        let name = path.trim_start_matches("rules/");
        let body = module(files, &updates, path, text).map_err(|e| format!("shaders/{path}.wgsl: {e}"))?;
        writeln!(out, "#[doc = \"`shaders/{path}.wgsl`.\"]\npub mod {name} {{\n{body}}}")
            .expect("writing to a string cannot fail");
    }
    Ok(out + "}\n" + &storages(files)? + &epilogues(files)? + &list(files, &updates)?)
}

/// Generates the constants of each storage format, and the macro that lists the formats, the widest first.
fn storages(files: &Files) -> Result<String, String> {
    let mut out = String::from("#[doc = \"Constants of `shaders/storage/`.\"]\npub mod storage {\n");
    let mut list = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| path.starts_with("storage/")) {
        let names = ["producers/gradient", "epilogues/update", ANY[0], path].map(str::to_string);
        let constants = reflect::constants(text, &texts(files, &names)?.texts[0].parsed);
        let name = path.trim_start_matches("storage/");
        writeln!(out, "#[doc = \"`shaders/{path}.wgsl`.\"]\npub mod as_{name} {{\n{constants}}}")
            .expect("writing to a string cannot fail");
        let bits: usize = assemble::marked(text, "bits").next().and_then(|bits| bits.parse().ok()).unwrap_or_default();
        let (_, doc) = text.lines().next().and_then(|line| line.split_once(": ")).unwrap_or_default();
        list.push((name != "f32", std::cmp::Reverse(bits), name, doc));
    }
    list.sort();
    let rows: String =
        list.iter().map(|(_, _, name, doc)| format!(" [{} {name}_1 {name:?} {doc:?}]", name.to_uppercase())).collect();
    Ok(format!(
        "{out}}}\n\
         /// Calls a macro with some arguments and a row for every storage format of states: its name in Rust, the module of updates with one\n\
         /// plane per state, its name in files, and its description. f32 comes first.\n\
         macro_rules! for_each_storage {{\n    ({{$($callback:tt)*}} $($args:tt)*) => {{ $($callback)*! {{ $($args)*;{rows} }} }};\n}}\n\
         pub(crate) use for_each_storage;\n"
    ))
}

/// Generates the parameters of epilogues that have a uniform of their own: of the first chain that contains the epilogue.
fn epilogues(files: &Files) -> Result<String, String> {
    let mut out = String::from("#[doc = \"Parameters of `shaders/epilogues/`.\"]\npub mod epilogues {\n");
    let producers = || files.iter().filter(|(path, _)| path.starts_with("producers/"));
    let own =
        files.iter().filter(|(path, text)| path.starts_with("epilogues/") && text.contains("var<uniform> epilogue:"));
    for (path, _) in own {
        let name = path.trim_start_matches("epilogues/");
        let permitted = |(producer, text): (&String, &String)| {
            let mut chains = assemble::marked(text, "epilogues");
            let chain = chains.find(|chain| chain.split('+').any(|part| part == name))?;
            let epilogues = chain.split('+').map(|name| format!("epilogues/{name}"));
            let any = if is_update(chain) { &ANY[..] } else { &[] };
            Some(
                [producer.clone()]
                    .into_iter()
                    .chain(epilogues)
                    .chain(any.iter().map(|name| name.to_string()))
                    .collect(),
            )
        };
        let names: Vec<String> =
            producers().find_map(permitted).ok_or_else(|| format!("shaders/{path}.wgsl: no producer permits it"))?;
        let parameters = reflect::uniform_struct("epilogue", &texts(files, &names)?.texts[0].parsed)?;
        writeln!(out, "#[doc = \"`shaders/{path}.wgsl`.\"]\npub mod {name} {{\n{parameters}}}")
            .expect("writing to a string cannot fail");
    }
    Ok(out + "}\n")
}

/// Returns the update of a rule and a storage behind a producer.
fn update(files: &Files, producer: &[String], [rule, storage]: [&str; 2]) -> Result<Combination, String> {
    let names: Vec<String> = producer.iter().cloned().chain([rule.into(), storage.into()]).collect();
    texts(files, &names)
}

/// Generates `UPDATES`, the list of what [`updates`] returns.
fn list(files: &Files, updates: &[Vec<String>]) -> Result<String, String> {
    let mut rows = String::new();
    for names in updates {
        let kernel = update(files, names, ANY)?;
        let name = names[0].trim_start_matches("producers/");
        let covers = reflect::covers(&kernel)?;
        writeln!(rows, "    k::Updates {{ producer: {name:?}, pieces: &{names:?}, covers: &{covers:?} }},")
            .expect("writing to a string cannot fail");
    }
    Ok(format!(
        "use crate::runtime::kernel as k;\n\
         /// The producers whose tiles an update can consume; the gradient in memory is the first.\n\
         pub const UPDATES: &[k::Updates] = &[\n{rows}];\n\
         /// Maximum number of states of an update behind a product, which has two operands in the place of the gradient.\n\
         pub const MAX_FUSED_STATES: usize = {MAX_FUSED_STATES};\n"
    ))
}

fn module(files: &Files, updates: &[Vec<String>], path: &str, text: &str) -> Result<String, String> {
    let rule = assemble::Rule::of(text, 1)?;
    let mut out = format!(
        "#[doc = \"Names of the rule's states.\"]\npub const STATES: &[&str] = &{:?};\n\
         #[doc = \"Index of the state whose stored sign is the weight with narrow storage.\"]\npub const DECIDES: usize = {};\n\
         #[doc = \"Hyperparameters that the rule's function takes, in the order in which the host packs them.\"]\n\
         pub const HYPERPARAMETERS: &[&str] = &{:?};\n",
        rule.states, rule.decides, rule.hyperparameters
    );
    // A product has two operands in the place of the gradient: with more states it has no room.
    let permitted: Vec<_> =
        updates.iter().take(if rule.states.len() > MAX_FUSED_STATES { 1 } else { updates.len() }).collect();
    out += &kernels(path.trim_start_matches("rules/"), &permitted);
    let planes: Vec<&str> = assemble::marked(text, "planes").collect();
    let planes = if planes.is_empty() { vec!["1"] } else { planes };
    for storage in assemble::marked(text, "storage") {
        for planes in &planes {
            let rule = if *planes == "1" { path.to_string() } else { format!("{path}@{planes}") };
            let suffix = if *planes == "1" { String::new() } else { format!("_{planes}") };
            writeln!(
                out,
                "#[doc = \"Storage `{storage}`, planes per state: {planes}.\"]\npub mod {storage}_{planes} {{"
            )
            .expect("writing to a string cannot fail");
            for producer in &permitted {
                let kernel = update(files, producer, [&rule, &format!("storage/{storage}")])?;
                out += &behind(&kernel, &producer[0], &format!("{}::{storage}{suffix}", path.replace('/', "::")))?;
            }
            out += "}\n";
        }
    }
    Ok(out)
}

/// Generates the macro that makes the kernels of a rule and a storage: one per producer, all with one twin.
fn kernels(rule: &str, updates: &[&Vec<String>]) -> String {
    let mut rows = String::new();
    for names in updates {
        let name = names[0].trim_start_matches("producers/");
        let module = format!("$crate::runtime::interface::rules::{rule}::$module::{name}");
        writeln!(
            rows,
            "        ({name:?}, &$crate::runtime::Kernel {{ interface: {module}::INTERFACE, variants: {module}::ENTRIES, trusted: true, twin: $twin }}),"
        )
        .expect("writing to a string cannot fail");
    }
    format!(
        "macro_rules! update_kernels_{rule} {{\n    ($module:ident, $twin:expr) => {{ &[\n{rows}    ] }};\n}}\n\
         pub(crate) use update_kernels_{rule} as update_kernels;\n"
    )
}

/// Generates the module of an update behind a producer.
fn behind(kernel: &Combination, producer: &str, label: &str) -> Result<String, String> {
    let name = producer.trim_start_matches("producers/");
    let label = if name == "gradient" { label.to_string() } else { format!("{label}_{name}") };
    let interface = reflect::interface_text(kernel, 0, &label)?;
    let mut entries = Vec::new();
    let mut out = format!(
        "#[doc = \"Update kernels of the producer `shaders/{producer}.wgsl`.\"]\npub mod {name} {{\nuse crate::runtime::kernel as k;\n{interface}"
    );
    for (index, point) in kernel.texts[0].parsed.module.entry_points.iter().enumerate() {
        writeln!(
            out,
            "#[doc = \"Entry point `{}`.\"]\npub mod {} {{\nuse crate::runtime::kernel as k;\n{}}}",
            point.name,
            point.name,
            reflect::variants(kernel, index)?
        )
        .expect("writing to a string cannot fail");
        entries.push(format!("{}::VARIANTS", point.name));
    }
    let entries = entries.join(", ");
    writeln!(out, "#[doc = \"Variants by entry point.\"]\npub const ENTRIES: &[&[k::Variant]] = &[{entries}];\n}}")
        .expect("writing to a string cannot fail");
    Ok(out)
}
