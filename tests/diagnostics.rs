//! Tests that diagnostics do not affect training, and that they report what a comparison of all weights after every step finds.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, reason = "tests panic on failure")]

mod support;

use plusminus::data::{Batch, Loader, digits};
use plusminus::nn::{Model, ModelSpec, PixelScale, Tensor, parent_path};
use plusminus::optim::{Adam, BOP, BinaryOptimizer, CEMA, EMA, FilterSpec, IIR, Optimizer, Schedule, StateType};
use plusminus::runtime::{CpuEngine, Engine};
use plusminus::tensor::{BitMatrix, Stream};
use plusminus::train::{LayerDiagnostics, Loss, OSCILLATION_WINDOW, Options, Rules, Session};
use pollster::block_on;
use std::collections::{BTreeMap, BTreeSet};

const BATCH: usize = 50;
const STEPS: u64 = 28;

fn model(surrogate: &str) -> Model {
    let surrogate = Some(surrogate.to_string());
    let spec = ModelSpec { hidden: Some(vec![70, 40]), surrogate, ..ModelSpec::new("mlp", [8, 8, 1], 10) };
    ModelSpec { pixels: PixelScale::to_unit(16), ..spec }.build().unwrap()
}

fn rules() -> Rules {
    let adam = Adam::new(1e-3, Schedule::constant()).unwrap();
    let cema = CEMA.with([("alpha", 0.1), ("gamma", 0.5)]).unwrap();
    Rules::new(cema, adam).with("dense2", BOP.with([("threshold", 1e-5)]).unwrap())
}

fn cema() -> Rules {
    let cema = CEMA.with([("alpha", 0.1), ("gamma", 0.5)]).unwrap();
    Rules::new(cema, Adam::new(1e-3, Schedule::constant()).unwrap())
}

fn session(diagnostics: bool, surrogate: &str, fuse: bool, engine: Box<dyn Engine>) -> Session {
    session_with(rules(), diagnostics, surrogate, fuse, engine)
}

fn session_with(rules: Rules, diagnostics: bool, surrogate: &str, fuse: bool, engine: Box<dyn Engine>) -> Session {
    let base = Options::new(Loss::CrossEntropy(0.0));
    let options =
        Options { batch: BATCH, seed: 3, total_steps: STEPS, fuse, diagnostics, keep_gradients: !diagnostics, ..base };
    block_on(Session::with(&model(surrogate), Some(rules), options, engine)).unwrap()
}

/// Diagnostics do not affect networks whose training step has fusions.
#[test]
fn networks_of_the_zoo_are_the_same_with_them() {
    for model in ["birealnet20", "binarynet"] {
        let spec = ModelSpec { width: 0.125, ..ModelSpec::new(model, [32, 32, 3], 10) };
        let model = spec.build().unwrap();
        let pixels = Stream::new(5, "pixels");
        let words = |step: u64| (0..8 * 32 * 32 * 3 / 4).map(|i| pixels.word(step << 20 | i)).collect();
        for (name, engine) in support::engines() {
            let (_, other) = support::engines().into_iter().find(|(other, _)| *other == name).unwrap();
            let [(observed, _), (plain, masks)] = [(engine, true), (other, false)].map(|(engine, diagnostics)| {
                let options =
                    Options { batch: 8, seed: 3, total_steps: 3, diagnostics, ..Options::new(Loss::CrossEntropy(0.0)) };
                let mut session = block_on(Session::with(&model, Some(cema()), options, engine)).unwrap();
                for step in 0..3 {
                    let labels = (0..8).map(|i| (i + step as u32) % 10).collect();
                    let batch = Batch { pixels: words(step), labels, valid: 8, ..Batch::default() };
                    if diagnostics {
                        let measurement = block_on(session.diagnose(&batch)).unwrap();
                        assert!(!block_on(session.layers(measurement)).unwrap().is_empty());
                    } else {
                        block_on(session.train(&batch)).unwrap();
                    }
                }
                let fired = session.fusions().get("mask").copied();
                (block_on(session.weights()).unwrap(), fired)
            });
            assert!(masks.is_some(), "{name}: {}: no mask is fused, so the test is vacuous", spec.model);
            assert_eq!(observed, plain, "{name}: {} ({masks:?} masks)", spec.model);
        }
    }
}

/// Every layer with signs as input is measured once, for every surrogate and every fusion of its neighbours.
#[test]
fn every_layer_that_sees_signs_is_measured() {
    for (name, side) in
        [("reactnet-a", 64), ("birealnet18", 64), ("resnet20", 32), ("binarynet", 32), ("vgg-small", 32)]
    {
        let spec = ModelSpec { width: 0.0625, ..ModelSpec::new(name, [side, side, 3], 10) };
        let model = spec.build().unwrap();
        let rows = model.summary().rows.into_iter().filter(|row| row.precision.starts_with("sign"));
        let expected: BTreeSet<String> = rows.map(|row| row.layer).collect();
        let pixels = Stream::new(5, "pixels");
        let batch = Batch {
            pixels: (0..(4 * side * side * 3 / 4) as u64).map(|i| pixels.word(i)).collect(),
            labels: vec![0, 1, 2, 3],
            valid: 4,
            ..Batch::default()
        };
        for fuse in [true, false] {
            let options = Options { batch: 4, fuse, diagnostics: true, ..Options::new(Loss::CrossEntropy(0.0)) };
            let engine = Box::new(CpuEngine::new(Some(2)).unwrap());
            let mut session = block_on(Session::with(&model, Some(cema()), options, engine)).unwrap();
            let measurement = block_on(session.diagnose(&batch)).unwrap();
            let layers = block_on(session.layers(measurement)).unwrap();
            let signs: Vec<_> = layers.iter().filter(|layer| layer.masked.is_some()).collect();
            let found: BTreeSet<String> = signs.iter().map(|layer| layer.layer.clone()).collect();
            assert_eq!((&found, signs.len()), (&expected, expected.len()), "{name}, fused {fuse}");
            assert!(signs.iter().all(|layer| layer.dead_channels.is_some()), "{name}, fused {fuse}");
        }
    }
}

fn batches() -> Vec<Batch> {
    Loader::training(&digits(), BATCH)
        .unwrap()
        .epoch(Some(Stream::new(1, "order")))
        .map(|batch| batch.unwrap())
        .collect()
}

fn signs(session: &mut Session) -> BTreeMap<String, BitMatrix> {
    let weights = block_on(session.weights()).unwrap().tensors.into_iter();
    weights
        .filter_map(|(name, tensor)| if let Tensor::Bits(bits) = tensor { Some((name, bits)) } else { None })
        .collect()
}

fn rms(session: &mut Session, name: &str) -> f64 {
    rms_of(&floats(session, name))
}

fn rms_of(values: &[f64]) -> f64 {
    (values.iter().map(|v| v.powi(2)).sum::<f64>() / values.len() as f64).sqrt()
}

fn floats(session: &mut Session, name: &str) -> Vec<f64> {
    let Tensor::Floats { data, .. } = block_on(session.tensor(name)).unwrap() else { panic!("{name}: no floats") };
    data.into_iter().map(f64::from).collect()
}

/// The flips of each weight of a layer, from a comparison of all weights after every step.
struct Seen {
    before: BitMatrix,
    last: Vec<Option<u64>>,
    back: Vec<bool>,
    flips: u64,
}

impl Seen {
    fn new(weight: &BitMatrix) -> Self {
        let count = weight.rows() * weight.columns();
        Self { before: weight.clone(), last: vec![None; count], back: vec![false; count], flips: 0 }
    }

    fn observe(&mut self, now: &BitMatrix, step: u64) {
        for (i, last) in self.last.iter_mut().enumerate() {
            let at = (i / now.columns(), i % now.columns());
            if now.is_positive(at.0, at.1) != self.before.is_positive(at.0, at.1) {
                self.back[i] |= last.is_some_and(|last| step - last <= u64::from(OSCILLATION_WINDOW));
                *last = Some(step);
                self.flips += 1;
            }
        }
        self.before = now.clone();
    }
}

fn share(part: usize, all: usize) -> f64 {
    part as f64 / all as f64
}

#[test]
fn they_say_what_a_look_at_every_weight_finds_and_change_nothing() {
    for (name, engine) in support::engines() {
        let (_, other) = support::engines().into_iter().find(|(other, _)| *other == name).unwrap();
        let (mut observed, mut plain) = (session(true, "clip", true, engine), session(false, "clip", true, other));
        let mut seen: BTreeMap<String, Seen> =
            signs(&mut plain).iter().map(|(name, weight)| (name.clone(), Seen::new(weight))).collect();
        let mut measured = 0;
        for (step, batch) in (0..STEPS).zip(&batches()) {
            // The sample of a report excludes the step's own update; the counter of flips includes it.
            let until_now: BTreeMap<String, (f64, f64)> = seen
                .iter()
                .map(|(layer, seen)| {
                    let (count, never) = (seen.last.len(), seen.last.iter().filter(|last| last.is_none()).count());
                    (layer.clone(), (share(never, count), share(seen.back.iter().filter(|b| **b).count(), count)))
                })
                .collect();
            block_on(plain.train(batch)).unwrap();
            let now = signs(&mut plain);
            seen.iter_mut().for_each(|(layer, seen)| seen.observe(&now[layer], step));
            if step % 7 != 6 {
                block_on(observed.train(batch)).unwrap();
                continue;
            }
            let measurement = block_on(observed.diagnose(batch)).unwrap();
            let layers = block_on(observed.layers(measurement)).unwrap();
            assert_eq!(layers.iter().map(|l| l.layer.as_str()).collect::<Vec<_>>(), ["dense1", "dense2", "dense3"]);
            assert!(signs(&mut observed) == now, "{name}: step {step}: the same weights with and without diagnostics");
            for (layer, (parameter, seen)) in layers.iter().zip(&mut seen) {
                assert_eq!(layer.layer, parent_path(parameter));
                let (never, back) = until_now[parameter];
                let flips = share(seen.flips as usize, seen.last.len() * 7);
                let close = |a: Option<f64>, b: f64| (a.unwrap() - b).abs() <= 1e-5 * b.abs();
                assert!(
                    close(layer.flip_ratio, flips)
                        && close(layer.never_flipped, never)
                        && close(layer.oscillating, back),
                    "{name}: step {step}: expected flips {flips}, never {never}, back {back}, got {layer:?}"
                );
                let state = if layer.layer == "dense2" { "m" } else { "h" };
                let gradient = rms(&mut plain, &format!("{parameter}.grad"));
                let state = rms(&mut plain, &format!("{parameter}.{state}"));
                assert!(close(layer.gradient_rms, gradient) && close(layer.state_rms, state), "{name}: {layer:?}");
                // A report resets the sample, but the step's own flips count in the next report.
                seen.flips = 0;
                check(layer);
            }
            // Flip-backs of this step count in the next report.
            for seen in seen.values_mut() {
                let last = &seen.last;
                let before = seen.back.iter().zip(last).map(|(back, last)| *back && *last == Some(step));
                seen.back = before.collect();
            }
            measured += 1;
        }
        assert_eq!(measured, 4, "{name}: measurements");
    }
}

fn check(layer: &LayerDiagnostics) {
    let histogram = layer.state_histogram.as_ref().unwrap();
    assert!(histogram.len() == 16 && (histogram.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{layer:?}");
    // The bin of the root mean square's own power of two.
    assert!(histogram[11..14].iter().sum::<f64>() > 0.3, "{layer:?}");
    let is_first = layer.layer == "dense1";
    assert_eq!((layer.masked.is_none(), layer.dead_channels.is_none()), (is_first, is_first), "floats have no signs");
    assert!(layer.masked.is_none_or(|share| share > 0.05 && share < 0.9), "{layer:?}");
}

/// Returns the fractions per bin of `LayerDiagnostics::state_histogram`, computed by a plain loop.
fn histogram(values: &[f64], rms: f64) -> Vec<f64> {
    let r = 2_f64.powi(rms.log2().floor() as i32);
    let is_in = |bin: i32, size: f64| {
        let (low, high) = (r * 2_f64.powi(bin - 12), r * 2_f64.powi(bin - 11));
        (bin == 0 || size >= low) && (bin == 15 || size < high)
    };
    (0..16).map(|bin| share(values.iter().filter(|v| is_in(bin, v.abs())).count(), values.len())).collect()
}

/// Computes the values whose signs are the weights of a layer after a step. `before` holds the biquads' states before the step.
fn decisions(rule: &BinaryOptimizer, session: &mut Session, parameter: &str, step: u64, before: &[f64]) -> Vec<f64> {
    if rule.filter().is_some() {
        let g = floats(session, &format!("{parameter}.grad"));
        let Tensor::Bits(weight) = &block_on(session.weights()).unwrap().tensors[parameter] else { panic!("no signs") };
        let (columns, planes) = (weight.columns(), before.len() / g.len());
        let hyperparameters = rule.hyperparameters(step, STEPS).map(|hyperparameters| f64::from(hyperparameters[0]));
        let section = |i: usize, u: f64, k: usize| {
            hyperparameters[k] * u + before[(i / columns * planes + 2 * k) * columns + i % columns]
        };
        return (0..g.len()).map(|i| (0..planes / 2).fold(g[i], |u, k| section(i, u, k))).collect();
    }
    let h = floats(session, &format!("{parameter}.h"));
    if rule.state() == StateType::F16 {
        return h.into_iter().map(|v| v * 2_f64.powi(-16)).collect();
    }
    // [states][rows][2], by step mod 2; h is the last state.
    let Tensor::Words(row_state) = block_on(session.tensor(&format!("{parameter}.row_state"))).unwrap() else {
        panic!("{parameter}: no words")
    };
    let rows = row_state.len() / 5 / rule.rule().states.len();
    let exponents = &row_state[..2 * rows * rule.rule().states.len()];
    let columns = h.len() / rows;
    let unit = |row: usize| exponents[exponents.len() - 2 * rows + 2 * row + (step + 1) as usize % 2];
    h.iter().enumerate().map(|(i, v)| v * 2_f64.powi(unit(i / columns) as i32 - 127)).collect()
}

#[test]
fn narrow_states_and_outputs_of_filters_are_measured() {
    let cema = || CEMA.with([("alpha", 0.1), ("gamma", 0.5)]).unwrap();
    let narrow = [StateType::F16, StateType::I16, StateType::I8].map(|state| cema().with_state(state).unwrap());
    let ema = EMA.with([("alpha", 0.1)]).unwrap().with_state(StateType::I16).unwrap();
    let iir = |text: &str| {
        let filter = FilterSpec { poles: Some(text.parse().unwrap()), ..FilterSpec::default() };
        IIR.with::<f32>([]).unwrap().with_filter(&filter).unwrap()
    };
    for rule in narrow.into_iter().chain([ema, iir("0.9,0.5"), iir("0.9,0.8+0.1i")]) {
        for (name, engine) in support::engines() {
            let (_, other) = support::engines().into_iter().find(|(other, _)| *other == name).unwrap();
            let rules = || Rules::new(rule.clone(), Adam::new(1e-3, Schedule::constant()).unwrap());
            let mut observed = session_with(rules(), true, "clip", true, engine);
            let mut plain = session_with(rules(), false, "clip", true, other);
            let what = format!("{name}: {} {}", rule.name(), rule.state());
            for (step, batch) in (0..6).zip(&batches()) {
                let parameters: Vec<String> = signs(&mut plain).into_keys().collect();
                let mut before = |parameter: &String| match rule.filter() {
                    Some(_) => floats(&mut plain, &format!("{parameter}.s")),
                    None => Vec::new(),
                };
                let before: Vec<Vec<f64>> = parameters.iter().map(&mut before).collect();
                block_on(plain.train(batch)).unwrap();
                if step % 2 == 0 {
                    block_on(observed.train(batch)).unwrap();
                    continue;
                }
                let measurement = block_on(observed.diagnose(batch)).unwrap();
                let layers = block_on(observed.layers(measurement)).unwrap();
                assert!(signs(&mut observed) == signs(&mut plain), "{what}: step {step}: the same weights");
                for ((layer, parameter), before) in layers.iter().zip(&parameters).zip(&before) {
                    assert_eq!(layer.layer, parent_path(parameter));
                    let values = decisions(&rule, &mut plain, parameter, step, before);
                    let (got, expected) = (layer.state_rms.unwrap(), rms_of(&values));
                    assert!((got - expected).abs() <= 1e-5 * expected, "{what}: rms {got:e}, expected {expected:e}");
                    let (got, expected) = (layer.state_histogram.as_ref().unwrap(), histogram(&values, got));
                    let far =
                        got.iter().zip(&expected).map(|(got, expected)| (got - expected).abs()).fold(0.0, f64::max);
                    assert!(far <= 1e-9, "{what}: step {step}, {parameter}: {got:?}, expected {expected:?}");
                    assert!(got.iter().filter(|share| **share > 0.0).count() > 1, "{what}: all in one bin: {got:?}");
                    check(layer);
                }
            }
        }
    }
}

#[test]
fn a_surrogate_that_passes_everything_masks_nothing() {
    for (name, engine) in support::engines() {
        let mut session = session(true, "identity", true, engine);
        let measurement = block_on(session.diagnose(&batches()[0])).unwrap();
        let layers = block_on(session.layers(measurement)).unwrap();
        assert_eq!((layers[1].masked, layers[0].never_flipped), (Some(0.0), Some(1.0)), "{name}: {layers:?}");
    }
}

/// Fused or separate batch norm and sign give the same diagnostics, reported for the layer that reads the signs.
#[test]
fn fusions_hide_nothing() {
    for (name, engine) in support::engines() {
        let (_, other) = support::engines().into_iter().find(|(other, _)| *other == name).unwrap();
        let layers = [true, false].into_iter().zip([engine, other]).map(|(fuse, engine)| {
            let mut session = session(true, "clip", fuse, engine);
            assert_eq!(session.fusions().is_empty(), !fuse);
            let measurement = block_on(session.diagnose(&batches()[0])).unwrap();
            block_on(session.layers(measurement)).unwrap()
        });
        let [fused, plain] = &layers.collect::<Vec<_>>()[..] else { panic!("two") };
        assert_eq!(fused.len(), 3, "{name}: {fused:?}");
        for (a, b) in fused.iter().zip(plain) {
            let near = |a: Option<f64>, b: Option<f64>| (a.unwrap_or(0.0) - b.unwrap_or(0.0)).abs() < 1e-3;
            assert_eq!((&a.layer, a.masked.is_some()), (&b.layer, b.masked.is_some()));
            assert!(near(a.masked, b.masked) && near(a.dead_channels, b.dead_channels), "{name}: {a:?} and {b:?}");
        }
        assert!(fused[1].masked.is_some_and(|share| share > 0.05), "{name}: {fused:?}");
    }
}
