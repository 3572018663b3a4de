//! Layers with one learned number per channel.

use super::layer::{Builder, Cost, Layer, Shape, features};
use crate::error::Result;
use crate::graph::{Init, Role, Value};
use crate::ops;
use crate::tensor::{DType, TensorType};

/// y = f(x, v) with a learned vector `[channels]`: `bias`, initially 0 (before sign it is ReActNet's RSign), `scale`, initially 1, or
/// `slope` of a PReLU, initially 0.25. A bias, a PReLU and a bias form ReActNet's RPReLU.
#[derive(Clone, Copy, Debug)]
pub struct ByChannel(pub ops::ByChannel);

impl Layer for ByChannel {
    fn kind(&self) -> &'static str {
        match self.0 {
            ops::ByChannel::Bias => "bias",
            ops::ByChannel::Scale => "scale",
            ops::ByChannel::Prelu => "prelu",
        }
    }

    fn build(&self, builder: &mut Builder<'_>, x: Value) -> Result<Value> {
        let (name, first) = match self.0 {
            ops::ByChannel::Bias => ("bias", 0.0),
            ops::ByChannel::Scale => ("scale", 1.0),
            ops::ByChannel::Prelu => ("slope", 0.25),
        };
        let vector = TensorType::plain(DType::F32, &[builder.graph.ty(x).columns()]);
        let v = builder.parameter(name, vector, Role::Float, Init::Fill(first));
        builder.graph.add(self.0, &[x, v], &[])
    }

    fn shape(&self, input: Shape) -> Result<Shape> {
        Ok(input)
    }

    fn cost(&self, input: Shape) -> Cost {
        Cost { weights_32bit: input[2] as u64, macs_32bit: features(input), ..Cost::default() }
    }
}
