//! A fixed sample of binary weights, followed from step to step: who has ever flipped, who flips back and forth. For diagnostics.

use crate::error::Result;
use crate::graph::{Bound, Op};
use crate::runtime::interface::ops::sample_flips::{Params, sample_flips};
use crate::runtime::{Grid, Recording, kernel::kernel};
use crate::tensor::{DType, Draws, PANEL, TensorType, words_of};

kernel!(
    /// Sees which weights of the sample flipped; with `report` counts them.
    SAMPLE_FLIPS = ops::sample_flips::{ sample_flips }, twin = twin
);

/// Words of the sample at most, 8192 weights: a share of them is within a point of all weights' (two standard errors).
const SAMPLE: usize = 256;

/// Which word of each stretch is followed: the same at every step and under every seed.
const PLACES: Draws = Draws::new(0, 0, 0);

/// Input: binary weights, before the step's update. Updates: [`SampleFlips::states`], that is the words of the sample as they were, the step of
/// each weight's last flip, who has ever flipped, who flipped back since the last report, and the report: weights in the sample, those that have
/// ever flipped, those that flipped back since the last report.
#[derive(Clone, Copy, Debug)]
pub struct SampleFlips {
    /// A flip is a flip back where it comes at most so many steps after the one before.
    pub window: u32,
    /// Whether to write the report, and to begin a new one.
    pub report: bool,
}

impl SampleFlips {
    /// Names and types of what it updates.
    pub fn states(weight: &TensorType) -> [(&'static str, TensorType); 5] {
        let words = |count| TensorType::plain(DType::U32, &[count]);
        let count = Self::count(weight);
        let bits = || words(count);
        [("before", bits()), ("last", words(count * PANEL)), ("ever", bits()), ("back", bits()), ("found", words(4))]
    }

    fn count(weight: &TensorType) -> usize {
        SAMPLE.min(weight.rows() * words_of(weight.columns()))
    }
}

impl Op for SampleFlips {
    fn name(&self) -> &'static str {
        "sample_flips"
    }

    fn outputs(&self, _inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(Vec::new())
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (weight, ty) = bound.inputs[0];
        let params = Params {
            rows: ty.rows() as u32,
            columns: ty.columns() as u32,
            count: Self::count(ty) as u32,
            window: self.window,
            report: u32::from(self.report),
        };
        let whole = |i: usize| bound.update(i).per_task(bound.updates[i].1.words());
        let [before, last, ever, back, found] = [0, 1, 2, 3, 4].map(whole);
        let buffers = sample_flips::Buffers { weight, before, last, ever, back, found };
        recording.dispatch(&SAMPLE_FLIPS, params, buffers, Grid::Tiles([1, 1, 1]), 1);
    }
}

fn twin(args: sample_flips::Args<'_>) {
    let Params { rows, columns, count, window, report, .. } = *args.params;
    let (words, step) = (words_of(columns as usize) as u32, args.step.step);
    let stretch = rows * words / count;
    if step == 0 {
        [&mut *args.last, &mut *args.ever, &mut *args.back].into_iter().for_each(|states| states.fill(0));
    }
    let mut found = [0; 4];
    for j in 0..count {
        let i = j * stretch + PLACES.word(j) % stretch;
        let (row, word, j) = ((i / words) as usize, (i % words) as usize, j as usize);
        let now = args.weight[(row / PANEL * words as usize + word) * PANEL + row % PANEL];
        let mut flipped = if step == 0 { 0 } else { args.before[j] ^ now };
        args.before[j] = now;
        args.ever[j] |= flipped;
        while flipped != 0 {
            let bit = flipped.trailing_zeros();
            flipped &= flipped - 1;
            let last = &mut args.last[j * PANEL + bit as usize];
            args.back[j] |= u32::from(*last != 0 && step - *last <= window) << bit;
            *last = step;
        }
        if report == 1 {
            found[0] += PANEL.min(columns as usize - word * PANEL) as u32;
            found[1] += args.ever[j].count_ones();
            found[2] += std::mem::take(&mut args.back[j]).count_ones();
        }
    }
    if report == 1 {
        args.found.copy_from_slice(&found);
    }
}
