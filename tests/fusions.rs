//! Fusions change no number of a training step, in networks of the zoo, in networks of users, and with rules from outside the crate.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, reason = "tests panic on failure")]

#[path = "support/networks.rs"]
mod networks;
mod support;

use networks::{batch_for, small};
use plusminus::data::{Batch, InMemory, Loader};
use plusminus::nn::{
    BatchNorm, Conv, Dense, Flatten, Model, ModelSpec, PixelScale, Quantizer, Residual, Sequence, Tensor, Weights,
};
use plusminus::ops::Window;
use plusminus::optim::{
    BinaryOptimizer, BinaryRule, ElementwiseFilter, FloatRule, HyperparameterSpec, Range, StateInit, StateType,
};
use plusminus::runtime::{CpuEngine, Engine};
use plusminus::train::{Loss, Options, Rules, Session};
use std::sync::Arc;

fn rules(binary: &BinaryOptimizer) -> Rules {
    let float = FloatRule::named("adam").unwrap().with(1e-2, "constant".parse().unwrap(), &[]).unwrap();
    Rules { binary: Box::new(binary.clone()), float, layers: Vec::new(), control: None }
}

fn cema() -> BinaryOptimizer {
    BinaryRule::named("cema").unwrap().with::<f32>([]).unwrap()
}

type Named = Vec<(String, Tensor)>;

/// The result of some steps.
struct Outcome {
    weights: Weights,
    gradients: Named,
    logits: Vec<f32>,
    bytes: u64,
    fired: Vec<(&'static str, usize)>,
}

/// Trains six steps, the last with a short batch, and evaluates.
fn train(
    model: &Model,
    binary: &BinaryOptimizer,
    engine: Box<dyn Engine>,
    [fuse, keep_gradients]: [bool; 2],
) -> Outcome {
    let batch = batch_for(model, 8);
    let pixels = bytemuck::cast_slice(&batch.pixels)[..8 * model.features()].to_vec();
    let images = Arc::new(InMemory { shape: model.input, pixels, labels: batch.labels.clone() });
    let base = Options::new(Loss::CrossEntropy(0.1));
    let options = Options { batch: 8, total_steps: 10, fuse, keep_gradients, ..base };
    pollster::block_on(async {
        let mut session = Session::with(model, Some(rules(binary)), options, engine).await.unwrap();
        for step in 0..6 {
            let batch = Batch { valid: if step == 5 { 5 } else { 8 }, ..batch.clone() };
            session.train(&batch).await.unwrap();
        }
        let logits = session.logits(Loader::new(images, 8).unwrap().epoch(None)).await.unwrap();
        let fired = session.fusions().iter().map(|(name, count)| (*name, *count)).collect();
        let names: Vec<String> = session.plan().named.keys().filter(|n| n.ends_with(".grad")).cloned().collect();
        let mut gradients = Vec::new();
        for name in names {
            let gradient = session.tensor(&name).await.unwrap();
            gradients.push((name, gradient));
        }
        Outcome { weights: session.weights().await.unwrap(), gradients, logits, bytes: session.bytes_peak(), fired }
    })
}

/// Networks of the zoo with the number of times that each fusion applies in a training step or an evaluation.
const FUSED: [(&str, &[(&str, usize)]); 4] = [
    ("mlp", &[("norm-sign", 2), ("statistics", 2), ("threshold", 1)]),
    ("binarynet", &[("mask", 1), ("norm-sign", 7), ("statistics", 8), ("threshold", 6)]),
    ("vgg-small", &[("norm-sign", 5), ("statistics", 5), ("threshold", 4)]),
    ("birealnet20", &[("add", 18), ("mask", 18), ("statistics", 18)]),
];

/// Number of updates of each of these networks that compute their gradient, where gradients are not kept.
const UPDATES: [usize; 4] = [2, 3, 0, 0];

/// Fusion changes no number and reduces the memory. The expected fusions apply, so that the test is not vacuous.
fn of_the_zoo(engine: impl Fn() -> Box<dyn Engine>) {
    for ((name, expected), updates) in FUSED.into_iter().zip(UPDATES) {
        let model = small(name, false).build().unwrap();
        let run = |how| train(&model, &cema(), engine(), how);
        let (fused, plain) = (run([true, true]), run([false, true]));
        assert_eq!(fused.weights, plain.weights, "{name}: weights");
        assert_eq!(fused.gradients, plain.gradients, "{name}: gradients");
        assert_eq!(fused.logits, plain.logits, "{name}: logits");
        assert_eq!((fused.fired.as_slice(), plain.fired.as_slice()), (expected, &[][..]), "{name}");
        // Fused statistics take two more floats per 32 rows of a channel, which shows in small networks.
        assert!(fused.bytes <= plain.bytes + plain.bytes / 100, "{name}: {} bytes, {}", fused.bytes, plain.bytes);
        // Gradients that nothing else reads are computed in the update.
        let unkept = run([true, false]);
        assert_eq!((unkept.weights, unkept.logits), (plain.weights, plain.logits), "{name}: gradients not kept");
        assert_eq!(count(&unkept.fired, "gradient-update"), updates, "{name}: updates that compute their gradient");
    }
}

fn count(fired: &[(&'static str, usize)], name: &str) -> usize {
    fired.iter().find(|(fusion, _)| *fusion == name).map_or(0, |(_, count)| *count)
}

/// A rule from outside the crate.
const OUTSIDE: ElementwiseFilter = ElementwiseFilter {
    name: "outside",
    doc: "an average of the gradient",
    hyperparameters: &[HyperparameterSpec::new("alpha", "rate", Range::Rate, 1e-3)],
    states: &[("h", StateInit::Zero)],
    storage: &StateType::ALL,
    source: "fn update(g: f32, s: ptr<function, States>, hyper: Hyperparameters) -> f32 {
        (*s).h += hyper.alpha * (g - (*s).h);
        return (*s).h;
    }",
};

fn others(engine: impl Fn() -> Box<dyn Engine>) {
    let mlp = |dropout| ModelSpec { dropout, ..small("mlp", false) }.build().unwrap();
    let outside = OUTSIDE.rule(|g, [h], [alpha]| {
        let h = h + alpha * (g - h);
        ([h], h)
    });
    let outside = |state| outside.as_ref().unwrap().with::<f32>([]).unwrap().with_state(state).unwrap();
    // A name of its own that products have too: it is updated from gradients in memory.
    let source = "fn product(a: f32, b: f32) -> f32 { return a * b; }
        fn update(g: f32, s: ptr<function, States>, hyper: Hyperparameters) -> f32 {
            (*s).h += product(hyper.alpha, g - (*s).h);
            return (*s).h;
        }";
    let clashing = ElementwiseFilter { name: "clashing", source, storage: &[StateType::F32], ..OUTSIDE };
    let clashing = clashing.rule(|g, [h], [alpha]| {
        let h = h + alpha * (g - h);
        ([h], h)
    });
    let clashing = clashing.unwrap().with::<f32>([]).unwrap();
    let sign = Quantizer::sign();
    let conv = |input| Conv::new(32, Window::same(3, 1), input, sign);
    // An operation that reads one value twice: both branches of the residual are the identity.
    let doubled = Model::new("doubled", [6, 6, 3], PixelScale::to_unit(255))
        .with(conv(Quantizer::Float))
        .with(BatchNorm::default())
        .with(Residual { main: Sequence::new(), shortcut: Sequence::new() })
        .with(conv(sign))
        .with(BatchNorm::default())
        .with(Flatten)
        .with(Dense { units: 10, input: sign, weight: sign })
        .with(BatchNorm::default());
    for (name, model, rule, fusion, times) in [
        ("dropout", mlp([0.0, 0.5]), cema(), "join_dropped", 2),
        ("outside", mlp([0.0; 2]), outside(StateType::F32), "gradient-update", 2),
        ("outside, i8", mlp([0.0; 2]), outside(StateType::I8), "gradient-update", 2),
        ("clashing", mlp([0.0; 2]), clashing, "gradient-update", 0),
        ("doubled", doubled, cema(), "mask", 2),
    ] {
        let (fused, plain) =
            (train(&model, &rule, engine(), [true, false]), train(&model, &rule, engine(), [false; 2]));
        assert_eq!((fused.weights, fused.logits), (plain.weights, plain.logits), "{name}");
        assert_eq!(count(&fused.fired, fusion), times, "{name}: {fusion} in {:?}", fused.fired);
    }
}

fn cpu() -> Box<dyn Engine> {
    Box::new(CpuEngine::new(Some(2)).unwrap())
}

#[test]
fn fusions_change_nothing_but_time_and_memory() {
    of_the_zoo(cpu);
}

#[test]
fn fusions_of_other_networks_and_rules_change_nothing() {
    others(cpu);
}

#[cfg(feature = "gpu")]
#[test]
fn fusions_change_nothing_on_a_gpu() {
    if support::gpu().is_some() {
        of_the_zoo(|| Box::new(support::gpu().unwrap()));
        others(|| Box::new(support::gpu().unwrap()));
    }
}
