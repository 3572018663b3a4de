//! Batch normalisation by channel, with the statistics of the batch in training and the running ones in evaluation.

use crate::error::{Error, Result};
use crate::graph::{Backward, Bound, Op, Value};
use crate::runtime::interface::ops::batch_norm::{Params, batch_norm, batch_norm_backward, batch_norm_statistics};
use crate::runtime::{Grid, Recording, kernel::kernel};
use crate::tensor::{DType, PANEL, TensorType};

kernel!(
    /// Mean and biased variance by channel; moves the running statistics.
    STATISTICS = ops::batch_norm::{ batch_norm_statistics }, twin = statistics_twin
);
kernel!(
    /// z = (y - mean) / sqrt(variance + epsilon) * scale + bias.
    APPLY = ops::batch_norm::{ batch_norm }, twin = apply_twin
);
kernel!(
    /// dy, dscale, dbias.
    BACKWARD = ops::batch_norm::{ batch_norm_backward }, twin = backward_twin
);

/// Added to the variance, as PyTorch.
pub const EPSILON: f32 = 1e-5;
/// Share of the batch in the running statistics, as PyTorch.
pub const MOMENTUM: f32 = 0.1;

fn params(y: &TensorType) -> Params {
    Params {
        rows: y.rows() as u32,
        columns: y.columns() as u32,
        integer: u32::from(y.dtype == DType::I32),
        epsilon: EPSILON,
        momentum: MOMENTUM,
        pad0: 0,
        pad1: 0,
        pad2: 0,
    }
}

/// Input: y `[rows, channels]`, integers or floats in panels. Updates: running mean and variance. Outputs: mean and biased variance.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormStatistics;

impl Op for BatchNormStatistics {
    fn name(&self) -> &'static str {
        "batch_norm_statistics"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let vector = TensorType::plain(DType::F32, &[inputs[0].columns()]);
        Ok(vec![vector.clone(), vector])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (y, ty) = bound.inputs[0];
        let buffers = batch_norm_statistics::Buffers {
            y,
            mean: bound.output(0).chunks(PANEL),
            variance: bound.output(1).chunks(PANEL),
            running_mean: bound.update(0).chunks(PANEL),
            running_variance: bound.update(1).chunks(PANEL),
        };
        let panels = ty.columns().div_ceil(PANEL);
        recording.dispatch(&STATISTICS, params(ty), buffers, Grid::Tiles([panels as u32, 1, 1]), panels);
    }

    /// The statistics' part of the gradient is in the backward of [`BatchNorm`].
    fn backward(&self, _cx: &mut Backward<'_>) -> Result<Vec<Option<Value>>> {
        Ok(vec![None])
    }
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
        let (y, vectors) = (inputs[0], &inputs[1..]);
        if !matches!(y.dtype, DType::F32 | DType::I32) || vectors.iter().any(|v| v.elements() != y.columns()) {
            return Err(Error::shape("batch_norm", "numbers, and four vectors as long as a row", y));
        }
        Ok(vec![TensorType::panels(DType::F32, y.rows(), y.columns())])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (y, ty) = bound.inputs[0];
        let buffers = batch_norm::Buffers {
            y,
            center: bound.input(1),
            spread: bound.input(2),
            scale: bound.input(3),
            bias: bound.input(4),
            z: bound.output(0).chunks(ty.rows() * PANEL),
        };
        recording.dispatch(&APPLY, params(ty), buffers, Grid::Linear(ty.words() as u64), ty.columns().div_ceil(PANEL));
    }

    fn backward(&self, cx: &mut Backward<'_>) -> Result<Vec<Option<Value>>> {
        let Some(dz) = cx.grad(0) else { return Ok(vec![None; 5]) };
        let inputs = [cx.input(0)?, dz, cx.input(1)?, cx.input(2)?, cx.input(3)?];
        let back = cx.push(BatchNormBackward, &inputs)?;
        Ok(vec![Some(back[0]), None, None, Some(back[1]), Some(back[2])])
    }

    fn recompute(&self) -> bool {
        true
    }
}

/// Inputs: y, dz, mean, variance, scale. Outputs: dy, dscale, dbias, through the batch's statistics.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormBackward;

impl Op for BatchNormBackward {
    fn name(&self) -> &'static str {
        "batch_norm_backward"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let vector = TensorType::plain(DType::F32, &[inputs[0].columns()]);
        Ok(vec![inputs[1].clone(), vector.clone(), vector])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (y, ty) = bound.inputs[0];
        let buffers = batch_norm_backward::Buffers {
            y,
            dz: bound.input(1),
            center: bound.input(2),
            spread: bound.input(3),
            scale: bound.input(4),
            dy: bound.output(0).chunks(ty.rows() * PANEL),
            dscale: bound.output(1).chunks(PANEL),
            dbias: bound.output(2).chunks(PANEL),
        };
        let panels = ty.columns().div_ceil(PANEL);
        recording.dispatch(&BACKWARD, params(ty), buffers, Grid::Tiles([panels as u32, 1, 1]), panels);
    }
}

/// A number for each of the 32 channels of a panel.
type Lanes = [f32; PANEL];

/// The rows of panel `index` of y as floats.
fn panel<'a>(y: &'a [u32], params: &Params, index: usize) -> impl Iterator<Item = Lanes> + Clone + 'a {
    let length = params.rows as usize * PANEL;
    let (rows, _) = y[index * length..][..length].as_chunks::<PANEL>();
    let integer = params.integer != 0;
    rows.iter()
        .map(move |row| if integer { row.map(|word| word.cast_signed() as f32) } else { row.map(f32::from_bits) })
}

/// A vector's lanes of panel `index`; beyond its end `fill`.
fn lanes(vector: &[f32], index: usize, fill: f32) -> Lanes {
    std::array::from_fn(|lane| vector.get(index * PANEL + lane).copied().unwrap_or(fill))
}

/// Rows that are summed before their sum joins the total: keeps the error of long sums small, and depends on the shape alone.
const BLOCK: usize = 64;

/// Sum by lane, in blocks.
fn sum(rows: impl Iterator<Item = Lanes>) -> Lanes {
    let (mut total, mut block) = ([0.0; PANEL], [0.0; PANEL]);
    for (r, row) in rows.enumerate() {
        (0..PANEL).for_each(|l| block[l] += row[l]);
        if r % BLOCK == BLOCK - 1 {
            (0..PANEL).for_each(|l| total[l] += block[l]);
            block = [0.0; PANEL];
        }
    }
    (0..PANEL).for_each(|l| total[l] += block[l]);
    total
}

/// A task has one panel of 32 channels; so have the others.
fn statistics_twin(args: batch_norm_statistics::Args<'_>) {
    let valid = args.step.valid_rows as usize;
    let n = valid as f32;
    let rows = panel(args.y, args.params, args.index).take(valid);
    let mean = sum(rows.clone()).map(|s| s / n);
    let deviation = sum(rows.map(|row| std::array::from_fn(|l| (row[l] - mean[l]) * (row[l] - mean[l]))));
    let (running_mean, running_variance) = (args.running_mean, args.running_variance);
    let (mean_out, variance_out) = (args.mean, args.variance);
    for l in 0..mean_out.len() {
        mean_out[l] = mean[l];
        variance_out[l] = deviation[l] / n;
        // One row has no variance: the running statistics wait.
        let momentum = if valid > 1 { args.params.momentum } else { 0.0 };
        running_mean[l] += momentum * (mean[l] - running_mean[l]);
        running_variance[l] += momentum * (deviation[l] / (n - 1.0).max(1.0) - running_variance[l]);
    }
}

fn apply_twin(args: batch_norm::Args<'_>) {
    let i = args.index;
    let (mean, scale, bias) = (lanes(args.center, i, 0.0), lanes(args.scale, i, 0.0), lanes(args.bias, i, 0.0));
    let rstd = lanes(args.spread, i, 1.0).map(|v| 1.0 / (v + args.params.epsilon).sqrt());
    let (out, _) = args.z.as_chunks_mut::<PANEL>();
    for (z, y) in out.iter_mut().zip(panel(args.y, args.params, i)) {
        *z = std::array::from_fn(|l| (y[l] - mean[l]) * rstd[l] * scale[l] + bias[l]);
    }
}

fn backward_twin(args: batch_norm_backward::Args<'_>) {
    let (i, valid) = (args.index, args.step.valid_rows as usize);
    let (mean, scale) = (lanes(args.center, i, 0.0), lanes(args.scale, i, 0.0));
    let rstd = lanes(args.spread, i, 1.0).map(|v| 1.0 / (v + args.params.epsilon).sqrt());
    let length = args.params.rows as usize * PANEL;
    let (dz, _) = args.dz[i * length..][..length].as_chunks::<PANEL>();
    let normalised =
        panel(args.y, args.params, i).map(|y| std::array::from_fn::<f32, PANEL, _>(|l| (y[l] - mean[l]) * rstd[l]));
    let dbias = sum(dz.iter().take(valid).copied());
    let products = dz.iter().zip(normalised.clone()).take(valid);
    let dscale = sum(products.map(|(dz, n)| std::array::from_fn(|l| dz[l] * n[l])));
    let gain: Lanes = std::array::from_fn(|l| scale[l] * rstd[l]);
    let (bias_mean, scale_mean) = (dbias.map(|s| s / valid as f32), dscale.map(|s| s / valid as f32));
    let (out, _) = args.dy.as_chunks_mut::<PANEL>();
    for (row, ((dy, dz), n)) in out.iter_mut().zip(dz).zip(normalised).enumerate() {
        // Tail lanes have gain 0; a row without a sample gets no gradient.
        let keep = if row < valid { 1.0 } else { 0.0 };
        *dy = std::array::from_fn(|l| keep * gain[l] * (dz[l] - bias_mean[l] - n[l] * scale_mean[l]));
    }
    let (dscale_out, dbias_out) = (args.dscale, args.dbias);
    dscale_out.copy_from_slice(&dscale[..dscale_out.len()]);
    dbias_out.copy_from_slice(&dbias[..dbias_out.len()]);
}
