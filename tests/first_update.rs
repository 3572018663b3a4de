//! Tests of states that start in units of the first update: their magnitudes for every rule and storage format, what the measurement leaves
//! unchanged, and small sets that are learned only with them.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests panic on failure and print measurements")]

mod support;

use plusminus::data::{Batch, Data, InMemory, Loader, digits};
use plusminus::nn::{ModelSpec, PixelScale, Tensor};
use plusminus::optim::{Adam, BINARY_RULES, BinaryOptimizer, CEMA, Schedule, StateType};
use plusminus::runtime::{CpuEngine, Engine};
use plusminus::tensor::Stream;
use plusminus::train::{Interval, Loss, Options, Rules, Session, Settings, Trainer};
use pollster::block_on;
use std::sync::Arc;

/// A session of an MLP on the digits, with the gradients kept.
fn session(rule: BinaryOptimizer, engine: Box<dyn Engine>) -> Session {
    let pixels = PixelScale::to_unit(16);
    let spec = ModelSpec { hidden: Some(vec![40, 40]), pixels, ..ModelSpec::new("mlp", [8, 8, 1], 10) };
    let rules = Rules::new(rule, Adam::new(1e-3, Schedule::constant()).unwrap());
    let options = Options { batch: 32, keep_gradients: true, ..Options::new(Loss::CrossEntropy(0.0)) };
    block_on(Session::with(&spec.build().unwrap(), Some(rules), options, engine)).unwrap()
}

fn batches(count: usize) -> Vec<Batch> {
    let mut batches = Loader::new(digits().train, 32).unwrap().epoch(None);
    (0..count).map(|_| batches.next().unwrap().unwrap()).collect()
}

fn interval(session: &mut Session) -> Interval {
    let read_back = session.read_back().unwrap();
    block_on(session.interval(read_back)).unwrap().unwrap()
}

fn floats(session: &mut Session, name: &str) -> Vec<f32> {
    match block_on(session.tensor(name)).unwrap() {
        Tensor::Floats { data, .. } => data,
        other => panic!("{name}: {}", other.describe()),
    }
}

fn rms(values: &[f32]) -> f64 {
    (values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
}

/// The rules that have the start, in every storage format.
fn rules() -> Vec<BinaryOptimizer> {
    let of =
        |rule: &'static plusminus::optim::BinaryRule, scale: f32| rule.with([("state-init-scale", scale)]).unwrap();
    let rules = BINARY_RULES.into_iter().filter(|rule| rule.first_update.is_some());
    let stored = |rule| StateType::ALL.into_iter().filter_map(move |state| of(rule, SCALE).with_state(state).ok());
    rules.flat_map(stored).collect()
}

/// So many first updates that one step turns no weight.
const SCALE: f32 = 200.0;

#[test]
fn states_start_in_units_of_the_first_update() {
    let batch = &batches(1)[0];
    let tested = rules();
    assert!(tested.len() >= 12, "{} rules and formats", tested.len());
    for rule in tested {
        for (name, engine) in support::engines() {
            let what = format!("{} of {} on {name}", rule.rule().name, rule.state());
            let mut session = session(rule.clone(), engine);
            block_on(session.train(batch)).unwrap();
            assert_eq!(interval(&mut session).flips.iter().sum::<u64>(), 0, "{what}: flips");
            if rule.state() != StateType::F32 || rule.filter().is_some() {
                continue;
            }
            let values: Vec<f32> = rule.settings().map(|(_, hyperparameter)| hyperparameter.value).collect();
            for layer in ["dense1", "dense2", "dense3"] {
                let gradient = rms(&floats(&mut session, &format!("{layer}.weight.grad")));
                let unit = rule.rule().first_update.unwrap()(&values, gradient as f32);
                let state = rule.rule().states[rule.rule().decides].name;
                let found = rms(&floats(&mut session, &format!("{layer}.weight.{state}")));
                let expected = f64::from(SCALE * unit);
                assert!((found / expected - 1.0).abs() < 0.02, "{what}: {layer}: {found} and {expected}");
            }
        }
    }
}

#[test]
fn other_weights_start_again_and_states_that_are_set_stay() {
    let batches = batches(3);
    let rule = || CEMA.with([("state-init-scale", SCALE)]).unwrap();
    let mut one = session(rule(), Box::new(CpuEngine::new(None).unwrap()));
    batches[..2].iter().for_each(|batch| block_on(one.train(batch)).unwrap());
    let before = rms(&floats(&mut one, "dense1.weight.h"));
    let other = session(CEMA.with([("state-init-scale", 0.0)]).unwrap(), Box::new(CpuEngine::new(None).unwrap()));
    let weights = block_on({ other }.weights()).unwrap();
    one.set_weights(&weights).unwrap();
    assert!(
        (rms(&floats(&mut one, "dense1.weight.h")) / f64::from(SCALE) - 1.0).abs() < 1e-6,
        "in units of 1 until then"
    );
    block_on(one.train(&batches[2])).unwrap();
    let after = rms(&floats(&mut one, "dense1.weight.h"));
    assert!(after < 10.0 * before && after > 0.1 * before, "in units of the first update again: {before}, {after}");
    let mut two = session(rule(), Box::new(CpuEngine::new(None).unwrap()));
    let h = block_on(two.tensor("dense1.weight.h")).unwrap();
    two.set_tensor("dense1.weight.h", &h).unwrap();
    block_on(two.train(&batches[0])).unwrap();
    assert!(rms(&floats(&mut two, "dense1.weight.h")) > 0.9 * f64::from(SCALE), "what was set is kept");
}

#[test]
fn measuring_changes_nothing_else() {
    let batch = &batches(1)[0];
    for (name, engine) in support::engines() {
        let (_, other) = support::engines().into_iter().find(|(other, _)| *other == name).unwrap();
        let mut zero = session(CEMA.with([("state-init-scale", 0.0)]).unwrap(), engine);
        let mut scaled = session(CEMA.with([("state-init-scale", 5.0)]).unwrap(), other);
        assert!(zero.plan().recording("first_gradients").is_none(), "a start at 0 costs nothing");
        assert!(scaled.plan().recording("first_gradients").is_some());
        for session in [&mut zero, &mut scaled] {
            block_on(session.train(batch)).unwrap();
        }
        for tensor in ["norm1.running_mean", "norm3.running_variance", "dense1.weight.grad"] {
            assert_eq!(floats(&mut zero, tensor), floats(&mut scaled, tensor), "{name}: {tensor}");
        }
        let [zero, scaled] = [&mut zero, &mut scaled].map(interval);
        assert_eq!(
            (zero.steps, zero.samples, zero.loss, zero.correct),
            (scaled.steps, scaled.samples, scaled.loss, scaled.correct)
        );
        assert!(zero.flips.iter().sum::<u64>() > 2 * scaled.flips.iter().sum::<u64>(), "{name}: {zero:?}, {scaled:?}");
    }
}

/// Flat pictures of two colours with a little noise.
fn colours() -> Data {
    let noise = Stream::new(7, "noise");
    let part = |first: u64, count: u64| {
        let mut set = InMemory::new([12, 12, 3]);
        for i in 0..count {
            let base: [i64; 3] = if i % 2 == 0 { [20, 20, 220] } else { [220, 20, 20] };
            let at = |k: u64| noise.below(1_000_000 * (first + i) + k, 25) as i64 - 12;
            let pixel =
                |p: u64| [0, 1, 2].map(|c| (base[c] + at(c as u64) + at(3 + 3 * p + c as u64) / 3).clamp(0, 255) as u8);
            set.pixels.extend((0..144).flat_map(pixel));
            set.labels.push((i % 2) as u32);
        }
        Arc::new(set)
    };
    Data::new("colours", 255, vec!["blue".into(), "red".into()], part(0, 60), part(60, 20))
}

/// With states that start at 0, the first gradient decides every weight, and networks stay where chance puts them: some seeds end inverted.
#[test]
fn red_and_blue_pictures_are_told_apart_by_every_seed() {
    let accuracy = |init: &str, seed: u64| {
        let settings = Settings {
            hidden: Some(vec![512; 3]),
            seed: Some(seed),
            state_init: Some(init.into()),
            ..Settings::default()
        };
        let (config, data) = (settings.resolve().unwrap(), colours());
        let model = config.model_for(&data).build().unwrap();
        let engine: Box<dyn Engine> = Box::new(CpuEngine::new(None).unwrap());
        let trainer = block_on(Trainer::from_parts(config, data, model, (engine, "a test".into()), None));
        block_on(trainer.unwrap().fit(|_| {})).unwrap().test_accuracy
    };
    let [zero, scaled] = ["zero", "scaled"].map(|init| (1..=8).map(|seed| accuracy(init, seed)).collect::<Vec<_>>());
    println!("test accuracies by seed: zero {zero:?}, scaled {scaled:?}");
    assert!(scaled.iter().all(|&accuracy| accuracy == 1.0), "{scaled:?}");
    assert!(zero.iter().any(|&accuracy| accuracy < 0.6), "the test would not find the fault: {zero:?}");
}
