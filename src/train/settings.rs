//! What a user may set: one set of names for flags and files, and their defaults.

use super::config::TrainConfig;
use super::optimizer_config::OptimizerConfig;
use crate::data::DataSpec;
use crate::error::{Error, Result};
use crate::nn::MODELS;
use crate::optim::{BinaryOptimizer, FloatRule, Knob, Poles, StateType};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Rule of the float parameters unless it is set.
const FLOAT_OPTIMIZER: &str = "adam";

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
    #[cfg_attr(feature = "cli", arg(long, value_name = "SHARE"))]
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
    /// Factor of the channels and hidden units of every layer [default: 1]
    #[cfg_attr(feature = "cli", arg(long, value_name = "FACTOR"))]
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
    #[cfg_attr(feature = "cli", arg(long, value_name = "SHARE"))]
    pub label_smoothing: Option<f32>,
    /// Keep every operation by itself instead of fusing neighbours: slower, the same results
    #[cfg_attr(feature = "cli", arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL"))]
    pub no_fuse: Option<bool>,
    /// Learn from the run of another network on the same classes, too
    #[cfg_attr(feature = "cli", arg(long, value_name = "RUN"))]
    pub teacher: Option<PathBuf>,
    /// The same with its logits of all training images, as `eval --logits` writes them
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE"))]
    pub teacher_logits: Option<PathBuf>,
    /// Its share of the loss, in [0, 1] [default: 0.5]
    #[cfg_attr(feature = "cli", arg(long, value_name = "SHARE"))]
    pub teacher_weight: Option<f32>,
    /// Softens the teacher and what it is compared with, above 0 [default: 2]
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
    /// Another rule for the binary weights of some layers, such as 'conv*=bop,alpha=1e-4'; may be repeated, and the first that
    /// matches wins; in place of those of the optimizer's table
    #[cfg_attr(feature = "cli", arg(long, value_name = "LAYERS=NAME,KNOB=VALUE,..."))]
    pub rule: Option<Vec<String>>,
    /// Where knobs that are not set come from: defaults, or paper (published values; bop, bop2, diode, latent-adam) [default: defaults]
    #[cfg_attr(feature = "cli", arg(long, value_name = "PRESET"))]
    pub preset: Option<String>,
    /// Rate of the filter whose sign is the weight, in (0, 1] [default: 1e-3,linear]
    #[cfg_attr(feature = "cli", arg(long, value_name = "KNOB"))]
    pub alpha: Option<Knob>,
    /// Rate of the average before it, in (0, 1]; cema, diode [default: 0.1]
    #[cfg_attr(feature = "cli", arg(long, value_name = "KNOB"))]
    pub gamma: Option<Knob>,
    /// Rate of the average square, in (0, 1]; bop2 [default: 1e-2]
    #[cfg_attr(feature = "cli", arg(long, value_name = "KNOB"))]
    pub sigma: Option<Knob>,
    /// What the average must exceed to flip a weight; bop, bop2
    #[cfg_attr(feature = "cli", arg(long, value_name = "KNOB"))]
    pub threshold: Option<Knob>,
    /// Start: states are -hold times the weight; filters [default: 0]
    #[cfg_attr(feature = "cli", arg(long, value_name = "KNOB"))]
    pub hold: Option<Knob>,
    /// Learning rate of latent weights; signum, latent-sgd, latent-adam
    #[cfg_attr(feature = "cli", arg(long, value_name = "KNOB"))]
    pub lr: Option<Knob>,
    /// Momentum of latent weights, in [0, 1); signum, latent-sgd [default: 0.9]
    #[cfg_attr(feature = "cli", arg(long, value_name = "KNOB"))]
    pub momentum: Option<Knob>,
    /// Decay of the first moment, in [0, 1); latent-adam [default: 0.9]
    #[cfg_attr(feature = "cli", arg(long, value_name = "KNOB"))]
    pub beta1: Option<Knob>,
    /// Decay of the second moment, in [0, 1); latent-adam [default: 0.999]
    #[cfg_attr(feature = "cli", arg(long, value_name = "KNOB"))]
    pub beta2: Option<Knob>,
    /// Weight decay of latent weights [default: 0]
    #[cfg_attr(feature = "cli", arg(long, value_name = "KNOB"))]
    pub weight_decay: Option<Knob>,
    /// Latent weights stay in +-clip, or off [default: 1]
    #[cfg_attr(feature = "cli", arg(long, value_name = "KNOB"))]
    pub clip: Option<Knob>,
    /// Latent weights start between 0 and init, with the weight's sign
    #[cfg_attr(feature = "cli", arg(long, value_name = "KNOB"))]
    pub init: Option<Knob>,
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
    #[cfg_attr(feature = "cli", arg(long, value_name = "KNOB"))]
    pub cutoff: Option<Knob>,
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
    /// How alpha moves, unless `--alpha NUMBER,SCHEDULE` says it: constant, linear, linear:END, cosine, cosine:END, exponential:END,
    /// step:FACTOR:LENGTH, warmup:LENGTH, joined by commas as in warmup:500,cosine or constant@50%,linear [default: linear]
    #[cfg_attr(feature = "cli", arg(long, value_name = "SCHEDULE"))]
    pub alpha_schedule: Option<String>,
    /// Rule of the float parameters: adam, sgd [default: adam]
    #[cfg_attr(feature = "cli", arg(long, value_name = "RULE"))]
    pub float_optimizer: Option<String>,
    /// Learning rate of the float parameters [default: 1e-3]
    #[cfg_attr(feature = "cli", arg(long, value_name = "RATE"))]
    pub float_rate: Option<f32>,
    /// How the float rate moves, as --alpha-schedule [default: constant]
    #[cfg_attr(feature = "cli", arg(long, value_name = "SCHEDULE"))]
    pub float_schedule: Option<String>,
    /// Decay of the first moment of the float parameters, in [0, 1); adam [default: 0.9]
    #[cfg_attr(feature = "cli", arg(long, value_name = "NUMBER"))]
    pub float_beta1: Option<f64>,
    /// Decay of their second moment, in [0, 1); adam [default: 0.999]
    #[cfg_attr(feature = "cli", arg(long, value_name = "NUMBER"))]
    pub float_beta2: Option<f64>,
    /// Added to the root of their second moment; adam [default: 1e-8]
    #[cfg_attr(feature = "cli", arg(long, value_name = "NUMBER"))]
    pub float_epsilon: Option<f64>,
    /// Momentum of the float parameters, in [0, 1); sgd [default: 0.9]
    #[cfg_attr(feature = "cli", arg(long, value_name = "NUMBER"))]
    pub float_momentum: Option<f64>,
    /// Weight decay of the float parameters, batch norm's too: L2, added to the gradient (as PyTorch's Adam and SGD) [default: 0]
    #[cfg_attr(feature = "cli", arg(long, value_name = "NUMBER"))]
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
    /// Threads of the processor's engine [default: all cores]
    #[cfg_attr(feature = "cli", arg(skip))]
    pub threads: Option<usize>,
}

impl Settings {
    /// From a TOML file; an unknown key is an error that names it.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::file("reading", path))?;
        toml::from_str(&text).map_err(|e| {
            let line = e.span().map_or(0, |span| text[..span.start].lines().count().max(1));
            let got = format!("line {line}: {}", e.message().lines().next().unwrap_or_default());
            Error::Format { path: path.to_path_buf(), expected: "settings by the names of the flags".into(), got }
        })
    }

    /// The one setting `name = value`, by its name in files; the value as TOML, or else as text. `what` begins the error.
    pub fn one(what: &str, name: &str, value: &str) -> Result<Self> {
        let parse = |value: &str| toml::from_str::<Self>(&format!("{name} = {value}"));
        parse(value).or_else(|_| parse(&format!("{value:?}"))).map_err(|e| {
            let reason = e.message().lines().next().unwrap_or_default().to_string();
            let got = format!("`{name}={value}` ({reason})");
            Error::setting(what, "a setting by its name in files, and values that it takes", got)
        })
    }

    /// The rule of the binary weights.
    pub fn binary_optimizer(&self) -> Result<BinaryOptimizer> {
        self.optimizer_table()?.make()
    }

    /// These settings where they are set, else those of `other`.
    pub fn over(self, other: Self) -> Self {
        let filter = match (self.filter(), other.filter()) {
            (Some(filter), Some(other)) => filter.over(other),
            (filter, other) => filter.or(other).unwrap_or_default(),
        };
        let rule = |settings: &Self| settings.float_optimizer.clone().unwrap_or_else(|| FLOAT_OPTIMIZER.into());
        // Another rule leaves the knobs of the one that it stands for.
        let keeps = self.float_optimizer.is_none() || rule(&self) == rule(&other);
        let float = |set: Option<f64>, other: Option<f64>| set.or(other.filter(|_| keeps));
        Self {
            design: filter.design,
            order: filter.order,
            poles: filter.poles,
            b: filter.b,
            a: filter.a,
            cutoff: self.cutoff.or(other.cutoff),
            state: self.state.or(other.state),
            preset: self.preset.or(other.preset),
            dataset: self.dataset.or(other.dataset),
            data_dir: self.data_dir.or(other.data_dir),
            limit: self.limit.or(other.limit),
            validation: self.validation.or(other.validation),
            split_seed: self.split_seed.or(other.split_seed),
            augment: self.augment.or(other.augment),
            image_size: self.image_size.or(other.image_size),
            crop: self.crop.or(other.crop),
            channels: self.channels.or(other.channels),
            mean: self.mean.or(other.mean),
            std: self.std.or(other.std),
            strict: self.strict.or(other.strict),
            model: self.model.or(other.model),
            hidden: self.hidden.or(other.hidden),
            width: self.width.or(other.width),
            float: self.float.or(other.float),
            surrogate: self.surrogate.or(other.surrogate),
            loss: self.loss.or(other.loss),
            label_smoothing: self.label_smoothing.or(other.label_smoothing),
            no_fuse: self.no_fuse.or(other.no_fuse),
            teacher: self.teacher.or(other.teacher),
            teacher_logits: self.teacher_logits.or(other.teacher_logits),
            teacher_weight: self.teacher_weight.or(other.teacher_weight),
            temperature: self.temperature.or(other.temperature),
            batch_size: self.batch_size.or(other.batch_size),
            epochs: self.epochs.or(other.epochs),
            optimizer: self.optimizer.or(other.optimizer),
            rule: self.rule.or(other.rule),
            alpha: self.alpha.or(other.alpha),
            gamma: self.gamma.or(other.gamma),
            sigma: self.sigma.or(other.sigma),
            threshold: self.threshold.or(other.threshold),
            hold: self.hold.or(other.hold),
            lr: self.lr.or(other.lr),
            momentum: self.momentum.or(other.momentum),
            beta1: self.beta1.or(other.beta1),
            beta2: self.beta2.or(other.beta2),
            weight_decay: self.weight_decay.or(other.weight_decay),
            clip: self.clip.or(other.clip),
            init: self.init.or(other.init),
            start: self.start.or(other.start),
            alpha_schedule: self.alpha_schedule.or(other.alpha_schedule),
            float_optimizer: self.float_optimizer.or(other.float_optimizer),
            float_rate: self.float_rate.or(other.float_rate),
            float_schedule: self.float_schedule.or(other.float_schedule),
            float_beta1: float(self.float_beta1, other.float_beta1),
            float_beta2: float(self.float_beta2, other.float_beta2),
            float_epsilon: float(self.float_epsilon, other.float_epsilon),
            float_momentum: float(self.float_momentum, other.float_momentum),
            float_weight_decay: float(self.float_weight_decay, other.float_weight_decay),
            diagnostics: self.diagnostics.or(other.diagnostics),
            tensorboard: self.tensorboard.or(other.tensorboard),
            seed: self.seed.or(other.seed),
            device: self.device.or(other.device),
            threads: self.threads.or(other.threads),
        }
    }

    /// Defaults filled in, ranges checked.
    pub fn resolve(self) -> Result<TrainConfig> {
        let optimizer = self.optimizer_table()?;
        let taught = self.teacher.is_some() || self.teacher_logits.is_some();
        let float_knobs = self.float_knobs();
        let teacher_weight = self.teacher_weight.or(taught.then_some(0.5));
        let temperature = self.temperature.or(taught.then_some(2.0));
        let float_optimizer = self.float_optimizer.unwrap_or_else(|| FLOAT_OPTIMIZER.into());
        let float_knobs = FloatRule::named(&float_optimizer)?.settings(&float_knobs)?;
        let dataset = self.dataset.unwrap_or_else(|| "digits".into());
        let digits = dataset == "digits";
        let model = self.model.unwrap_or_else(|| "mlp".into());
        let usual = || if digits { vec![512; 2] } else { vec![4096; 3] };
        let hidden = self.hidden.or_else(|| (model == "mlp").then(usual));
        let zoo = MODELS.iter().find(|zoo| zoo.name == model);
        let augment = || DataSpec::usual_augment(&dataset).iter().map(|name| name.to_string()).collect();
        let data = DataSpec {
            augment: self.augment.unwrap_or_else(augment),
            dataset,
            data_dir: self.data_dir,
            limit: self.limit,
            validation: self.validation.unwrap_or(0.0),
            split_seed: self.split_seed.unwrap_or(0),
            image_size: self.image_size,
            crop: self.crop,
            channels: self.channels,
            mean: self.mean,
            std: self.std,
            strict: self.strict.unwrap_or(false),
        };
        let config = TrainConfig {
            data,
            surrogate: self.surrogate.unwrap_or_else(|| zoo.map_or("clip", |zoo| zoo.surrogate).into()),
            model,
            hidden,
            width: self.width.unwrap_or(1.0),
            float: self.float.unwrap_or(false),
            loss: self.loss.unwrap_or_else(|| "cross-entropy".into()),
            label_smoothing: self.label_smoothing.unwrap_or(0.0),
            no_fuse: self.no_fuse.unwrap_or(false),
            teacher: self.teacher,
            teacher_logits: self.teacher_logits,
            teacher_weight,
            temperature,
            batch_size: self.batch_size.unwrap_or(100),
            epochs: self.epochs.unwrap_or(if digits { 30 } else { 6 }),
            optimizer,
            float_optimizer,
            float_knobs: float_knobs.into_iter().map(|(name, value)| (name.to_string(), value)).collect(),
            float_rate: self.float_rate.unwrap_or(1e-3),
            float_schedule: self.float_schedule.unwrap_or_else(|| "constant".into()),
            diagnostics: self.diagnostics.unwrap_or(0),
            tensorboard: self.tensorboard.unwrap_or(false),
            seed: self.seed.unwrap_or(1),
            device: self.device.unwrap_or_else(|| "auto".into()),
            threads: self.threads,
        };
        config.check()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolved_configuration_is_a_settings_file() {
        let config = Settings { alpha: Some(0.01.into()), ..Settings::default() }.resolve().expect("in range");
        let again: Settings = toml::from_str(&config.to_toml().expect("plain text")).expect("it is TOML");
        assert_eq!(again.resolve().expect("in range"), config);
    }

    #[test]
    fn augmentation_is_the_data_set_s_unless_it_is_set() {
        let augment = |dataset: &str, augment: Option<&str>| {
            let augment = augment.map(|name| vec![name.to_string()]);
            let settings = Settings { dataset: Some(dataset.into()), augment, ..Settings::default() };
            settings.resolve().expect("in range").data.augment.join(",")
        };
        assert_eq!((augment("cifar10", None), augment("mnist", None)), ("pad-crop,flip".into(), "".into()));
        assert_eq!(augment("cifar100", Some("none")), "none");
    }

    #[test]
    fn flags_win() {
        let file = Settings { alpha: Some(0.1.into()), epochs: Some(2), ..Settings::default() };
        let both = Settings { alpha: Some(0.2.into()), ..Settings::default() }.over(file);
        assert_eq!((both.alpha, both.epochs), (Some(0.2.into()), Some(2)));
    }

    #[test]
    fn a_rule_s_table_has_all_of_its_knobs_and_no_other() {
        let settings = Settings { optimizer: Some(OptimizerConfig::Name("diode".into())), ..Settings::default() };
        let start = Settings { start: Some("hold".into()), ..settings.clone() };
        let table = start.resolve().expect("in range").optimizer;
        assert_eq!(table.knobs.keys().collect::<Vec<_>>(), ["alpha", "gamma", "hold"]);
        assert_eq!((table.knobs["hold"].value, &*table.knobs["alpha"].to_string()), (5e-3, "0.001,linear"));
        let stranger = Settings { lr: Some(0.1.into()), ..settings };
        let error = stranger.resolve().expect_err("diode has no lr").to_string();
        assert!(error.contains("diode") && error.contains("gamma") && error.contains("lr = 0.1"), "{error}");
    }

    #[test]
    fn the_float_rule_s_knobs_are_saved_and_another_rule_leaves_them() {
        let file = Settings { float_beta1: Some(0.8), float_weight_decay: Some(1e-4), ..Settings::default() };
        let config = file.clone().resolve().expect("in range");
        let text = config.to_toml().expect("plain text");
        for line in
            ["float-beta1 = 0.8", "float-beta2 = 0.999", "float-epsilon = 0.00000001", "float-weight-decay = 0.0001"]
        {
            assert!(text.contains(line), "`{line}` in {text}");
        }
        let again: Settings = toml::from_str(&text).expect("it is TOML");
        assert_eq!(again.clone().resolve().expect("in range"), config);
        let sgd = Settings { float_optimizer: Some("sgd".into()), ..Settings::default() };
        let knobs = sgd.clone().over(again.clone()).resolve().expect("in range").float_knobs;
        assert_eq!(
            knobs.into_iter().collect::<Vec<_>>(),
            [("float-momentum".to_string(), 0.9), ("float-weight-decay".to_string(), 0.0)]
        );
        let same = Settings { float_optimizer: Some("adam".into()), ..Settings::default() }.over(again);
        assert_eq!(same.resolve().expect("in range"), config);
        let error = Settings { float_beta1: Some(0.8), ..sgd }.resolve().expect_err("sgd has no beta1");
        assert!(error.is_usage() && error.to_string().contains("float-momentum"), "{error}");
    }

    #[test]
    fn layers_have_rules_of_their_own() {
        let text = "[optimizer]\nknobs = { alpha = 0.01 }\n[[optimizer.rules]]\nlayers = \"dense1\"\nname = \"bop\"\nknobs = { threshold = 0 }";
        let file: Settings = toml::from_str(text).expect("it is TOML");
        let config = file.clone().resolve().expect("in range");
        let rule = &config.optimizer.rules[0];
        assert_eq!((&*config.optimizer.name, &*rule.knobs["alpha"].to_string()), ("cema", "0.001,linear"));
        let again: Settings = toml::from_str(&config.to_toml().expect("plain text")).expect("it is TOML");
        assert_eq!(again.resolve().expect("in range"), config);
        let flag = Settings { rule: Some(vec!["dense2=latent-sgd".into()]), ..Settings::default() }.over(file.clone());
        let held = flag.clone().holding_weights().expect("in range").resolve().expect("in range").optimizer;
        assert_eq!((held.rules.len(), &*held.rules[0].layers, held.knobs["hold"].value), (1, "dense2", 1e-6));
        let start = Settings { start: Some("hold".into()), ..file }.resolve().expect("in range").optimizer;
        assert_eq!(start.rules[0].knobs["hold"].value, 1e-6, "starts are for all filters");
        let many = Settings { rule: Some(vec!["*=ema".into(); 7]), ..Settings::default() };
        assert!(many.resolve().is_err_and(|e| e.to_string().contains("at most 6 patterns, got 7")));
    }

    #[test]
    fn ranges_are_checked() {
        for wrong in [
            Settings { alpha: Some(0.0.into()), ..Settings::default() },
            Settings { gamma: Some(1.5.into()), ..Settings::default() },
            Settings { alpha: Some(f32::NAN.into()), ..Settings::default() },
            Settings { hidden: Some(vec![0]), ..Settings::default() },
            Settings { model: Some("perceptron".into()), ..Settings::default() },
            Settings { surrogate: Some("stair".into()), ..Settings::default() },
            Settings { epochs: Some(0), ..Settings::default() },
            Settings { float_rate: Some(-1.0), ..Settings::default() },
        ] {
            assert!(wrong.clone().resolve().is_err_and(|e| e.is_usage()), "{wrong:?}");
        }
    }
}
