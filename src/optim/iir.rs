//! Any recursive filter as the rule: sections of second order in a row.

use super::binary::{BinaryRule, HOLD, Start, in_order};
use super::design::Filter;
use super::knob::{KnobSpec, Range};
use super::optimizer::Knobs;
use super::section::{SECTIONS, Sections};
use crate::bits;
use crate::runtime::interface::optim::iir::{Params, iir};
use crate::runtime::kernel::kernel;
use crate::tensor::PANEL;
use std::sync::atomic::Ordering;

kernel!(
    /// Sections of second order in a row, weight = -sign(y) of the last.
    SECTION = optim::iir::{ iir }, twin = iir_twin
);

/// The knob of designed filters.
pub(super) const CUTOFF: KnobSpec = KnobSpec::new(
    "cutoff",
    "period in steps at which the gain is down by 3 dB; designed filters",
    Range::Period,
    1000.0,
);

/// Any recursive filter of order 1 to 8 with gain 1 at frequency 0 ([`FilterSpec`](super::FilterSpec)): Butterworth, Bessel or critically
/// damped by its cut-off, or by poles, or by coefficients. With poles 1 - alpha and 1 - gamma it is `cema`. The state is that of its sections of
/// second order in transposed direct form: two numbers each ([`Section`](super::Section)).
///
/// With `hold` k the states start as if the filter had seen nothing but -k times the weight. A `cutoff` that moves changes the coefficients and
/// leaves the state.
pub static IIR: BinaryRule = BinaryRule {
    name: "iir",
    doc: "any recursive filter of the gradient with gain 1 at frequency 0",
    knobs: &[CUTOFF, HOLD],
    states: &[("s", Start::Hold)],
    hold: 1e-6,
    is_scale_invariant: true,
    is_filter: true,
    paper: &[],
    kernel: &SECTION,
    narrow: None,
    pack: in_order,
};

/// Coefficients at a cut-off, for the kernel.
pub(super) fn coefficients(filter: &Filter, cutoff: f32) -> Knobs {
    let mut knobs = Knobs::default();
    for (knobs, s) in knobs.iter_mut().zip(filter.sections(cutoff).list()) {
        *knobs = [s.b0, s.b1, s.a1, s.a2].map(|c| c as f32);
    }
    knobs
}

/// The states that stay where they are while input and output are both 1, section after section.
pub(super) fn resting(sections: &Sections) -> [f32; 2 * SECTIONS] {
    let mut planes = [0.0; 2 * SECTIONS];
    for (planes, s) in planes.chunks_exact_mut(2).zip(sections.list()) {
        planes.copy_from_slice(&[1.0 - s.b0, s.a1 - s.b1].map(|state| state as f32));
    }
    planes
}

fn iir_twin(args: iir::Args<'_>) {
    let Params { rows, words, knob, layer, .. } = *args.params;
    let (pitch, first) = (words as usize * PANEL, args.index * PANEL);
    let here = PANEL.min(rows as usize - first);
    let state = args.s.len() / here;
    let mut knobs = Knobs::default();
    knobs.copy_from_slice(&args.step.knobs[knob as usize..][..SECTIONS]);
    let mut flips = 0;
    for (row, s) in args.s.chunks_exact_mut(state).enumerate() {
        let g = &args.g[(first + row) * pitch..][..pitch];
        flips += match state / pitch {
            2 => sweep_row::<2>(row, g, args.weight, s, knobs),
            4 => sweep_row::<4>(row, g, args.weight, s, knobs),
            6 => sweep_row::<6>(row, g, args.weight, s, knobs),
            _ => sweep_row::<8>(row, g, args.weight, s, knobs),
        };
    }
    args.flips[layer as usize].fetch_add(flips, Ordering::Relaxed);
}

/// One row, whose states `[STATES][words * 32]` follow each other.
fn sweep_row<const STATES: usize>(row: usize, g: &[f32], weight: &mut [u32], s: &mut [f32], knobs: Knobs) -> u32 {
    let mut rest = s.chunks_exact_mut(g.len());
    let states: [&mut [f32]; STATES] = std::array::from_fn(|_| rest.next().expect("a state of the row"));
    // By value: what is behind a reference would be read again for every weight.
    bits::current().sweep(row, g, weight, states, move |g, mut s| {
        let mut u = g;
        for (k, [b0, b1, a1, a2]) in knobs[..STATES / 2].iter().enumerate() {
            let (p, q) = (s[2 * k], s[2 * k + 1]);
            let y = b0 * u + p;
            s[2 * k] = p + (q + b1 * u - a1 * y);
            s[2 * k + 1] = q + a2 * (u - y);
            u = y;
        }
        (s, u)
    })
}
