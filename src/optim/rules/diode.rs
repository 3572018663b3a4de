//! Diode: the cascade with a sign between its averages.

use crate::optim::binary::{BinaryRule, STATE_INIT_SCALE, StateInit, in_order, sweep_panel};
use crate::optim::hyperparameter::{HyperparameterSpec, Range};
use crate::runtime::interface::optim::diode::diode;
use crate::runtime::kernel::kernel;

kernel!(
    /// m += gamma (g - m), s += alpha (sign(m) - s), weight = -sign(s).
    DIODE = optim::diode::{ diode }, twin = diode_twin
);

/// Diode (Guo et al., ECCV 2024): m += gamma (g - m), s += alpha (sign(m) - s), weight = -sign(s), where sign(0) = 0. Every step votes
/// with the same weight, however large its gradient. The published code has gamma 0.01, alpha 1e-4, starts s at -w times a number drawn from
/// [0, 1e-3) where this has `state-init-scale`, and makes a weight +1 where s is exactly 0, where this leaves it.
///
/// Signum with weight decay on latent weights is this rule: alpha = rate * decay, s = -decay x.
pub static RULE: BinaryRule = BinaryRule {
    name: "diode",
    doc: "a moving average of the sign of a moving average of the gradient",
    hyperparameters: &[
        HyperparameterSpec::new("alpha", "rate of the average whose sign is the weight", Range::Rate, 1e-3).falling(),
        HyperparameterSpec::new("gamma", "rate of the average before it", Range::Rate, 0.1),
        STATE_INIT_SCALE,
    ],
    states: &[("m", StateInit::Zero), ("s", StateInit::Scaled)],
    scaled_init: 5e-3,
    is_scale_invariant: true,
    is_filter: false,
    // The defaults of the published code; its start is random, ours is `state-init-scale`.
    paper: &[("alpha", "1e-4"), ("gamma", "0.01")],
    kernel: &DIODE,
    narrow: None,
    pack: in_order,
};

/// -1, 0 or 1: unlike `f32::signum`, 0 of 0.
pub(in crate::optim) fn sign(value: f32) -> f32 {
    let above = if value > 0.0 { 1.0 } else { 0.0 };
    if value < 0.0 { -1.0 } else { above }
}

fn diode_twin(args: diode::Args<'_>) {
    let [alpha, gamma, ..] = args.step.hyperparameters[args.params.hyper_offset as usize];
    sweep_panel!(args, [m, s], |g, [m, s]| {
        let m = m + gamma * (g - m);
        let s = s + alpha * (sign(m) - s);
        ([m, s], s)
    });
}
