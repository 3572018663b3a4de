//! Lion on latent weights: every step moves every weight by the same amount.

use crate::optim::hyperparameter::{HyperparameterSpec, Range};
use crate::optim::rule::{BinaryRule, State, StateInit};
use crate::optim::rules::diode::sign;
use crate::optim::rules::latent::{clip, clipped, decay, init, rate};
use crate::optim::update::rule_kernels;
use crate::runtime::interface::rules;

/// Lion (Chen et al., NeurIPS 2023, algorithm 2) on latent weights: c = m + (1 - beta1) (g - m), x -= lr (sign(c) + decay x), then x is
/// clipped and m += (1 - beta2) (g - m), weight = sign(x); sign(0) = 0. With beta1 = beta2 the direction is that of `signum`.
pub static LION: BinaryRule = BinaryRule {
    name: "lion",
    doc: "latent weights moved by the sign of an interpolation of momentum and gradient",
    hyperparameters: &[
        rate(1e-2),
        HyperparameterSpec::new("beta1", "weight of the momentum in the direction of a step", Range::Share, 0.9),
        HyperparameterSpec::new("beta2", "decay of the momentum", Range::Share, 0.99),
        decay(0.0),
        clip(1.0),
        init(1.0),
    ],
    states: &[State::new("x", StateInit::Latent), State::new("m", StateInit::Zero)],
    decides: rules::lion::DECIDES,
    first_update: None,
    is_scale_invariant: true,
    is_filter: false,
    paper: &[],
    kernels: rule_kernels!(lion: f32, lion),
    pack: |values, _step| {
        let [rate, beta1, beta2, decay] = [0, 1, 2, 3].map(|i| f64::from(values[i]));
        let first = [rate, 1.0 - beta1, 1.0 - beta2, decay].map(|value| value as f32);
        [first, [values[4].min(f32::MAX), 0.0, 0.0, 0.0], [0.0; 4], [0.0; 4]]
    },
};

fn lion(g: f32, [x, m]: [f32; 2], [rate, first, second, decay, clip]: [f32; 5]) -> ([f32; 2], f32) {
    let c = m + first * (g - m);
    let x = clipped(x - rate * (sign(c) + decay * x), clip);
    ([x, m + second * (g - m)], -x)
}
