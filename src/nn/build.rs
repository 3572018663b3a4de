//! From the settings of a model to the model: what is refused, and the network of the zoo that makes its layers.

use super::model::Model;
use super::spec::ModelSpec;
use super::zoo::{MODELS, ZooModel};
use crate::error::{Error, Result};
use crate::ops::{MAX_CHANNELS, Surrogate};

/// Most units of a layer, pixels of an image, and classes: products of two such numbers still fit everything that counts them, and
/// sums of so many signs are exact as floats.
const MAX: usize = 1 << 20;

impl ModelSpec {
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
        let surrogate = self.surrogate.clone().or_else(|| Some(zoo.surrogate.into()));
        let spec = Self { surrogate, ..self.clone() };
        let model = (zoo.make)(&spec, Model::new(zoo.name, self.input, self.pixels))?;
        model.output().map_err(|error| {
            let [height, width, channels] = zoo.input;
            let expected = format!("images that fit {} ({height}x{width}x{channels} as published)", zoo.name);
            Error::setting("input", expected, error.to_string())
        })?;
        Ok(model)
    }
}
