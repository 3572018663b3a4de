//! A model of the zoo as settings.

use super::layer::Shape;
use super::model::{Model, PixelScale};
use super::quantizer::Quantizer;
use super::zoo::{MODELS, ZooModel};
use crate::error::{Error, Result};
use crate::ops::{MAX_CHANNELS, Surrogate};

/// Most units of a layer, pixels of an image, and classes: products of two such numbers still fit everything that counts them, and
/// sums of so many signs are exact as floats.
const MAX: usize = 1 << 20;

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

    /// Whether everything that the images do not decide is right.
    pub fn check(&self) -> Result<&'static ZooModel> {
        let names: Vec<&str> = MODELS.iter().map(|model| model.name).collect();
        let zoo = MODELS.iter().find(|model| model.name == self.model);
        let zoo = zoo.ok_or_else(|| Error::setting("model", names.join(", "), &self.model))?;
        if let Some(name) = &self.surrogate {
            Surrogate::named(name)?;
        }
        if let Some(hidden) = &self.hidden {
            if zoo.name != "mlp" {
                let got = format!("{hidden:?} with model {}", zoo.name);
                return Err(Error::setting("hidden", "only for the network mlp", got));
            }
            if hidden.iter().any(|units| !(1..=MAX).contains(units)) {
                return Err(Error::setting("hidden", format!("layers of 1 to {MAX} units"), format!("{hidden:?}")));
            }
        }
        if self.dropout != [0.0; 2] && zoo.name != "mlp" {
            let got = format!("{:?} with model {}", self.dropout, zoo.name);
            return Err(Error::setting("dropout", "only for the network mlp", got));
        }
        if !self.dropout.iter().all(|share| (0.0..1.0).contains(share)) {
            return Err(Error::setting("dropout", "two probabilities in [0, 1)", format!("{:?}", self.dropout)));
        }
        if !(self.width > 0.0 && self.width <= 64.0) {
            return Err(Error::setting("width", "a factor above 0, at most 64", self.width));
        }
        if !(2..=MAX).contains(&self.classes) {
            return Err(Error::setting("classes", format!("2 to {MAX}"), self.classes));
        }
        Ok(zoo)
    }

    /// The model.
    pub fn build(&self) -> Result<Model> {
        let zoo = self.check()?;
        let [height, width, channels] = self.input;
        let pixels = height.checked_mul(width).and_then(|n| n.checked_mul(channels));
        if pixels.is_none_or(|n| n == 0 || n > MAX) || channels > MAX_CHANNELS {
            let expected =
                format!("HEIGHTxWIDTHxCHANNELS of at least 1 each, at most {MAX_CHANNELS} channels and {MAX} numbers");
            return Err(Error::setting("input", expected, format!("{height}x{width}x{channels}")));
        }
        let model = (zoo.make)(self, Model::new(zoo.name, self.input, self.pixels))?;
        model.output().map_err(|error| {
            let [height, width, channels] = zoo.input;
            let expected = format!("images that fit {} ({height}x{width}x{channels} as published)", zoo.name);
            Error::setting("input", expected, error.to_string())
        })?;
        Ok(model)
    }

    /// How a layer sees its input where the network is binary.
    pub(super) fn input_quantizer(&self) -> Result<Quantizer> {
        if self.full_precision {
            return Ok(Quantizer::Relu);
        }
        let zoo = self.check()?;
        Ok(Quantizer::Sign(Surrogate::named(self.surrogate.as_deref().unwrap_or(zoo.surrogate))?))
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
