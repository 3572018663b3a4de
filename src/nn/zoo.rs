//! Models by name.

use super::batch_norm::BatchNorm;
use super::dense::Dense;
use super::model::{Model, PixelScale};
use super::quantizer::Quantizer;
use crate::error::{Error, Result};
use crate::ops::Surrogate;

/// Names of the zoo.
pub const MODELS: [&str; 1] = ["mlp"];

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
        if self.input.contains(&0) {
            return Err(Error::setting(
                "input",
                "HEIGHTxWIDTHxCHANNELS of at least 1 each",
                format!("{:?}", self.input),
            ));
        }
        if self.classes < 2 {
            return Err(Error::setting("classes", "at least 2", self.classes));
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
            if units == 0 {
                return Err(Error::setting("hidden", "units of at least 1", format!("{:?}", self.hidden)));
            }
            model.push(Dense { units, input, weight: sign }).push(BatchNorm);
            input = sign;
        }
        Ok(model)
    }
}
