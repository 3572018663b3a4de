//! Compiles every variant of every kernel in a browser, which rejects code that naga accepts, mainly barriers in non-uniform control flow.
//! Skipped if there is no Chromium, unless `PLUSMINUS_REQUIRE_GPU=1`.
#![cfg(feature = "train")]

#[path = "support/browser.rs"]
mod browser;

use serde::{Deserialize, Serialize};
use std::io::Write;
use std::time::Duration;

/// Longest wait for the browser.
const LIMIT: Duration = Duration::from_secs(180);

/// A barrier in non-uniform control flow: naga accepts it, a browser must reject it.
const WRONG: &str = "
@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(64)
fn wrong(@builtin(local_invocation_index) local: u32) {
    if (y[local] == 0u) {
        workgroupBarrier();
    }
    y[local] = local;
}
";

#[derive(Serialize)]
struct Shader {
    name: String,
    entry: String,
    source: String,
}

/// The result that the page posts.
#[derive(Deserialize)]
#[serde(untagged)]
enum Posted {
    Compiled { adapter: String, results: Vec<Compiled> },
    Missing { missing: String },
    Failed { failed: String },
}

#[derive(Deserialize)]
struct Compiled {
    name: String,
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    r#type: String,
    line: usize,
    message: String,
}

fn shaders() -> Vec<Shader> {
    let mut all = vec![Shader { name: "control".into(), entry: "wrong".into(), source: WRONG.into() }];
    for kernel in plusminus::ops::KERNELS.iter().copied().chain(plusminus::optim::kernels()) {
        for variant in kernel.all_variants() {
            let name = format!("{}: {} (preset {})", kernel.label(), variant.entry, variant.preset);
            all.push(Shader {
                name,
                entry: variant.entry.to_string(),
                source: variant.text(true).expect("its pieces fit"),
            });
        }
    }
    all
}

#[test]
fn every_shader_compiles_in_a_browser() {
    let Some(program) = browser::find() else { return skip("no chromium on the PATH") };
    let shaders = shaders();
    let json = serde_json::to_string(&shaders).expect("texts are plain values");
    let page = include_str!("support/compile.html");
    let files = [("/", "text/html", page), ("/shaders.json", "application/json", json.as_str())];
    let posted = browser::run(program, &files, LIMIT).unwrap_or_else(|e| panic!("{e}"));
    let posted = serde_json::from_str(&posted).unwrap_or_else(|e| panic!("{e} in {posted}"));
    let (adapter, results) = match posted {
        Posted::Compiled { adapter, results } => (adapter, results),
        Posted::Missing { missing } => return skip(&missing),
        Posted::Failed { failed } => panic!("the page failed: {failed}"),
    };
    assert_eq!(results.len(), shaders.len(), "shaders that were compiled");
    let mut complaints = Vec::new();
    for (shader, compiled) in shaders.iter().zip(&results) {
        assert_eq!(shader.name, compiled.name);
        for message in compiled.messages.iter().filter(|m| m.r#type == "error") {
            let text = message.line.checked_sub(1).and_then(|at| shader.source.lines().nth(at)).unwrap_or_default();
            let complaint = format!("{}: line {}: {}\n    {}", shader.name, message.line, message.message, text.trim());
            complaints.push(complaint);
        }
    }
    let (control, complaints): (Vec<_>, Vec<_>) = complaints.into_iter().partition(|c| c.starts_with("control: "));
    assert!(control.iter().any(|c| c.contains("workgroupBarrier")), "a wrong shader passed; reported: {control:?}");
    assert!(complaints.is_empty(), "the browser rejects:\n{}", complaints.join("\n"));
    say(&format!("{} shaders compile in Chromium ({adapter})", shaders.len() - 1));
}

fn skip(why: &str) {
    assert!(std::env::var("PLUSMINUS_REQUIRE_GPU").as_deref() != Ok("1"), "PLUSMINUS_REQUIRE_GPU=1, but {why}");
    say(&format!("skipped: {why}"));
}

/// Writes a line directly to stderr, which the test harness does not capture.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "browser: {line}");
}
