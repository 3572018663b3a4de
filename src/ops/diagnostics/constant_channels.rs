//! Channels whose sign is the same for the whole batch: they tell the next layer nothing. For diagnostics.

use crate::error::Result;
use crate::graph::{Bound, Op};
use crate::ops::reduce::pixels;
use crate::runtime::interface::ops::constant_channels::{Params, constant_channels};
use crate::runtime::{Grid, Recording, kernel::kernel};
use crate::tensor::{PANEL, TensorType, words_of};
use std::sync::atomic::Ordering;

kernel!(
    /// Adds the number of channels of one sign.
    CONSTANT_CHANNELS = ops::constant_channels::{ constant_channels }, twin = twin
);

/// Input: signs of activations `[rows, channels]`. Updates: a counter, by the number of channels that have one sign in all rows with samples.
#[derive(Clone, Copy, Debug)]
pub struct ConstantChannels;

impl Op for ConstantChannels {
    fn name(&self) -> &'static str {
        "constant_channels"
    }

    fn outputs(&self, _inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(Vec::new())
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (x, ty) = bound.inputs[0];
        let params = Params { rows: ty.rows() as u32, columns: ty.columns() as u32, pixels: pixels(ty) as u32 };
        let words = words_of(ty.columns());
        let buffers = constant_channels::Buffers { x, count: bound.update(0) };
        recording.dispatch(&CONSTANT_CHANNELS, params, buffers, Grid::Tiles([words as u32, 1, 1]), words);
    }
}

/// A task has a word, 32 channels.
fn twin(args: constant_channels::Args<'_>) {
    let Params { rows, columns, pixels, .. } = *args.params;
    let (columns, words) = (columns as usize, words_of(columns as usize));
    let rows = rows.min(args.step.valid_rows * pixels) as usize;
    let (mut all, mut some) = (u32::MAX, 0);
    for (panel, here) in (0..rows.div_ceil(PANEL)).map(|panel| (panel, PANEL.min(rows - panel * PANEL))) {
        for word in &args.x[(panel * words + args.index) * PANEL..][..here] {
            all &= word;
            some |= word;
        }
    }
    let left = columns - args.index * PANEL;
    let tail = if left >= PANEL { u32::MAX } else { (1 << left) - 1 };
    args.count[0].fetch_add(((all | !some) & tail).count_ones(), Ordering::Relaxed);
}
