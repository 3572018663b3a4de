//! Bop and its second-order form: a weight flips where the average gradient keeps pushing it, by more than a threshold.

use crate::optim::hyperparameter::{HyperparameterSpec, Range};
use crate::optim::rule::{BinaryRule, STATE_INIT_SCALE, State, StateInit, in_order};
use crate::optim::update::rule_kernels;
use crate::runtime::interface::rules;

/// Added to the root of the second moment, as published.
const EPSILON: f32 = 1e-10;

/// Bop (Helwegen et al., NeurIPS 2019), whose gamma is our alpha: m += alpha (g - m), and a weight w flips where |m| > threshold and
/// sign(m) = sign(w). As a flip leaves w = -sign(m), that is: weight = -1 where m > threshold, +1 where m < -threshold, else unchanged.
/// With threshold 0 it is `ema`, and `cema` with gamma 1.
///
/// One edge differs from the published code: there `b = sign1(-sign(b m - tau) b)` with `sign1(0) = 1` makes a weight +1 where b m equals
/// tau to the last bit, whatever it was (with tau 0, wherever no gradient has ever come); here it stays.
pub static BOP: BinaryRule = BinaryRule {
    name: "bop",
    doc: "a moving average of the gradient, obeyed where it exceeds a threshold",
    hyperparameters: &[
        HyperparameterSpec::new("alpha", "rate of the average (gamma in the paper)", Range::Rate, 1e-3).falling(),
        HyperparameterSpec::new("threshold", "size of the average that flips a weight (tau)", Range::NotNegative, 1e-8),
        STATE_INIT_SCALE,
    ],
    states: &[State::new("m", StateInit::Scaled).at_rate("alpha")],
    decides: rules::bop::DECIDES,
    scaled_init: 1e-6,
    is_scale_invariant: false,
    is_filter: false,
    // CIFAR-10, BinaryNet, 500 epochs: a tenth every 100 epochs.
    paper: &[("alpha", "1e-4,step:0.1:20%"), ("threshold", "1e-8")],
    kernels: rule_kernels!(bop: f32, bop),
    pack: in_order,
};

/// Bop2ndOrder (Suarez-Ramirez et al., 2021) in its biased form: m += alpha (g - m), v += sigma (g^2 - v), and Bop's rule for
/// m / (sqrt(v) + 1e-10). But for the 1e-10 the size of the gradients does not matter.
pub static BOP2: BinaryRule = BinaryRule {
    name: "bop2",
    doc: "bop with the average gradient measured by the root of the average square",
    hyperparameters: &[
        HyperparameterSpec::new("alpha", "rate of the average (gamma in the paper)", Range::Rate, 1e-3).falling(),
        HyperparameterSpec::new(
            "threshold",
            "size of the quotient that flips a weight (tau)",
            Range::NotNegative,
            1e-6,
        ),
        HyperparameterSpec::new("sigma", "rate of the average square", Range::Rate, 1e-2),
        STATE_INIT_SCALE,
    ],
    states: &[State::new("m", StateInit::Scaled).at_rate("alpha"), State::new("v", StateInit::Zero).at_rate("sigma")],
    decides: rules::bop2::DECIDES,
    scaled_init: 1e-6,
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
