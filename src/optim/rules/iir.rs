//! Any recursive filter as the rule: sections of second order in a row.

use crate::bits;
use crate::optim::binary::{BinaryRule, STATE_INIT_SCALE, StateInit, in_order};
use crate::optim::filter::biquad::{Biquads, MAX_BIQUADS};
use crate::optim::filter::design::Filter;
use crate::optim::hyperparameter::{HyperparameterSpec, Range};
use crate::optim::optimizer::Hyperparameters;
use crate::runtime::interface::optim::iir::{Params, iir};
use crate::runtime::kernel::kernel;
use crate::tensor::PANEL;
use std::sync::atomic::Ordering;

kernel!(
    /// Biquads of second order in a row, weight = -sign(y) of the last.
    SECTION = optim::iir::{ iir }, twin = iir_twin
);

/// The hyperparameter of designed filters.
pub(in crate::optim) const CUTOFF: HyperparameterSpec = HyperparameterSpec::new(
    "cutoff",
    "period in steps at which the gain is down by 3 dB; designed filters",
    Range::Period,
    1000.0,
);

/// Any recursive filter of order 1 to 8 with gain 1 at frequency 0 ([`FilterSpec`](crate::optim::FilterSpec)): Butterworth, Bessel or critically
/// damped by its cut-off, or by poles, or by coefficients. With poles 1 - alpha and 1 - gamma it is `cema`. The state is that of its sections of
/// second order in transposed direct form: two numbers each ([`Biquad`](crate::optim::Biquad)).
///
/// With `state-init-scale` k the states start as if the filter had seen nothing but -k times the weight. A `cutoff` that moves changes the coefficients and
/// leaves the state.
pub static IIR: BinaryRule = BinaryRule {
    name: "iir",
    doc: "any recursive filter of the gradient with gain 1 at frequency 0",
    hyperparameters: &[CUTOFF, STATE_INIT_SCALE],
    states: &[("s", StateInit::Scaled)],
    scaled_init: 1e-6,
    is_scale_invariant: true,
    is_filter: true,
    paper: &[],
    kernel: &SECTION,
    narrow: None,
    pack: in_order,
};

/// Coefficients at a cut-off, for the kernel.
pub(in crate::optim) fn coefficients(filter: &Filter, cutoff: f32) -> Hyperparameters {
    let mut hyperparameters = Hyperparameters::default();
    for (hyperparameters, s) in hyperparameters.iter_mut().zip(filter.sections(cutoff).list()) {
        *hyperparameters = [s.b0, s.b1, s.a1, s.a2].map(|c| c as f32);
    }
    hyperparameters
}

/// The states that stay where they are while input and output are both 1, section after section.
pub(in crate::optim) fn resting(sections: &Biquads) -> [f32; 2 * MAX_BIQUADS] {
    let mut planes = [0.0; 2 * MAX_BIQUADS];
    for (planes, s) in planes.chunks_exact_mut(2).zip(sections.list()) {
        planes.copy_from_slice(&[1.0 - s.b0, s.a1 - s.b1].map(|state| state as f32));
    }
    planes
}

fn iir_twin(args: iir::Args<'_>) {
    let Params { rows, words, hyper_offset, layer, .. } = *args.params;
    let (pitch, first) = (words as usize * PANEL, args.index * PANEL);
    let here = PANEL.min(rows as usize - first);
    let state = args.s.len() / here;
    let mut hyperparameters = Hyperparameters::default();
    hyperparameters.copy_from_slice(&args.step.hyperparameters[hyper_offset as usize..][..MAX_BIQUADS]);
    let mut flips = 0;
    for (row, s) in args.s.chunks_exact_mut(state).enumerate() {
        let g = &args.g[(first + row) * pitch..][..pitch];
        flips += match state / pitch {
            2 => sweep_row::<2>(row, g, args.weight, s, hyperparameters),
            4 => sweep_row::<4>(row, g, args.weight, s, hyperparameters),
            6 => sweep_row::<6>(row, g, args.weight, s, hyperparameters),
            _ => sweep_row::<8>(row, g, args.weight, s, hyperparameters),
        };
    }
    args.flips[layer as usize].fetch_add(flips, Ordering::Relaxed);
}

/// One row, whose states `[STATES][words * 32]` follow each other.
fn sweep_row<const STATES: usize>(
    row: usize,
    g: &[f32],
    weight: &mut [u32],
    s: &mut [f32],
    hyperparameters: Hyperparameters,
) -> u32 {
    let mut rest = s.chunks_exact_mut(g.len());
    let states: [&mut [f32]; STATES] = std::array::from_fn(|_| rest.next().expect("a state of the row"));
    // By value: what is behind a reference would be read again for every weight.
    bits::current().sweep(row, g, weight, states, move |g, mut s| {
        let mut u = g;
        for (k, [b0, b1, a1, a2]) in hyperparameters[..STATES / 2].iter().enumerate() {
            let (p, q) = (s[2 * k], s[2 * k + 1]);
            let y = b0 * u + p;
            s[2 * k] = p + (q + b1 * u - a1 * y);
            s[2 * k + 1] = q + a2 * (u - y);
            u = y;
        }
        (s, u)
    })
}
