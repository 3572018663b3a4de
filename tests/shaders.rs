//! Tests of every shader: it belongs to a listed kernel, has a comment with purpose and shapes, stays within WebGPU's guaranteed limits, and
//! translates to the languages of Vulkan, Metal and DX12. `browser.rs` tests what only browsers reject.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, reason = "tests panic on failure")]

use naga::back::{hlsl, msl, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::{AddressSpace, ShaderStage};
use plusminus::runtime::{Kernel, Source, Variant};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The assembler of the build script.
#[path = "../shaders/assemble.rs"]
#[allow(dead_code, reason = "the tests use a part of it")]
mod assemble;

/// Limits guaranteed everywhere: browsers, DX12 with FXC, old Vulkan.
const STORAGE_BUFFERS: usize = 8;
const INVOCATIONS: u32 = 256;
const WORKGROUP_BYTES: u32 = 16 * 1024;

fn kernels() -> impl Iterator<Item = &'static Kernel> {
    plusminus::ops::KERNELS.iter().copied().chain(plusminus::optim::kernels())
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders").join(name)
}

/// Returns `(stem, text)` of each shader in a folder.
fn files(name: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder(name)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "wgsl") {
            found.insert(
                path.file_stem().unwrap().to_string_lossy().into_owned(),
                std::fs::read_to_string(&path).unwrap(),
            );
        }
    }
    found
}

struct Parsed {
    module: naga::Module,
    info: naga::valid::ModuleInfo,
}

/// Parses and validates with no capability beyond core WGSL.
fn parse(name: &str, source: &str) -> Parsed {
    let module =
        naga::front::wgsl::parse_str(source).unwrap_or_else(|e| panic!("{}", e.emit_to_string_with_path(source, name)));
    let mut validator =
        naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty());
    let info = validator.validate(&module).unwrap_or_else(|e| panic!("{}", e.emit_to_string_with_path(source, name)));
    Parsed { module, info }
}

/// A parsed variant of a listed kernel.
struct Shader {
    name: String,
    kernel: &'static Kernel,
    variant: &'static Variant,
    parsed: Parsed,
    /// Of the entry point in the module.
    index: usize,
}

fn shaders() -> impl Iterator<Item = Shader> {
    let variants = kernels().flat_map(|kernel| kernel.all_variants().map(move |variant| (kernel, variant)));
    variants.map(|(kernel, variant)| {
        let name = format!("{}: {} (preset {})", kernel.label(), variant.entry, variant.preset);
        let parsed = parse(&name, &variant.text(false).unwrap());
        let index = parsed.module.entry_points.iter().position(|e| e.name == variant.entry);
        let index = index.unwrap_or_else(|| panic!("{name}: no such entry point"));
        Shader { name, kernel, variant, parsed, index }
    })
}

#[test]
fn labels_are_unique() {
    let mut seen = BTreeSet::new();
    for kernel in kernels() {
        assert!(seen.insert(kernel.label()), "two kernels are called {}", kernel.label());
    }
}

const FOLDERS: [&str; 6] = ["ops", "producers", "epilogues", "rules", "storage", "shared"];

/// Every entry point of every assembled text is a variant of a listed kernel, in every preset. Every file is part of a text.
#[test]
fn every_entry_point_is_listed() {
    let (mut listed, mut texts, mut used) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
    let sources: BTreeMap<String, String> = FOLDERS
        .into_iter()
        .flat_map(|folder| files(folder).into_iter().map(move |(file, text)| (format!("{folder}/{file}"), text)))
        .collect();
    let find = |name: &str| sources.get(name).map(String::as_str);
    for kernel in kernels() {
        for variant in kernel.all_variants() {
            let Source::Pieces(names) = &variant.source else { panic!("{}: text without a file", kernel.label()) };
            let key = (names.join(" + "), variant.entry.to_string(), variant.preset.to_string());
            assert!(listed.insert(key.clone()), "{key:?} belongs to two kernels");
            let joined = assemble::assemble(&find, names).unwrap();
            let plain = |name: &str| name.split_once('@').map_or(name, |(path, _)| path).to_string();
            used.extend(joined.pieces.iter().map(|(name, _)| plain(name)));
            texts.insert(names.join(" + "), joined.text);
        }
    }
    for (names, text) in texts {
        for preset in assemble::presets(&text) {
            let shipped = assemble::unroll(&assemble::tuned(&text, &preset).unwrap()).unwrap();
            for entry in parse(&names, &shipped).module.entry_points {
                let key = (names.clone(), entry.name, preset.clone());
                assert!(listed.remove(&key), "{key:?} is in no list of kernels");
            }
        }
    }
    assert!(listed.is_empty(), "listed, but in no file: {listed:?}");
    let unused: Vec<&String> = sources.keys().filter(|path| !used.contains(*path)).collect();
    assert!(unused.is_empty(), "part of no kernel: {unused:?}");
}

/// An invalid composition is an error that names the cause.
#[test]
fn clashes_and_mistakes_are_named() {
    let pieces = BTreeMap::from([
        ("ops/a", "// import: b\nvar<storage, read> x: array<f32>; // any length"),
        ("shared/b", "var<storage, read> x: array<f32>; // any length"),
        ("ops/c", "// import: nothing"),
        ("ops/d", "var<uniform> values: Params;"),
        ("rules/e", "// hyperparameters: alpha"),
        ("storage/f", "// bits: 32"),
    ]);
    let find = |name: &str| pieces.get(name).copied();
    for (names, word) in [
        (&["ops/a"][..], "two pieces bind `x`"),
        (&["ops/c"], "there is no shaders/shared/nothing.wgsl"),
        (&["ops/d"], "a uniform must be named `params`, `step`, `epilogue` or `grid`"),
        (&["rules/e", "storage/f"], "// states: NAME"),
    ] {
        let error = assemble::assemble(&find, names).unwrap_err();
        assert!(error.contains(word), "{names:?}: {error}");
    }
    let joined = assemble::assemble(
        &|name| Some(if name == "ops/a" { "// import: b\nfn a() {}" } else { "fn b() {}" }),
        &["ops/a"],
    );
    let joined = joined.unwrap();
    assert_eq!(joined.origin(2), ("ops/a", 2));
    assert_eq!(joined.origin(3), ("shared/b", 1));
}

/// Unrolled loops have WGSL's number of iterations: operators apply from left to right.
#[test]
fn unrolled_loops_count_as_written() {
    let count = |end: &str| {
        let source = format!(
            "const A: u32 = 2u * B / C; const B: u32 = 8u; const C: u32 = 16u;\nfor (var i = 0u; i < {end}; i++) {{ // unroll\n f(i); }}"
        );
        assemble::unroll(&source).unwrap().matches("f(").count()
    };
    assert_eq!([count("3u"), count("A"), count("C / B * 3"), count("2 * B / 5u")], [3, 1, 6, 3]);
    let source = "for (var i = 0u; i < A; i++) { // unroll\n}";
    assert!(assemble::unroll(source).is_err(), "a bound that is no constant");
}

/// The first line of a file states its purpose. The declaration of a binding is followed by its shape.
#[test]
fn comments_say_purpose_and_shapes() {
    for folder in FOLDERS {
        for (file, source) in files(folder) {
            let first = source.lines().next().unwrap_or_default();
            assert!(
                first.starts_with("// ") && first.len() > 20,
                "{folder}/{file}.wgsl: the first line states no purpose"
            );
            for (number, line) in source.lines().enumerate().filter(|(_, line)| line.starts_with("var<storage")) {
                let extent = line.split_once("//").map_or("", |(_, extent)| extent.trim());
                assert!(!extent.is_empty(), "{folder}/{file}.wgsl:{}: `{line}` has no extent comment", number + 1);
            }
        }
    }
}

#[test]
fn limits_hold_everywhere() {
    for shader in shaders() {
        let Shader { name, kernel, variant, parsed: Parsed { module, info }, index } = &shader;
        let point = &module.entry_points[*index];
        assert_eq!(point.stage, ShaderStage::Compute, "{name}");
        assert_eq!(point.workgroup_size, variant.workgroup, "{name}: the workgroup that Rust knows");
        let invocations: u32 = point.workgroup_size.iter().product();
        assert!(invocations <= INVOCATIONS, "{name}: {invocations} invocations, {INVOCATIONS} are guaranteed");

        let mut layouter = naga::proc::Layouter::default();
        layouter.update(module.to_ctx()).unwrap();
        let used = |handle: naga::Handle<naga::GlobalVariable>| !info.get_entry_point(*index)[handle].is_empty();
        let (mut buffers, mut bytes) = (0, 0);
        for (_, global) in module.global_variables.iter().filter(|(handle, _)| used(*handle)) {
            match global.space {
                AddressSpace::Storage { .. } => buffers += 1,
                // WebGPU's way of counting.
                AddressSpace::WorkGroup => bytes += layouter[global.ty].size.next_multiple_of(16),
                AddressSpace::Uniform | AddressSpace::Private => {}
                other => panic!("{name}: {other:?} is not everywhere"),
            }
        }
        assert!(buffers <= STORAGE_BUFFERS, "{name}: {buffers} storage buffers, {STORAGE_BUFFERS} are guaranteed");
        assert_eq!(buffers, kernel.interface.bindings.len(), "{name}: not the bindings of its kernel");
        assert!(
            bytes <= WORKGROUP_BYTES,
            "{name}: {bytes} bytes of workgroup memory, {WORKGROUP_BYTES} are guaranteed"
        );
    }
}

/// Translates with the bounds checks that a browser adds, and without, as the engine does.
#[test]
fn everything_translates() {
    let validator = Command::new("spirv-val").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !validator {
        say("skipped: spirv-val is not installed, so the SPIR-V is written but not validated");
    }
    let mut count = 0;
    for shader in shaders() {
        for checked in [true, false] {
            let name = format!("{}, {}", shader.name, if checked { "checked" } else { "trusted" });
            let words = to_spirv(&shader, checked).unwrap_or_else(|e| panic!("{name}: SPIR-V: {e}"));
            if validator {
                validate(&words).unwrap_or_else(|e| panic!("{name}: spirv-val: {e}"));
            }
            let metal = to_msl(&shader, checked).unwrap_or_else(|e| panic!("{name}: MSL: {e}"));
            assert!(metal.contains("kernel void"), "{name}: MSL without a kernel");
            let direct = to_hlsl(&shader, checked).unwrap_or_else(|e| panic!("{name}: HLSL: {e}"));
            assert!(direct.contains("numthreads"), "{name}: HLSL without a kernel");
        }
        count += 1;
    }
    assert!(count >= kernels().count());
    say(&format!("translated {count} shaders to SPIR-V, MSL and HLSL, checked and trusted"));
}

fn policies(checked: bool) -> BoundsCheckPolicies {
    let policy = if checked { BoundsCheckPolicy::Restrict } else { BoundsCheckPolicy::Unchecked };
    BoundsCheckPolicies { index: policy, buffer: policy, ..Default::default() }
}

fn to_spirv(shader: &Shader, checked: bool) -> Result<Vec<u32>, String> {
    let options = spv::Options {
        lang_version: (1, 3),
        bounds_check_policies: policies(checked),
        force_loop_bounding: checked,
        emit_int_div_checks: checked,
        ..Default::default()
    };
    let pipeline =
        spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: shader.variant.entry.to_string() };
    spv::write_vec(&shader.parsed.module, &shader.parsed.info, &options, Some(&pipeline)).map_err(|e| e.to_string())
}

fn validate(words: &[u32]) -> Result<(), String> {
    let mut child = Command::new("spirv-val")
        .args(["--target-env", "vulkan1.1", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| e.to_string())?;
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    child.stdin.take().expect("it was asked for").write_all(&bytes).map_err(|e| e.to_string())?;
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { Ok(()) } else { Err(text) }
}

fn to_msl(shader: &Shader, checked: bool) -> Result<String, String> {
    let module = &shader.parsed.module;
    let mut resources = msl::EntryPointResources { sizes_buffer: Some(30), ..Default::default() };
    let bound = module.global_variables.iter().filter_map(|(_, global)| global.binding);
    for (binding, slot) in bound.zip(0..) {
        let target = msl::BindTarget { buffer: Some(slot), mutable: true, ..Default::default() };
        resources.resources.insert(binding, target);
    }
    let options = msl::Options {
        lang_version: (2, 4),
        per_entry_point_map: [(shader.variant.entry.to_string(), resources)].into(),
        fake_missing_bindings: false,
        bounds_check_policies: policies(checked),
        force_loop_bounding: checked,
        emit_int_div_checks: checked,
        ..Default::default()
    };
    let entry_point = Some((ShaderStage::Compute, shader.variant.entry.to_string()));
    let pipeline = msl::PipelineOptions { entry_point, ..Default::default() };
    let (text, info) =
        msl::write_string(module, &shader.parsed.info, &options, &pipeline).map_err(|e| e.to_string())?;
    info.entry_point_names.into_iter().collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
    Ok(text)
}

fn to_hlsl(shader: &Shader, checked: bool) -> Result<String, String> {
    let module = &shader.parsed.module;
    let target = |space, register| hlsl::BindTarget { space, register, ..Default::default() };
    let bound = module.global_variables.iter().filter_map(|(_, global)| global.binding);
    let options = hlsl::Options {
        shader_model: hlsl::ShaderModel::V6_0,
        binding_map: bound.map(|b| (b, target(b.group as u8, b.binding))).collect(),
        fake_missing_bindings: false,
        special_constants_binding: Some(target(255, 0)), // the number of workgroups
        restrict_indexing: checked,
        force_loop_bounding: checked,
        ..Default::default()
    };
    let entry_point = Some((ShaderStage::Compute, shader.variant.entry.to_string()));
    let pipeline = hlsl::PipelineOptions { entry_point };
    let mut text = String::new();
    let written = hlsl::Writer::new(&mut text, &options, &pipeline).write(module, &shader.parsed.info, None);
    let names = written.map_err(|e| e.to_string())?.entry_point_names;
    names.into_iter().collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
    Ok(text)
}

/// Writes a line directly to stderr, which the test harness does not capture.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "shaders: {line}");
}
