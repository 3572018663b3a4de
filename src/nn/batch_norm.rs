//! Batch normalisation layer.

use super::layer::{Builder, Cost, Layer, Mode, Shape, features};
use crate::error::Result;
use crate::graph::{Init, Role, Value};
use crate::ops;
use crate::tensor::{DType, TensorType};
use std::sync::Arc;

/// z = (y - mean) / sqrt(variance + 1e-5) * scale + bias by channel (Ioffe and Szegedy 2015), as in PyTorch: statistics of the batch in
/// training, running statistics (momentum 0.1, unbiased variance) in evaluation. Parameters `scale`, `bias`, `running_mean`,
/// `running_variance`, each `[channels]`.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm {
    /// Whether the scale is learned; otherwise it is 1. Before sign only its sign matters.
    pub scale: bool,
}

impl Default for BatchNorm {
    fn default() -> Self {
        Self { scale: true }
    }
}

impl Layer for BatchNorm {
    fn kind(&self) -> &'static str {
        "norm"
    }

    fn build(&self, builder: &mut Builder<'_>, x: Value) -> Result<Value> {
        let vector = TensorType::plain(DType::F32, &[builder.graph.ty(x).columns()]);
        let scale = match self.scale {
            true => builder.parameter("scale", vector.clone(), Role::Float, Init::Fill(1.0)),
            false => builder.statistic("scale", vector.clone(), Init::Fill(1.0)),
        };
        let bias = builder.parameter("bias", vector.clone(), Role::Float, Init::Fill(0.0));
        let running_mean = builder.statistic("running_mean", vector.clone(), Init::Fill(0.0));
        let running_variance = builder.statistic("running_variance", vector, Init::Fill(1.0));
        let (mean, variance) = match builder.mode {
            Mode::Eval => (running_mean, running_variance),
            Mode::Train => {
                let updates = [running_mean, running_variance];
                let statistics = builder.graph.push(Arc::new(ops::BatchNormStatistics), &[x], &updates)?;
                (statistics[0], statistics[1])
            }
        };
        builder.graph.add(ops::BatchNorm, &[x, mean, variance, scale, bias], &[])
    }

    fn shape(&self, input: Shape) -> Result<Shape> {
        Ok(input)
    }

    fn cost(&self, input: Shape) -> Cost {
        Cost { weights_32bit: 4 * input[2] as u64, macs_32bit: features(input), ..Cost::default() }
    }
}
