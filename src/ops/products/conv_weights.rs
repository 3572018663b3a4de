//! Binary weights of a convolution in the order in which its products read them.

use crate::error::{Error, Result};
use crate::graph::{Bound, Op};
use crate::ops::geometry::{geometry_of, params};
use crate::runtime::interface::ops::conv_weights::conv_weights;
use crate::runtime::{Grid, Recording, kernel::kernel};
use crate::tensor::{ConvShape, DType, Geometry, Layout, PANEL, TensorType};

kernel!(
    /// Bits by tap and panel of output channels, and the sum of the signs of each tap.
    CONV_WEIGHTS = ops::conv_weights::{ conv_weights }, twin = twin
);

/// Type of the weights of a convolution: `[kernel height, kernel width, output channels, input channels of a group]`.
pub fn weight_type(dtype: DType, shape: &ConvShape, in_channels: usize) -> TensorType {
    let layout = if dtype == DType::Bits { Layout::Panels } else { Layout::Rows };
    let [height, width] = shape.window.kernel;
    TensorType::new(dtype, layout, &[height, width, shape.channels, in_channels / shape.groups.max(1)])
}

/// Input: binary weights as [`weight_type`] has them. Outputs: the same bits as `[output channels/32][taps][words][32]`, and the sum of the
/// signs of each tap as integers `[output channels/32][taps][32]`. Made again in backward rather than kept.
#[derive(Clone, Copy, Debug)]
pub struct ConvWeights(pub ConvShape);

impl ConvWeights {
    fn geometry(&self, weight: &TensorType) -> Result<Geometry> {
        let [height, width] = self.0.window.kernel;
        let in_channels = weight.columns() * self.0.groups;
        // The window fits an image of its own span; only weights matter here.
        let span = |kernel: usize| self.0.window.dilation * kernel.saturating_sub(1) + 1;
        self.0.on("conv_weights", [1, span(height), span(width), in_channels])
    }
}

impl Op for ConvWeights {
    fn name(&self) -> &'static str {
        "conv_weights"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let weight = inputs[0];
        let expected = weight_type(DType::Bits, &self.0, weight.columns() * self.0.groups);
        if *weight != expected {
            return Err(Error::shape("conv_weights", expected.to_string(), weight));
        }
        let g = self.geometry(weight)?;
        let sums = TensorType::plain(DType::I32, &[self.0.channels.div_ceil(PANEL), g.taps(), PANEL]);
        Ok(vec![TensorType::bits(self.0.channels, g.taps() * g.words as usize * PANEL), sums])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (weight, ty) = bound.inputs[0];
        let g = self.geometry(ty).expect("checked when the node was made");
        let (taps, words, tasks) = (g.taps(), g.words as usize, self.0.channels.div_ceil(PANEL));
        let buffers = conv_weights::Buffers {
            weight,
            packed: bound.output(0).per_task(taps * words * PANEL),
            sums: bound.output(1).per_task(taps * PANEL),
        };
        recording.dispatch(&CONV_WEIGHTS, params(&g), buffers, Grid::Linear((tasks * taps * PANEL) as u64), tasks);
    }

    fn rematerialise(&self) -> bool {
        true
    }
}

/// A task has one panel of 32 output channels.
fn twin(args: conv_weights::Args<'_>) {
    let g = geometry_of(args.params);
    let (words, channels) = (g.words as usize, g.out_channels as usize);
    let first = args.index * PANEL;
    let here = PANEL.min(channels - first);
    let sums = args.sums.chunks_exact_mut(PANEL);
    for (tap, (packed, sums)) in args.packed.chunks_exact_mut(words * PANEL).zip(sums).enumerate() {
        packed.fill(0);
        sums.fill(0);
        for (lane, sum) in sums[..here].iter_mut().enumerate() {
            let row = tap * channels + first + lane;
            let mut ones = 0;
            for word in 0..words {
                let bits = args.weight[(row / PANEL * words + word) * PANEL + row % PANEL];
                packed[word * PANEL + lane] = bits;
                ones += bits.count_ones() as i32;
            }
            *sum = 2 * ones - g.depth() as i32;
        }
    }
}
