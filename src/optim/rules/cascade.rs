//! The filters whose sign is the weight: one moving average of the gradient, or two in a row.

use crate::optim::binary::{BinaryRule, STATE_INIT_SCALE, StateInit, in_order, sweep_panel};
use crate::optim::hyperparameter::{HyperparameterSpec, Range};
use crate::optim::narrow;
use crate::runtime::interface::optim::cascade::{cascade, ema};
use crate::runtime::kernel::kernel;

kernel!(
    /// m += gamma (g - m), h += alpha (m - h), weight = -sign(h).
    CASCADE = optim::cascade::{ cascade | cascade_shared }, twin = cascade_twin
);
kernel!(
    /// h += alpha (g - h), weight = -sign(h).
    AVERAGE = optim::cascade::{ ema }, twin = ema_twin
);

const ALPHA: HyperparameterSpec =
    HyperparameterSpec::new("alpha", "rate of the filter whose sign is the weight", Range::Rate, 1e-3).falling();

/// Cascaded moving averages (Quist, Li, van Gemert, ICLR 2023): for the gradient g of a binary weight
///
/// m += gamma (g - m),  h += alpha (m - h),  weight = -1 where h > 0, +1 where h < 0, unchanged where h = 0.
///
/// Both states start at 0, as in the authors' code, so the first gradient decides every weight; with `state-init-scale` k they start at -k times the
/// weight. Latent SGD with momentum and weight decay is this filter: with PyTorch's settings, alpha * gamma = rate * decay and
/// (1 - alpha)(1 - gamma) = momentum. The paper's alpha and gamma are not published; these defaults are our own.
pub static CEMA: BinaryRule = BinaryRule {
    name: "cema",
    doc: "two moving averages of the gradient in a row",
    hyperparameters: &[
        ALPHA,
        HyperparameterSpec::new("gamma", "rate of the average before it; 1: none", Range::Rate, 0.1),
        STATE_INIT_SCALE,
    ],
    states: &[("m", StateInit::Scaled), ("h", StateInit::Scaled)],
    scaled_init: 1e-6,
    is_scale_invariant: true,
    is_filter: false,
    paper: &[],
    kernel: &CASCADE,
    narrow: Some(narrow::CASCADE),
    pack: in_order,
};

/// One moving average: h += alpha (g - h), weight = -sign(h). Latent SGD with weight decay is this filter, alpha = rate * decay.
pub static EMA: BinaryRule = BinaryRule {
    name: "ema",
    doc: "one moving average of the gradient",
    hyperparameters: &[ALPHA, STATE_INIT_SCALE],
    states: &[("h", StateInit::Scaled)],
    scaled_init: 1e-6,
    is_scale_invariant: true,
    is_filter: false,
    paper: &[],
    kernel: &AVERAGE,
    narrow: Some(narrow::AVERAGE),
    pack: in_order,
};

fn cascade_twin(args: cascade::Args<'_>) {
    let [alpha, gamma, ..] = args.step.hyperparameters[args.params.hyper_offset as usize];
    sweep_panel!(args, [m, h], |g, [m, h]| {
        let m = m + gamma * (g - m);
        let h = h + alpha * (m - h);
        ([m, h], h)
    });
}

fn ema_twin(args: ema::Args<'_>) {
    let alpha = args.step.hyperparameters[args.params.hyper_offset as usize][0];
    sweep_panel!(args, [h], |g, [h]| {
        let h = h + alpha * (g - h);
        ([h], h)
    });
}
