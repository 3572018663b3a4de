//! The modules of rules: `rules::NAME` has what the rule's header says and, for each storage that it supports, an interface and the variants of its update.

use super::{Files, assemble, reflect, texts};
use std::fmt::Write as _;

/// Every rule with every storage and number of planes that it supports, validated.
pub fn modules(files: &Files) -> Result<String, String> {
    let mut out = String::from("#[doc = \"Updates by the rules of `shaders/rules/`.\"]\npub mod rules {\n");
    for (path, text) in files.iter().filter(|(path, _)| path.starts_with("rules/")) {
        let name = path.trim_start_matches("rules/");
        let body = module(files, path, text).map_err(|e| format!("shaders/{path}.wgsl: {e}"))?;
        writeln!(out, "#[doc = \"`shaders/{path}.wgsl`.\"]\npub mod {name} {{\n{body}}}").expect("strings grow");
    }
    Ok(out + "}\n" + &storages(files)?)
}

/// The constants of each storage.
fn storages(files: &Files) -> Result<String, String> {
    let mut out = String::from("#[doc = \"Constants of `shaders/storage/`.\"]\npub mod storage {\n");
    for (path, text) in files.iter().filter(|(path, _)| path.starts_with("storage/")) {
        let names = ["producers/gradient".into(), "epilogues/update".into(), "rules/ema".into(), path.clone()];
        let constants = reflect::constants(text, &texts(files, &names)?.texts[0].parsed);
        let name = path.trim_start_matches("storage/");
        writeln!(out, "#[doc = \"`shaders/{path}.wgsl`.\"]\npub mod as_{name} {{\n{constants}}}")
            .expect("strings grow");
    }
    Ok(out + "}\n")
}

fn module(files: &Files, path: &str, text: &str) -> Result<String, String> {
    let rule = assemble::Rule::of(text, 1)?;
    let mut out = format!(
        "#[doc = \"Names of its states.\"]\npub const STATES: &[&str] = &{:?};\n\
         #[doc = \"The state whose stored sign is the weight where storage is narrow.\"]\npub const DECIDES: usize = {};\n\
         #[doc = \"Hyperparameters that its function takes, in the order in which the host packs them.\"]\n\
         pub const HYPERPARAMETERS: &[&str] = &{:?};\n",
        rule.states, rule.decides, rule.hyperparameters
    );
    let planes: Vec<&str> = assemble::marked(text, "planes").collect();
    let planes = if planes.is_empty() { vec!["1"] } else { planes };
    for storage in assemble::marked(text, "storage") {
        for planes in &planes {
            let rule = if *planes == "1" { path.to_string() } else { format!("{path}@{planes}") };
            let names = ["producers/gradient".into(), "epilogues/update".into(), rule, format!("storage/{storage}")];
            let kernel = texts(files, &names)?;
            let suffix = if *planes == "1" { String::new() } else { format!("_{planes}") };
            let label = format!("{}::{storage}{suffix}", path.replace('/', "::"));
            let interface = reflect::interface_text(&kernel, 0, &label)?;
            let module = format!("{storage}_{planes}");
            writeln!(out, "#[doc = \"Storage `{storage}`, {planes} planes a state.\"]\npub mod {module} {{\nuse crate::runtime::kernel as k;\n{interface}").expect("strings grow");
            for index in 0..kernel.texts[0].parsed.module.entry_points.len() {
                let entry = &kernel.texts[0].parsed.module.entry_points[index].name;
                writeln!(
                    out,
                    "#[doc = \"Entry point `{entry}`.\"]\npub mod {entry} {{\nuse crate::runtime::kernel as k;\n{}}}",
                    reflect::variants(&kernel, index)?
                )
                .expect("strings grow");
            }
            out += "}\n";
        }
    }
    Ok(out)
}
