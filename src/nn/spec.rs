//! Settings of a model of the zoo.

use super::layer::Shape;
use super::model::PixelScale;
use super::quantizer::Quantizer;
use crate::error::{Error, Result};
use crate::ops::Surrogate;

/// The settings of a model of the zoo.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSpec {
    /// Name in the zoo.
    pub model: String,
    /// Units of the hidden layers of `mlp`; `None` is 4096 in three layers, as published.
    pub hidden: Option<Vec<usize>>,
    /// Dropout probabilities of the input and of the hidden activations of `mlp`; other networks have no dropout.
    pub dropout: [f32; 2],
    /// Height, width, channels.
    pub input: Shape,
    /// Number of classes.
    pub classes: usize,
    /// Factor of the number of channels and hidden units of every layer; products are rounded.
    pub width: f64,
    /// Whether weights are floats and ReLU replaces sign: the full-precision baseline.
    pub full_precision: bool,
    /// Surrogate gradient of sign; `None` uses the network's published one.
    pub surrogate: Option<String>,
    /// Normalisation of pixels.
    pub pixels: PixelScale,
}

impl ModelSpec {
    /// Creates the published settings of a model of the zoo for images of a shape.
    pub fn new(model: &str, input: Shape, classes: usize) -> Self {
        Self {
            model: model.into(),
            hidden: None,
            dropout: [0.0; 2],
            input,
            classes,
            width: 1.0,
            full_precision: false,
            surrogate: None,
            pixels: PixelScale::to_unit(255),
        }
    }

    /// Returns the quantiser of inputs of binary layers.
    pub(super) fn input_quantizer(&self) -> Result<Quantizer> {
        if self.full_precision {
            return Ok(Quantizer::Relu);
        }
        let surrogate = self.surrogate.as_deref().expect("filled in before layers are made");
        Ok(Quantizer::Sign(Surrogate::named(surrogate)?))
    }

    /// Returns the quantiser of weights of binary layers.
    pub(super) fn weight_quantizer(&self) -> Quantizer {
        if self.full_precision { Quantizer::Float } else { Quantizer::sign() }
    }

    /// Returns a published number of channels, scaled by the width.
    pub(super) fn channels(&self, published: usize) -> Result<usize> {
        match (published as f64 * self.width).round() {
            scaled if scaled < 1.0 => Err(Error::setting(
                "width",
                format!("a factor that leaves at least 1 of {published} channels"),
                self.width,
            )),
            scaled => Ok(scaled as usize),
        }
    }
}
