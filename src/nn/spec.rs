//! A model of the zoo as settings.

use super::layer::Shape;
use super::model::PixelScale;
use super::quantizer::Quantizer;
use crate::error::{Error, Result};
use crate::ops::Surrogate;

/// What a model of the zoo is made from.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSpec {
    /// Name in the zoo.
    pub model: String,
    /// Units of the hidden layers of `mlp`; `None` is 4096 three times, as published.
    pub hidden: Option<Vec<usize>>,
    /// Dropout probabilities of the input and of the hidden activations of `mlp`; other networks have none.
    pub dropout: [f32; 2],
    /// Height, width, channels.
    pub input: Shape,
    /// Classes.
    pub classes: usize,
    /// Factor of the number of channels and hidden units of every layer; products are rounded.
    pub width: f64,
    /// Whether weights are floats and ReLU replaces sign: the full-precision baseline.
    pub full_precision: bool,
    /// Surrogate gradient of sign; `None` is the one that the network was published with.
    pub surrogate: Option<String>,
    /// How pixels become numbers.
    pub pixels: PixelScale,
}

impl ModelSpec {
    /// A model of the zoo on images of a shape, all else as published.
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

    /// How a layer sees its input where the network is binary.
    pub(super) fn input_quantizer(&self) -> Result<Quantizer> {
        if self.full_precision {
            return Ok(Quantizer::Relu);
        }
        let surrogate = self.surrogate.as_deref().expect("filled in before layers are made");
        Ok(Quantizer::Sign(Surrogate::named(surrogate)?))
    }

    /// How it sees its weights.
    pub(super) fn weight_quantizer(&self) -> Quantizer {
        if self.full_precision { Quantizer::Float } else { Quantizer::sign() }
    }

    /// A published number of channels, scaled.
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
