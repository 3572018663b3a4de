//! Bytes of pixels to numbers, by channel: the first node of every network.

use crate::error::{Error, Result};
use crate::graph::{Bound, Op};
use crate::runtime::interface::ops::normalise::{Params, normalise};
use crate::runtime::{Grid, Recording, kernel::kernel};
use crate::tensor::{DType, Layout, PANEL, TensorType, image_of};

kernel!(
    /// x = scale\[c\] * byte + shift\[c\].
    NORMALISE = ops::normalise::{ normalise }, twin = twin
);

/// Channels that the kernel has scales for.
pub const MAX_CHANNELS: usize = 4;

/// x = scale\[c\] * byte + shift\[c\] for pixels `[batch, height, width, channels]`. Gives panels: images of the same shape, or rows of
/// features `[batch, height * width * channels]`.
#[derive(Clone, Copy, Debug)]
pub struct Normalise {
    /// By channel.
    pub scale: [f32; MAX_CHANNELS],
    /// By channel.
    pub shift: [f32; MAX_CHANNELS],
    /// Whether images come out, rather than rows of features.
    pub images: bool,
}

impl Op for Normalise {
    fn name(&self) -> &'static str {
        "normalise"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let pixels = inputs[0];
        let [batch, height, width, channels] = image_of("normalise", pixels)?;
        if !(1..=MAX_CHANNELS).contains(&channels) || pixels.dtype != DType::U8 {
            return Err(Error::shape("normalise", "bytes of 1 to 4 interleaved channels", pixels));
        }
        Ok(vec![match self.images {
            true => TensorType::new(DType::F32, Layout::Panels, &pixels.shape),
            false => TensorType::panels(DType::F32, batch, height * width * channels),
        }])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let ty = bound.outputs[0].1;
        let (rows, columns) = (ty.rows(), ty.columns());
        let params = Params {
            scale: self.scale,
            shift: self.shift,
            padding: [0],
            rows: rows as u32,
            columns: columns as u32,
            channels: bound.inputs[0].1.columns() as u32,
        };
        let buffers = normalise::Buffers { pixels: bound.input(0), x: bound.output(0).per_task(rows * PANEL) };
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
