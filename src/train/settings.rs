//! What a user may set: one set of names for flags and files.

use super::optimizer_config::OptimizerConfig;
use crate::error::{Error, Result};
use crate::optim::{Hyperparameter, Poles, StateType};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What a user may set, as flags or in a file of the same names. What is left out takes its default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// Data set: digits (embedded), mnist, fashion-mnist, cifar10, cifar100, folder (of images), svhn-folder [default: digits]
    #[cfg_attr(feature = "cli", arg(long))]
    pub dataset: Option<String>,
    /// Folder with the data set's files
    #[cfg_attr(feature = "cli", arg(long, value_name = "DIR"))]
    pub data_dir: Option<PathBuf>,
    /// Train on so many images only, balanced over the classes
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub limit: Option<usize>,
    /// Hold this share of each class's training images back, and report the accuracy on them, in [0, 1) [default: 0]
    #[cfg_attr(feature = "cli", arg(long, allow_hyphen_values = true, value_name = "SHARE"))]
    pub validation: Option<f32>,
    /// Seed of the splits that a data set does not bring along: validation, a folder's test images [default: 0]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub split_seed: Option<u64>,
    /// What training does to images: none, or some of pad-crop, random-resized-crop, flip, lighting [default: none; on cifar
    /// pad-crop,flip]
    #[cfg_attr(feature = "cli", arg(long, value_delimiter = ',', value_name = "NAME,..."))]
    pub augment: Option<Vec<String>>,
    /// Scale a folder's images to cover this, and cut the rest off [default: as they are; on svhn-folder 32x32]
    #[cfg_attr(feature = "cli", arg(long, value_name = "HxW"))]
    pub image_size: Option<String>,
    /// Let the network see so much of an image: the middle, or what --augment takes [default: all of it]
    #[cfg_attr(feature = "cli", arg(long, value_name = "HxW"))]
    pub crop: Option<String>,
    /// Channels of a folder's images: 1 (grey), 3 (colour) [default: 3 where any image is in colour]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub channels: Option<usize>,
    /// Normalise pixels by these means, of bytes as shares of the largest; one a channel or one for all [default: the data set's]
    #[cfg_attr(feature = "cli", arg(long, value_delimiter = ',', allow_negative_numbers = true, value_name = "X,..."))]
    pub mean: Option<Vec<f32>>,
    /// Normalise pixels by these standard deviations [default: the data set's]
    #[cfg_attr(feature = "cli", arg(long, value_delimiter = ',', allow_negative_numbers = true, value_name = "X,..."))]
    pub std: Option<Vec<f32>>,
    /// End at the first image that cannot be read, instead of leaving it out
    #[cfg_attr(feature = "cli", arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL"))]
    pub strict: Option<bool>,
    /// Model: mlp, binarynet, binarynet-bop, vgg-small, resnet20, birealnet20, resnet18, birealnet18, reactnet18, reactnet-a [default: mlp]
    #[cfg_attr(feature = "cli", arg(long))]
    pub model: Option<String>,
    /// Units of the hidden layers of mlp [default: 4096,4096,4096; on digits 512,512]
    #[cfg_attr(feature = "cli", arg(long, value_delimiter = ',', value_name = "N,N,..."))]
    pub hidden: Option<Vec<usize>>,
    /// Shares that training drops of mlp's input and of its hidden signs [default: 0,0]
    #[cfg_attr(
        feature = "cli",
        arg(long, value_delimiter = ',', allow_hyphen_values = true, value_name = "INPUT,HIDDEN")
    )]
    pub dropout: Option<Vec<f64>>,
    /// Factor of the channels and hidden units of every layer [default: 1]
    #[cfg_attr(feature = "cli", arg(long, allow_hyphen_values = true, value_name = "FACTOR"))]
    pub width: Option<f64>,
    /// The network with float weights and ReLU for sign: what the binary one is compared with
    #[cfg_attr(feature = "cli", arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true))]
    pub float: Option<bool>,
    /// Stands in for the derivative of sign: identity, clip, polynomial, swish, tanh [default: as published]
    #[cfg_attr(feature = "cli", arg(long))]
    pub surrogate: Option<String>,
    /// Loss: cross-entropy, squared-hinge [default: cross-entropy]
    #[cfg_attr(feature = "cli", arg(long))]
    pub loss: Option<String>,
    /// Share of the targets spread over all classes, in [0, 1) [default: 0]
    #[cfg_attr(feature = "cli", arg(long, allow_hyphen_values = true, value_name = "SHARE"))]
    pub label_smoothing: Option<f32>,
    /// Keep every operation by itself instead of fusing neighbours: slower, the same results
    #[cfg_attr(feature = "cli", arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL"))]
    pub no_fuse: Option<bool>,
    /// Start from the weights of this run of the same network
    #[cfg_attr(feature = "cli", arg(long, value_name = "RUN"))]
    pub init_from: Option<PathBuf>,
    /// Learn from the run of another network on the same classes, too
    #[cfg_attr(feature = "cli", arg(long, value_name = "RUN"))]
    pub teacher: Option<PathBuf>,
    /// The same with its logits of all training images, as `eval --logits` writes them
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE"))]
    pub teacher_logits: Option<PathBuf>,
    /// Its share of the loss, in [0, 1] [default: 0.5]
    #[cfg_attr(feature = "cli", arg(long, allow_hyphen_values = true, value_name = "SHARE"))]
    pub teacher_weight: Option<f32>,
    /// Softens the teacher and what it is compared with, in [1e-3, 1e3] [default: 2]
    #[cfg_attr(feature = "cli", arg(long, value_name = "T"))]
    pub temperature: Option<f32>,
    /// Samples of a batch [default: 100]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub batch_size: Option<usize>,
    /// Passes over the data [default: 6; on digits 30]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub epochs: Option<u32>,
    /// Rule of the binary weights: cema, ema, iir, bop, bop2, diode, signum, latent-sgd, latent-adam [default: cema]. A KNOB below is
    /// NUMBER or NUMBER,SCHEDULE; one that the rule does not have is refused
    #[cfg_attr(feature = "cli", arg(long, value_parser = OptimizerConfig::parse))]
    pub optimizer: Option<OptimizerConfig>,
    /// Another rule for the binary weights of some layers, such as 'conv*=bop,alpha=1e-4' or 'dense*=cema,state=i16'; may be
    /// repeated, and the first that matches wins; in place of those of the optimizer's table
    #[cfg_attr(feature = "cli", arg(long, value_name = "LAYERS=NAME,KNOB=VALUE,..."))]
    pub rule: Option<Vec<String>>,
    /// Where hyperparameters that are not set come from: defaults, or paper (published values; bop, bop2, diode, latent-adam) [default: defaults]
    #[cfg_attr(feature = "cli", arg(long, value_name = "PRESET"))]
    pub preset: Option<String>,
    /// Rate of the filter whose sign is the weight, in (0, 1]: NUMBER or, as every KNOB, NUMBER,SCHEDULE. Schedules: constant, linear,
    /// linear:END, cosine, cosine:END, exponential:END, step:FACTOR:LENGTH, warmup:LENGTH, joined by commas as in warmup:500,cosine or
    /// constant@50%,linear [default: 1e-3,linear]
    #[cfg_attr(feature = "cli", arg(long, allow_hyphen_values = true, value_name = "KNOB"))]
    pub alpha: Option<Hyperparameter>,
    /// Rate of the average before it, in (0, 1]; cema, diode [default: 0.1]
    #[cfg_attr(feature = "cli", arg(long, allow_hyphen_values = true, value_name = "KNOB"))]
    pub gamma: Option<Hyperparameter>,
    /// Rate of the average square, in (0, 1]; bop2 [default: 1e-2]
    #[cfg_attr(feature = "cli", arg(long, allow_hyphen_values = true, value_name = "KNOB"))]
    pub sigma: Option<Hyperparameter>,
    /// What the average must exceed to flip a weight; bop, bop2
    #[cfg_attr(feature = "cli", arg(long, allow_hyphen_values = true, value_name = "KNOB"))]
    pub threshold: Option<Hyperparameter>,
    /// Start: states are -hold times the weight; filters [default: 0]
    #[cfg_attr(feature = "cli", arg(long, allow_hyphen_values = true, value_name = "NUMBER"))]
    pub hold: Option<Hyperparameter>,
    /// Learning rate of latent weights; signum, latent-sgd, latent-adam
    #[cfg_attr(feature = "cli", arg(long, allow_hyphen_values = true, value_name = "KNOB"))]
    pub lr: Option<Hyperparameter>,
    /// Momentum of latent weights, in [0, 1); signum, latent-sgd [default: 0.9]
    #[cfg_attr(feature = "cli", arg(long, allow_hyphen_values = true, value_name = "KNOB"))]
    pub momentum: Option<Hyperparameter>,
    /// Decay of the first moment, in [0, 1); latent-adam [default: 0.9]
    #[cfg_attr(feature = "cli", arg(long, allow_hyphen_values = true, value_name = "KNOB"))]
    pub beta1: Option<Hyperparameter>,
    /// Decay of the second moment, in [0, 1); latent-adam [default: 0.999]
    #[cfg_attr(feature = "cli", arg(long, allow_hyphen_values = true, value_name = "KNOB"))]
    pub beta2: Option<Hyperparameter>,
    /// Weight decay of latent weights [default: 0]
    #[cfg_attr(feature = "cli", arg(long, allow_hyphen_values = true, value_name = "KNOB"))]
    pub weight_decay: Option<Hyperparameter>,
    /// Latent weights stay in +-clip, or off [default: 1]
    #[cfg_attr(feature = "cli", arg(long, allow_hyphen_values = true, value_name = "KNOB"))]
    pub clip: Option<Hyperparameter>,
    /// Latent weights start between 0 and init, with the weight's sign
    #[cfg_attr(feature = "cli", arg(long, allow_hyphen_values = true, value_name = "NUMBER"))]
    pub init: Option<Hyperparameter>,
    /// How states are stored: f32, f16, i16, i8; narrow ones for cema and ema [default: f32]
    #[cfg_attr(feature = "cli", arg(long, value_name = "TYPE"))]
    pub state: Option<StateType>,
    /// Design of the filter iir: butterworth, bessel, critical (critically damped) [default: critical]
    #[cfg_attr(feature = "cli", arg(long))]
    pub design: Option<String>,
    /// Order of the design, 1 to 8 [default: 2]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub order: Option<usize>,
    /// Cut-off of the design (-3 dB), as a period in steps [default: 1000]
    #[cfg_attr(feature = "cli", arg(long, allow_hyphen_values = true, value_name = "KNOB"))]
    pub cutoff: Option<Hyperparameter>,
    /// The filter iir by its poles, as in 0.99,0.9+0.1i (a complex pole stands for its conjugate, too)
    #[cfg_attr(feature = "cli", arg(long, value_name = "POLE,..."))]
    pub poles: Option<Poles>,
    /// The filter iir by its coefficients, H = (B0 + B1/z + ...) / (A0 + A1/z + ...): numerator, of the same sum as the denominator
    #[cfg_attr(
        feature = "cli",
        arg(long, value_delimiter = ',', allow_hyphen_values = true, value_name = "B0,B1,...")
    )]
    pub b: Option<Vec<f64>>,
    /// Its denominator
    #[cfg_attr(
        feature = "cli",
        arg(long, value_delimiter = ',', allow_hyphen_values = true, value_name = "A0,A1,...")
    )]
    pub a: Option<Vec<f64>>,
    /// Start of a filter's states: zero (the first gradient decides every weight), hold (against the first gradients) [default: zero]
    #[cfg_attr(feature = "cli", arg(long, value_name = "START"))]
    pub start: Option<String>,
    /// Rule of the float parameters: adam, sgd [default: adam]
    #[cfg_attr(feature = "cli", arg(long, value_name = "RULE"))]
    pub float_optimizer: Option<String>,
    /// Learning rate of the float parameters [default: 1e-3]
    #[cfg_attr(feature = "cli", arg(long, allow_hyphen_values = true, value_name = "RATE"))]
    pub float_rate: Option<f32>,
    /// How the float rate moves, a schedule as in --alpha [default: constant]
    #[cfg_attr(feature = "cli", arg(long, value_name = "SCHEDULE"))]
    pub float_schedule: Option<String>,
    /// Decay of the first moment of the float parameters, in [0, 1); adam [default: 0.9]
    #[cfg_attr(feature = "cli", arg(long, allow_hyphen_values = true, value_name = "NUMBER"))]
    pub float_beta1: Option<f64>,
    /// Decay of their second moment, in [0, 1); adam [default: 0.999]
    #[cfg_attr(feature = "cli", arg(long, allow_hyphen_values = true, value_name = "NUMBER"))]
    pub float_beta2: Option<f64>,
    /// Added to the root of their second moment; adam [default: 1e-8]
    #[cfg_attr(feature = "cli", arg(long, allow_hyphen_values = true, value_name = "NUMBER"))]
    pub float_epsilon: Option<f64>,
    /// Momentum of the float parameters, in [0, 1); sgd [default: 0.9]
    #[cfg_attr(feature = "cli", arg(long, allow_hyphen_values = true, value_name = "NUMBER"))]
    pub float_momentum: Option<f64>,
    /// Weight decay of the float parameters, batch norm's too: L2, added to the gradient (as PyTorch's Adam and SGD) [default: 0]
    #[cfg_attr(feature = "cli", arg(long, allow_hyphen_values = true, value_name = "NUMBER"))]
    pub float_weight_decay: Option<f64>,
    /// Look at every layer each N steps: flips, weights that never flipped or oscillate, sizes of gradients and states, masked
    /// gradients, dead channels; 0 is off [default: 0; without N: 100]
    #[cfg_attr(feature = "cli", arg(long, num_args = 0..=1, default_missing_value = "100", value_name = "N"))]
    pub diagnostics: Option<u64>,
    /// Also write what TensorBoard opens: events.out.tfevents.* in the run's folder
    #[cfg_attr(feature = "cli", arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL"))]
    pub tensorboard: Option<bool>,
    /// Seed of everything that is random [default: 1]
    #[cfg_attr(feature = "cli", arg(skip))]
    pub seed: Option<u64>,
    /// Device: auto, cpu, a number of `plusminus devices`, or part of a name [default: auto]
    #[cfg_attr(feature = "cli", arg(skip))]
    pub device: Option<String>,
    /// Threads of the processor's engine, and as many that make batches [default: all cores]
    #[cfg_attr(feature = "cli", arg(skip))]
    pub threads: Option<usize>,
}

impl Settings {
    /// From a TOML file; an unknown key is an error that names it.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::file("reading", path))?;
        toml::from_str(&text).map_err(|e| {
            let start = e.span().map_or(0, |span| span.start);
            let number = text[..start].matches('\n').count();
            let line = text.lines().nth(number).unwrap_or_default().trim();
            let got = format!("`{line}` in line {} ({})", number + 1, reason(&e));
            Error::Format { path: path.to_path_buf(), expected: "settings by the names of the flags".into(), got }
        })
    }

    /// The one setting `name = value`, by its name in files; the value as TOML, or else as text, or as the only one of a list. `what`
    /// begins the error.
    pub fn one(what: &str, name: &str, value: &str) -> Result<Self> {
        let parse = |value: &str| toml::from_str::<Self>(&format!("{name} = {value}"));
        let is_toml = toml::from_str::<toml::Table>(&format!("x = {value}")).is_ok();
        let ways = [value.to_string(), format!("{value:?}"), format!("[{value}]"), format!("[{value:?}]")];
        let mut tried = ways.iter().map(|way| parse(way)).collect::<Vec<_>>();
        match tried.iter().position(std::result::Result::is_ok) {
            Some(way) => Ok(tried.swap_remove(way).expect("found as such")),
            None => {
                let error = tried.swap_remove(usize::from(!is_toml)).expect_err("none is right");
                let got = format!("`{name}={value}` ({})", reason(&error));
                Err(Error::setting(what, "a setting by its name in files, and values that it takes", got))
            }
        }
    }
}

/// What is wrong; of names that could have been meant a few, but not all settings.
fn reason(error: &toml::de::Error) -> &str {
    const LONG: usize = 200;
    let line = error.message().lines().next().unwrap_or_default();
    let end = line.find(", expected one of").filter(|_| line.len() > LONG);
    &line[..end.unwrap_or(line.len())]
}
