//! Rules that update a latent float weight, whose sign is the weight: the standard training method.

use crate::optim::hyperparameter::{HyperparameterSpec, Range};
use crate::optim::optimizer::Hyperparameters;
use crate::optim::rule::{BinaryRule, State, StateInit, in_order};
use crate::optim::rules::diode::sign;
use crate::optim::update::rule_kernels;
use crate::runtime::interface::rules;

/// Added to the root of Adam's second moment, as in PyTorch.
const EPSILON: f32 = 1e-8;

pub(in crate::optim) const fn rate(default: f32) -> HyperparameterSpec {
    HyperparameterSpec::new("lr", "learning rate of the latent weights", Range::Positive, default).falling()
}

pub(in crate::optim) const fn decay(default: f32) -> HyperparameterSpec {
    HyperparameterSpec::new(
        "weight-decay",
        "factor of the latent weight that is added to its gradient",
        Range::NotNegative,
        default,
    )
}

pub(in crate::optim) const fn clip(default: f32) -> HyperparameterSpec {
    HyperparameterSpec::new("clip", "latent weights are clipped to +-clip, or off", Range::Limit, default)
}

pub(in crate::optim) const fn init(default: f32) -> HyperparameterSpec {
    HyperparameterSpec::new(
        "init",
        "bound of the initial latent weights, which are uniform in [0, init) with the weight's sign",
        Range::Positive,
        default,
    )
}

const MOMENTUM: HyperparameterSpec = HyperparameterSpec::new("momentum", "decay of the momentum", Range::Share, 0.9);

/// Signum (Bernstein et al., ICML 2018, algorithm 2) on latent weights: m += (1 - momentum) (g - m), x -= lr (sign(m) + decay x), then x is
/// clipped, weight = sign(x); sign(0) = 0. With decay and without clipping it is `diode` with alpha = lr * decay and gamma = 1 - momentum.
/// With the sign of the momentum itself as the weight the rule would be `ema`.
pub static SIGNUM: BinaryRule = BinaryRule {
    name: "signum",
    doc: "latent weights moved by the sign of the momentum",
    hyperparameters: &[rate(1e-2), MOMENTUM, decay(0.0), clip(1.0), init(1.0)],
    states: &[State::new("x", StateInit::Latent), State::new("m", StateInit::Zero)],
    decides: rules::signum::DECIDES,
    first_update: None,
    is_scale_invariant: true,
    is_filter: false,
    paper: &[],
    kernels: rule_kernels!(signum: f32, signum),
    pack: |values, step| {
        let mut hyperparameters = in_order(values, step);
        hyperparameters[0][1] = (1.0 - f64::from(hyperparameters[0][1])) as f32;
        hyperparameters
    },
};

/// SGD with momentum and weight decay on latent weights, as in PyTorch: v = momentum v + (g + decay x), x -= lr v, then x is clipped,
/// weight = sign(x). Without clipping only lr / init matters, and the rule is `cema` (without momentum `ema`). Without decay the filter has
/// infinite memory.
pub static LATENT_SGD: BinaryRule = BinaryRule {
    name: "latent-sgd",
    doc: "latent weights moved by SGD with momentum and weight decay",
    hyperparameters: &[rate(0.3), MOMENTUM, decay(0.0), clip(1.0), init(0.01)],
    states: &[State::new("x", StateInit::Latent), State::new("m", StateInit::Zero)],
    decides: rules::latent_sgd::DECIDES,
    first_update: None,
    is_scale_invariant: false,
    is_filter: false,
    paper: &[],
    kernels: rule_kernels!(latent_sgd: f32, latent_sgd),
    pack: in_order,
};

/// Adam (Kingma and Ba 2015, as PyTorch) on latent weights: d = g + decay x, m += (1 - beta1) (d - m), v += (1 - beta2) (d^2 - v),
/// x -= lr / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + 1e-8), then x is clipped, weight = sign(x).
pub static LATENT_ADAM: BinaryRule = BinaryRule {
    name: "latent-adam",
    doc: "latent weights moved by Adam",
    hyperparameters: &[
        rate(1e-2),
        HyperparameterSpec::new("beta1", "decay of the first moment", Range::Share, 0.9),
        HyperparameterSpec::new("beta2", "decay of the second moment", Range::Share, 0.999),
        decay(0.0),
        clip(1.0),
        init(1.0),
    ],
    states: &[State::new("x", StateInit::Latent), State::new("m", StateInit::Zero), State::new("v", StateInit::Zero)],
    decides: rules::latent_adam::DECIDES,
    first_update: None,
    is_scale_invariant: false,
    is_filter: false,
    // AdamBNN (Liu et al., ICML 2021), second stage: no clipping, initial weights within 0.001.
    paper: &[
        ("lr", "1.25e-3,linear"),
        ("beta1", "0.9"),
        ("beta2", "0.999"),
        ("weight-decay", "0"),
        ("clip", "off"),
        ("init", "1e-3"),
    ],
    kernels: rule_kernels!(latent_adam: f32, latent_adam),
    pack: adam_hyperparameters,
};

/// Folds Adam's bias corrections into the hyperparameters, in f64.
fn adam_hyperparameters(values: &[f32], step: u64) -> Hyperparameters {
    let [rate, beta1, beta2, decay] = [0, 1, 2, 3].map(|i| f64::from(values[i]));
    let t = (step + 1) as f64;
    let (first, second) = (rate / (1.0 - beta1.powf(t)), 1.0 / (1.0 - beta2.powf(t)).sqrt());
    let clip = values[4].min(f32::MAX);
    let moments = [first, second, 1.0 - beta1, 1.0 - beta2].map(|v| v as f32);
    [moments, [decay as f32, clip, EPSILON, 0.0], [0.0; 4], [0.0; 4]]
}

/// Clips to +-clip. Unlike `f32::clamp` it has no panic, which would prevent vectorisation of the loop.
pub(in crate::optim) fn clipped(x: f32, clip: f32) -> f32 {
    let below = if x > clip { clip } else { x };
    if below < -clip { -clip } else { below }
}

fn signum(g: f32, [x, m]: [f32; 2], [rate, share, decay, clip]: [f32; 4]) -> ([f32; 2], f32) {
    let m = m + share * (g - m);
    let x = clipped(x - rate * (sign(m) + decay * x), clip);
    ([x, m], -x)
}

fn latent_sgd(g: f32, [x, m]: [f32; 2], [rate, momentum, decay, clip]: [f32; 4]) -> ([f32; 2], f32) {
    let m = momentum * m + (g + decay * x);
    let x = clipped(x - rate * m, clip);
    ([x, m], -x)
}

fn latent_adam(
    g: f32,
    [x, m, v]: [f32; 3],
    [rate, correction, first, second, decay, clip, epsilon]: [f32; 7],
) -> ([f32; 3], f32) {
    let d = g + decay * x;
    let m = m + first * (d - m);
    let v = v + second * (d * d - v);
    let x = clipped(x - rate * m / (v.sqrt() * correction + epsilon), clip);
    ([x, m, v], -x)
}
