//! Everything that decides a run.

use super::compile::{Loss, Options};
use super::optimizer_config::OptimizerTable;
use super::rules::Rules;
use crate::data::{Data, DataSpec};
use crate::error::{Error, Result};
use crate::nn::{ModelSpec, PixelScale};
use crate::optim::FloatRule;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Names of the losses.
pub const LOSSES: [&str; 2] = ["cross-entropy", "squared-hinge"];

/// Everything that decides a run; saved with it as `config.toml`, which is a settings file again.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TrainConfig {
    /// Data set, and how it is used.
    #[serde(flatten)]
    pub data: DataSpec,
    /// Model.
    pub model: String,
    /// Units of the hidden layers of `mlp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<Vec<usize>>,
    /// Shares that training drops of the input and of the hidden signs of `mlp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<[f64; 2]>,
    /// Factor of the channels of every layer.
    pub width: f64,
    /// Whether weights are floats and ReLU stands for sign.
    pub float: bool,
    /// Stands in for the derivative of sign.
    pub surrogate: String,
    /// Loss.
    pub loss: String,
    /// Share of the targets spread over all classes.
    pub label_smoothing: f32,
    /// Whether every operation stays by itself.
    pub no_fuse: bool,
    /// A run whose weights training starts from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_from: Option<PathBuf>,
    /// What was said about the start of filters there, where they would hold the weights by themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// A run to learn from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher: Option<PathBuf>,
    /// Its logits instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher_logits: Option<PathBuf>,
    /// Its share of the loss, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher_weight: Option<f32>,
    /// Temperature of its softmax.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// Samples of a batch.
    pub batch_size: usize,
    /// Passes over the data.
    pub epochs: u32,
    /// Rule of the binary weights.
    pub optimizer: OptimizerTable,
    /// Rule of the float parameters.
    pub float_optimizer: String,
    /// All of its hyperparameters, by their names in files.
    #[serde(flatten)]
    pub float_hyperparameters: BTreeMap<String, f64>,
    /// Their learning rate.
    pub float_rate: f32,
    /// How it moves.
    pub float_schedule: String,
    /// Steps from one look at every layer to the next; 0: none.
    pub diagnostics: u64,
    /// Whether event files for TensorBoard are written.
    pub tensorboard: bool,
    /// Seed.
    pub seed: u64,
    /// Device.
    pub device: String,
    /// Threads of the processor's engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
}

impl TrainConfig {
    pub(super) fn check(&self) -> Result<()> {
        if self.epochs == 0 {
            return Err(Error::setting("epochs", "at least 1", self.epochs));
        }
        if self.batch_size < 2 {
            return Err(Error::setting("batch-size", "at least 2, for the statistics of batch norm", self.batch_size));
        }
        if self.label_smoothing != 0.0 && self.loss != "cross-entropy" {
            let got = format!("{} with {}", self.label_smoothing, self.loss);
            return Err(Error::setting("label-smoothing", "0, or the loss cross-entropy", got));
        }
        if !(0.0..1.0).contains(&self.label_smoothing) {
            return Err(Error::setting("label-smoothing", "a share in [0, 1)", self.label_smoothing));
        }
        if let Some(weight) = self.teacher_weight.filter(|weight| !(0.0..=1.0).contains(weight)) {
            return Err(Error::setting("teacher-weight", "a share in [0, 1]", weight));
        }
        if let Some(heat) = self.temperature.filter(|heat| !(1e-3..=1e3).contains(heat)) {
            return Err(Error::setting("temperature", "a number in [1e-3, 1e3]", heat));
        }
        let taught = self.teacher.is_some() || self.teacher_logits.is_some();
        for (name, value) in [("teacher-weight", self.teacher_weight), ("temperature", self.temperature)] {
            if let Some(value) = value.filter(|_| !taught) {
                return Err(Error::setting(name, "a teacher beside it", value));
            }
        }
        self.data.check()?;
        if self.teacher.is_some() && self.teacher_logits.is_some() {
            return Err(Error::setting("teacher", "a run or a file of logits", "both"));
        }
        if taught && !matches!(self.loss()?, Loss::CrossEntropy(_)) {
            return Err(Error::setting("loss", "cross-entropy, with a teacher", &self.loss));
        }
        self.loss()?;
        self.rules()?;
        self.model_spec([1, 1, 1], 2, PixelScale::to_unit(1)).check()?;
        Ok(())
    }

    /// The model for some data.
    pub fn model_for(&self, data: &Data) -> ModelSpec {
        self.model_spec(data.shape, data.classes.len(), PixelScale::of(data))
    }

    /// The model for images of a shape.
    pub fn model_spec(&self, input: [usize; 3], classes: usize, pixels: PixelScale) -> ModelSpec {
        ModelSpec {
            model: self.model.clone(),
            hidden: self.hidden.clone(),
            dropout: self.dropout.unwrap_or_default().map(|share| share as f32),
            input,
            classes,
            width: self.width,
            float: self.float,
            surrogate: Some(self.surrogate.clone()),
            pixels,
        }
    }

    /// The loss.
    pub fn loss(&self) -> Result<Loss> {
        match self.loss.as_str() {
            "cross-entropy" => Ok(Loss::CrossEntropy(self.label_smoothing)),
            "squared-hinge" => Ok(Loss::SquaredHinge),
            other => Err(Error::setting("loss", LOSSES.join(", "), other)),
        }
    }

    /// How the model is compiled; without a teacher.
    pub fn options(&self) -> Result<Options> {
        let (batch, seed, fuse, diagnostics) = (self.batch_size, self.seed, !self.no_fuse, self.diagnostics > 0);
        Ok(Options { batch, seed, fuse, diagnostics, ..Options::new(self.loss()?) })
    }

    /// The rules.
    pub fn rules(&self) -> Result<Rules> {
        let binary = Box::new(self.optimizer.make()?);
        let hyperparameters: Vec<_> =
            self.float_hyperparameters.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let rule = FloatRule::named(&self.float_optimizer)?;
        let float = rule.with(self.float_rate, self.float_schedule.parse()?, &hyperparameters)?;
        let layers = self.optimizer.rules.iter().map(|rule| rule.make()).collect::<Result<_>>()?;
        Ok(Rules { binary, float, layers })
    }

    /// As TOML; refuses a path that is no text.
    pub fn to_toml(&self) -> Result<String> {
        let wrong =
            |e: toml::ser::Error| Error::setting("configuration", "settings that a text file can hold", e.to_string());
        toml::to_string(self).map_err(wrong)
    }
}
