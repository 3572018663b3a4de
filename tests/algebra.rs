//! Tests of the algebra of Quist, Li, van Gemert (ICLR 2023). Latent SGD with weight decay is a moving average of the gradient; PyTorch's
//! momentum SGD is a cascade of two averages. The f32 kernels follow the f64 filters. On pure noise the flip ratio is the one that follows
//! from the filter's autocorrelation.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests panic on failure and print measurements")]

mod support;
#[path = "support/update.rs"]
mod update;

use plusminus::optim::{BinaryOptimizer, CEMA, EMA, Hyperparameter, LatentSgd, Optimizer, Response, Schedule};
use plusminus::runtime::{CpuEngine, Engine};
use plusminus::tensor::Stream;
use std::f64::consts::PI;
use update::Update;

const WEIGHTS: usize = 2048;
const STEPS: u64 = 3000;

/// Standard normal noise, generated in pairs (Box and Muller).
struct Noise {
    stream: Stream,
    at: u64,
    second: Option<f64>,
}

impl Noise {
    fn new(seed: u64) -> Self {
        Self { stream: Stream::new(seed, "noise"), at: 0, second: None }
    }

    fn next(&mut self) -> f64 {
        if let Some(second) = self.second.take() {
            return second;
        }
        let unit = |at| (f64::from(self.stream.word(at)) + 0.5) / 2.0_f64.powi(32);
        let (radius, angle) = ((-2.0 * unit(self.at).ln()).sqrt(), 2.0 * PI * unit(self.at + 1));
        self.at += 2;
        self.second = Some(radius * angle.sin());
        radius * angle.cos()
    }
}

/// Returns noisy gradients with a mean per weight that is smaller than the noise and changes its sign half-way.
fn gradient(noise: &mut Noise, weight: usize, step: u64) -> f64 {
    let pull = if (step < STEPS / 2) == weight.is_multiple_of(2) { 0.1 } else { -0.1 };
    noise.next() + pull * (weight % 5) as f64 / 4.0
}

/// Root mean square.
fn rms(values: &[f64]) -> f64 {
    (values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64).sqrt()
}

/// Asserts for all weights that the latent weight and the filter have opposite signs, and that the states agree.
fn assert_same(what: &str, step: u64, latent: &[f64], filter: &[f64], decay: f64) {
    let scale = decay * rms(latent);
    for (i, (w, h)) in latent.iter().zip(filter).enumerate() {
        assert!((*w > 0.0) == (*h < 0.0), "{what}: step {step}, weight {i}: expected -sign({h:e}), got sign({w:e})");
        let error = (h + decay * w).abs();
        assert!(
            error <= 1e-9 * scale,
            "{what}: step {step}, weight {i}: expected h = -decay w = {:e}, got {h:e}, off by {error:e} (tolerance {:e})",
            -decay * w,
            1e-9 * scale
        );
    }
}

/// w -= e (G + l w) with h_0 = -l w_0 and alpha = e l.
fn latent_sgd_is_the_filter(what: &str, rate: impl Fn(u64) -> f64) {
    let decay = 5e-3;
    let mut noise = Noise::new(1);
    let mut w: Vec<f64> = (0..WEIGHTS).map(|_| 0.1 * noise.next()).collect();
    let mut h: Vec<f64> = w.iter().map(|w| -decay * w).collect();
    let (start, mut flips) = (w.clone(), 0);
    for step in 0..STEPS {
        let (e, alpha) = (rate(step), rate(step) * decay);
        for i in 0..WEIGHTS {
            let g = gradient(&mut noise, i, step);
            let before = w[i];
            w[i] -= e * (g + decay * w[i]);
            h[i] += alpha * (g - h[i]);
            flips += u64::from((before > 0.0) != (w[i] > 0.0));
        }
        assert_same(what, step, &w, &h, decay);
    }
    assert!(flips > WEIGHTS as u64, "{what}: expected weights that flip, got {flips} flips");
    assert_ne!(start, w);
    println!("{what}: no sign of {WEIGHTS} weights differs in {STEPS} steps, {flips} flips");
}

#[test]
fn latent_sgd_with_decay_is_one_moving_average() {
    latent_sgd_is_the_filter("constant rate", |_| 0.1);
    latent_sgd_is_the_filter("linear rate", |step| 0.1 * (1.0 - step as f64 / STEPS as f64));
    latent_sgd_is_the_filter("stepped rate", |step| if step < 1000 { 0.5 } else { 0.01 });
}

/// Returns alpha and gamma of these settings, as the crate computes them.
fn rates(sgd: LatentSgd) -> [f64; 2] {
    sgd.response().unwrap().rates().expect("real poles")
}

/// PyTorch's rule: d = G + l w, v = mu v + d, w -= e v, with v = 0 before the first step. So
///   w_t = (1 + mu - e l) w_{t-1} - mu w_{t-2} - e G_t,
/// and h = -l w obeys the cascade's recursion, h_t = (2 - a - c) h_{t-1} - (1 - a)(1 - c) h_{t-2} + a c G_t, when a + c = 1 - mu + e l
/// and a c = e l. The start follows from the first step: w_1 = (1 - e l) w_0 - e G_1, thus h_1 = (1 - a c) h_0 + a c G_1, while the
/// cascade gives h_1 = (1 - a) h_0 + a (1 - c) m_0 + a c G_1. They agree for m_0 = h_0 = -l w_0.
#[test]
fn momentum_sgd_is_the_cascade() {
    // Critically damped: both rates are equal.
    let equal = Response::cascade(0.2, 0.2).unwrap().latent_sgd(0.1).unwrap();
    let settings = [(0.1, 0.9, 5e-3), (0.1, 0.9, 5e-4), (0.5, 0.5, 1e-2), (0.01, 0.99, 1e-3)];
    let settings = settings.map(|(rate, momentum, decay)| LatentSgd { rate, momentum, decay });
    for sgd in settings.into_iter().chain([equal]) {
        let (LatentSgd { rate, momentum, decay }, [alpha, gamma]) = (sgd, rates(sgd));
        let what = format!("rate {rate}, momentum {momentum}, decay {decay}: alpha {alpha:.6}, gamma {gamma:.6}");
        let mut noise = Noise::new(2);
        let mut w: Vec<f64> = (0..WEIGHTS).map(|_| noise.next()).collect();
        let mut v = vec![0.0; WEIGHTS];
        let mut h: Vec<f64> = w.iter().map(|w| -decay * w).collect();
        let (mut m, mut flips) = (h.clone(), 0);
        for step in 0..STEPS {
            for i in 0..WEIGHTS {
                let g = gradient(&mut noise, i, step);
                let before = w[i];
                v[i] = momentum * v[i] + (g + decay * w[i]);
                w[i] -= rate * v[i];
                m[i] += gamma * (g - m[i]);
                h[i] += alpha * (m[i] - h[i]);
                flips += u64::from((before > 0.0) != (w[i] > 0.0));
            }
            assert_same(&what, step, &w, &h, decay);
        }
        assert!(flips > WEIGHTS as u64, "{what}: expected weights that flip, got {flips} flips");
        println!("{what}: no sign of {WEIGHTS} weights differs in {STEPS} steps, {flips} flips");
    }
}

/// With a varying rate e_t, h = -l w obeys h_t = h_{t-1} + e_t l v_t with v_t = mu v_{t-1} + G_t - h_{t-1}. The cascade's difference
/// d_t = m_t - h_{t-1} obeys d_t = (1 - c_t)(1 - a_{t-1}) d_{t-1} + c_t (G_t - h_{t-1}), and h_t = h_{t-1} + a_t d_t. So d = c v, and the two
/// are equal, where a_t c_t = e_t l and (1 - c_t)(1 - a_{t-1}) c_{t-1} = mu c_t, that is c_t = q / (mu + q) with q = (1 - a_{t-1}) c_{t-1}: both rates
/// vary, and c_t is the root of the constant case where the rate is constant.
#[test]
fn momentum_sgd_with_a_moving_rate_is_the_cascade_with_both_rates_moving() {
    let (momentum, decay) = (0.9, 1e-2);
    let cosine = |step: u64| 0.05 * (1.0 + (PI * step as f64 / STEPS as f64).cos());
    let stepped = |step: u64| if step < STEPS / 2 { 0.1 } else { 0.01 };
    for (what, rate) in [("cosine rate", &cosine as &dyn Fn(u64) -> f64), ("stepped rate", &stepped)] {
        let mut noise = Noise::new(7);
        let mut w: Vec<f64> = (0..WEIGHTS).map(|_| 0.1 * noise.next()).collect();
        let mut v = vec![0.0; WEIGHTS];
        let mut h: Vec<f64> = w.iter().map(|w| -decay * w).collect();
        let mut m = h.clone();
        let [mut alpha, mut gamma] = rates(LatentSgd { rate: rate(0), momentum, decay });
        let (first, mut flips) = (gamma, 0);
        for step in 0..STEPS {
            if step > 0 {
                let q = (1.0 - alpha) * gamma;
                gamma = q / (momentum + q);
                alpha = rate(step) * decay / gamma;
            }
            for i in 0..WEIGHTS {
                let g = gradient(&mut noise, i, step);
                let before = w[i];
                v[i] = momentum * v[i] + (g + decay * w[i]);
                w[i] -= rate(step) * v[i];
                m[i] += gamma * (g - m[i]);
                h[i] += alpha * (m[i] - h[i]);
                flips += u64::from((before > 0.0) != (w[i] > 0.0));
            }
            assert_same(what, step, &w, &h, decay);
        }
        assert!(
            flips > WEIGHTS as u64 && (gamma - first).abs() > 1e-3,
            "{what}: {flips} flips, gamma {first} to {gamma}"
        );
        println!(
            "{what}: no sign of {WEIGHTS} weights differs in {STEPS} steps, {flips} flips; gamma {first:.4} to {gamma:.4}"
        );
    }
}

fn cascade(alpha: f32, gamma: f32, schedule: &Schedule) -> BinaryOptimizer {
    CEMA.with([("alpha", Hyperparameter::new(alpha, schedule.clone())), ("gamma", gamma.into())]).unwrap()
}

fn average(alpha: f32, schedule: &Schedule) -> BinaryOptimizer {
    EMA.with([("alpha", Hyperparameter::new(alpha, schedule.clone()))]).unwrap()
}

/// Compares a rule with the same filter in f64 for `steps` steps with the same hyperparameters and gradients. `gamma` 1 is a single average.
fn follow(name: &str, rule: BinaryOptimizer, gamma: f32, steps: u64, engine: Box<dyn Engine>) {
    // Neither extent is a multiple of 32, and the states have padded rows.
    let (rows, columns) = (37, 61);
    let mut update = Update::new(rule, [rows, columns], engine);
    let pitch = columns.div_ceil(32) * 32;
    let (mut m, mut h) = (vec![0.0_f64; rows * columns], vec![0.0_f64; rows * columns]);
    let mut noise = Noise::new(3);
    let mut words = vec![0_u32; rows * pitch];
    let (mut differ, mut compared, mut largest, mut flips) = (0_u64, 0_u64, 0.0_f64, 0_u64);
    let mut before = update.signs();
    for step in 0..steps {
        let alpha = f64::from(update.rule.hyperparameters(step, steps)[0][0]);
        for i in 0..rows * columns {
            let g = (1e-3 * gradient(&mut noise, i, step)) as f32;
            words[i / columns * pitch + i % columns] = g.to_bits();
            m[i] += f64::from(gamma) * (f64::from(g) - m[i]);
            h[i] += alpha * (m[i] - h[i]);
        }
        update.step(&words, step, steps);
        let signs = update.signs();
        let limit = 1e-5 * rms(&h);
        for (i, &h) in h.iter().enumerate() {
            let (r, c) = (i / columns, i % columns);
            flips += u64::from(signs.is_positive(r, c) != before.is_positive(r, c));
            compared += 1;
            if signs.is_positive(r, c) == (h < 0.0) {
                continue;
            }
            differ += 1;
            largest = largest.max(h.abs() / limit);
            assert!(
                h.abs() < limit,
                "{name}: step {step}, weight [{r}][{c}]: expected -sign of the f64 state {h:e}, got the other; \
                 only states below {limit:e} may differ"
            );
        }
        before = signs;
    }
    let states = update.words("w.h");
    let error = |i: usize| f64::from(f32::from_bits(states[i / columns * pitch + i % columns])) - h[i];
    let drift = rms(&(0..h.len()).map(error).collect::<Vec<f64>>()) / rms(&h);
    // The rounding errors of h += a (m - h) are a random walk of 2^-25 h per step with a memory of 1 / a steps.
    assert!(
        drift < 3e-6,
        "{name}: states after {steps} steps: expected within 3e-6 of the f64 states, got {drift:e} (rms)"
    );
    let counted = update.words("counters");
    assert_eq!(
        (counted[0], u64::from(counted[1])),
        (0, flips),
        "{name}: flips counted by the kernel and by comparison"
    );
    assert!(flips > 1000, "{name}: expected weights that flip, got {flips} flips");
    assert!(compared == steps * (rows * columns) as u64 && differ * 10_000 < compared, "{name}: {differ} signs differ");
    println!(
        "{name}: {differ} of {compared} signs differ ({:.1e}), the largest state at {:.1} % of 1e-5 rms; drift {drift:.1e} of rms",
        differ as f64 / compared as f64,
        100.0 * largest
    );
}

#[test]
fn the_kernels_follow_the_f64_filter() {
    for (alpha, gamma, schedule, steps) in [
        (1e-2, 0.1, Schedule::constant(), 1000),
        (1e-3, 0.1, Schedule::linear(), 1000),
        (1e-4, 0.2, Schedule::constant(), 3000),
        (1e-4, 0.2, Schedule::cosine(), 1000),
    ] {
        for (engine_name, engine) in support::engines() {
            let name = format!("{engine_name}: cascade, alpha {alpha}, gamma {gamma}, {schedule}");
            follow(&name, cascade(alpha, gamma, &schedule), gamma, steps, engine);
        }
        for (engine_name, engine) in support::engines() {
            let name = format!("{engine_name}: one average, alpha {alpha}, {schedule}");
            follow(&name, average(alpha, &schedule), 1.0, steps, engine);
        }
    }
}

#[test]
fn noise_flips_weights_as_often_as_theory_says() {
    let cascade = |alpha, gamma| cascade(alpha, gamma, &Schedule::constant());
    // Each step reads a window of this pool, so that each weight receives the numbers in a different order. They must be normal: with one
    // average the flip ratio depends on the mean of |g|, which differs between distributions of the same variance.
    let mut noise = Noise::new(4);
    let pool: Vec<f64> = (0..1 << 21).map(|_| noise.next()).collect();
    let mean = pool.iter().sum::<f64>() / pool.len() as f64;
    let pool: Vec<u32> = pool.iter().map(|g| ((g - mean) as f32).to_bits()).collect();
    let ema = average(1e-2, &Schedule::constant());
    // Steps until the initial state is negligible: exp(-2 alpha steps) of its variance remains.
    for (name, rule, alpha, gamma, burn, steps) in [
        ("cascade", cascade(5e-2, 0.2), 5e-2, 0.2, 200, 800),
        ("cascade", cascade(1e-2, 0.1), 1e-2, 0.1, 600, 1400),
        ("cascade", cascade(2e-3, 0.05), 2e-3, 0.05, 2500, 3000),
        ("one average", ema, 1e-2, 1.0, 600, 1400),
    ] {
        let (rows, columns) = (160, 256);
        let engine = Box::new(CpuEngine::new(None).unwrap());
        let mut update = Update::new(rule, [rows, columns], engine);
        let offsets = Stream::new(5, "offsets");
        let mut start = 0;
        for step in 0..burn + steps {
            if step == burn {
                start = update.words("counters")[1];
            }
            let offset = offsets.below(step, (pool.len() - rows * columns) as u32) as usize;
            update.step(&pool[offset..][..rows * columns], step, burn + steps);
        }
        let flips = f64::from(update.words("counters")[1] - start);
        let got = flips / (rows * columns) as f64 / steps as f64;
        let expected = Response::cascade(alpha, gamma).unwrap().noise_flips();
        let error = (got / expected - 1.0).abs();
        println!(
            "{name}, alpha {alpha}, gamma {gamma}: {got:.6} flips per weight and step, expected {expected:.6}, {:.2} % off ({flips} flips)",
            100.0 * error
        );
        assert!(
            error < 0.01,
            "{name}, alpha {alpha}, gamma {gamma}: flip ratio expected {expected:.6}, got {got:.6}, tolerance 1 %"
        );
    }
}
