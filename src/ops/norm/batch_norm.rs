//! Batch normalisation by channel, with the statistics of the batch (`statistics.rs`) in training and the running ones in evaluation.

use crate::error::{Error, Result};
use crate::graph::{Backward, Bound, Op, Value};
use crate::ops::reduce::{Blocks, Lanes, block, lanes, numbers, pixels, sum};
use crate::runtime::interface::ops::batch_norm::{
    Params, batch_norm, batch_norm_backward, batch_norm_gradients, batch_norm_sums,
};
use crate::runtime::{BufferId, Grid, Recording, StepParams, kernel::kernel};
use crate::tensor::{DType, PANEL, TensorType, words_of};

kernel!(
    /// z = (y - mean) / sqrt(variance + epsilon) * scale + bias.
    APPLY = ops::batch_norm::{ batch_norm }, twin = apply_twin
);
kernel!(
    /// Sums of dz and dz * n over a block of rows.
    SUMS = ops::batch_norm::{ batch_norm_sums }, twin = sums_twin
);
kernel!(
    /// dscale, dbias, and the gradient means, that is of dz and dz * n over the samples, from the sums of the blocks.
    GRADIENTS = ops::batch_norm::{ batch_norm_gradients }, twin = gradients_twin
);
kernel!(
    /// dy.
    BACKWARD = ops::batch_norm::{ batch_norm_backward }, twin = backward_twin
);

/// Added to the variance, as PyTorch.
pub const EPSILON: f32 = 1e-5;
/// Share of the batch in the running statistics, as PyTorch.
pub const MOMENTUM: f32 = 0.1;

pub(in crate::ops) fn params(y: &TensorType) -> Params {
    let blocks = Blocks::of(y);
    Params {
        rows: y.rows() as u32,
        columns: y.columns() as u32,
        integer: u32::from(y.dtype == DType::I32),
        epsilon: EPSILON,
        momentum: MOMENTUM,
        pixels: pixels(y) as u32,
        block: blocks.rows as u32,
        blocks: blocks.count as u32,
    }
}

/// Two numbers a channel and block.
pub(in crate::ops) fn partial_type(y: &TensorType, blocks: Blocks) -> TensorType {
    TensorType::plain(DType::F32, &[words_of(y.columns()), blocks.count, 2, PANEL])
}

pub(in crate::ops) fn block_grid(y: &TensorType) -> (Grid, usize) {
    let (panels, blocks) = (words_of(y.columns()), Blocks::of(y).count);
    (Grid::Tiles([panels as u32, blocks as u32, 1]), panels * blocks)
}

fn channel_grid(y: &TensorType) -> (Grid, usize) {
    (Grid::Tiles([y.columns() as u32, 1, 1]), words_of(y.columns()))
}

/// What batch norm demands of numbers and their four vectors; gives the numbers' type.
pub(in crate::ops) fn check_input<'a>(op: &'static str, inputs: &[&'a TensorType]) -> Result<&'a TensorType> {
    let (y, vectors) = (inputs[0], &inputs[1..]);
    if !matches!(y.dtype, DType::F32 | DType::I32) || vectors.iter().any(|v| v.elements() != y.columns()) {
        return Err(Error::shape(op, "numbers, and four vectors as long as a row", y));
    }
    Ok(y)
}

/// Outputs of a backward: dy, dscale, dbias; the sums of blocks of rows; and the gradient means.
pub(in crate::ops) fn gradient_types(y: &TensorType, dz: &TensorType) -> Vec<TensorType> {
    let vector = TensorType::plain(DType::F32, &[y.columns()]);
    let gradient_means = TensorType::plain(DType::F32, &[words_of(y.columns()), 2, PANEL]);
    vec![dz.clone(), vector.clone(), vector, partial_type(y, Blocks::of(y)), gradient_means]
}

/// From the sums of blocks to dscale, dbias and the gradient means.
pub(in crate::ops) fn record_gradients(
    recording: &mut Recording,
    [parts, dscale, dbias, gradient_means]: [BufferId; 4],
    y: &TensorType,
) {
    let (grid, tasks) = channel_grid(y);
    let buffers = batch_norm_gradients::Buffers {
        parts,
        dscale: dscale.per_task(PANEL),
        dbias: dbias.per_task(PANEL),
        new_gradient_means: gradient_means.per_task(2 * PANEL),
    };
    recording.dispatch(&GRADIENTS, params(y), buffers, grid, tasks);
}

/// 1 / sqrt(variance + epsilon) of a panel's channels.
pub(in crate::ops) fn rstd(variance: &[f32], panel: usize, epsilon: f32) -> Lanes {
    lanes(variance, panel, 1.0).map(|v| 1.0 / (v + epsilon).sqrt())
}

/// Inputs: y `[rows, channels]`, mean, variance, scale, bias. Output: z, floats in panels. It is computed again in backward rather
/// than kept: y is smaller (integers), and z is one multiplication away.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm;

impl Op for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let y = check_input(self.name(), inputs)?;
        Ok(vec![TensorType { dtype: DType::F32, ..y.clone() }])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (y, ty) = bound.inputs[0];
        let blocks = Blocks::of(ty);
        let buffers = batch_norm::Buffers {
            y,
            mean: bound.input(1),
            variance: bound.input(2),
            scale: bound.input(3),
            bias: bound.input(4),
            z: bound.output(0).per_task_in_each_panel(words_of(ty.columns()), blocks.rows * PANEL),
        };
        recording.dispatch(&APPLY, params(ty), buffers, Grid::Linear(ty.words() as u64), blocks.count);
    }

    fn backward(&self, cx: &mut Backward<'_>) -> Result<Vec<Option<Value>>> {
        let Some(dz) = cx.grad(0) else { return Ok(vec![None; 5]) };
        let inputs = [cx.input(0)?, dz, cx.input(1)?, cx.input(2)?, cx.input(3)?];
        let back = cx.push(BatchNormBackward, &inputs)?;
        Ok(vec![Some(back[0]), None, None, Some(back[1]), Some(back[2])])
    }

    fn rematerialise(&self) -> bool {
        true
    }
}

/// Inputs: y, dz, mean, variance, scale. Outputs: dy, dscale, dbias, through the batch's statistics; the sums of blocks of rows, and the gradient
/// means.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormBackward;

impl Op for BatchNormBackward {
    fn name(&self) -> &'static str {
        "batch_norm_backward"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(gradient_types(inputs[0], inputs[1]))
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (y, ty) = bound.inputs[0];
        let [dz, mean, variance, scale] = [1, 2, 3, 4].map(|i| bound.input(i));
        let [dscale, dbias, parts, gradient_means] = [1, 2, 3, 4].map(|i| bound.output(i));
        let (grid, tasks) = block_grid(ty);
        let buffers = batch_norm_sums::Buffers { y, partial: parts.per_task(2 * PANEL), mean, variance, dz };
        recording.dispatch(&SUMS, params(ty), buffers, grid, tasks);
        record_gradients(recording, [parts, dscale, dbias, gradient_means], ty);
        let blocks = Blocks::of(ty);
        let dy = bound.output(0).per_task_in_each_panel(words_of(ty.columns()), blocks.rows * PANEL);
        let buffers = batch_norm_backward::Buffers { y, mean, variance, scale, dz, gradient_means, dy };
        recording.dispatch(&BACKWARD, params(ty), buffers, Grid::Linear(ty.words() as u64), blocks.count);
    }
}

/// Samples' rows.
pub(in crate::ops) fn valid_rows(params: &Params, step: &StepParams) -> usize {
    (step.valid_rows * params.pixels) as usize
}

/// Rows of a block that hold samples.
pub(in crate::ops) fn rows_in(block: usize, params: &Params, step: &StepParams) -> usize {
    let (end, rows) = (valid_rows(params, step), params.block as usize);
    end.saturating_sub(block * rows).min(rows)
}

/// A task has a block of rows; so have those that follow, but for the gradients.
fn apply_twin(mut args: batch_norm::Args<'_>) {
    for i in 0..args.z.panels() {
        let (mean, scale, bias) = (lanes(args.mean, i, 0.0), lanes(args.scale, i, 0.0), lanes(args.bias, i, 0.0));
        let rstd = rstd(args.variance, i, args.params.epsilon);
        let gain: Lanes = std::array::from_fn(|l| rstd[l] * scale[l]);
        let y = numbers(block(args.y, args.params.rows, args.params.block, i, args.index), args.params.integer != 0);
        let (out, _) = args.z.panel(i).as_chunks_mut::<PANEL>();
        for (z, y) in out.iter_mut().zip(y) {
            *z = std::array::from_fn(|l| (y[l] - mean[l]) * gain[l] + bias[l]);
        }
    }
}

/// A task has one block of one panel.
fn sums_twin(args: batch_norm_sums::Args<'_>) {
    let blocks = args.params.blocks as usize;
    let (panel, at) = (args.index / blocks, args.index % blocks);
    let count = rows_in(at, args.params, args.step);
    let mean = lanes(args.mean, panel, 0.0);
    let rstd = rstd(args.variance, panel, args.params.epsilon);
    let (dz, _) = block(args.dz, args.params.rows, args.params.block, panel, at).as_chunks::<PANEL>();
    let y = numbers(block(args.y, args.params.rows, args.params.block, panel, at), args.params.integer != 0);
    let dbias = sum(dz.iter().take(count).copied());
    let centered = dz.iter().zip(y).take(count);
    let dscale = sum(centered.map(|(dz, y)| std::array::from_fn(|l| dz[l] * ((y[l] - mean[l]) * rstd[l]))));
    let (to_bias, to_scale) = args.partial.split_at_mut(PANEL);
    to_bias.copy_from_slice(&dbias);
    to_scale.copy_from_slice(&dscale);
}

/// A task has one panel of 32 channels.
fn gradients_twin(args: batch_norm_gradients::Args<'_>) {
    let blocks = args.params.blocks as usize;
    let (parts, _) = args.parts[args.index * blocks * 2 * PANEL..][..blocks * 2 * PANEL].as_chunks::<PANEL>();
    let n = valid_rows(args.params, args.step) as f32;
    let total = |which: usize| sum(parts.iter().skip(which).step_by(2).copied());
    let (of_bias, of_scale) = (total(0), total(1));
    let (dscale, dbias) = (args.dscale, args.dbias);
    dbias.copy_from_slice(&of_bias[..dbias.len()]);
    dscale.copy_from_slice(&of_scale[..dscale.len()]);
    let (bias_mean, scale_mean) = args.new_gradient_means.split_at_mut(PANEL);
    bias_mean.copy_from_slice(&of_bias.map(|s| s / n));
    scale_mean.copy_from_slice(&of_scale.map(|s| s / n));
}

fn backward_twin(mut args: batch_norm_backward::Args<'_>) {
    let here = rows_in(args.index, args.params, args.step);
    for i in 0..args.dy.panels() {
        let (mean, scale) = (lanes(args.mean, i, 0.0), lanes(args.scale, i, 0.0));
        let rstd = rstd(args.variance, i, args.params.epsilon);
        let gain: Lanes = std::array::from_fn(|l| scale[l] * rstd[l]);
        let (bias_mean, scale_mean) =
            (lanes(args.gradient_means, 2 * i, 0.0), lanes(args.gradient_means, 2 * i + 1, 0.0));
        let slope: Lanes = std::array::from_fn(|l| rstd[l] * scale_mean[l]);
        let (dz, _) = block(args.dz, args.params.rows, args.params.block, i, args.index).as_chunks::<PANEL>();
        let y = numbers(block(args.y, args.params.rows, args.params.block, i, args.index), args.params.integer != 0);
        let (out, _) = args.dy.panel(i).as_chunks_mut::<PANEL>();
        let (samples, rest) = out.split_at_mut(here);
        for (dy, (dz, y)) in samples.iter_mut().zip(dz.iter().zip(y)) {
            // Tail lanes have gain 0.
            *dy = std::array::from_fn(|l| gain[l] * (dz[l] - bias_mean[l] - (y[l] - mean[l]) * slope[l]));
        }
        // A row without a sample gets no gradient.
        rest.fill([0.0; PANEL]);
    }
}
