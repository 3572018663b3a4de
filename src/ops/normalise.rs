//! Bytes of pixels to numbers, by channel: the first node of every network.

use crate::error::{Error, Result};
use crate::graph::{Bound, Op};
use crate::runtime::interface::ops::normalise::{Params, normalise};
use crate::runtime::{Grid, Recording, kernel::kernel};
use crate::tensor::{DType, Layout, PANEL, TensorType};

kernel!(
    /// x = scale\[c\] * byte + shift\[c\].
    NORMALISE = ops::normalise::{ normalise }, twin = twin
);

/// Channels that the kernel has scales for.
pub const MAX_CHANNELS: usize = 4;

/// x = scale\[c\] * byte + shift\[c\] for pixels of any shape whose numbers are interleaved channels: rows of features
/// `[batch, height * width * channels]`, or images `[batch, height, width, channels]`. Gives panels of the same shape.
#[derive(Clone, Copy, Debug)]
pub struct Normalise {
    /// By channel.
    pub scale: [f32; MAX_CHANNELS],
    /// By channel.
    pub shift: [f32; MAX_CHANNELS],
    /// 1 to 4.
    pub channels: usize,
}

impl Op for Normalise {
    fn name(&self) -> &'static str {
        "normalise"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let pixels = inputs[0];
        if !(1..=MAX_CHANNELS).contains(&self.channels)
            || pixels.dtype != DType::U8
            || !pixels.columns().is_multiple_of(self.channels)
        {
            return Err(Error::shape(
                "normalise",
                "bytes of 1 to 4 interleaved channels",
                format!("{pixels} of {}", self.channels),
            ));
        }
        Ok(vec![TensorType::new(DType::F32, Layout::Panels, &pixels.shape)])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let ty = bound.outputs[0].1;
        let (rows, columns) = (ty.rows(), ty.columns());
        let params = Params {
            scale: self.scale,
            shift: self.shift,
            rows: rows as u32,
            columns: columns as u32,
            channels: self.channels as u32,
            pad: 0,
        };
        let buffers = normalise::Buffers { pixels: bound.input(0), x: bound.output(0).chunks(rows * PANEL) };
        recording.dispatch(&NORMALISE, params, buffers, Grid::Linear(ty.words() as u64), columns.div_ceil(PANEL));
    }
}

/// A task has one panel of 32 columns.
fn twin(args: normalise::Args<'_>) {
    let Params { scale, shift, columns, channels, .. } = *args.params;
    let (columns, channels) = (columns as usize, channels as usize);
    let pixels: &[u8] = bytemuck::cast_slice(args.pixels);
    let first = args.index * PANEL;
    let width = PANEL.min(columns - first);
    let by_lane = |of: [f32; MAX_CHANNELS]| std::array::from_fn::<f32, PANEL, _>(|lane| of[(first + lane) % channels]);
    let (scale, shift) = (by_lane(scale), by_lane(shift));
    for (row, x) in args.x.chunks_exact_mut(PANEL).enumerate() {
        let bytes = &pixels[row * columns + first..][..width];
        x[width..].fill(0.0);
        for (((x, &byte), scale), shift) in x.iter_mut().zip(bytes).zip(&scale).zip(&shift) {
            *x = scale * f32::from(byte) + shift;
        }
    }
}
