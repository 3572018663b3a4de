//! The examples reach what their first lines say, and kernels from outside the crate are checked.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

use plusminus::Error;
use plusminus::runtime::{Access, CustomKernel, Kernel};
use std::path::Path;
use std::process::Command;

/// Runs an example; gives its last line. `cargo test` builds all of them beside the program.
fn example(name: &str, args: &[&str]) -> String {
    let folder = Path::new(env!("CARGO_BIN_EXE_plusminus")).with_file_name("examples");
    let path = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(path.exists(), "{} is not built: run `cargo test` for all targets", path.display());
    let output = Command::new(path).args(args).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{name}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text.lines().last().unwrap_or_default().to_string()
}

#[test]
fn xor_is_learned() {
    assert_eq!(example("xor", &[]), "accuracy 100 %");
}

#[test]
fn an_operation_of_ones_own_trains_on_the_processor() {
    let last = example("custom_kernel", &["cpu"]);
    let accuracy: f64 = last.trim_start_matches("test accuracy ").trim_end_matches(" %").parse().unwrap();
    assert!(accuracy > 97.0, "{last}");
}

#[test]
fn mnist_says_what_is_missing() {
    let folder = Path::new(env!("CARGO_BIN_EXE_plusminus")).with_file_name("examples");
    let output = Command::new(folder.join(format!("mnist{}", std::env::consts::EXE_SUFFIX))).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("data-dir"), "{output:?}");
}

const GOOD: &str = "
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64)
fn twice(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < arrayLength(&y)) {
        y[id.x] = 2.0 * x[id.x];
    }
}";

fn custom(source: &str, entry: &str, imports: &[&str], bindings: &[(&str, Access)]) -> Result<&'static Kernel, Error> {
    Kernel::new(&CustomKernel { label: "twice", source, imports, entry, bindings, cover: [64, 1, 1] }, |_| ())
}

#[test]
fn a_kernel_that_is_not_what_it_says_is_refused() {
    let bindings: &[(&str, Access)] = &[("x", Access::Read), ("y", Access::Write)];
    let kernel = custom(GOOD, "twice", &[], bindings).unwrap();
    assert_eq!((kernel.label(), kernel.interface.params, kernel.interface.step), ("twice", false, false));
    for (wrong, words) in [
        (custom(&GOOD.replace("2.0 *", "2.0 **"), "twice", &[], bindings), "2.0 **"),
        (custom(GOOD, "thrice", &[], bindings), "an entry point `thrice`, got twice"),
        (custom(GOOD, "twice", &["nope"], bindings), "got `nope`"),
        (custom(GOOD, "twice", &[], &bindings[..1]), "expected the bindings"),
        (custom(GOOD, "twice", &[], &[("y", Access::Read), ("x", Access::Write)]), "expected the bindings"),
        (custom(&GOOD.replace("array<f32>;\n@compute", "array<f64>;\n@compute"), "twice", &[], bindings), "twice"),
    ] {
        let message = wrong.unwrap_err().to_string();
        assert!(message.contains("kernel `twice`") && message.contains(words), "expected `{words}` in: {message}");
    }
}
