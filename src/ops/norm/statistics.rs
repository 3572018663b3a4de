//! Mean and variance by channel over the samples of a batch: first of blocks of rows, then of all of them.

use crate::error::Result;
use crate::graph::{AsEpilogue, Backward, Bound, Op, Value};
use crate::ops::norm::batch_norm::{params, partial_type, rows_in, valid_rows};
use crate::ops::reduce::{Blocks, Lanes, block, numbers, sum};
use crate::runtime::interface::ops::statistics::{Params, block_statistics, join_statistics};
use crate::runtime::{BufferId, Grid, Recording, kernel::kernel};
use crate::tensor::{DType, PANEL, TensorType, words_of};

kernel!(
    /// Mean and sum of squared deviations of a block of rows.
    BLOCK_STATISTICS = ops::statistics::{ block_statistics }, twin = block_twin
);
kernel!(
    /// Mean and biased variance by channel, from those of the blocks; updates the running statistics.
    JOIN_STATISTICS = ops::statistics::{ join_statistics }, twin = join_twin
);

/// Integers use blocks of 32 rows, which the tiles of every product and pooling contain; floats use the blocks of [`Blocks::of`].
fn blocks(y: &TensorType) -> Blocks {
    match y.dtype {
        DType::I32 => Blocks { rows: PANEL, count: y.rows().div_ceil(PANEL) },
        _ => Blocks::of(y),
    }
}

fn block_params(y: &TensorType) -> Params {
    let blocks = blocks(y);
    Params { block: blocks.rows as u32, blocks: blocks.count as u32, ..params(y) }
}

/// Returns the types of mean, biased variance, and mean and sum of squared deviations of blocks of rows.
pub(in crate::ops) fn statistics_types(y: &TensorType) -> Vec<TensorType> {
    let vector = TensorType::plain(DType::F32, &[y.columns()]);
    vec![vector.clone(), vector, partial_type(y, blocks(y))]
}

/// Records the join of the blocks' statistics to mean and variance, and the update of the running ones.
pub(in crate::ops) fn record_join(
    recording: &mut Recording,
    [mean, variance, parts]: [BufferId; 3],
    [running_mean, running_variance]: [BufferId; 2],
    y: &TensorType,
) {
    let panels = words_of(y.columns());
    let buffers = join_statistics::Buffers {
        parts,
        mean: mean.per_task(PANEL),
        variance: variance.per_task(PANEL),
        running_mean: running_mean.per_task(PANEL),
        running_variance: running_variance.per_task(PANEL),
    };
    recording.dispatch(&JOIN_STATISTICS, block_params(y), buffers, Grid::Tiles([panels as u32, 1, 1]), panels);
}

/// Input: y `[rows, channels]`, integers or floats in panels. Updates: running mean and variance. Outputs: mean, biased variance, and mean
/// and sum of squared deviations of blocks of rows.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormStatistics;

impl Op for BatchNormStatistics {
    fn name(&self) -> &'static str {
        "batch_norm_statistics"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(statistics_types(inputs[0]))
    }

    fn as_epilogue(&self, input: usize) -> Option<AsEpilogue> {
        (input == 0).then(|| AsEpilogue { name: "statistics", params: Vec::new() })
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (y, ty) = bound.inputs[0];
        let (panels, blocks) = (words_of(ty.columns()), blocks(ty).count);
        let [mean, variance, parts] = [0, 1, 2].map(|i| bound.output(i));
        let buffers = block_statistics::Buffers { y, partial: parts.per_task(2 * PANEL) };
        let grid = Grid::Linear((panels * blocks) as u64);
        recording.dispatch(&BLOCK_STATISTICS, block_params(ty), buffers, grid, panels * blocks);
        record_join(recording, [mean, variance, parts], [bound.update(0), bound.update(1)], ty);
    }

    /// The gradient through the statistics is part of the backward of [`crate::ops::BatchNorm`].
    fn backward(&self, _cx: &mut Backward<'_>) -> Result<Vec<Option<Value>>> {
        Ok(vec![None])
    }
}

/// Computes mean and sum of squared deviations of a block of `count` rows.
fn moments(rows: impl Iterator<Item = Lanes> + Clone, count: usize, out: &mut [f32]) {
    let mean = sum(rows.clone()).map(|s| s / count.max(1) as f32);
    let squares = sum(rows.map(|row| std::array::from_fn(|l| (row[l] - mean[l]) * (row[l] - mean[l]))));
    let (to_mean, to_deviation) = out.split_at_mut(PANEL);
    to_mean.copy_from_slice(&mean);
    to_deviation.copy_from_slice(&squares);
}

/// Channels that are processed together, so that their sums stay in registers.
const AT_ONCE: usize = PANEL / 2;

/// Computes mean and sum of squared deviations of a block of integers below 2^26 in `width` channels. The integers are centred on an
/// integer, so squares and their sums are integers, which are exact below 2^24.
fn integer_block(rows: &[[i32; PANEL]], width: usize, out: &mut [f32]) {
    let (count, n) = (rows.len() as i32, rows.len().max(1) as f32);
    let (out, _) = out.as_chunks_mut::<AT_ONCE>();
    let (to_mean, to_deviation) = out.split_at_mut(PANEL / AT_ONCE);
    for (part, (to_mean, to_deviation)) in to_mean.iter_mut().zip(to_deviation).enumerate() {
        (*to_mean, *to_deviation) = ([0.0; AT_ONCE], [0.0; AT_ONCE]);
        if part * AT_ONCE >= width {
            continue;
        }
        let rows = || rows.iter().map(|row| &row.as_chunks::<AT_ONCE>().0[part]);
        let (mut total, mut squares) = ([0; AT_ONCE], [0.0; AT_ONCE]);
        for row in rows() {
            (0..AT_ONCE).for_each(|l| total[l] += row[l]);
        }
        let shift = total.map(|total| (total as f32 / n) as i32);
        for row in rows() {
            let far: [f32; AT_ONCE] = std::array::from_fn(|l| (row[l] - shift[l]) as f32);
            (0..AT_ONCE).for_each(|l| squares[l] += far[l] * far[l]);
        }
        for l in 0..AT_ONCE {
            let rest = (total[l] - count * shift[l]) as f32;
            to_mean[l] = total[l] as f32 / n;
            to_deviation[l] = squares[l] - rest * rest / n;
        }
    }
}

/// Computes the statistics of each block of integers of one panel of `width` channels, whose first `valid` rows hold samples.
pub(in crate::ops) fn integer_moments(y: &[i32], valid: usize, width: usize, out: &mut [f32]) {
    let (rows, _) = y.as_chunks::<PANEL>();
    for (b, (rows, out)) in rows.chunks(PANEL).zip(out.chunks_exact_mut(2 * PANEL)).enumerate() {
        integer_block(&rows[..valid.saturating_sub(b * PANEL).min(rows.len())], width, out);
    }
}

/// A task covers one block of one panel.
fn block_twin(args: block_statistics::Args<'_>) {
    let p = args.params;
    let blocks = p.blocks as usize;
    let (panel, at) = (args.index / blocks, args.index % blocks);
    let count = rows_in(at, p, args.step);
    let y = block(args.y, p.rows, p.block, panel, at);
    if p.integer == 0 {
        return moments(numbers(y, false).take(count), count, args.partial);
    }
    integer_moments(bytemuck::cast_slice(y), count, width(p.columns as usize, panel), args.partial);
}

/// Returns the number of channels of a panel.
pub(in crate::ops) fn width(columns: usize, panel: usize) -> usize {
    PANEL.min(columns - panel * PANEL)
}

/// A task covers one panel of 32 channels. Blocks are joined as in Chan, Golub, LeVeque 1979.
fn join_twin(args: join_statistics::Args<'_>) {
    let p = args.params;
    let (blocks, n) = (args.params.blocks as usize, valid_rows(p, args.step) as f32);
    let (parts, _) = args.parts[args.index * blocks * 2 * PANEL..][..blocks * 2 * PANEL].as_chunks::<PANEL>();
    let parts = || parts.chunks_exact(2).enumerate().map(|(b, part)| (rows_in(b, p, args.step) as f32, part));
    let mean = sum(parts().map(|(count, part)| part[0].map(|m| m * (count / n))));
    let square = |d: f32| d * d;
    let deviation =
        sum(parts().map(|(count, part)| std::array::from_fn(|l| part[1][l] + square(part[0][l] - mean[l]) * count)));
    let (running_mean, running_variance) = (args.running_mean, args.running_variance);
    let (mean_out, variance_out) = (args.mean, args.variance);
    for l in 0..mean_out.len() {
        mean_out[l] = mean[l];
        variance_out[l] = deviation[l] / n;
        // One row has no variance, so the running statistics stay.
        let momentum = if n > 1.0 { args.params.momentum } else { 0.0 };
        running_mean[l] += momentum * (mean[l] - running_mean[l]);
        running_variance[l] += momentum * (deviation[l] / (n - 1.0).max(1.0) - running_variance[l]);
    }
}
