//! Tests of equivalent rules, flip for flip through the f32 kernels: latent SGD is `ema` or `cema`, Signum is `diode`, Bop without a
//! threshold is `ema`. Tests of the effects of learning rate, initial weights and clipping. (`algebra.rs` tests the same equations in f64, and
//! the kernels against them.)
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests panic on failure and print measurements")]

mod support;
#[path = "support/update.rs"]
mod update;

use plusminus::optim::{
    BOP, BinaryOptimizer, BinaryRule, CEMA, DIODE, EMA, Hyperparameter, LATENT_ADAM, LATENT_SGD, LatentSgd, SIGNUM,
    Schedule,
};
use plusminus::runtime::CpuEngine;
use plusminus::tensor::{BitMatrix, Stream};
use update::Update;

/// Neither is a multiple of 32.
const SHAPE: [usize; 2] = [37, 61];
const WEIGHTS: usize = SHAPE[0] * SHAPE[1];
const STEPS: u64 = 1500;

/// Returns noisy gradients with a mean per weight that is smaller than the noise and changes its sign half-way.
fn gradient(weight: usize, step: u64) -> f32 {
    let stream = Stream::new(step, "gradients");
    let pull = if (step < STEPS / 2) == weight.is_multiple_of(2) { 0.05 } else { -0.05 };
    1e-3 * (2.0 * stream.unit(weight as u64) - 1.0 + pull * (weight % 5) as f32)
}

fn with(rule: &'static BinaryRule, hyperparameters: &[(&'static str, f32)]) -> BinaryOptimizer {
    // All constant. Tests set decreasing schedules explicitly.
    rule.with(hyperparameters.iter().map(|&(name, value)| (name, Hyperparameter::new(value, Schedule::constant()))))
        .unwrap()
}

fn falling(
    rule: &'static BinaryRule,
    name: &'static str,
    value: f32,
    hyperparameters: &[(&'static str, f32)],
) -> BinaryOptimizer {
    let others = hyperparameters.iter().map(|&(name, value)| (name, Hyperparameter::from(value)));
    rule.with(others.chain([(name, Hyperparameter::new(value, Schedule::linear()))])).unwrap()
}

/// States of the second rule that start at a factor times the first rule's latent weight `w.x`. The others have their own initial values.
#[derive(Clone, Copy)]
enum StateScale {
    None,
    /// Diode's first average starts at 0, as Signum's does.
    Last(f32),
    All(f32),
}

/// Runs two rules on the same gradients. Signs may differ only where the second rule's last state is below 1e-5 of its root mean square, where
/// rounding decides.
fn compare_rules(what: &str, rules: [BinaryOptimizer; 2], start: StateScale) {
    for number in 0..support::engines().len() {
        let mut two = rules.clone().map(|rule| {
            let (_, engine) = support::engines().swap_remove(number);
            Update::new(rule, SHAPE, engine)
        });
        let device = &support::engines()[number].0;
        let states = two[1].states();
        let last = states.last().unwrap().name.clone();
        let (factor, along) = match start {
            StateScale::None => (0.0, &states[..0]),
            StateScale::Last(factor) => (factor, &states[states.len() - 1..]),
            StateScale::All(factor) => (factor, &states[..]),
        };
        for state in along {
            let latent = two[0].floats("w.x");
            let words = two[1].padded(|i| factor * latent[i]);
            two[1].upload(&state.name, &words);
        }
        let (mut differ, mut largest) = (0, 0.0_f32);
        for step in 0..STEPS {
            let words = two[0].padded(|i| gradient(i, step));
            two.iter_mut().for_each(|update| update.step(&words, step, STEPS));
            let [one, other] = two.each_mut().map(|update| update.signs());
            if one == other {
                continue;
            }
            let state = two[1].floats(&last);
            let limit = 1e-5 * (state.iter().map(|v| v * v).sum::<f32>() / WEIGHTS as f32).sqrt();
            for (i, v) in state.iter().enumerate() {
                let at = |signs: &BitMatrix| signs.is_positive(i / SHAPE[1], i % SHAPE[1]);
                if at(&one) != at(&other) {
                    differ += 1;
                    largest = largest.max(v.abs() / limit);
                    assert!(v.abs() < limit, "{device}: {what}: step {step}, weight {i}: state {v:e}, limit {limit:e}");
                }
            }
        }
        let flips = two.each_mut().map(|update| update.words("counters")[1]);
        assert!(flips[0] > WEIGHTS as u32 / 2, "{device}: {what}: expected weights that flip, got {flips:?}");
        println!(
            "{device}: {what}: {differ} of {} signs differ ({:.1e}), the largest state at {:.0} % of 1e-5 rms; flips {flips:?}",
            WEIGHTS as u64 * STEPS,
            f64::from(differ) / (WEIGHTS as u64 * STEPS) as f64,
            100.0 * largest
        );
    }
}

/// Alpha = rate * decay, exactly even where the rate falls: its schedule is alpha's schedule.
#[test]
fn latent_sgd_with_decay_is_ema() {
    let (rate, decay) = (0.5, 8e-3);
    let hyperparameters = [("momentum", 0.0), ("weight-decay", decay), ("clip", f32::INFINITY), ("init", 0.02)];
    let constant = with(&LATENT_SGD, &[&[("lr", rate)], &hyperparameters[..]].concat());
    compare_rules(
        "latent-sgd with decay = ema",
        [constant, with(&EMA, &[("alpha", rate * decay)])],
        StateScale::All(-decay),
    );
    let both = [falling(&LATENT_SGD, "lr", rate, &hyperparameters), falling(&EMA, "alpha", rate * decay, &[])];
    compare_rules("latent-sgd with decay, falling rate = ema, falling alpha", both, StateScale::All(-decay));
}

/// Alpha and gamma are those that `translate` prints.
#[test]
fn latent_sgd_with_momentum_and_decay_is_cema() {
    for (rate, momentum, decay) in [(0.125_f32, 0.875_f32, 0.015625_f32), (0.5, 0.5, 0.03125)] {
        let sgd = LatentSgd { rate: rate.into(), momentum: momentum.into(), decay: decay.into() };
        let [alpha, gamma] = sgd.response().unwrap().rates().unwrap().map(|rate| rate as f32);
        let hyperparameters =
            [("lr", rate), ("momentum", momentum), ("weight-decay", decay), ("clip", f32::INFINITY), ("init", 0.01)];
        let what = format!("latent-sgd with decay and momentum {momentum} = cema, alpha {alpha:.5}, gamma {gamma:.4}");
        compare_rules(
            &what,
            [with(&LATENT_SGD, &hyperparameters), with(&CEMA, &[("alpha", alpha), ("gamma", gamma)])],
            StateScale::All(-decay),
        );
    }
}

/// Returns the fraction of signs that differ between two rules on the same gradients, over a run and after its last step. `start` is that of
/// [`compare_rules`], for all states.
fn share_that_differs(rules: [BinaryOptimizer; 2], start: f32) -> [f64; 2] {
    let mut two = rules.map(|rule| Update::new(rule, SHAPE, Box::new(CpuEngine::new(Some(1)).unwrap())));
    let latent = two[0].floats("w.x");
    let along = two[1].padded(|i| start * latent[i]);
    two[1].states().iter().for_each(|state| two[1].upload(&state.name, &along));
    let (mut all, mut last) = (0, 0);
    for step in 0..STEPS {
        let words = two[0].padded(|i| gradient(i, step));
        two.iter_mut().for_each(|update| update.step(&words, step, STEPS));
        let [one, other] = two.each_mut().map(|update| update.signs());
        last = one.panels().iter().zip(other.panels()).map(|(one, other)| (one ^ other).count_ones()).sum::<u32>();
        all += u64::from(last);
    }
    let flips = two.each_mut().map(|update| update.words("counters")[1]);
    assert!(flips.iter().all(|flips| *flips > WEIGHTS as u32 / 2), "expected weights that flip, got {flips:?}");
    [all as f64 / (WEIGHTS as u64 * STEPS) as f64, f64::from(last) / WEIGHTS as f64]
}

fn scheduled(
    rule: &'static BinaryRule,
    (name, value, schedule): (&'static str, f32, &str),
    hyperparameters: &[(&'static str, f32)],
) -> BinaryOptimizer {
    let others = hyperparameters.iter().map(|&(name, value)| (name, Hyperparameter::new(value, Schedule::constant())));
    rule.with(others.chain([(name, Hyperparameter::new(value, schedule.parse().unwrap()))])).unwrap()
}

/// With momentum a schedule of the rate is only approximately the same schedule of alpha, since gamma would also have to vary
/// (`momentum_sgd_with_a_moving_rate_is_the_cascade_with_both_rates_moving` in `algebra.rs` is exact). The error shrinks with alpha.
#[test]
fn a_moving_rate_with_momentum_is_a_moving_alpha_nearly() {
    for (decay, schedule, most) in
        [(1e-4_f32, "cosine", 3e-5), (1e-4, "step:0.1:500", 3e-5), (5e-3, "cosine", 0.03), (5e-3, "step:0.1:500", 2e-3)]
    {
        let (rate, momentum) = (0.1_f32, 0.9_f32);
        let sgd = LatentSgd { rate: rate.into(), momentum: momentum.into(), decay: f64::from(decay) };
        let [alpha, gamma] = sgd.response().unwrap().rates().unwrap().map(|rate| rate as f32);
        let hyperparameters =
            [("momentum", momentum), ("weight-decay", decay), ("clip", f32::INFINITY), ("init", 1e-3)];
        let sgd = scheduled(&LATENT_SGD, ("lr", rate, schedule), &hyperparameters);
        let cema = scheduled(&CEMA, ("alpha", alpha, schedule), &[("gamma", gamma)]);
        let [all, last] = share_that_differs([sgd, cema], -decay);
        println!(
            "latent-sgd with lr 0.1,{schedule}, momentum 0.9, decay {decay:e} and cema with alpha {alpha:.3e},{schedule}, gamma {gamma:.4}: \
             {all:.1e} of the signs differ, after the last step {last:.1e}"
        );
        assert!(all > 0.0 && all < most, "{schedule}, decay {decay:e}: expected up to {most:e}, got {all:e}");
    }
}

/// A varying decay is not equivalent to a varying alpha: the gain of the gradient stays constant. More than 10 % of the signs differ.
#[test]
fn a_moving_decay_is_another_filter() {
    for schedule in ["cosine", "step:0.1:500"] {
        let (rate, decay) = (0.5, 8e-3);
        let hyperparameters = [("lr", rate), ("momentum", 0.0), ("clip", f32::INFINITY), ("init", 0.02)];
        let sgd = scheduled(&LATENT_SGD, ("weight-decay", decay, schedule), &hyperparameters);
        let ema = scheduled(&EMA, ("alpha", rate * decay, schedule), &[]);
        let [all, last] = share_that_differs([sgd, ema], -decay);
        println!(
            "latent-sgd with decay 8e-3,{schedule} and ema with alpha 4e-3,{schedule}: {all:.2} of the signs differ, after the last step \
             {last:.2}"
        );
        assert!(all > 0.1 && last > 0.1, "{schedule}: expected another filter, got {all} and {last}");
    }
}

#[test]
fn signum_with_decay_is_diode() {
    let (rate, decay) = (0.0625, 0.0625);
    let hyperparameters =
        [("lr", rate), ("momentum", 0.75), ("weight-decay", decay), ("clip", f32::INFINITY), ("init", 0.5)];
    let diode = with(&DIODE, &[("alpha", rate * decay), ("gamma", 0.25)]);
    compare_rules("signum with decay = diode", [with(&SIGNUM, &hyperparameters), diode], StateScale::Last(-decay));
}

#[test]
fn bop_without_threshold_is_cema_with_gamma_1_and_ema() {
    let bop = || with(&BOP, &[("alpha", 4e-3), ("threshold", 0.0)]);
    compare_rules("bop with threshold 0 = ema", [bop(), with(&EMA, &[("alpha", 4e-3)])], StateScale::None);
    compare_rules(
        "bop with threshold 0 = cema with gamma 1",
        [bop(), with(&CEMA, &[("alpha", 4e-3), ("gamma", 1.0)])],
        StateScale::None,
    );
}

/// Returns the weights after every step, and the final latent weights.
fn run(
    rule: BinaryOptimizer,
    number: usize,
    gradient: impl Fn(usize, u64) -> f32,
    steps: u64,
) -> (Vec<BitMatrix>, Vec<f32>) {
    let (_, engine) = support::engines().swap_remove(number);
    let mut update = Update::new(rule, SHAPE, engine);
    let mut signs = Vec::new();
    for step in 0..steps {
        let words = update.padded(|i| gradient(i, step));
        update.step(&words, step, steps);
        signs.push(update.signs());
    }
    (signs, update.floats("w.x"))
}

/// The scale of latent weights is arbitrary. Scaling learning rate, initial weights and clip by 128 and dividing the decay by 128 (only lr *
/// decay matters) gives the same run, bit for bit. Scaling only one of them gives another run.
#[test]
fn scaling_the_rate_and_the_initial_weights_together_changes_nothing() {
    for number in 0..support::engines().len() {
        let sgd = |rate: f32, init: f32, decay: f32, clip: f32| {
            let hyperparameters =
                [("lr", rate), ("init", init), ("weight-decay", decay), ("clip", clip), ("momentum", 0.75)];
            run(with(&LATENT_SGD, &hyperparameters), number, gradient, 300).0
        };
        let off = f32::INFINITY;
        assert!(sgd(0.5, 0.01, 0.0, off) == sgd(64.0, 1.28, 0.0, off), "rate and initial weights");
        assert!(sgd(0.5, 0.01, 0.03125, off) == sgd(64.0, 1.28, 0.03125 / 128.0, off), "and decay");
        assert!(sgd(0.5, 0.01, 0.0, 0.0078125) == sgd(64.0, 1.28, 0.0, 1.0), "and clip");
        assert!(sgd(0.5, 0.01, 0.0, off) != sgd(64.0, 0.01, 0.0, off), "the rate alone");
        assert!(sgd(0.5, 0.01, 0.0, off) != sgd(0.5, 1.28, 0.0, off), "the initial weights alone");
    }
}

/// A clip that no latent weight reaches changes no bit. An active clip bounds the memory of a weight: after 200 steps of constant gradients change
/// their sign, an unclipped weight flips back after about 200 steps, a clipped one after clip / (lr |g|) steps.
#[test]
fn clipping_bounds_the_memory_and_nothing_else() {
    for number in 0..support::engines().len() {
        for rule in [&SIGNUM, &LATENT_SGD, &LATENT_ADAM] {
            let of =
                |clip: f32| run(with(rule, &[("lr", 0.01), ("clip", clip), ("init", 0.01)]), number, gradient, 100);
            let (off, wide, tight) = (of(f32::INFINITY), of(50.0), of(1e-4));
            assert!(off == wide, "{}: a clip that is never met", rule.name);
            assert!(tight.1.iter().all(|x| x.abs() <= 1e-4), "{}: the clip holds", rule.name);
            assert!(tight.0 != off.0, "{}: a clip that is met", rule.name);
        }
        let turning = |_: usize, step: u64| if step < 200 { 1.0 } else { -1.0 };
        let back = |clip: f32| {
            let hyperparameters = [("lr", 0.01), ("momentum", 0.0), ("clip", clip), ("init", 1e-6)];
            let signs = run(with(&LATENT_SGD, &hyperparameters), number, turning, 450).0;
            (200..450).find(|&step| signs[step].is_positive(3, 4)).expect("the weight flips back") - 200
        };
        let [off, clipped] = [back(f32::INFINITY), back(0.1)];
        println!(
            "after a change of sign at step 200, a weight flips back after {off} steps unclipped, {clipped} clipped at 0.1"
        );
        assert!((195..=205).contains(&off) && (8..=12).contains(&clipped), "{off}, {clipped}");
    }
}
