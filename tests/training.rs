//! Tests of whole training runs: results that do not depend on the number of threads, problems that must be learned, saved files, short
//! batches, and losses that become NaN or infinite.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests panic on failure and print measurements")]

mod support;
#[path = "support/tolerance.rs"]
mod tolerance;

use plusminus::Error;
use plusminus::data::{Batch, Data, InMemory, Loader, digits};
use plusminus::nn::{ModelSpec, PixelScale, Tensor, Weights};
use plusminus::optim::{Adam, CEMA, Schedule, StateType};
use plusminus::runtime::{CpuEngine, Engine};
use plusminus::tensor::Stream;
use plusminus::train::{Event, Interval, Loss, Options, Rules, Run, Session, Settings, TrainConfig, Trainer};
use pollster::block_on;
use std::sync::Arc;

fn cpu(threads: Option<usize>) -> Box<dyn Engine> {
    Box::new(CpuEngine::new(threads).unwrap())
}

fn config(settings: Settings) -> TrainConfig {
    settings.resolve().unwrap()
}

fn trainer(config: TrainConfig, data: Data, engine: Box<dyn Engine>) -> Trainer {
    let model = config.model_for(&data).build().unwrap();
    block_on(Trainer::from_parts(config, data, model, (engine, "a test".into()), None)).unwrap()
}

/// Asserts that two sets of weights are equal bit for bit.
fn assert_same_bits(what: &str, got: &Weights, expected: &Weights) {
    let names = |weights: &Weights| weights.tensors.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(got), names(expected), "{what}: names");
    for (name, expected) in &expected.tensors {
        let differ = match (&got.tensors[name], expected) {
            (Tensor::Bits(got), Tensor::Bits(expected)) => {
                assert_eq!((got.rows(), got.columns()), (expected.rows(), expected.columns()), "{what}: {name}: shape");
                let words = got.panels().iter().zip(expected.panels());
                words.filter(|(a, b)| a != b).count()
            }
            (Tensor::Floats { shape, data }, Tensor::Floats { shape: expected_shape, data: expected }) => {
                assert_eq!(shape, expected_shape, "{what}: {name}: shape");
                data.iter().zip(expected).filter(|(a, b)| a.to_bits() != b.to_bits()).count()
            }
            (got, expected) => panic!("{what}: {name}: {} against {}", got.describe(), expected.describe()),
        };
        assert_eq!(differ, 0, "{what}: {name}: words that differ, expected none");
    }
}

fn rules() -> Rules {
    Rules {
        binary: Box::new(CEMA.with([("alpha", 1e-3), ("gamma", 0.1)]).unwrap()),
        float: Box::new(Adam::new(1e-3, Schedule::constant()).unwrap()),
        layers: Vec::new(),
        control: None,
    }
}

/// An MLP for digits.
fn spec(hidden: &[usize]) -> ModelSpec {
    ModelSpec {
        model: "mlp".into(),
        hidden: Some(hidden.to_vec()),
        dropout: [0.0; 2],
        input: [8, 8, 1],
        classes: 10,
        width: 1.0,
        full_precision: false,
        surrogate: None,
        pixels: PixelScale::to_unit(16),
    }
}

fn session(hidden: &[usize], batch: usize, engine: Box<dyn Engine>) -> Session {
    let model = spec(hidden).build().unwrap();
    block_on(Session::with_gradients(&model, Loss::CrossEntropy(0.0), rules(), batch, 1, engine)).unwrap()
}

fn interval(session: &mut Session) -> Result<Interval, u32> {
    let read_back = session.read_back().unwrap();
    block_on(session.interval(read_back)).unwrap()
}

fn floats(session: &mut Session, name: &str) -> Vec<f32> {
    match block_on(session.tensor(name)).unwrap() {
        Tensor::Floats { data, .. } => data,
        other => panic!("`{name}`: expected floats, got {}", other.describe()),
    }
}

#[test]
fn threads_change_no_bit() {
    let run = |threads, seed| {
        let config = config(Settings { epochs: Some(1), seed: Some(seed), ..Settings::default() });
        let mut trainer = trainer(config, digits(), cpu(Some(threads)));
        block_on(trainer.fit(|_| {})).unwrap();
        block_on(trainer.weights()).unwrap()
    };
    let one = run(1, 1);
    assert!(one != run(1, 2), "another seed: expected other weights");
    assert_eq!(one.tensors.len(), 3 * 5, "weights, scales, biases and statistics of three layers");
    for threads in [2, 3] {
        assert_same_bits(&format!("{threads} threads against one"), &run(threads, 1), &one);
    }
}

/// Returns a data set of two pixels of 0 or 1; the label is 1 if they differ.
fn xor() -> Data {
    let all = |copies: usize| {
        let mut part = InMemory::new([1, 2, 1]);
        for i in 0..4 * copies {
            let pixels = [(i & 1) as u8, (i >> 1 & 1) as u8];
            part.pixels.extend(pixels);
            part.labels.push(u32::from(pixels[0] != pixels[1]));
        }
        Arc::new(part)
    };
    Data::new("xor", 1, vec!["same".into(), "other".into()], all(50), all(1))
}

#[test]
fn xor_is_learned() {
    for (engine_name, engine) in support::engines() {
        let config = config(Settings {
            hidden: Some(vec![64]),
            batch_size: Some(40),
            epochs: Some(60),
            alpha: Some(1e-2.into()),
            ..Settings::default()
        });
        let mut trainer = trainer(config, xor(), engine);
        let outcome = block_on(trainer.fit(|_| {})).unwrap();
        println!("{engine_name}: xor {:.0} %", 100.0 * outcome.test_accuracy);
        assert_eq!(outcome.test_accuracy, 1.0, "{engine_name}: accuracy on xor");
    }
}

#[test]
fn a_saved_run_evaluates_as_before() {
    for (engine_name, engine) in support::engines() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("run");
        let settings = Settings {
            hidden: Some(vec![70]),
            epochs: Some(2),
            batch_size: Some(64),
            seed: Some(3),
            ..Settings::default()
        };
        let config = config(settings);
        let model = config.model_for(&digits()).build().unwrap();
        let mut trainer =
            block_on(Trainer::from_parts(config.clone(), digits(), model, (engine, "a test".into()), Some(&folder)))
                .unwrap();
        let outcome = block_on(trainer.fit(|_| {})).unwrap();
        let before = block_on(trainer.evaluate()).unwrap();
        let weights = block_on(trainer.weights()).unwrap();
        assert_eq!(outcome.test_accuracy, before.accuracy(), "{engine_name}: evaluated twice");
        assert!(before.accuracy() > 0.5, "{engine_name}: accuracy after two epochs: {}", before.accuracy());

        let (settings, loaded) = Run::load(&folder).unwrap();
        assert_eq!(settings.resolve().unwrap(), config, "{engine_name}: the saved configuration");
        assert_same_bits(&format!("{engine_name}: the saved weights"), &loaded, &weights);
        // Another device of the same kind, another seed, no rules: the result depends only on the file.
        let (_, engine) = support::engines().into_iter().find(|(name, _)| *name == engine_name).unwrap();
        let model = spec(&[70]).build().unwrap();
        let mut session = block_on(Session::new(&model, config.loss().unwrap(), None, 64, 99, engine)).unwrap();
        let test = || Loader::new(digits().test, 64).unwrap().epoch(None);
        let drawn = block_on(session.evaluate(test())).unwrap();
        session.set_weights(&loaded).unwrap();
        let after = block_on(session.evaluate(test())).unwrap();
        assert_ne!(drawn, before, "{engine_name}: drawn weights: expected another evaluation");
        assert_eq!(after, before, "{engine_name}: evaluation of the loaded weights");
    }
}

#[test]
fn the_last_short_batch_counts_its_samples_alone() {
    let data = digits();
    for (engine_name, engine) in support::engines() {
        // 1,437 images are 22 batches of 64 and 29 images, 360 are 5 batches and 40.
        let config = config(Settings {
            hidden: Some(vec![70, 45]),
            batch_size: Some(64),
            epochs: Some(1),
            ..Settings::default()
        });
        let mut trainer = trainer(config, data.clone(), engine);
        let mut epochs = Vec::new();
        block_on(trainer.fit(|event| {
            if let Event::Epoch { train_accuracy, train_loss, .. } = event {
                epochs.push((*train_accuracy, *train_loss));
            }
        }))
        .unwrap();
        assert_eq!(epochs.len(), 1, "{engine_name}: epochs");
        // Counted over 1,437 samples, not 23 * 64.
        let correct = epochs[0].0 * 1437.0;
        assert!((correct - correct.round()).abs() < 1e-6, "{engine_name}: {correct} correct images of 1,437");
        assert!(epochs[0].1.is_finite() && epochs[0].1 < 2.4, "{engine_name}: training loss {}", epochs[0].1);
        let weights = block_on(trainer.weights()).unwrap();
        let evaluation = block_on(trainer.evaluate()).unwrap();
        assert_eq!(evaluation.samples.iter().sum::<u64>(), 360, "{engine_name}: test images");

        // One batch of 360 has no padding; the sums are the same.
        let (_, engine) = support::engines().into_iter().find(|(name, _)| *name == engine_name).unwrap();
        let model = spec(&[70, 45]).build().unwrap();
        let mut whole = block_on(Session::new(&model, Loss::CrossEntropy(0.0), None, 360, 1, engine)).unwrap();
        whole.set_weights(&weights).unwrap();
        let at_once = block_on(whole.evaluate(Loader::new(data.test.clone(), 360).unwrap().epoch(None))).unwrap();
        assert_eq!(at_once.correct, evaluation.correct, "{engine_name}: correct images by class");
        let sum = tolerance::reduction(360, 4.0);
        tolerance::assert_close(&sum, &format!("{engine_name}: test loss"), &[evaluation.loss], &[at_once.loss]);
    }
}

/// A step on a padded batch equals a step on a batch of exactly that size.
#[test]
fn padding_changes_nothing() {
    let data = digits();
    for (name, engine) in support::engines() {
        let (_, other) = support::engines().into_iter().find(|(other, _)| *other == name).unwrap();
        let (mut padded, mut exact) = (session(&[70, 45], 64, engine), session(&[70, 45], 29, other));
        let samples = Arc::new(plusminus::data::Subset::balanced(data.train.clone(), 29, 10));
        let batch = |size| Loader::new(samples.clone(), size).unwrap().epoch(None).next().unwrap().unwrap();
        let (with, without) = (batch(64), batch(29));
        assert_eq!((with.valid, without.valid, with.labels.len()), (29, 29, 64));
        block_on(padded.train(&with)).unwrap();
        block_on(exact.train(&without)).unwrap();
        let (got, expected) = (interval(&mut padded).unwrap(), interval(&mut exact).unwrap());
        assert_eq!((got.samples, got.correct), (29, expected.correct), "{name}: samples and correct ones");
        tolerance::assert_close(&tolerance::LOSS, &format!("{name}: loss"), &[got.loss], &[expected.loss]);
        let names: Vec<String> =
            exact.plan().named.keys().filter(|k| k.ends_with(".grad") || k.contains("running")).cloned().collect();
        assert_eq!(names.len(), 3 * 5, "gradients and statistics of three layers");
        for tensor in names {
            let (got, expected) = (floats(&mut padded, &tensor), floats(&mut exact, &tensor));
            let row = if tensor.ends_with(".grad") { tolerance::GRADIENT } else { tolerance::PARAMETER };
            tolerance::assert_close(&row, &format!("{name}: {tensor}"), &got, &expected);
        }
    }
}

/// Returns batches of digits, repeating the data set.
fn batches(size: usize, count: usize) -> Vec<Batch> {
    let loader = Loader::new(digits().train, size).unwrap();
    (0..)
        .flat_map(|epoch| loader.epoch(Some(Stream::new(epoch, "order"))))
        .map(Result::unwrap)
        .filter(|b| b.valid as usize == size)
        .take(count)
        .collect()
}

#[test]
fn the_first_non_finite_loss_is_reported() {
    for (name, engine) in support::engines() {
        for poison in [f32::NAN, f32::INFINITY] {
            let (_, engine) = support::engines().into_iter().find(|(other, _)| *other == name).unwrap();
            let mut session = session(&[40], 32, engine);
            for (step, batch) in batches(32, 9).iter().enumerate() {
                if step == 5 {
                    let data = vec![poison; 10];
                    session.set_tensor("norm2.scale", &Tensor::Floats { shape: vec![10], data }).unwrap();
                }
                block_on(session.train(batch)).unwrap();
            }
            assert_eq!(block_on(session.non_finite_step()).unwrap(), Some(5), "{name}: without a read-back");
            assert_eq!(interval(&mut session).unwrap_err(), 5, "{name}: first step after norm2.scale became {poison}");
        }
        // Both losses; in the second, max(0, .) would hide NaN.
        for loss in ["cross-entropy", "squared-hinge"] {
            let (_, engine) = support::engines().into_iter().find(|(other, _)| *other == name).unwrap();
            let loss = Some(loss.to_string());
            let config = config(Settings { hidden: Some(vec![40]), epochs: Some(1), loss, ..Settings::default() });
            let mut trainer = trainer(config, digits(), engine);
            let mut weights = block_on(trainer.weights()).unwrap();
            let Some(Tensor::Floats { data, .. }) = weights.tensors.get_mut("norm2.bias") else { panic!("no bias") };
            data[3] = f32::NAN;
            trainer.set_weights(&weights).unwrap();
            assert!(matches!(block_on(trainer.fit(|_| ())), Err(Error::Diverged { step: 0, epoch: 1 })), "{name}");
        }
        // The update of the last step affects no loss.
        let (_, other) = support::engines().into_iter().find(|(other, _)| *other == name).unwrap();
        let one = Settings { hidden: Some(vec![40]), epochs: Some(1), batch_size: Some(1437), ..Settings::default() };
        let mut last = trainer(config(Settings { float_weight_decay: Some(1e38), ..one }), digits(), other);
        let error = block_on(last.fit(|_| ())).unwrap_err();
        assert!(matches!(error, Error::Diverged { step: 0, epoch: 1 }), "{name}: {error:?}");
        let config = config(Settings { hidden: Some(vec![40]), epochs: Some(3), ..Settings::default() });
        let mut trainer = trainer(config, digits(), engine);
        let mut weights = block_on(trainer.weights()).unwrap();
        let Some(Tensor::Floats { data, .. }) = weights.tensors.get_mut("norm2.bias") else { panic!("no bias") };
        data[3] = f32::NAN;
        trainer.set_weights(&weights).unwrap();
        let mut ended = 0;
        let error =
            block_on(trainer.fit(|event| ended += usize::from(matches!(event, Event::Epoch { .. })))).unwrap_err();
        assert!(
            matches!(error, Error::Diverged { step: 0, epoch: 1 }),
            "{name}: expected step 0 of epoch 1, got {error:?}"
        );
        assert!(error.to_string().contains("step 0"), "{name}: the message names the step: {error}");
        assert_eq!(ended, 0, "{name}: epochs reported before the end");
    }
}

/// A huge learning rate makes the loss infinite after some steps. The reported step is the one found by checking each loss.
#[test]
fn a_huge_rate_diverges() {
    for (name, engine) in support::engines() {
        let settings =
            Settings { hidden: Some(vec![40]), epochs: Some(2), float_rate: Some(3e38), ..Settings::default() };
        let config = config(settings);
        let (_, other) = support::engines().into_iter().find(|(other, _)| *other == name).unwrap();
        let model = spec(&[40]).build().unwrap();
        let mut session =
            block_on(Session::new(&model, Loss::CrossEntropy(0.0), Some(config.rules().unwrap()), 100, 1, other))
                .unwrap();
        let order = Stream::new(config.seed, "order.1");
        let mut first = None;
        session.set_total_steps(30);
        for batch in Loader::new(digits().train, 100).unwrap().epoch(Some(order)).map(Result::unwrap) {
            block_on(session.train(&batch)).unwrap();
            if let Err(step) = interval(&mut session) {
                first = Some(step);
                break;
            }
        }
        let first = first.unwrap_or_else(|| panic!("{name}: expected a NaN or infinite loss"));
        assert_eq!(first, 0, "{name}: the first update makes parameters infinite");
        match block_on(trainer(config, digits(), engine).fit(|_| {})) {
            Err(Error::Diverged { step, epoch: 1 }) => assert_eq!(step, first, "{name}: step"),
            other => panic!("{name}: expected Diverged at step {first}, got {other:?}"),
        }
    }
}

/// Seeds that differ only above bit 31 give different weights, dropout and rounding.
#[test]
fn the_upper_half_of_a_seed_counts() {
    let batch = &batches(32, 1)[0];
    for (name, engine) in support::engines() {
        let mut engines = std::iter::once(engine).chain(std::iter::repeat_with(|| {
            support::engines().into_iter().find(|(other, _)| *other == name).unwrap().1
        }));
        // Compared after a step from the same weights: the loss with dropout, a stochastically rounded state.
        for (dropout, compared) in [([0.2, 0.5], "loss"), ([0.0; 2], "dense1.weight.m")] {
            let mut step = |seed: u64, weights: Option<&Weights>| {
                let binary = CEMA.with([("alpha", 1e-3)]).unwrap().with_state(StateType::I16).unwrap();
                let rules = Rules::new(binary, Adam::new(1e-3, Schedule::constant()).unwrap());
                let options = Options { batch: 32, seed, ..Options::new(Loss::CrossEntropy(0.0)) };
                let model = ModelSpec { dropout, ..spec(&[40]) }.build().unwrap();
                let session = Session::with(&model, Some(rules), options, engines.next().unwrap());
                let mut session = block_on(session).unwrap();
                let drawn = block_on(session.weights()).unwrap();
                if let Some(weights) = weights {
                    session.set_weights(weights).unwrap();
                }
                block_on(session.train(batch)).unwrap();
                let found = match compared {
                    "loss" => vec![interval(&mut session).unwrap().loss as f32],
                    state => floats(&mut session, state),
                };
                (drawn, found)
            };
            let (weights, first) = step(7, None);
            assert!(step(7, Some(&weights)).1 == first, "{name}: {compared}: the same seed");
            for seed in [7 | 1 << 32, 7 | 1 << 63] {
                let (drawn, found) = step(seed, Some(&weights));
                assert!(drawn != weights, "{name}: weights of seed {seed}");
                assert!(found != first, "{name}: {compared} of seed {seed} as of seed 7");
            }
        }
    }
}

/// A session counts its steps: a run in several parts, with evaluations and read-backs between them, equals the uninterrupted run for every type
/// of states.
#[test]
fn a_run_in_pieces_is_the_run_in_one() {
    let data = digits();
    let batches = batches(32, 20);
    for state in StateType::ALL {
        for (name, engine) in support::engines() {
            let (_, other) = support::engines().into_iter().find(|(other, _)| *other == name).unwrap();
            let [mut whole, mut pieces] = [engine, other].map(|engine| {
                let binary = CEMA.with([("alpha", 1e-3), ("gamma", 0.1)]).unwrap().with_state(state).unwrap();
                let rules = Rules::new(binary, Adam::new(1e-3, Schedule::linear()).unwrap());
                let options = Options { batch: 32, total_steps: 20, ..Options::new(Loss::CrossEntropy(0.0)) };
                block_on(Session::with(&spec(&[40]).build().unwrap(), Some(rules), options, engine)).unwrap()
            });
            batches.iter().for_each(|batch| block_on(whole.train(batch)).unwrap());
            let mut losses = 0.0;
            for (piece, steps) in [7, 3, 10].into_iter().enumerate() {
                let first = pieces.step() as usize;
                batches[first..first + steps].iter().for_each(|batch| block_on(pieces.train(batch)).unwrap());
                losses += interval(&mut pieces).unwrap().loss;
                if piece == 1 {
                    block_on(pieces.evaluate(Loader::new(data.test.clone(), 32).unwrap().epoch(None))).unwrap();
                }
            }
            let what = format!("{name}: states of {state}");
            assert_eq!((whole.step(), pieces.step()), (20, 20), "{what}");
            assert_eq!(block_on(whole.non_finite_step()).unwrap(), None, "{what}");
            assert_eq!(interval(&mut whole).unwrap().loss, losses, "{what}: losses");
            let (whole_weights, pieces_weights) =
                (block_on(whole.weights()).unwrap(), block_on(pieces.weights()).unwrap());
            assert_same_bits(&what, &pieces_weights, &whole_weights);
            let names: Vec<String> =
                whole.plan().named.keys().filter(|name| name.starts_with("dense1.weight.")).cloned().collect();
            assert!(names.len() >= 2, "{what}: {names:?}");
            for tensor in names {
                let [one, other] = [&mut whole, &mut pieces].map(|session| block_on(session.tensor(&tensor)).unwrap());
                assert!(one == other, "{what}: {tensor}");
            }
        }
    }
}

#[test]
fn digits_reach_97_percent() {
    let mut trainer = trainer(config(Settings::default()), digits(), cpu(None));
    let outcome = block_on(trainer.fit(|_| {})).unwrap();
    println!("digits: {:.2} % in {:.1} s", 100.0 * outcome.test_accuracy, outcome.seconds);
    assert!(outcome.test_accuracy >= 0.97, "digits after 30 epochs: expected at least 97 %, got {outcome:?}");
}

/// A data set that panics at images from 50 on.
struct Broken;

impl plusminus::data::Dataset for Broken {
    fn shape(&self) -> [usize; 3] {
        [1, 1, 4]
    }

    fn len(&self) -> usize {
        100
    }

    fn image(&self, index: usize, out: &mut [u8]) -> plusminus::Result<()> {
        assert!(index < 50, "image {index} is missing");
        out.fill(index as u8);
        Ok(())
    }

    fn label(&self, index: usize) -> u32 {
        (index % 10) as u32
    }
}

#[test]
#[should_panic(expected = "is missing")]
fn a_data_set_that_panics_is_no_end_of_an_epoch() {
    let broken = std::sync::Arc::new(Broken);
    let loader = plusminus::data::Loader::new(broken, 10).unwrap();
    assert_eq!(loader.epoch(None).count(), 10);
}

#[test]
fn a_batch_that_the_plan_was_not_made_for_is_refused() {
    for (name, engine) in support::engines() {
        let config = config(Settings { hidden: Some(vec![32]), batch_size: Some(32), ..Settings::default() });
        let model = config.model_for(&digits()).build().unwrap();
        let session = Session::new(&model, config.loss().unwrap(), Some(config.rules().unwrap()), 32, 1, engine);
        let mut session = block_on(session).unwrap();
        let good =
            plusminus::data::Batch { pixels: vec![0; 32 * 16], labels: vec![0; 32], valid: 32, ..Default::default() };
        for (wrong, words) in [
            (plusminus::data::Batch { valid: 33, ..good.clone() }, "1 to 32 rows"),
            (plusminus::data::Batch { valid: 0, ..good.clone() }, "1 to 32 rows"),
            (plusminus::data::Batch { labels: vec![10; 32], ..good.clone() }, "labels below 10, got label 10 of row 0"),
            (plusminus::data::Batch { labels: vec![0; 31], ..good.clone() }, "32 labels"),
        ] {
            let error = block_on(session.train(&wrong)).unwrap_err().to_string();
            assert!(error.contains(words), "{name}: expected `{words}` in: {error}");
        }
        block_on(session.train(&good)).unwrap();
    }
}

/// The controller brings every layer to the target flip ratio from rates that differ by a factor of 100. Without it the ratios differ.
#[test]
fn flip_ratios_follow_their_target() {
    for (name, _) in support::engines() {
        let ratios = |alpha: &str, target: Option<f32>| {
            let (_, engine) = support::engines().into_iter().find(|(other, _)| *other == name).unwrap();
            let settings = Settings {
                hidden: Some(vec![64, 64]),
                epochs: Some(24),
                alpha: Some(format!("{alpha},constant").parse().unwrap()),
                target_flip_ratio: target.map(Into::into),
                ..Settings::default()
            };
            let mut last = Vec::new();
            let fitted = block_on(trainer(config(settings), digits(), engine).fit(|event| {
                if let Event::Epoch { flip_ratio_by_layer, epoch: 20.., .. } = event {
                    last.push(flip_ratio_by_layer.iter().map(|(_, ratio)| *ratio).collect::<Vec<_>>());
                }
            }));
            fitted.unwrap();
            (0..3)
                .map(|layer| last.iter().map(|epoch| epoch[layer]).sum::<f64>() / last.len() as f64)
                .collect::<Vec<_>>()
        };
        for alpha in ["1e-4", "1e-2"] {
            let got = ratios(alpha, Some(2e-3));
            assert!(got.iter().all(|ratio| (1.4e-3..2.8e-3).contains(ratio)), "{name}, alpha {alpha}: {got:?}");
        }
        let alone = ["1e-4", "1e-2"].map(|alpha| ratios(alpha, None)).concat();
        assert!(alone.iter().all(|ratio| *ratio > 5e-3), "{name}, without control: {alone:?}");
    }
}
