//! Fused batch norm and sign: the normalised values and their gradient are never stored.

use crate::bits;
use crate::error::Result;
use crate::graph::{Backward, Bound, Fused, Fusion, Graph, Node, Op, Port, Signs, Value};
use crate::ops::activation::sign::Sign;
use crate::ops::norm::batch_norm::{
    BatchNorm, block_grid, check_input, gradient_types, params, record_gradients, rows_in, rstd,
};
use crate::ops::reduce::{Blocks, Lanes, block, lanes, numbers, sum};
use crate::runtime::interface::ops::norm_sign::{norm_sign, norm_sign_backward, norm_sign_sums};
use crate::runtime::{Grid, Recording, kernel::kernel};
use crate::tensor::{DType, PANEL, TensorType, words_of};
use std::sync::Arc;

kernel!(
    /// Signs and mask of batch norm's output.
    NORM_SIGN = ops::norm_sign::{ norm_sign }, twin = twin
);
kernel!(
    /// Sums of masked dz and dz * n over a block of rows.
    NORM_SIGN_SUMS = ops::norm_sign::{ norm_sign_sums }, twin = sums_twin
);
kernel!(
    /// dx of masked dz.
    NORM_SIGN_BACKWARD = ops::norm_sign::{ norm_sign_backward }, twin = backward_twin
);

/// Fuses a batch norm with a sign (clip surrogate) that is its only reader: one pass, with one bit of sign and one bit of mask per number.
pub const NORM_SIGN_FUSION: Fusion = Fusion { name: "norm-sign", at: norm_and_sign };

fn norm_and_sign(graph: &Graph, i: usize) -> Option<Fused> {
    let norm = &graph.nodes()[i];
    norm.op_as::<BatchNorm>()?;
    let j = graph.only_reader(norm.outputs[0])?;
    let sign = &graph.nodes()[j];
    let clip = sign.op_as::<Sign>()?.surrogate.is_mask();
    let node = Node {
        op: Arc::new(NormSign),
        inputs: norm.inputs.clone(),
        updates: Vec::new(),
        outputs: sign.outputs.clone(),
        scope: norm.scope.clone(),
    };
    (clip && graph.can_wait(i, j)).then(|| Fused { nodes: vec![i, j], node })
}

/// Inputs as [`BatchNorm`]: numbers `[rows, channels]`, mean, variance, scale, bias. Outputs: signs, and the mask |z| <= 1.
#[derive(Clone, Copy, Debug)]
pub struct NormSign;

impl Op for NormSign {
    fn name(&self) -> &'static str {
        "norm_sign"
    }

    fn signs(&self) -> Option<Signs> {
        Some(Signs::Forward { kept: Port::Output(1) })
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let x = check_input(self.name(), inputs)?;
        let bits = TensorType { dtype: DType::Bits, ..x.clone() };
        Ok(vec![bits.clone(), bits])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let ((x, ty), (y, out)) = (bound.inputs[0], bound.outputs[0]);
        let chunk = words_of(ty.columns()) * PANEL;
        let [mean, variance, scale, bias] = [1, 2, 3, 4].map(|i| bound.input(i));
        let mask = bound.output(1).per_task(chunk);
        let buffers = norm_sign::Buffers { x, mean, variance, scale, bias, y: y.per_task(chunk), mask };
        let (grid, tasks) = (Grid::Linear(out.words() as u64), ty.rows().div_ceil(PANEL));
        recording.dispatch(&NORM_SIGN, params(ty), buffers, grid, tasks);
    }

    fn backward(&self, cx: &mut Backward<'_>) -> Result<Vec<Option<Value>>> {
        let Some(dy) = cx.grad(0) else { return Ok(vec![None; 5]) };
        let inputs = [cx.input(0)?, dy, cx.input(1)?, cx.input(2)?, cx.input(3)?, cx.output(1)];
        let back = cx.push(NormSignBackward, &inputs)?;
        Ok(vec![Some(back[0]), None, None, Some(back[1]), Some(back[2])])
    }
}

/// Inputs: x, dy, mean, variance, scale, mask. Outputs: dx, dscale, dbias; the sums of blocks of rows, and the gradient means.
#[derive(Clone, Copy, Debug)]
pub struct NormSignBackward;

impl Op for NormSignBackward {
    fn name(&self) -> &'static str {
        "norm_sign_backward"
    }

    fn signs(&self) -> Option<Signs> {
        Some(Signs::Backward { kept: 5, gradient: 1, masked: None })
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(gradient_types(inputs[0], inputs[1]))
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (x, ty) = bound.inputs[0];
        let [dy, mean, variance, scale, kept] = [1, 2, 3, 4, 5].map(|i| bound.input(i));
        let [dscale, dbias, parts, gradient_means] = [1, 2, 3, 4].map(|i| bound.output(i));
        let (grid, tasks) = block_grid(ty);
        let buffers = norm_sign_sums::Buffers { x, mean, variance, kept, dy, partial: parts.per_task(2 * PANEL) };
        recording.dispatch(&NORM_SIGN_SUMS, params(ty), buffers, grid, tasks);
        record_gradients(recording, [parts, dscale, dbias, gradient_means], ty);
        let blocks = Blocks::of(ty);
        let buffers = norm_sign_backward::Buffers {
            x,
            mean,
            variance,
            scale,
            kept,
            dy,
            gradient_means,
            dx: bound.output(0).per_task_in_each_panel(words_of(ty.columns()), blocks.rows * PANEL),
        };
        let grid = Grid::Linear(ty.words() as u64);
        recording.dispatch(&NORM_SIGN_BACKWARD, params(ty), buffers, grid, blocks.count);
    }
}

/// A task covers 32 rows of all channels.
fn twin(args: norm_sign::Args<'_>) {
    let p = args.params;
    let (rows, columns) = (p.rows as usize, p.columns as usize);
    let here = PANEL.min(rows - args.index * PANEL);
    let tiles = args.y.chunks_exact_mut(PANEL).zip(args.mask.chunks_exact_mut(PANEL));
    for (panel, (y, mask)) in tiles.enumerate() {
        let (mean, bias) = (lanes(args.mean, panel, 0.0), lanes(args.bias, panel, 0.0));
        let (rstd, scale) = (rstd(args.variance, panel, p.epsilon), lanes(args.scale, panel, 0.0));
        let gain: Lanes = std::array::from_fn(|l| rstd[l] * scale[l]);
        let mut z = [[0.0; PANEL]; PANEL];
        let x = &args.x[(panel * rows + args.index * PANEL) * PANEL..][..here * PANEL];
        for (z, x) in z.iter_mut().zip(numbers(x, p.integer != 0)) {
            *z = std::array::from_fn(|l| (x[l] - mean[l]) * gain[l] + bias[l]);
        }
        let width = PANEL.min(columns - panel * PANEL);
        bits::current().sign_pack_mask(z[..here].as_flattened(), width, &mut y[..here], &mut mask[..here]);
        y[here..].fill(0);
        mask[here..].fill(0);
    }
}

/// Returns dz of the rows of a block: dy where the mask is set. `kept` holds the mask's words of the panel, `words` per row.
fn masked<'a>(
    dy: &'a [f32],
    kept: &'a [u32],
    words: usize,
    panel: usize,
    first: usize,
) -> impl Iterator<Item = Lanes> + Clone + 'a {
    let (dy, _) = dy.as_chunks::<PANEL>();
    dy.iter().enumerate().map(move |(i, dy)| {
        let row = first + i;
        let word = kept[((row / PANEL) * words + panel) * PANEL + row % PANEL];
        // All ones or all zeros: needs no branch, and discards a NaN where the mask is not set.
        std::array::from_fn(|l| f32::from_bits(dy[l].to_bits() & 0_u32.wrapping_sub(word >> l & 1)))
    })
}

/// A task covers one block of one panel.
fn sums_twin(args: norm_sign_sums::Args<'_>) {
    let p = args.params;
    let blocks = args.params.blocks as usize;
    let (panel, at) = (args.index / blocks, args.index % blocks);
    let (count, words) = (rows_in(at, p, args.step), words_of(args.params.columns as usize));
    let mean = lanes(args.mean, panel, 0.0);
    let rstd = rstd(args.variance, panel, args.params.epsilon);
    let dz = masked(block(args.dy, p.rows, p.block, panel, at), args.kept, words, panel, at * p.block as usize);
    let x = numbers(block(args.x, p.rows, p.block, panel, at), p.integer != 0);
    let dbias = sum(dz.clone().take(count));
    let dscale =
        sum(dz.zip(x).take(count).map(|(dz, x)| std::array::from_fn(|l| dz[l] * ((x[l] - mean[l]) * rstd[l]))));
    let (to_bias, to_scale) = args.partial.split_at_mut(PANEL);
    to_bias.copy_from_slice(&dbias);
    to_scale.copy_from_slice(&dscale);
}

/// A task covers a block of rows.
fn backward_twin(mut args: norm_sign_backward::Args<'_>) {
    let p = args.params;
    let here = rows_in(args.index, p, args.step);
    let (words, first) = (words_of(p.columns as usize), args.index * p.block as usize);
    for i in 0..args.dx.panels() {
        let (mean, scale) = (lanes(args.mean, i, 0.0), lanes(args.scale, i, 0.0));
        let rstd = rstd(args.variance, i, p.epsilon);
        let gain: Lanes = std::array::from_fn(|l| scale[l] * rstd[l]);
        let (bias_mean, scale_mean) =
            (lanes(args.gradient_means, 2 * i, 0.0), lanes(args.gradient_means, 2 * i + 1, 0.0));
        let slope: Lanes = std::array::from_fn(|l| rstd[l] * scale_mean[l]);
        let dz = masked(block(args.dy, p.rows, p.block, i, args.index), args.kept, words, i, first);
        let x = numbers(block(args.x, p.rows, p.block, i, args.index), p.integer != 0);
        let (out, _) = args.dx.panel(i).as_chunks_mut::<PANEL>();
        let (samples, rest) = out.split_at_mut(here);
        for (dx, (dz, x)) in samples.iter_mut().zip(dz.zip(x)) {
            *dx = std::array::from_fn(|l| gain[l] * (dz[l] - bias_mean[l] - (x[l] - mean[l]) * slope[l]));
        }
        // Rows without a sample have gradient 0.
        rest.fill([0.0; PANEL]);
    }
}
