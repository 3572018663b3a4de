//! What a configuration describes: data, model, rules, and the file that it is saved as.

use super::super::rules::Rules;
use super::table::TrainConfig;
use crate::data::{Data, DataSpec};
use crate::error::{Error, Result};
use crate::nn::{ModelSpec, PixelScale};
use crate::optim::{FlipControl, FloatRule};

impl TrainConfig {
    /// The data set, and how it is used.
    pub fn data(&self) -> DataSpec {
        DataSpec {
            dataset: self.dataset.clone(),
            data_dir: self.data_dir.clone(),
            limit: self.limit,
            validation: self.validation,
            split_seed: self.split_seed,
            augment: self.augment.clone(),
            image_size: self.image_size.clone(),
            crop: self.crop.clone(),
            channels: self.channels,
            background: self.background.clone(),
            mean: self.mean.clone(),
            std: self.std.clone(),
            strict: self.strict,
        }
    }

    /// The model for a data set.
    pub fn model_for(&self, data: &Data) -> ModelSpec {
        self.model_spec(data.shape, data.classes.len(), PixelScale::of(data))
    }

    /// The model for images of `[height, width, channels]`.
    pub fn model_spec(&self, input: [usize; 3], classes: usize, pixels: PixelScale) -> ModelSpec {
        ModelSpec {
            model: self.model.clone(),
            hidden: self.hidden.clone(),
            dropout: self.dropout.unwrap_or_default().map(|probability| probability as f32),
            input,
            classes,
            width: self.width,
            full_precision: self.full_precision,
            surrogate: Some(self.surrogate.clone()),
            pixels,
        }
    }

    /// The rules of binary weights, of float parameters, and of single layers.
    pub fn rules(&self) -> Result<Rules> {
        let binary = Box::new(self.optimizer.make()?);
        let hyperparameters = self.settings().float_hyperparameters();
        let rule = FloatRule::named(&self.float_optimizer)?;
        let float = rule.with(self.float_rate, self.float_schedule.parse()?, &hyperparameters)?;
        let layers = self.optimizer.rules.iter().map(|rule| rule.make()).collect::<Result<_>>()?;
        let control = self.target_flip_ratio.as_ref().map(FlipControl::new).transpose()?;
        Ok(Rules { binary, float, layers, control })
    }

    /// As TOML, which is a settings file; an error for a path that is not Unicode.
    pub fn to_toml(&self) -> Result<String> {
        let wrong = |e: toml::ser::Error| {
            Error::setting("configuration", "settings that a text file can contain", e.to_string())
        };
        toml::to_string(&self.settings()).map_err(wrong)
    }
}
