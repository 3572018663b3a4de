//! Gradient filters whose sign is the weight: one moving average of the gradient, or two in series.

use crate::optim::hyperparameter::{HyperparameterSpec, Range};
use crate::optim::rule::{BinaryRule, STATE_INIT_SCALE, State, StateInit, in_order};
use crate::optim::update::rule_kernels;
use crate::runtime::interface::rules;

const ALPHA: HyperparameterSpec =
    HyperparameterSpec::new("alpha", "rate of the filter whose sign is the weight", Range::Rate, 1e-3).falling();

/// Cascaded moving averages (Quist, Li, van Gemert, ICLR 2023): for the gradient g of a binary weight
///
/// m += gamma (g - m),  h += alpha (m - h),  weight = -1 where h > 0, +1 where h < 0, unchanged where h = 0.
///
/// Both states start at 0, as in the authors' code, so the first gradient decides every weight; with `state-init-scale` k they start at -k
/// times the weight. Latent SGD with momentum and weight decay is this filter: with PyTorch's settings, alpha * gamma = rate * decay and
/// (1 - alpha)(1 - gamma) = momentum. The paper does not publish its alpha and gamma; the defaults are those of this crate.
pub static CEMA: BinaryRule = BinaryRule {
    name: "cema",
    doc: "two moving averages of the gradient in series",
    hyperparameters: &[
        ALPHA,
        HyperparameterSpec::new("gamma", "rate of the first average; 1: none", Range::Rate, 0.1),
        STATE_INIT_SCALE,
    ],
    states: &[State::new("m", StateInit::Scaled).at_rate("gamma"), State::new("h", StateInit::Scaled).at_rate("alpha")],
    decides: rules::cema::DECIDES,
    first_update: Some(|values, rms| values[0] * values[1] * rms),
    is_scale_invariant: true,
    is_filter: false,
    paper: &[],
    kernels: rule_kernels!(cema: all, cema),
    pack: in_order,
};

/// One moving average: h += alpha (g - h), weight = -sign(h). Latent SGD with weight decay is this filter, alpha = rate * decay.
pub static EMA: BinaryRule = BinaryRule {
    name: "ema",
    doc: "one moving average of the gradient",
    hyperparameters: &[ALPHA, STATE_INIT_SCALE],
    states: &[State::new("h", StateInit::Scaled).at_rate("alpha")],
    decides: rules::ema::DECIDES,
    first_update: Some(|values, rms| values[0] * rms),
    is_scale_invariant: true,
    is_filter: false,
    paper: &[],
    kernels: rule_kernels!(ema: all, ema),
    pack: in_order,
};

fn cema(g: f32, [m, h]: [f32; 2], [alpha, gamma]: [f32; 2]) -> ([f32; 2], f32) {
    let m = m + gamma * (g - m);
    let h = h + alpha * (m - h);
    ([m, h], h)
}

fn ema(g: f32, [h]: [f32; 1], [alpha]: [f32; 1]) -> ([f32; 1], f32) {
    let h = h + alpha * (g - h);
    ([h], h)
}
