//! Diode: the cascade with a sign between its averages.

use crate::optim::hyperparameter::{HyperparameterSpec, Range};
use crate::optim::rule::{BinaryRule, STATE_INIT_SCALE, State, StateInit, in_order};
use crate::optim::update::rule_kernels;
use crate::runtime::interface::rules;

/// Diode (Guo et al., ECCV 2024): m += gamma (g - m), s += alpha (sign(m) - s), weight = -sign(s), where sign(0) = 0. Every step
/// contributes with the same magnitude, whatever the magnitude of the gradient. The published code has gamma 0.01 and alpha 1e-4. It starts
/// s at -w times a number drawn from [0, 1e-3), where this implementation uses `state-init-scale`. It sets a weight to +1 if s is exactly
/// 0, where this implementation keeps the weight.
///
/// Signum with weight decay on latent weights is this rule: alpha = rate * decay, s = -decay x.
pub static DIODE: BinaryRule = BinaryRule {
    name: "diode",
    doc: "a moving average of the sign of a moving average of the gradient",
    hyperparameters: &[
        HyperparameterSpec::new("alpha", "rate of the average whose sign is the weight", Range::Rate, 1e-3).falling(),
        HyperparameterSpec::new("gamma", "rate of the first average", Range::Rate, 0.1),
        STATE_INIT_SCALE,
    ],
    states: &[State::new("m", StateInit::Zero).at_rate("gamma"), State::new("s", StateInit::Scaled).at_rate("alpha")],
    decides: rules::diode::DECIDES,
    // Of whatever gradient, since its sign is averaged.
    first_update: Some(|values, _| values[0]),
    is_scale_invariant: true,
    is_filter: false,
    // The defaults of the published code; its random initial state is replaced by `state-init-scale`.
    paper: &[("alpha", "1e-4"), ("gamma", "0.01")],
    kernels: rule_kernels!(diode: f32, diode),
    pack: in_order,
};

/// Returns -1, 0 or 1. Unlike `f32::signum` it is 0 at 0.
pub(in crate::optim) fn sign(value: f32) -> f32 {
    let above = if value > 0.0 { 1.0 } else { 0.0 };
    if value < 0.0 { -1.0 } else { above }
}

fn diode(g: f32, [m, s]: [f32; 2], [alpha, gamma]: [f32; 2]) -> ([f32; 2], f32) {
    let m = m + gamma * (g - m);
    let s = s + alpha * (sign(m) - s);
    ([m, s], s)
}
