//! Tests of properties that every registered rule for binary weights has.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests panic on failure and print measurements")]

mod support;
#[path = "support/update.rs"]
mod update;

use plusminus::data::{Batch, Data, InMemory, digits};
use plusminus::nn::{Tensor, Weights, parent_path};
use plusminus::optim::{
    BINARY_RULES, BinaryOptimizer, BinaryRule, DIODE, ElementwiseFilter, HyperparameterSpec, Optimizer, Range,
    StateInit, StateType,
};
use plusminus::runtime::{CpuEngine, Engine};
use plusminus::tensor::Stream;
use plusminus::train::{OptimizerTable, Session, Settings, Trainer};
use pollster::block_on;
use std::sync::Arc;
use update::Update;

/// Neither is a multiple of 32.
const SHAPE: [usize; 2] = [45, 70];

fn defaults(rule: &'static BinaryRule) -> plusminus::optim::BinaryOptimizer {
    rule.with::<f32>([]).unwrap()
}

/// Returns gradients in +-scale with a mean per weight, as padded rows.
fn gradients(update: &Update, step: u64, scale: f32) -> Vec<u32> {
    let stream = Stream::new(step, "gradients");
    update.padded(|i| scale * (2.0 * stream.unit(i as u64) - 1.0 + 0.3 * ((i % 5) as f32 - 2.0)))
}

#[test]
fn zero_gradients_flip_nothing_from_a_fresh_state() {
    for rule in BINARY_RULES {
        for (name, engine) in support::engines() {
            let mut update = Update::new(defaults(rule), SHAPE, engine);
            let (before, zeros) = (update.signs(), update.padded(|_| 0.0));
            (0..20).for_each(|step| update.step(&zeros, step, 20));
            assert_eq!(update.words("counters")[..2], [0, 0], "{name}: {}: flips without a gradient", rule.name);
            assert_eq!(update.signs(), before, "{name}: {}: weights after zero gradients", rule.name);
        }
    }
}

#[test]
fn gradients_of_any_size_do_the_same_where_the_rule_says_so() {
    for rule in BINARY_RULES {
        let run = |scale: f32| {
            let mut update = Update::new(defaults(rule), SHAPE, Box::new(CpuEngine::new(None).unwrap()));
            let mut all = Vec::new();
            for step in 0..60 {
                let words = gradients(&update, step, 1e-3 * scale);
                update.step(&words, step, 60);
                all.push(update.signs());
            }
            all
        };
        // Powers of two, so that rounding is the same.
        let one = run(1.0);
        let same = [2.0_f32.powi(-20), 2.0_f32.powi(10)].into_iter().all(|scale| run(scale) == one);
        assert_eq!(same, rule.is_scale_invariant, "{}: same weights whatever the scale of the gradients", rule.name);
    }
}

#[test]
fn engines_agree() {
    for rule in BINARY_RULES {
        let mut runs: Vec<(String, Update)> = support::engines()
            .into_iter()
            .map(|(name, engine)| (name, Update::new(defaults(rule), SHAPE, engine)))
            .collect();
        let (mut differ, mut compared) = (0, 0);
        for step in 0..100 {
            let words = gradients(&runs[0].1, step, 1e-3);
            runs.iter_mut().for_each(|(_, update)| update.step(&words, step, 100));
            let signs: Vec<_> = runs.iter_mut().map(|(_, update)| update.signs()).collect();
            for other in &signs[1..] {
                let pairs = signs[0].panels().iter().zip(other.panels());
                differ += pairs.map(|(a, b)| (a ^ b).count_ones()).sum::<u32>();
                compared += (SHAPE[0] * SHAPE[1]) as u32;
            }
        }
        let flips: Vec<u32> = runs.iter_mut().map(|(_, update)| update.words("counters")[1]).collect();
        println!("{}: {differ} of {compared} signs differ between engines, flips {flips:?}", rule.name);
        assert!(flips[0] > 200, "{}: expected weights that flip, got {flips:?}", rule.name);
        // Adapters may contract multiplications and additions, which can change the sign of a decision near 0.
        assert!(u64::from(differ) * 20_000 <= u64::from(compared), "{}: {differ} of {compared} signs", rule.name);
    }
}

/// The rule `diode` as a user-defined rule.
fn diode_from_outside() -> &'static BinaryRule {
    const FILTER: ElementwiseFilter = ElementwiseFilter {
        name: "my-diode",
        doc: "votes",
        hyperparameters: &[
            HyperparameterSpec::new("alpha", "rate of the votes", Range::Rate, 1e-3).falling(),
            HyperparameterSpec::new("gamma-of-mine", "rate of the gradient's average", Range::Rate, 0.1),
            HyperparameterSpec::new(
                "state-init-scale",
                "states start at -scale times the weight",
                Range::NotNegative,
                0.0,
            ),
        ],
        states: &[("m", StateInit::Zero), ("vote-sum", StateInit::Scaled)],
        storage: &[StateType::F32],
        source: "
fn update(g: f32, s: ptr<function, States>, hyperparameters: Hyperparameters) -> f32 {
    (*s).m += hyperparameters.gamma_of_mine * (g - (*s).m);
    (*s).vote_sum += hyperparameters.alpha * (sign((*s).m) - (*s).vote_sum);
    return (*s).vote_sum;
}",
    };
    let rule = FILTER.rule(|g, [m, s], [alpha, gamma, _]| {
        let m = m + gamma * (g - m);
        let sign = if m == 0.0 { 0.0 } else { m.signum() };
        let s = s + alpha * (sign - s);
        ([m, s], s)
    });
    rule.unwrap()
}

/// A user-defined filter behaves like the built-in rule with the same formula, on every engine.
#[test]
fn a_filter_from_outside_is_as_one_of_ours() {
    let outside = diode_from_outside();
    for (scale, (name, engine)) in
        [0.0, 1e-3].into_iter().flat_map(|scale| support::engines().into_iter().map(move |e| (scale, e)))
    {
        let (_, other) = support::engines().into_iter().find(|(other, _)| *other == name).unwrap();
        let mut ours = Update::new(DIODE.with([("state-init-scale", scale)]).unwrap(), SHAPE, engine);
        let mut theirs = Update::new(outside.with([("state-init-scale", scale)]).unwrap(), SHAPE, other);
        for step in 0..100 {
            let words = gradients(&ours, step, 1e-3);
            ours.step(&words, step, 100);
            theirs.step(&words, step, 100);
        }
        let flips = ours.words("counters");
        assert!(flips[1] > 200, "{name}: expected weights that flip, got {flips:?}");
        // Compilers may round the two texts differently.
        let differ =
            ours.signs().panels().iter().zip(theirs.signs().panels()).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>();
        assert!(differ <= if name == "cpu" { 0 } else { 2 }, "{name}: {differ} signs differ");
        assert!(theirs.words("counters")[1].abs_diff(flips[1]) <= differ, "{name}: flips");
    }
}

#[test]
fn a_filter_that_is_not_what_it_says_is_refused() {
    const GOOD: ElementwiseFilter = ElementwiseFilter {
        name: "mine",
        doc: "",
        hyperparameters: &[HyperparameterSpec::new("alpha", "rate", Range::Rate, 0.1)],
        states: &[("h", StateInit::Zero)],
        storage: &[StateType::F32],
        source: "fn update(g: f32, s: ptr<function, States>, hyperparameters: Hyperparameters) -> f32 { (*s).h += hyperparameters.alpha * g; return (*s).h; }",
    };
    let refused = |filter: ElementwiseFilter, words: &str| {
        let message = filter.rule(|g, [h], [alpha]| ([h + alpha * g], h)).unwrap_err().to_string();
        assert!(message.contains("kernel `mine`") && message.contains(words), "expected `{words}` in: {message}");
    };
    refused(
        ElementwiseFilter { hyperparameters: &[], ..GOOD },
        "1 states and 0 hyperparameters in the Rust function, got 1 and 1",
    );
    refused(
        ElementwiseFilter { states: &[("h", StateInit::Zero), ("m", StateInit::Zero)], ..GOOD },
        "expected 2 states",
    );
    refused(
        ElementwiseFilter { states: &[("h", StateInit::Scaled)], ..GOOD },
        "a hyperparameter `state-init-scale` for state `h`",
    );
    refused(ElementwiseFilter { states: &[("h", StateInit::Latent)], ..GOOD }, "a hyperparameter `init` for state `h`");
    let many = [
        ("a", StateInit::Zero),
        ("b", StateInit::Zero),
        ("c", StateInit::Zero),
        ("d", StateInit::Zero),
        ("e", StateInit::Zero),
        ("f", StateInit::Zero),
    ];
    let message = ElementwiseFilter { states: Box::leak(Box::new(many)), ..GOOD }
        .rule(|_, s: [f32; 6], [_]| (s, 0.0))
        .unwrap_err();
    assert!(message.to_string().contains("expected 1 to 4 states"), "{message}");
    #[cfg(feature = "gpu")]
    {
        refused(ElementwiseFilter { source: "fn update() {}", ..GOOD }, "update");
        refused(ElementwiseFilter { source: "fn update(g: f32) -> f32 { return q; }", ..GOOD }, "q");
    }
    assert!(GOOD.rule(|g, [h], [alpha]| ([h + alpha * g], h)).unwrap().with([("beta", 1.0)]).is_err());
}

/// The declared memory of a rule's states equals that of a compiled program, padding included.
#[test]
fn memory_is_as_declared() {
    for rule in every_rule_and_type() {
        let name = format!("{} {}", rule.name(), rule.state());
        let mut update = Update::new(rule.clone(), SHAPE, Box::new(CpuEngine::new(Some(1)).unwrap()));
        let tensors: Vec<String> = update.states().into_iter().map(|info| info.name).collect();
        let bytes: usize = tensors.iter().map(|tensor| 4 * update.words(tensor).len()).sum();
        let declared = rule.state_bytes(&update.info("w").ty);
        assert_eq!(declared, bytes as u64, "{name}: bytes of {tensors:?}");
        let states = rule.rule().states.len();
        let row_states = match rule.state() {
            StateType::F32 | StateType::F16 => 0,
            StateType::I16 | StateType::I8 => 1,
        };
        assert_eq!(tensors.len(), states + row_states, "{name}: {tensors:?}");
        let each = declared as f64 / (SHAPE[0] * SHAPE[1]) as f64;
        println!("{name}: {each:.2} bytes and one bit per weight of {SHAPE:?}");
    }
    // For a whole network, and for its binary weights only.
    for state in StateType::ALL {
        let config =
            Settings { hidden: Some(vec![40]), state_dtype: Some(state), ..Settings::default() }.resolve().unwrap();
        let model = config.model_for(&digits()).build().unwrap();
        let declared = Session::memory_of(&model, &config.rules().unwrap(), &config.options().unwrap()).unwrap();
        let engine = Box::new(CpuEngine::new(Some(1)).unwrap());
        let (rules, options) = (Some(config.rules().unwrap()), config.options().unwrap());
        let session = block_on(Session::with(&model, rules, options, engine)).unwrap();
        let binary: Vec<&String> = session.binary().iter().map(|(name, _)| name).collect();
        let states = session.plan().named.iter().filter(|(name, _)| binary.iter().any(|of| parent_path(name) == **of));
        let bytes: u64 = states.map(|(_, (_, info))| info.ty.bytes()).sum();
        assert_eq!((declared.states, declared.peak), (bytes, session.bytes_peak()), "{state}: bytes of a network");
    }
}

/// A run that is saved to bytes and resumed in another engine continues bit for bit.
#[test]
fn states_survive_a_file() {
    for rule in every_rule_and_type() {
        for (number, (name, engine)) in support::engines().into_iter().enumerate() {
            let name = format!("{name}: {} {}", rule.name(), rule.state());
            let mut one = Update::new(rule.clone(), SHAPE, engine);
            let step = |update: &mut Update, step| {
                let words = gradients(update, step, 1e-3);
                update.step(&words, step, 40);
            };
            (0..20).for_each(|at| step(&mut one, at));
            let tensors: Vec<String> =
                one.states().into_iter().map(|info| info.name).chain(["w".to_string()]).collect();
            let mut weights = Weights::default();
            for tensor in &tensors {
                let kept = Tensor::from_words(&one.info(tensor).ty, &one.words(tensor)).unwrap();
                weights.tensors.insert(tensor.clone(), kept);
            }
            let bytes = weights.to_bytes(&[]).unwrap();
            let (read, _) = Weights::from_bytes(&bytes).unwrap();
            let mut two = Update::new(rule.clone(), SHAPE, support::engines().swap_remove(number).1);
            for tensor in &tensors {
                let words = read.tensors[tensor].to_words(&two.info(tensor).ty).unwrap();
                assert!(words == one.words(tensor), "{name}: `{tensor}` from a file");
                two.upload(tensor, &words);
            }
            for at in 20..40 {
                step(&mut one, at);
                step(&mut two, at);
            }
            for tensor in &tensors {
                assert!(one.words(tensor) == two.words(tensor), "{name}: `{tensor}` after resuming from a file");
            }
        }
    }
}

/// Scaled initial states are multiples of the weights, latent ones have the signs of the weights, and the bits follow the latent weights from the
/// first step on.
#[test]
fn initial_states_follow_the_weights() {
    // tests/iir.rs tests the states of filters.
    for rule in BINARY_RULES.into_iter().filter(|rule| rule.first_update.is_some() && !rule.is_filter) {
        let scaled = rule.with([("state-init-scale", 0.25)]).unwrap();
        let mut update = Update::new(scaled, SHAPE, Box::new(CpuEngine::new(Some(1)).unwrap()));
        let signs = update.signs();
        let state = rule.states.iter().rfind(|state| state.init == plusminus::optim::StateInit::Scaled).unwrap().name;
        let floats = update.floats(&format!("w.{state}"));
        let along =
            |(i, v): (usize, &f32)| *v == if signs.is_positive(i / SHAPE[1], i % SHAPE[1]) { -0.25 } else { 0.25 };
        assert!(floats.iter().enumerate().all(along), "{}: {state} = -scale w", rule.name);
        let words = gradients(&update, 0, 1e-3);
        update.step(&words, 0, 10);
        assert_eq!(
            update.words("counters")[1],
            0,
            "{}: with a large scale the first gradient flips nothing",
            rule.name
        );
    }
    for rule in BINARY_RULES.into_iter().filter(|rule| rule.states[0].name == "x") {
        let mut update = Update::new(defaults(rule), SHAPE, Box::new(CpuEngine::new(Some(1)).unwrap()));
        let (signs, floats) = (update.signs(), update.floats("w.x"));
        let same = |(i, v): (usize, &f32)| *v == 0.0 || signs.is_positive(i / SHAPE[1], i % SHAPE[1]) == (*v > 0.0);
        assert!(floats.iter().enumerate().all(same), "{}: latent weights have the weights' signs", rule.name);
    }
}

/// Latent weights and scaled states are initialised from loaded weights (`--init-from`): the first step does not restore the random ones.
#[test]
fn states_follow_loaded_weights() {
    for (rule, state, sign) in [("latent-adam", "x", 1.0), ("diode", "s", -1.0)] {
        let state_init = (rule == "diode").then(|| "scaled".to_string());
        let optimizer = Some(OptimizerTable::named(rule));
        let config =
            Settings { optimizer, state_init, hidden: Some(vec![40]), ..Settings::default() }.resolve().unwrap();
        let model = config.model_for(&digits()).build().unwrap();
        let session = |seed| {
            let engine = Box::new(CpuEngine::new(Some(1)).unwrap());
            let (loss, rules) = (config.loss().unwrap(), Some(config.rules().unwrap()));
            block_on(Session::new(&model, loss, rules, 32, seed, engine)).unwrap()
        };
        let weights = block_on(session(7).weights()).unwrap();
        let mut session = session(8);
        session.set_weights(&weights).unwrap();
        let Tensor::Bits(signs) = &weights.tensors["dense1.weight"] else { panic!("no signs") };
        let states = block_on(session.tensor(&format!("dense1.weight.{state}"))).unwrap();
        let Tensor::Floats { shape, data } = states else { panic!("no floats") };
        let along =
            |(i, v): (usize, &f32)| *v == 0.0 || signs.is_positive(i / shape[1], i % shape[1]) == (sign * v > 0.0);
        assert!(data.iter().enumerate().all(along), "{rule}: {state} along the loaded weights");
    }
}

#[test]
fn units_reset_with_loaded_weights() {
    let (state_dtype, state_init) = (Some(StateType::I16), Some("scaled".to_string()));
    let config = Settings { state_dtype, state_init, hidden: Some(vec![40]), ..Settings::default() }.resolve().unwrap();
    let model = config.model_for(&digits()).build().unwrap();
    let (loss, rules) = (config.loss().unwrap(), Some(config.rules().unwrap()));
    let engine = Box::new(CpuEngine::new(Some(1)).unwrap());
    let mut session = block_on(Session::new(&model, loss, rules, 32, 7, engine)).unwrap();
    let weights = block_on(session.weights()).unwrap();
    let names = || ["m", "h", "row_state"].map(|name| format!("dense1.weight.{name}"));
    let tensors = |session: &mut Session| names().map(|name| block_on(session.tensor(&name)).unwrap());
    let first = tensors(&mut session);
    let stream = Stream::new(1, "batch");
    let batch = Batch {
        pixels: (0..32 * 64 / 4).map(|i| stream.word(i)).collect(),
        labels: (0..32).map(|i| stream.below(i, 10)).collect(),
        valid: 32,
        ..Batch::default()
    };
    session.set_total_steps(20);
    (0..20).for_each(|_| block_on(session.train(&batch)).unwrap());
    let trained = tensors(&mut session);
    assert!(first.iter().zip(&trained).all(|(first, trained)| first != trained));
    session.set_weights(&weights).unwrap();
    assert!(tensors(&mut session) == first);
}

/// Returns every rule with f32 states, and the rules that support narrow states with each narrow type.
fn every_rule_and_type() -> impl Iterator<Item = BinaryOptimizer> {
    BINARY_RULES.into_iter().map(defaults).chain(narrow())
}

/// Returns every rule that supports narrow states, with each narrow type.
fn narrow() -> impl Iterator<Item = BinaryOptimizer> {
    let types = || StateType::ALL.into_iter().filter(|state| *state != StateType::F32);
    let rules = BINARY_RULES.into_iter().filter(|rule| rule.kernel(StateType::I8, 1).is_some());
    rules.flat_map(move |rule| types().map(|state| defaults(rule).with_state(state).unwrap()))
}

#[test]
fn narrow_states_follow_the_wide_ones() {
    for rule in narrow() {
        let name = format!("{} {}", rule.name(), rule.state());
        let mut wide = Update::new(defaults(rule.rule()), SHAPE, Box::new(CpuEngine::new(Some(1)).unwrap()));
        let mut runs: Vec<_> =
            support::engines().into_iter().map(|(_, engine)| Update::new(rule.clone(), SHAPE, engine)).collect();
        // Zero gradients change nothing.
        let (zeros, before) = (wide.padded(|_| 0.0), runs[0].signs());
        (0..5).for_each(|step| runs[0].step(&zeros, step, 300));
        assert_eq!(
            (runs[0].signs(), runs[0].words("counters")[..2].to_vec()),
            (before, vec![0, 0]),
            "{name}: flips without a gradient"
        );
        for step in 0..300 {
            let words = gradients(&wide, step, 1e-3);
            wide.step(&words, step, 300);
            runs.iter_mut().for_each(|run| run.step(&words, step, 300));
        }
        let signs: Vec<_> = runs.iter_mut().chain([&mut wide]).map(Update::signs).collect();
        let differ = |one: usize, other: usize| {
            let pairs = signs[one].panels().iter().zip(signs[other].panels());
            f64::from(pairs.map(|(a, b)| (a ^ b).count_ones()).sum::<u32>()) / (SHAPE[0] * SHAPE[1]) as f64
        };
        let (from_wide, between) = (differ(0, signs.len() - 1), differ(0, signs.len() - 2));
        let ends = runs[0].words("counters")[3];
        println!(
            "{name}: {:.2} % of the signs differ from f32's, {between} between engines; {ends} saturated",
            100.0 * from_wide
        );
        let most = if rule.state() == StateType::I8 { 0.1 } else { 0.005 };
        assert!(from_wide <= most && between <= 0.001, "{name}: {from_wide} from f32, {between} between engines");
    }
}

/// Units adapt from the first steps on: for gradients and initial states of any magnitude the weights are those of f32, except for values that are
/// too small for a unit that has not adapted yet.
#[test]
fn integer_states_are_right_from_the_first_steps_on() {
    for rule in narrow().filter(|rule| rule.state() != StateType::F16) {
        for (size, scale) in [(1e-2, 0.0), (1e-3, 0.0), (1e-5, 0.0), (1e-3, 1e-6), (1e-5, 1e-6)] {
            let of = |state| rule.rule().with([("state-init-scale", scale)]).unwrap().with_state(state).unwrap();
            let mut runs = [StateType::F32, rule.state()]
                .map(|state| Update::new(of(state), SHAPE, Box::new(CpuEngine::new(Some(1)).unwrap())));
            for step in 0..6 {
                let words = gradients(&runs[0], step, size);
                runs.iter_mut().for_each(|run| run.step(&words, step, 300));
                let [wide, narrow] = runs.each_mut().map(Update::signs);
                let pairs = wide.panels().iter().zip(narrow.panels());
                let differ =
                    f64::from(pairs.map(|(a, b)| (a ^ b).count_ones()).sum::<u32>()) / (SHAPE[0] * SHAPE[1]) as f64;
                println!(
                    "{} {}: gradients of {size}, scale {scale}, step {step}: {differ:.4}",
                    rule.name(),
                    rule.state()
                );
                let most = if rule.state() == StateType::I8 { [0.35, 0.2, 0.08] } else { [0.06, 0.025, 0.01] };
                let most = most[[0, 1, 1, 1, 1, 2][step as usize]];
                assert!(
                    differ <= most,
                    "{} {}: gradients of {size}, scale {scale}, step {step}: {differ}",
                    rule.name(),
                    rule.state()
                );
            }
        }
    }
}

#[test]
fn narrow_states_learn_the_digits_and_keep_weights() {
    for rule in narrow() {
        let engine = Box::new(CpuEngine::new(None).unwrap());
        let settings = Settings { epochs: Some(10), state_dtype: Some(rule.state()), ..Settings::default() };
        let (accuracy, _) = train(rule.rule(), settings, digits(), engine);
        println!("{} {}: {:.2} % of the digits after 10 epochs", rule.name(), rule.state(), 100.0 * accuracy);
        assert!(accuracy >= 0.95, "{} {}: {accuracy}", rule.name(), rule.state());
        let scaled = rule.rule().with([("state-init-scale", 0.25)]).unwrap().with_state(rule.state()).unwrap();
        let mut update = Update::new(scaled, SHAPE, Box::new(CpuEngine::new(Some(1)).unwrap()));
        let before = update.signs();
        let words = gradients(&update, 0, 1e-3);
        (0..10).for_each(|step| update.step(&words, step, 100));
        assert_eq!(update.signs(), before, "{} {}: a large scale", rule.name(), rule.state());
    }
    let error = plusminus::optim::BOP.with::<f32>([]).unwrap().with_state(StateType::I16).unwrap_err().to_string();
    assert_eq!(error, "state-dtype: expected f32 for bop, got i16");
}

fn train(rule: &BinaryRule, settings: Settings, data: Data, engine: Box<dyn Engine>) -> (f64, f64) {
    let optimizer = Some(OptimizerTable::named(rule.name));
    let config = Settings { optimizer, ..settings }.resolve().unwrap();
    let model = config.model_for(&data).build().unwrap();
    let mut trainer = block_on(Trainer::from_parts(config, data, model, (engine, "a test".into()), None)).unwrap();
    let outcome = block_on(trainer.fit(|_| {})).unwrap();
    (outcome.test_accuracy, outcome.seconds)
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
    let classes = vec!["same".into(), "other".into()];
    Data::new("xor", 1, classes, all(50), all(1))
}

#[test]
fn xor_is_learned_with_every_rule_s_defaults() {
    for rule in BINARY_RULES {
        for (name, engine) in support::engines() {
            // Of 300 steps the slow default of `iir` uses few: about half of its seeds learn xor, wherever its states start.
            let seed = Some(if rule.is_filter { 3 } else { 1 });
            let (batch_size, epochs) = (Some(40), Some(60));
            let settings = Settings { hidden: Some(vec![64]), batch_size, epochs, seed, ..Settings::default() };
            let (accuracy, _) = train(rule, settings, xor(), engine);
            assert_eq!(accuracy, 1.0, "{name}: {}: accuracy on xor", rule.name);
        }
    }
}

#[test]
fn digits_are_learned_with_every_rule_s_defaults() {
    for rule in BINARY_RULES {
        let engine = Box::new(CpuEngine::new(None).unwrap());
        let settings = Settings { epochs: Some(10), ..Settings::default() };
        let (accuracy, seconds) = train(rule, settings, digits(), engine);
        println!("{}: {:.2} % of the digits after 10 epochs, {seconds:.1} s", rule.name, 100.0 * accuracy);
        assert!(accuracy >= 0.95, "{}: digits after 10 epochs: expected at least 95 %, got {accuracy}", rule.name);
    }
}
