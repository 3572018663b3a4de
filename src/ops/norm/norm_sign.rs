//! Fused batch norm and sign: the normalised values and their gradient are never stored.

use crate::error::Result;
use crate::graph::{AsEpilogue, Backward, Bound, Fused, Graph, Node, Op, Port, Signs, Value, share};
use crate::ops::activation::sign::Sign;
use crate::ops::epilogues::contract::Extent;
use crate::ops::epilogues::registry::Epilogue;
use crate::ops::epilogues::threshold;
use crate::ops::geometry::matrix;
use crate::ops::norm::batch_norm::{
    BatchNorm, EPSILON, block_grid, check_input, gradient_types, params, record_gradients, rows_in, rstd,
};
use crate::ops::reduce::{Blocks, Lanes, block, lanes, numbers, sum};
use crate::runtime::interface::epilogues::threshold::ThresholdParams;
use crate::runtime::interface::ops::norm_sign::{norm_sign_backward, norm_sign_sums};
use crate::runtime::interface::producers::numbers::Params;
use crate::runtime::{Grid, Product, Recording, Task, kernel::kernel};
use crate::tensor::{DType, PANEL, TensorType, words_of};
use std::sync::Arc;

kernel!(
    /// Signs and mask of batch norm's output.
    NUMBERS_THRESHOLD_MASK = producers::numbers::{ numbers_threshold_clip_mask }, task = twin
);
kernel!(
    /// Sums of masked dz and dz * n over a block of rows.
    NORM_SIGN_SUMS = ops::norm_sign::{ norm_sign_sums }, twin = sums_twin
);
kernel!(
    /// dx of masked dz.
    NORM_SIGN_BACKWARD = ops::norm_sign::{ norm_sign_backward }, twin = backward_twin
);

/// Fusion of a batch norm with a sign (clip surrogate) that is its only reader: one pass, with one bit of sign and one bit of mask per number.
pub fn norm_and_sign(graph: &Graph, i: usize) -> Option<Fused> {
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
    (clip && graph.can_wait(i, j)).then(|| Fused { name: "norm-sign", nodes: vec![i, j], node })
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
        let (x, ty) = bound.inputs[0];
        let (rows, columns) = (ty.rows() as u32, ty.columns() as u32);
        let numbers = Product {
            params: bytemuck::pod_collect_to_vec(&[Params {
                rows,
                columns,
                integer: u32::from(ty.dtype == DType::I32),
            }]),
            buffers: vec![("x", x.into())],
            grid: matrix(ty.columns(), ty.rows()),
            tasks: ty.rows().div_ceil(PANEL),
            tile: None,
            scratch: 0,
            multiply_adds: 0,
        };
        let vectors = Bound { inputs: bound.inputs[1..].to_vec(), ..bound.clone() };
        let mut buffers = threshold::bind(&vectors, Some(PANEL));
        buffers.push(("new_mask", share(bound.outputs[1], Some(PANEL))));
        recording.dispatch_behind(&NUMBERS_THRESHOLD_MASK, numbers, threshold_params(), buffers);
    }

    fn as_epilogue(&self, input: usize) -> Option<AsEpilogue> {
        (input == 0).then(|| AsEpilogue { name: "threshold", params: threshold_params() })
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

fn threshold_params() -> Vec<u32> {
    bytemuck::pod_collect_to_vec(&[ThresholdParams { epsilon: EPSILON }])
}

/// A task covers 32 rows of all channels.
fn twin(task: &mut Task<'_>) {
    let (x, &Params { rows, columns, integer }) = (task.named::<u32>("x"), task.params());
    let (rows, columns, first) = (rows as usize, columns as usize, task.index() * PANEL);
    let mut epilogue = Epilogue::take(task, Extent { rows, columns, valid: rows });
    let mut tile = [0.0; PANEL * PANEL];
    for panel in 0..words_of(columns) {
        let x = &x[(panel * rows + first) * PANEL..][..PANEL.min(rows - first) * PANEL];
        if integer != 0 {
            epilogue.integers(panel, first, bytemuck::cast_slice(x));
        } else {
            let tile = &mut tile[..x.len()];
            tile.copy_from_slice(bytemuck::cast_slice(x));
            epilogue.floats(panel, first, tile);
        }
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
