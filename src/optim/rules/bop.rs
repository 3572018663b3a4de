//! Bop and its second-order form: a weight flips if the average gradient opposes it by more than a threshold.

use crate::optim::hyperparameter::{HyperparameterSpec, Range};
use crate::optim::rule::{BinaryRule, STATE_INIT_SCALE, State, StateInit, in_order};
use crate::optim::update::rule_kernels;
use crate::runtime::interface::rules;

/// Added to the root of the second moment, as published.
const EPSILON: f32 = 1e-10;

/// Bop (Helwegen et al., NeurIPS 2019), whose gamma is alpha here: m += alpha (g - m), and a weight w flips if |m| > threshold and
/// sign(m) = sign(w). A flip leaves w = -sign(m), so weight = -1 where m > threshold, +1 where m < -threshold, else unchanged. With
/// threshold 0 it is `ema`, and `cema` with gamma 1.
///
/// One edge case differs from the published code, `b = sign1(-sign(b m - tau) b)` with `sign1(0) = 1`. There a weight becomes +1 if b m
/// equals tau exactly, whatever it was (with tau 0, wherever no gradient has ever been nonzero); here the weight is unchanged.
pub static BOP: BinaryRule = BinaryRule {
    name: "bop",
    doc: "a moving average of the gradient that flips weights where it exceeds a threshold",
    hyperparameters: &[
        HyperparameterSpec::new("alpha", "rate of the average (gamma in the paper)", Range::Rate, 1e-3).falling(),
        HyperparameterSpec::new(
            "threshold",
            "magnitude of the average above which a weight flips (tau)",
            Range::NotNegative,
            1e-8,
        ),
        STATE_INIT_SCALE,
    ],
    states: &[State::new("m", StateInit::Scaled).at_rate("alpha")],
    decides: rules::bop::DECIDES,
    first_update: Some(|values, rms| values[0] * rms),
    is_scale_invariant: false,
    is_filter: false,
    // CIFAR-10, BinaryNet, 500 epochs: a factor of 0.1 every 100 epochs.
    paper: &[("alpha", "1e-4,step:0.1:20%"), ("threshold", "1e-8")],
    kernels: rule_kernels!(bop: f32, bop),
    pack: in_order,
};

/// Bop2ndOrder (Suarez-Ramirez et al., 2021) in its biased form: m += alpha (g - m), v += sigma (g^2 - v), and Bop's rule for m /
/// (sqrt(v) + 1e-10). Except for the 1e-10 it is invariant under the scale of the gradients.
pub static BOP2: BinaryRule = BinaryRule {
    name: "bop2",
    doc: "bop with the average gradient divided by the root of the average square",
    hyperparameters: &[
        HyperparameterSpec::new("alpha", "rate of the average (gamma in the paper)", Range::Rate, 1e-3).falling(),
        HyperparameterSpec::new(
            "threshold",
            "magnitude of the quotient above which a weight flips (tau)",
            Range::NotNegative,
            1e-6,
        ),
        HyperparameterSpec::new("sigma", "rate of the average square", Range::Rate, 1e-2),
        STATE_INIT_SCALE,
    ],
    states: &[State::new("m", StateInit::Scaled).at_rate("alpha"), State::new("v", StateInit::Zero).at_rate("sigma")],
    decides: rules::bop2::DECIDES,
    first_update: Some(|values, rms| values[0] * rms),
    is_scale_invariant: false,
    is_filter: false,
    // CIFAR-10, BinaryNet, 500 epochs.
    paper: &[("alpha", "1e-2,linear:1e-5"), ("threshold", "1e-5,linear:1e-8"), ("sigma", "1e-7,linear:1e-2")],
    kernels: rule_kernels!(bop2: f32, bop2),
    pack: in_order,
};

fn bop(g: f32, [m]: [f32; 1], [alpha, threshold]: [f32; 2]) -> ([f32; 1], f32) {
    let m = m + alpha * (g - m);
    ([m], if m.abs() > threshold { m } else { 0.0 })
}

fn bop2(g: f32, [m, v]: [f32; 2], [alpha, threshold, sigma]: [f32; 3]) -> ([f32; 2], f32) {
    let m = m + alpha * (g - m);
    let v = v + sigma * (g * g - v);
    ([m, v], if m.abs() > threshold * (v.sqrt() + EPSILON) { m } else { 0.0 })
}
