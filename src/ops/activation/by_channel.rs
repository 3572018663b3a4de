//! Operations with one learned number a channel: bias, scale, PReLU.

use crate::error::{Error, Result};
use crate::graph::{Backward, Bound, Op, Value};
use crate::ops::reduce::{Blocks, Lanes, block, lanes, numbers, sum};
use crate::runtime::interface::ops::by_channel::{
    BIAS, PRELU, Params, SCALE, by_channel, by_channel_backward, channel_sums, join_sums,
};
use crate::runtime::{Grid, Recording, kernel::kernel};
use crate::tensor::{DType, PANEL, TensorType, words_of};

kernel!(
    /// y = f(x, v).
    BY_CHANNEL = ops::by_channel::{ by_channel }, twin = twin
);
kernel!(
    /// dx, and dv of a block of rows.
    BY_CHANNEL_BACKWARD = ops::by_channel::{ by_channel_backward }, twin = backward_twin
);
kernel!(
    /// Sums of a block of rows.
    CHANNEL_SUMS = ops::by_channel::{ channel_sums }, twin = sums_twin
);
kernel!(
    /// Sums of the blocks.
    JOIN_SUMS = ops::by_channel::{ join_sums }, twin = join_twin
);

/// y = f(x, v) for x `[rows, channels]` in panels, integers or floats, and v `[channels]`; floats, made again in backward rather than kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByChannel {
    /// x + v: before sign a learned threshold (RSign; Liu et al. 2020, ReActNet, section 4.2).
    Bias,
    /// x * v: a scale of binary products (Rastegari et al. 2016, XNOR-Net, section 3.1, but learned; Bulat and Tzimiropoulos 2019).
    Scale,
    /// x where x > 0, else x * v (He et al. 2015, section 2.1).
    Prelu,
}

impl ByChannel {
    /// Its code in the shader.
    fn kind(self) -> u32 {
        match self {
            Self::Bias => BIAS,
            Self::Scale => SCALE,
            Self::Prelu => PRELU,
        }
    }

    fn params(self, x: &TensorType) -> Params {
        let blocks = Blocks::of(x);
        Params {
            rows: x.rows() as u32,
            columns: x.columns() as u32,
            kind: self.kind(),
            integer: u32::from(x.dtype == DType::I32),
            block: blocks.rows as u32,
            blocks: blocks.count as u32,
        }
    }
}

impl Op for ByChannel {
    fn name(&self) -> &'static str {
        match self {
            Self::Bias => "bias",
            Self::Scale => "scale",
            Self::Prelu => "prelu",
        }
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let (x, v) = (inputs[0], inputs[1]);
        if !matches!(x.dtype, DType::F32 | DType::I32) || v.elements() != x.columns() {
            return Err(Error::shape(self.name(), "numbers, and a vector as long as a row", format!("{x}, {v}")));
        }
        Ok(vec![TensorType { dtype: DType::F32, ..x.clone() }])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (x, ty) = bound.inputs[0];
        let blocks = Blocks::of(ty);
        let y = bound.output(0).per_task_in_each_panel(words_of(ty.columns()), blocks.rows * PANEL);
        let buffers = by_channel::Buffers { x, v: bound.input(1), y };
        recording.dispatch(&BY_CHANNEL, self.params(ty), buffers, Grid::Linear(ty.words() as u64), blocks.count);
    }

    fn backward(&self, cx: &mut Backward<'_>) -> Result<Vec<Option<Value>>> {
        let Some(dy) = cx.grad(0) else { return Ok(vec![None, None]) };
        if *self == Self::Bias {
            return Ok(vec![Some(dy), Some(cx.push(ChannelSums, &[dy])?[0])]);
        }
        let (x, v) = (cx.input(0)?, cx.input(1)?);
        let back = cx.push(ByChannelBackward(*self), &[x, v, dy])?;
        Ok(vec![Some(back[0]), Some(back[1])])
    }

    fn rematerialise(&self) -> bool {
        true
    }
}

/// Inputs: x, v, dy. Outputs: dx, dv, and the sums of blocks of rows.
#[derive(Clone, Copy, Debug)]
pub struct ByChannelBackward(pub ByChannel);

fn sum_types(ty: &TensorType) -> [TensorType; 2] {
    let parts = [words_of(ty.columns()), Blocks::of(ty).count, PANEL];
    [TensorType::plain(DType::F32, &[ty.columns()]), TensorType::plain(DType::F32, &parts)]
}

fn grid(ty: &TensorType) -> Grid {
    Grid::Tiles([words_of(ty.columns()) as u32, Blocks::of(ty).count as u32, 1])
}

impl Op for ByChannelBackward {
    fn name(&self) -> &'static str {
        "by_channel_backward"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let [vector, parts] = sum_types(inputs[0]);
        Ok(vec![inputs[2].clone(), vector, parts])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (x, ty) = bound.inputs[0];
        let (parts, params) = (bound.output(2), self.0.params(ty));
        let blocks = Blocks::of(ty);
        let dx = bound.output(0).per_task_in_each_panel(words_of(ty.columns()), blocks.rows * PANEL);
        let partial = parts.per_task_in_each_panel(words_of(ty.columns()), PANEL);
        let buffers = by_channel_backward::Buffers { x, v: bound.input(1), dy: bound.input(2), dx, partial };
        recording.dispatch(&BY_CHANNEL_BACKWARD, params, buffers, grid(ty), blocks.count);
        join(recording, params, [parts, bound.output(1)], ty);
    }
}

/// dv = sum of dy over rows. Input: dy. Outputs: dv, and the sums of blocks of rows.
#[derive(Clone, Copy, Debug)]
pub struct ChannelSums;

impl Op for ChannelSums {
    fn name(&self) -> &'static str {
        "channel_sums"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(sum_types(inputs[0]).to_vec())
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (dy, ty) = bound.inputs[0];
        let (parts, params) = (bound.output(1), ByChannel::Bias.params(ty));
        let partial = parts.per_task_in_each_panel(words_of(ty.columns()), PANEL);
        recording.dispatch(
            &CHANNEL_SUMS,
            params,
            channel_sums::Buffers { dy, partial },
            grid(ty),
            Blocks::of(ty).count,
        );
        join(recording, params, [parts, bound.output(0)], ty);
    }
}

fn join(recording: &mut Recording, params: Params, [parts, dv]: [crate::runtime::BufferId; 2], ty: &TensorType) {
    let buffers = join_sums::Buffers { parts, dv: dv.per_task(PANEL) };
    recording.dispatch(&JOIN_SUMS, params, buffers, Grid::Tiles([ty.columns() as u32, 1, 1]), words_of(ty.columns()));
}

/// A task has a block of rows; so have the others, but for the joining.
fn twin(mut args: by_channel::Args<'_>) {
    let kind = args.params.kind;
    for panel in 0..args.y.panels() {
        let (x, v) = (block(args.x, args.params.rows, args.params.block, panel, args.index), lanes(args.v, panel, 0.0));
        let (y, _) = args.y.panel(panel).as_chunks_mut::<PANEL>();
        for (y, x) in y.iter_mut().zip(numbers(x, args.params.integer == 1)) {
            *y = std::array::from_fn(|l| match kind {
                BIAS => x[l] + v[l],
                PRELU if x[l] > 0.0 => x[l],
                _ => x[l] * v[l],
            });
        }
    }
}

fn backward_twin(mut args: by_channel_backward::Args<'_>) {
    let prelu = args.params.kind == PRELU;
    for panel in 0..args.dx.panels() {
        let (x, v) = (block(args.x, args.params.rows, args.params.block, panel, args.index), lanes(args.v, panel, 0.0));
        let (dy, _) = block(args.dy, args.params.rows, args.params.block, panel, args.index).as_chunks::<PANEL>();
        let (dx, _) = args.dx.panel(panel).as_chunks_mut::<PANEL>();
        let rows = dx.iter_mut().zip(dy).zip(numbers(x, args.params.integer == 1));
        let total = sum(rows.map(|((dx, dy), x)| {
            let passes: [bool; PANEL] = std::array::from_fn(|l| prelu && x[l] > 0.0);
            *dx = std::array::from_fn(|l| if passes[l] { dy[l] } else { dy[l] * v[l] });
            std::array::from_fn(|l| if passes[l] { 0.0 } else { dy[l] * x[l] })
        }));
        args.partial.panel(panel).copy_from_slice(&total);
    }
}

fn sums_twin(mut args: channel_sums::Args<'_>) {
    for panel in 0..args.partial.panels() {
        let (dy, _) = block(args.dy, args.params.rows, args.params.block, panel, args.index).as_chunks::<PANEL>();
        args.partial.panel(panel).copy_from_slice(&sum(dy.iter().copied()));
    }
}

/// A task has one panel of 32 channels.
fn join_twin(args: join_sums::Args<'_>) {
    let blocks = args.params.blocks as usize;
    let (parts, _) = args.parts[args.index * blocks * PANEL..][..blocks * PANEL].as_chunks::<PANEL>();
    let total: Lanes = sum(parts.iter().copied());
    let dv = args.dv;
    dv.copy_from_slice(&total[..dv.len()]);
}
