//! Any recursive filter as a rule: second-order sections in series.

use crate::optim::filter::biquad::{Biquads, MAX_BIQUADS};
use crate::optim::filter::design::Filter;
use crate::optim::hyperparameter::{HyperparameterSpec, Range};
use crate::optim::optimizer::Hyperparameters;
use crate::optim::rule::{BinaryRule, STATE_INIT_SCALE, State, StateInit, in_order};
use crate::optim::update::rule_kernels;
use crate::runtime::interface::rules;

/// The hyperparameter of designed filters.
pub(in crate::optim) const CUTOFF: HyperparameterSpec = HyperparameterSpec::new(
    "cutoff",
    "period in steps of the frequency where the gain is -3 dB; designed filters only",
    Range::Period,
    1000.0,
);

/// Any recursive filter of order 1 to 8 with gain 1 at frequency 0 ([`FilterSpec`](crate::optim::FilterSpec)): Butterworth, Bessel or
/// critically damped with a cut-off, or given by poles or coefficients. With poles 1 - alpha and 1 - gamma it is `cema`. The state is that
/// of its second-order sections in transposed direct form: two numbers each ([`Biquad`](crate::optim::Biquad)).
///
/// With `state-init-scale` k the states start in equilibrium with an input of -k times the weight. A `cutoff` with a schedule changes the
/// coefficients and keeps the state.
pub static IIR: BinaryRule = BinaryRule {
    name: "iir",
    doc: "any recursive filter of the gradient with gain 1 at frequency 0",
    hyperparameters: &[CUTOFF, STATE_INIT_SCALE],
    states: &[State::new("s", StateInit::Scaled)],
    decides: rules::iir::DECIDES,
    first_update: Some(|_, rms| rms),
    is_scale_invariant: true,
    is_filter: true,
    paper: &[],
    kernels: rule_kernels!(iir => f32_2 F32 2 iir::<2>, f32_4 F32 4 iir::<4>, f32_6 F32 6 iir::<6>, f32_8 F32 8 iir::<8>),
    pack: in_order,
};

/// Returns the coefficients for a cut-off, as the kernel reads them.
pub(in crate::optim) fn coefficients(filter: &Filter, cutoff: f32) -> Hyperparameters {
    let mut hyperparameters = Hyperparameters::default();
    for (hyperparameters, s) in hyperparameters.iter_mut().zip(filter.sections(cutoff).list()) {
        *hyperparameters = [s.b0, s.b1, s.a1, s.a2].map(|c| c as f32);
    }
    hyperparameters
}

/// Returns the states in equilibrium with an input and output of 1, section after section.
pub(in crate::optim) fn resting(sections: &Biquads) -> [f32; 2 * MAX_BIQUADS] {
    let mut planes = [0.0; 2 * MAX_BIQUADS];
    for (planes, s) in planes.chunks_exact_mut(2).zip(sections.list()) {
        planes.copy_from_slice(&[1.0 - s.b0, s.a1 - s.b1].map(|state| state as f32));
    }
    planes
}

/// Second-order sections in series; `N` is the number of states, two per section.
fn iir<const N: usize>(g: f32, mut s: [f32; N], coefficients: [f32; 4 * MAX_BIQUADS]) -> ([f32; N], f32) {
    let mut u = g;
    for (k, [b0, b1, a1, a2]) in coefficients.as_chunks::<4>().0[..N / 2].iter().enumerate() {
        let (p, q) = (s[2 * k], s[2 * k + 1]);
        let y = b0 * u + p;
        s[2 * k] = p + (q + b1 * u - a1 * y);
        s[2 * k + 1] = q + a2 * (u - y);
        u = y;
    }
    (s, u)
}
