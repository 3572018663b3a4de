//! Tests that the examples reach the results in their comments, and that user-defined kernels are validated.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "tests panic on failure")]

mod support;

use plusminus::runtime::{Access, BufferId, BufferInfo, CustomKernel, Grid, Kernel, Program, Recording, StepParams};
use plusminus::{Error, block_on};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// Runs an example and returns its last line. `cargo test` builds all examples.
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
#[cfg(feature = "gpu")]
fn an_operation_of_ones_own_trains_on_an_adapter() {
    if support::gpu().is_none() {
        return; // `support::gpu` has printed the reason.
    }
    let last = example("custom_kernel", &[&support::test_device()]);
    let accuracy: f64 = last.trim_start_matches("test accuracy ").trim_end_matches(" %").parse().unwrap();
    assert!(accuracy > 97.0, "{last}");
}

#[test]
fn a_filter_of_ones_own_trains_and_is_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("picture.svg").to_string_lossy().into_owned();
    let devices: &[&str] = if support::gpu().is_some() { &["cpu", &support::test_device()] } else { &["cpu"] };
    for device in devices {
        let last = example("custom_optimizer", &[&picture, device]);
        let accuracy: f64 = last.trim_start_matches("test accuracy ").trim_end_matches(" %").parse().unwrap();
        assert!(accuracy > 97.0, "{device}: {last}");
        let drawn = std::fs::read_to_string(&picture).unwrap();
        assert!(["<svg", "cema", "dema"].iter().all(|word| drawn.contains(word)), "{device}: a picture with both");
    }
}

/// Two kernels with the same label are different kernels.
#[test]
fn kernels_with_the_same_label_are_distinct() {
    let bindings: &[(&str, Access)] = &[("x", Access::Read), ("y", Access::Write)];
    for (name, mut engine) in support::engines() {
        for factor in [2.0_f32, 3.0] {
            let source = GOOD.replace("2.0", &format!("{factor:.1}"));
            let custom = CustomKernel {
                label: "twice",
                source: &source,
                imports: &[],
                entry: "twice",
                bindings,
                cover: [64, 1, 1],
            };
            let kernel = Kernel::new(&custom, move |task| {
                let (x, y) = (task.read::<f32>(0), task.write::<f32>(1));
                y.iter_mut().zip(x).for_each(|(y, x)| *y = factor * x);
            });
            let mut recording = Recording::new("test");
            let buffers = vec![BufferId(0).into(), BufferId(1).per_task(4)];
            recording.dispatch_raw(kernel.unwrap(), Vec::new(), buffers, Grid::Linear(4), 1);
            let tensor = |slot| BufferInfo { name: format!("tensor {slot}"), ty: None, words: 4, slot };
            let program = Program {
                buffers: vec![tensor(0), tensor(1)],
                slots: vec![4, 4],
                recordings: vec![recording],
                poison: Some(u32::MAX),
                ..Program::default()
            };
            block_on(engine.load(Arc::new(program))).unwrap();
            engine.upload(BufferId(0), &[1.0_f32.to_bits(); 4]).unwrap();
            block_on(engine.play(0, &[], &StepParams::default())).unwrap();
            let words = block_on(engine.download(&[BufferId(1)]).unwrap()).unwrap();
            assert_eq!(words[0], [factor.to_bits(); 4], "{name}");
        }
    }
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
    let bound = |place: &str, ty: &str| format!("@{place} var<storage, read> z: {ty};\n{GOOD}");
    for (wrong, words) in [
        (custom(&GOOD.replace("2.0 *", "2.0 **"), "twice", &[], bindings), "2.0 **"),
        (custom(GOOD, "thrice", &[], bindings), "an entry point `thrice`, got twice"),
        (custom(GOOD, "twice", &["nope"], bindings), "got `nope`"),
        (custom(GOOD, "twice", &[], &bindings[..1]), "expected the bindings"),
        (custom(GOOD, "twice", &[], &[("y", Access::Read), ("x", Access::Write)]), "expected the bindings"),
        (custom(&GOOD.replace("array<f32>;\n@compute", "array<f64>;\n@compute"), "twice", &[], bindings), "twice"),
        (
            custom(&bound("group(0) @binding(2)", "vec4<f32>"), "twice", &[], bindings),
            "expected arrays in storage, got `z`",
        ),
        (custom(&bound("group(2) @binding(0)", "array<f32>"), "twice", &[], bindings), "got `z` in group 2"),
    ] {
        let message = wrong.unwrap_err().to_string();
        assert!(message.contains("kernel `twice`") && message.contains(words), "expected `{words}` in: {message}");
    }
}
