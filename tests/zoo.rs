//! Tests of the networks of the zoo: the exact number of binary weights, and a training step of each network on both engines.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, reason = "tests panic on failure")]

#[path = "support/networks.rs"]
mod networks;
mod support;

use networks::{batch_for, small};
use plusminus::data::{Batch, InMemory, Loader};
use plusminus::nn::{MODELS, Model, ModelSpec, Tensor, Weights};
use plusminus::optim::{BinaryRule, FloatRule};
use plusminus::runtime::{CpuEngine, Engine};
use plusminus::train::{Loss, Options, Rules, Session, Settings, Source, Teacher};
use std::sync::Arc;

fn rules() -> Rules {
    Rules {
        binary: Box::new(BinaryRule::named("cema").unwrap().with::<f32>([]).unwrap()),
        float: FloatRule::named("adam").unwrap().with(1e-2, "constant".parse().unwrap(), &[]).unwrap(),
        layers: Vec::new(),
        control: None,
    }
}

#[test]
fn binary_weights_are_those_published() {
    for zoo in &MODELS {
        let spec = ModelSpec::new(zoo.name, zoo.input, zoo.classes);
        let total = spec.build().unwrap().summary().total;
        assert_eq!(total.weights_1bit, zoo.weights_1bit, "{}", zoo.name);
        let float = ModelSpec { full_precision: true, ..spec }.build().unwrap().summary().total;
        assert_eq!((float.weights_1bit, float.macs_1bit), (0, 0), "{} of floats", zoo.name);
        assert_eq!(float.weights_32bit, total.weights_32bit + total.weights_1bit, "{} of floats", zoo.name);
    }
    // Also published: the full-precision 1x1 shortcuts of Bi-Real Net, and the stem and classifier of ReActNet-A.
    let summary = |name: &str| ModelSpec::new(name, [224, 224, 3], 1000).build().unwrap().summary();
    let rows = summary("reactnet-a").rows;
    assert_eq!(rows[0].cost.weights_32bit, 864);
    let classifier: u64 = rows[rows.len() - 2..].iter().map(|row| row.cost.weights_32bit).sum();
    assert_eq!(classifier, 1_025_000);
    let floats = |row: &plusminus::nn::SummaryRow| row.cost.weights_32bit;
    let shortcuts: u64 =
        summary("birealnet18").rows.iter().filter(|r| r.layer.starts_with("residual")).map(floats).sum();
    // Batch norm has four vectors: at every convolution and every shortcut.
    let norms: u64 = [64, 128, 256, 512].map(|c| 4 * 4 * c).iter().sum::<u64>() + 4 * (128 + 256 + 512);
    assert_eq!(shortcuts - norms, 172_032);
}

/// Trains on one repeated batch: the loss falls, weights flip.
fn learns(spec: &ModelSpec, engine: Box<dyn Engine>, steps: u64) -> (f64, f64) {
    let model = spec.build().unwrap();
    let batch = batch_for(&model, 8);
    let mut session =
        pollster::block_on(Session::new(&model, Loss::CrossEntropy(0.0), Some(rules()), 8, 1, engine)).unwrap();
    session.set_total_steps(100);
    let mut run = |count: u64| {
        for _ in 0..count {
            pollster::block_on(session.train(&batch)).unwrap();
        }
        let read_back = session.read_back().unwrap();
        let interval = pollster::block_on(session.interval(read_back)).unwrap().expect("a finite loss");
        assert!(interval.flips.iter().sum::<u64>() > 0 || spec.full_precision, "{}: no weight flipped", spec.model);
        interval.mean_loss()
    };
    (run(1), run(steps))
}

#[test]
fn every_network_learns_a_batch() {
    for zoo in &MODELS {
        for float in [false, true] {
            let (first, last) = learns(&small(zoo.name, float), Box::new(CpuEngine::new(Some(2)).unwrap()), 12);
            println!("{} float {float}: {first:.3} to {last:.3}", zoo.name);
            assert!(last < first, "{} float {float}: the loss went from {first} to {last}", zoo.name);
        }
    }
}

/// The engines agree on the loss and on every gradient of a first step, for a network with every kind of layer of the zoo and one with
/// pooling before batch norm.
#[test]
fn engines_agree_on_a_step() {
    for name in ["binarynet", "resnet18", "reactnet-a"] {
        let spec = small(name, false);
        let model = spec.build().unwrap();
        let Some(gpu) = support::gpu() else { return };
        let cpu = CpuEngine::new(Some(2)).unwrap();
        let [gpu, cpu] = [Box::new(gpu) as Box<dyn Engine>, Box::new(cpu)].map(|engine| gradients(&model, engine));
        assert!((gpu.0 - cpu.0).abs() < 1e-3 * cpu.0.abs(), "{name}: losses {} and {}", cpu.0, gpu.0);
        for ((parameter, gpu), (_, cpu)) in gpu.1.iter().zip(&cpu.1) {
            let rms = (cpu.iter().map(|v| v * v).sum::<f32>() / cpu.len() as f32).sqrt();
            let most = gpu.iter().zip(cpu).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(most <= 2e-3 * rms, "{name}: the gradient of {parameter} differs by {most}, its size is {rms}");
        }
    }
}

/// Returns the loss and the gradients of one step.
fn gradients(model: &Model, engine: Box<dyn Engine>) -> (f64, Vec<(String, Vec<f32>)>) {
    pollster::block_on(async {
        let session = Session::with_gradients(model, Loss::CrossEntropy(0.0), rules(), 8, 1, engine);
        let mut session = session.await.unwrap();
        session.train(&batch_for(model, 8)).await.unwrap();
        let read_back = session.read_back().unwrap();
        let loss = session.interval(read_back).await.unwrap().expect("a finite loss").mean_loss();
        let names: Vec<String> = session.plan().named.keys().filter(|name| name.ends_with(".grad")).cloned().collect();
        let mut all = Vec::new();
        for name in names {
            let Tensor::Floats { data, .. } = session.tensor(&name).await.unwrap() else { unreachable!() };
            all.push((name, data));
        }
        assert!(all.len() > 10, "{} gradients", all.len());
        (loss, all)
    })
}

/// Evaluation and teachers pack weights when they change, not for each batch. A training step packs them once for the forward pass and, if the
/// backward pass reads them, once more.
#[test]
fn weights_are_packed_when_they_change() {
    let spec = small("binarynet", false);
    let model = spec.build().unwrap();
    let options = |teacher| Options { batch: 8, teacher, ..Options::new(Loss::CrossEntropy(0.0)) };
    let teacher = || Teacher {
        source: Source::Network { model: spec.build().unwrap(), weights: Weights::default() },
        weight: 0.5,
        temperature: 1.0,
    };
    let program = Session::program_of(&model, &rules(), &options(Some(teacher()))).unwrap();
    let count = |recording: &str, kernel: &str| {
        let recording = program.recordings.iter().find(|found| found.name == recording).unwrap();
        recording.dispatches().filter(|dispatch| dispatch.kernel.label().ends_with(kernel)).count()
    };
    let mlp = small("mlp", false).build().unwrap();
    let program_of_mlp = Session::program_of(&mlp, &rules(), &options(None)).unwrap();
    for (recording, transposed) in [("prepare", 1), ("train", 1), ("eval", 0)] {
        let found = program_of_mlp.recordings.iter().find(|found| found.name == recording).unwrap();
        let found = found.dispatches().filter(|dispatch| dispatch.kernel.label().ends_with("::transpose_bits")).count();
        assert_eq!(found, transposed, "{recording} of mlp: weights of the layer that sees pixels");
    }
    // Five convolutions of signs by signs and one of pixels by signs.
    for (recording, packed, unpacked) in [("prepare", 10, 2), ("train", 10, 1), ("eval", 0, 0)] {
        let found = (count(recording, "::conv_weights"), count(recording, "::unpack_signs_rows"));
        assert_eq!(found, (packed, unpacked), "{recording}");
    }
    for (name, engine) in support::engines() {
        let other = || support::engines().into_iter().find(|(other, _)| *other == name).unwrap().1;
        let batch = batch_for(&model, 8);
        let pixels = bytemuck::cast_slice(&batch.pixels)[..8 * model.features()].to_vec();
        let images = Arc::new(InMemory { shape: spec.input, pixels, labels: batch.labels.clone() });
        let evaluated = |session: &mut Session| {
            pollster::block_on(session.evaluate(Loader::new(images.clone(), 8).unwrap().epoch(None))).unwrap()
        };
        let fresh = |engine| pollster::block_on(Session::with(&model, Some(rules()), options(None), engine)).unwrap();
        let mut session = fresh(engine);
        let first = evaluated(&mut session);
        let mut before = first.clone();
        for _ in 0..2 {
            pollster::block_on(session.train(&batch)).unwrap();
            let after = evaluated(&mut session);
            assert_ne!(after, before, "{name}: a step changes weights");
            let submissions = session.stats().submissions;
            assert_eq!(evaluated(&mut session), after, "{name}: evaluated again");
            let again = session.stats().submissions - submissions;
            // One submission for the batch, one for the read-back on a GPU; none for `prepare`.
            assert!(again <= if name == "cpu" { 1 } else { 3 }, "{name}: {again} submissions");
            let mut other = fresh(other());
            evaluated(&mut other);
            other.set_weights(&pollster::block_on(session.weights()).unwrap()).unwrap();
            assert_eq!(evaluated(&mut other), after, "{name}: loaded weights");
            before = after;
        }
        // Setting a single tensor.
        let mut drawn = fresh(other());
        let weight = pollster::block_on(drawn.tensor("conv2.weight")).unwrap();
        let trained = pollster::block_on(session.tensor("conv2.weight")).unwrap();
        assert_ne!(weight, trained, "{name}");
        assert_eq!(evaluated(&mut drawn), first, "{name}");
        drawn.set_tensor("conv2.weight", &trained).unwrap();
        assert_ne!(evaluated(&mut drawn), first, "{name}");
        drawn.set_tensor("conv2.weight", &weight).unwrap();
        assert_eq!(evaluated(&mut drawn), first, "{name}");
    }
}

/// The logits of a frozen teacher network equal those of its own evaluation, before and after its weights are replaced.
#[test]
fn a_teacher_is_packed_before_it_teaches() {
    let spec = small("binarynet", false);
    let model = spec.build().unwrap();
    let batch = batch_for(&model, 8);
    let pixels = bytemuck::cast_slice(&batch.pixels)[..8 * model.features()].to_vec();
    let images = Arc::new(InMemory { shape: spec.input, pixels, labels: batch.labels.clone() });
    for (name, _) in support::engines() {
        let engine = || support::engines().into_iter().find(|(other, _)| *other == name).unwrap().1;
        let session = |source: Option<Source>| {
            let teacher = source.map(|source| Teacher { source, weight: 1.0, temperature: 2.0 });
            let options = Options { batch: 8, seed: 5, teacher, ..Options::new(Loss::CrossEntropy(0.0)) };
            pollster::block_on(Session::with(&model, Some(rules()), options, engine())).unwrap()
        };
        let taught = |mut session: Session| {
            let batch = Batch { samples: (0..8).collect(), ..batch.clone() };
            pollster::block_on(session.train(&batch)).unwrap();
            let read_back = session.read_back().unwrap();
            pollster::block_on(session.interval(read_back)).unwrap().unwrap().loss
        };
        let losses = [1, 2].map(|seed| {
            let options = Options { batch: 8, seed, ..Options::new(Loss::CrossEntropy(0.0)) };
            let mut teacher = pollster::block_on(Session::with(&model, None, options, engine())).unwrap();
            let weights = pollster::block_on(teacher.weights()).unwrap();
            let logits = Loader::new(images.clone(), 8).unwrap().epoch(None);
            let logits = pollster::block_on(teacher.logits(logits)).unwrap();
            let source = Source::Network { model: spec.build().unwrap(), weights };
            let (by_network, by_logits) =
                (taught(session(Some(source))), taught(session(Some(Source::Logits(logits)))));
            assert_eq!(by_network, by_logits, "{name}: teacher of seed {seed}");
            by_network
        });
        assert_ne!(losses[0], losses[1], "{name}: two teachers");
    }
}

/// Plans exist for the networks of the recipes at their batch sizes: limits on channels do not apply to the height of images.
#[test]
fn large_batches_of_large_images_have_a_plan() {
    let model = ModelSpec::new("birealnet18", [224, 224, 3], 1000).build().unwrap();
    let options = |batch| Options { batch, ..Options::new(Loss::CrossEntropy(0.0)) };
    let bytes = |batch| Session::memory_of(&model, &rules(), &options(batch)).map(|memory| memory.peak);
    assert!(bytes(1024).unwrap() > 1 << 34 && bytes(4096).is_err_and(|e| e.to_string().contains("2^31")));
}

/// Every recipe is a file of settings for a network of the zoo, with a comment that has its source and its cost.
#[test]
fn recipes_are_settings() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/recipes");
    let mut networks = std::collections::BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let config = Settings::read(&path).unwrap().resolve().unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        networks.insert(config.model);
        let text = std::fs::read_to_string(&path).unwrap();
        let comment: String = text.lines().take_while(|line| line.starts_with('#')).collect();
        for word in ["et al.", "% published", "Cost:"] {
            assert!(comment.contains(word), "{}: its comment has no `{word}`", path.display());
        }
    }
    let zoo: std::collections::BTreeSet<String> = MODELS.iter().map(|zoo| zoo.name.to_string()).collect();
    assert_eq!(networks, zoo, "networks with a recipe, and those of the zoo");
}
