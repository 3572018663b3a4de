//! Convolution with binary or float input and binary or float weights.

use super::layer::{Builder, Cost, Layer, Shape};
use super::quantizer::Quantizer;
use crate::error::Result;
use crate::graph::{Init, Role, Value};
use crate::ops::image_of;
use crate::ops::{ByChannel, ConvBits, ConvFloat, ConvShape, ConvWeights, PadValue, UnpackSigns, Window, weight_type};
use crate::tensor::{DType, Layout, TensorType};
use std::sync::Arc;

/// y(p, o) = sum over taps t and channels c of q(x)(p + t, c) * w(t, o, c) on images; no bias, since batch norm follows.
///
/// The parameter `weight` is `[kernel height, kernel width, channels, input channels / groups]`. Binary weights are packed signs, initially
/// random, each +1 with probability one half. Float weights are initially uniform in +-1 / sqrt(inputs of an output) (PyTorch's default).
/// If both operands are signs the product is xor and popcount. If one operand is signs, or a group is not whole words of channels, signs
/// are unpacked to floats.
#[derive(Clone, Copy, Debug)]
pub struct Conv {
    /// Kernel, stride, dilation, padding; output channels, groups, and the value of the padding.
    pub geometry: ConvShape,
    /// Quantiser of the input.
    pub input: Quantizer,
    /// Quantiser of the weights.
    pub weight: Quantizer,
    /// Whether there is a learned scale per output channel (parameter `scale`, initially 1), as in XNOR-Net; redundant before batch norm.
    pub scale: bool,
}

impl Conv {
    /// Creates a convolution with one group and absent padding.
    pub const fn new(channels: usize, window: Window, input: Quantizer, weight: Quantizer) -> Self {
        let geometry = ConvShape { window, channels, groups: 1, pad: PadValue::Zero };
        Self { geometry, input, weight, scale: false }
    }

    fn product(&self, builder: &mut Builder<'_>, x: Value) -> Result<Value> {
        let image = image_of(&format!("layer `{}`", builder.name), builder.graph.ty(x))?;
        let geometry = self.geometry.on(&format!("layer `{}`", builder.name), image)?;
        let dtype = if self.weight.is_binary() { DType::Bits } else { DType::F32 };
        let ty = weight_type(dtype, &self.geometry, image[3]);
        let inputs = (ty.columns() * self.geometry.window.taps()) as f32;
        let (role, init) = match dtype {
            DType::Bits => (Role::Binary, Init::Signs),
            _ => (Role::Float, Init::Uniform(1.0 / inputs.sqrt())),
        };
        let weight = builder.parameter("weight", ty, role, init);
        if self.input.is_binary() && self.weight.is_binary() && geometry.is_aligned() {
            let packed = builder.graph.push(Arc::new(ConvWeights(self.geometry)), &[weight], &[])?;
            let all = |x| [x, weight, packed[0], packed[1]];
            return builder.product(x, self.input, |graph, x| graph.add(ConvBits(self.geometry), &all(x), &[]));
        }
        let weight = match self.weight.is_binary() {
            true => builder.graph.add(UnpackSigns(Layout::Rows), &[weight], &[])?,
            false => weight,
        };
        builder.product(x, self.input, |graph, x| {
            let x = if self.input.is_binary() { graph.add(UnpackSigns(Layout::Panels), &[x], &[])? } else { x };
            graph.add(ConvFloat(self.geometry), &[x, weight], &[])
        })
    }
}

impl Layer for Conv {
    fn kind(&self) -> &'static str {
        "conv"
    }

    fn build(&self, builder: &mut Builder<'_>, x: Value) -> Result<Value> {
        let y = self.product(builder, x)?;
        if !self.scale {
            return Ok(y);
        }
        let vector = TensorType::plain(DType::F32, &[self.geometry.channels]);
        let scale = builder.parameter("scale", vector, Role::Float, Init::Fill(1.0));
        builder.graph.add(ByChannel::Scale, &[y, scale], &[])
    }

    fn shape(&self, [height, width, channels]: Shape) -> Result<Shape> {
        let g = self.geometry.on("conv", [1, height, width, channels])?;
        Ok([g.out_height as usize, g.out_width as usize, self.geometry.channels])
    }

    fn cost(&self, input: Shape) -> Cost {
        let Ok(output) = self.shape(input) else { return Cost::default() };
        let weights = (self.geometry.window.taps() * self.geometry.channels * input[2] / self.geometry.groups) as u64;
        let macs = weights * (output[0] * output[1]) as u64;
        let (binary, both) = (self.weight.is_binary(), self.weight.is_binary() && self.input.is_binary());
        let scales = if self.scale { self.geometry.channels as u64 } else { 0 };
        Cost {
            weights_1bit: if binary { weights } else { 0 },
            weights_32bit: if binary { 0 } else { weights } + scales,
            macs_1bit: if both { macs } else { 0 },
            macs_32bit: if both { 0 } else { macs },
        }
    }

    fn precision(&self) -> String {
        format!("{} x {}", self.input.name(), self.weight.name())
    }

    fn is_spatial(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::{Model, PixelScale};
    use super::*;

    #[test]
    fn a_layer_that_does_not_fit_is_named() {
        let conv = Conv::new(6, Window::valid(3, 1), Quantizer::Float, Quantizer::Float);
        let in_groups = Conv { geometry: ConvShape { groups: 4, ..conv.geometry }, ..conv };
        for (conv, input, words) in
            [(in_groups, [5, 5, 4], "4 groups of 4 to 6 channels"), (conv, [2, 5, 4], "3x3 with dilation 1, got 2x5")]
        {
            let model = Model::new("test", input, PixelScale::to_unit(255)).with(conv);
            let error = model.output().expect_err("does not fit").to_string();
            assert!(error.contains("`conv1`") && error.contains(words), "{error}");
        }
    }
}
