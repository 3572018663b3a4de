//! Models by name.

use super::batch_norm::BatchNorm;
use super::dense::Dense;
use super::model::{Model, PixelScale};
use super::quantizer::Quantizer;
use crate::error::{Error, Result};
use crate::ops::{MAX_CHANNELS, Surrogate};

/// Names of the zoo.
pub const MODELS: [&str; 1] = ["mlp"];

/// Most units of a layer, pixels of an image, and classes: products of two such numbers still fit everything that counts them, and
/// sums of so many signs are exact as floats.
const MOST: usize = 1 << 20;

/// What a model of the zoo is made from.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSpec {
    /// Name in the zoo.
    pub model: String,
    /// Units of the hidden layers.
    pub hidden: Vec<usize>,
    /// Height, width, channels.
    pub input: [usize; 3],
    /// Classes.
    pub classes: usize,
    /// Stands in for the derivative of sign.
    pub surrogate: String,
    /// How pixels become numbers.
    pub pixels: PixelScale,
}

impl ModelSpec {
    /// The model.
    pub fn build(&self) -> Result<Model> {
        if !MODELS.contains(&self.model.as_str()) {
            return Err(Error::setting("model", MODELS.join(", "), &self.model));
        }
        let [height, width, channels] = self.input;
        let pixels = height.checked_mul(width).and_then(|n| n.checked_mul(channels));
        if pixels.is_none_or(|n| n == 0 || n > MOST) || channels > MAX_CHANNELS {
            let expected =
                format!("HEIGHTxWIDTHxCHANNELS of at least 1 each, at most {MAX_CHANNELS} channels and {MOST} numbers");
            return Err(Error::setting("input", expected, format!("{height}x{width}x{channels}")));
        }
        if !(2..=MOST).contains(&self.classes) {
            return Err(Error::setting("classes", format!("2 to {MOST}"), self.classes));
        }
        self.mlp()
    }

    /// Multi-layer perceptron of Courbariaux et al. 2016 (section 2.1, without dropout): every product binary, the first with float
    /// input; batch norm after each, the last too; sign between.
    fn mlp(&self) -> Result<Model> {
        let sign = Quantizer::Sign(Surrogate::named(&self.surrogate)?);
        let mut model = Model::new("mlp", self.input, self.pixels);
        let mut input = Quantizer::Float;
        for &units in self.hidden.iter().chain([&self.classes]) {
            if !(1..=MOST).contains(&units) {
                return Err(Error::setting(
                    "hidden",
                    format!("layers of 1 to {MOST} units"),
                    format!("{:?}", self.hidden),
                ));
            }
            model.push(Dense { units, input, weight: sign }).push(BatchNorm);
            input = sign;
        }
        Ok(model)
    }
}
