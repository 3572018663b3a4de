//! One set of names for flags, files and defaults.

use super::optimizer_config::{OptimizerConfig, OptimizerTable};
use super::session::{Loss, Rules};
use crate::data::{Data, DataSpec};
use crate::error::{Error, Result};
use crate::nn::{ModelSpec, PixelScale};
use crate::optim::{BINARY_RULES, BinaryOptimizer, BinaryRule, FilterSpec, FloatRule, Knob, Poles, StateType};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Names of the losses.
pub const LOSSES: [&str; 2] = ["cross-entropy", "squared-hinge"];

/// What a user may set, as flags or in a file of the same names. What is left out takes its default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// Data set: digits (embedded), mnist, fashion-mnist [default: digits]
    #[cfg_attr(feature = "cli", arg(long))]
    pub dataset: Option<String>,
    /// Folder with the data set's files
    #[cfg_attr(feature = "cli", arg(long, value_name = "DIR"))]
    pub data_dir: Option<PathBuf>,
    /// Train on so many images only, balanced over the classes
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub limit: Option<usize>,
    /// Model: mlp [default: mlp]
    #[cfg_attr(feature = "cli", arg(long))]
    pub model: Option<String>,
    /// Units of the hidden layers [default: 4096,4096,4096; on digits 512,512]
    #[cfg_attr(feature = "cli", arg(long, value_delimiter = ',', value_name = "N,N,..."))]
    pub hidden: Option<Vec<usize>>,
    /// Stands in for the derivative of sign: identity, clip, polynomial, swish, tanh [default: clip]
    #[cfg_attr(feature = "cli", arg(long))]
    pub surrogate: Option<String>,
    /// Loss: cross-entropy, squared-hinge [default: cross-entropy]
    #[cfg_attr(feature = "cli", arg(long))]
    pub loss: Option<String>,
    /// Share of the targets spread over all classes, in [0, 1) [default: 0]
    #[cfg_attr(feature = "cli", arg(long, value_name = "SHARE"))]
    pub label_smoothing: Option<f32>,
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
            model: self.model.or(other.model),
            hidden: self.hidden.or(other.hidden),
            surrogate: self.surrogate.or(other.surrogate),
            loss: self.loss.or(other.loss),
            label_smoothing: self.label_smoothing.or(other.label_smoothing),
            batch_size: self.batch_size.or(other.batch_size),
            epochs: self.epochs.or(other.epochs),
            optimizer: self.optimizer.or(other.optimizer),
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
            seed: self.seed.or(other.seed),
            device: self.device.or(other.device),
            threads: self.threads.or(other.threads),
        }
    }

    /// The knobs that are set beside the optimizer's table.
    fn knobs(&self) -> impl Iterator<Item = (&'static str, &Knob)> {
        let all = [
            ("alpha", &self.alpha),
            ("gamma", &self.gamma),
            ("sigma", &self.sigma),
            ("threshold", &self.threshold),
            ("hold", &self.hold),
            ("lr", &self.lr),
            ("momentum", &self.momentum),
            ("beta1", &self.beta1),
            ("beta2", &self.beta2),
            ("weight-decay", &self.weight_decay),
            ("clip", &self.clip),
            ("init", &self.init),
            ("cutoff", &self.cutoff),
        ];
        all.into_iter().filter_map(|(name, knob)| Some((name, knob.as_ref()?)))
    }

    /// The filter that is set beside the optimizer's table.
    fn filter(&self) -> Option<FilterSpec> {
        let Self { design, order, poles, b, a, .. } = self.clone();
        let filter = FilterSpec { design, order, poles, b, a };
        (filter != FilterSpec::default()).then_some(filter)
    }

    /// The rule with all of its knobs: those beside the table win over those in it.
    fn optimizer_table(&self) -> Result<OptimizerTable> {
        let OptimizerTable { name, mut knobs, filter, state } = match &self.optimizer {
            None => OptimizerTable::named("cema"),
            Some(OptimizerConfig::Name(name)) => OptimizerTable::named(name),
            Some(OptimizerConfig::Table(table)) => table.clone(),
        };
        let rule = BinaryRule::named(&name)?;
        let filter = match (self.filter(), filter) {
            (Some(set), Some(filter)) => Some(set.over(filter)),
            (set, filter) => set.or(filter).or(rule.is_filter.then(FilterSpec::default)),
        };
        let filter = filter.map(FilterSpec::filled);
        knobs.extend(self.knobs().map(|(name, knob)| (name.to_string(), knob.clone())));
        match self.preset.as_deref() {
            None | Some("defaults") => {}
            Some("paper") if rule.paper.is_empty() => {
                let published: Vec<&str> =
                    BINARY_RULES.iter().filter(|r| !r.paper.is_empty()).map(|r| r.name).collect();
                let expected = format!("paper only for {}, whose papers give values", published.join(", "));
                return Err(Error::setting("preset", expected, format!("paper for {}", rule.name)));
            }
            Some("paper") => {
                for (name, knob) in rule.paper {
                    knobs.entry((*name).into()).or_insert(knob.parse()?);
                }
            }
            Some(other) => return Err(Error::setting("preset", "defaults, paper", other)),
        }
        match self.start.as_deref() {
            None => {}
            Some("zero") => drop(knobs.insert("hold".into(), 0.0.into())),
            Some("hold") => drop(knobs.entry("hold".into()).or_insert(rule.hold.into())),
            Some(other) => return Err(Error::setting("start", "zero, hold", other)),
        }
        if let Some(schedule) = &self.alpha_schedule {
            let default = rule.knobs.iter().find(|spec| spec.name == "alpha").map_or(0.0, |spec| spec.default);
            knobs.entry("alpha".into()).or_insert(default.into()).schedule = Some(schedule.parse()?);
        }
        let state = self.state.unwrap_or(state);
        let table = OptimizerTable { name, knobs, filter, state };
        let knobs = table.make()?.settings().map(|(name, knob)| (name.to_string(), knob.clone())).collect();
        Ok(OptimizerTable { knobs, ..table })
    }

    /// For a start from given weights: where nothing is said about the start of a filter it holds them, since states that start at 0
    /// let the first gradient decide every weight.
    pub fn holding_weights(mut self) -> Result<Self> {
        let table = self.optimizer_table()?;
        let is_open = self.start.is_none() && table.knobs.get("hold").is_some_and(|hold| hold.value == 0.0);
        if is_open && BinaryRule::named(&table.name)?.hold != 0.0 {
            self.start = Some("hold".into());
            if let Some(OptimizerConfig::Table(table)) = &mut self.optimizer {
                table.knobs.remove("hold");
            }
        }
        Ok(self)
    }

    /// Defaults filled in, ranges checked.
    pub fn resolve(self) -> Result<TrainConfig> {
        let optimizer = self.optimizer_table()?;
        let dataset = self.dataset.unwrap_or_else(|| "digits".into());
        let digits = dataset == "digits";
        let hidden = self.hidden.unwrap_or_else(|| if digits { vec![512; 2] } else { vec![4096; 3] });
        let config = TrainConfig {
            dataset,
            data_dir: self.data_dir,
            limit: self.limit,
            model: self.model.unwrap_or_else(|| "mlp".into()),
            hidden,
            surrogate: self.surrogate.unwrap_or_else(|| "clip".into()),
            loss: self.loss.unwrap_or_else(|| "cross-entropy".into()),
            label_smoothing: self.label_smoothing.unwrap_or(0.0),
            batch_size: self.batch_size.unwrap_or(100),
            epochs: self.epochs.unwrap_or(if digits { 30 } else { 6 }),
            optimizer,
            float_optimizer: self.float_optimizer.unwrap_or_else(|| "adam".into()),
            float_rate: self.float_rate.unwrap_or(1e-3),
            float_schedule: self.float_schedule.unwrap_or_else(|| "constant".into()),
            seed: self.seed.unwrap_or(1),
            device: self.device.unwrap_or_else(|| "auto".into()),
            threads: self.threads,
        };
        config.check()?;
        Ok(config)
    }
}

/// Everything that decides a run; saved with it as `config.toml`, which is a settings file again.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TrainConfig {
    /// Data set.
    pub dataset: String,
    /// Folder with its files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// Training images at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Model.
    pub model: String,
    /// Units of the hidden layers.
    pub hidden: Vec<usize>,
    /// Stands in for the derivative of sign.
    pub surrogate: String,
    /// Loss.
    pub loss: String,
    /// Share of the targets spread over all classes.
    pub label_smoothing: f32,
    /// Samples of a batch.
    pub batch_size: usize,
    /// Passes over the data.
    pub epochs: u32,
    /// Rule of the binary weights.
    pub optimizer: OptimizerTable,
    /// Rule of the float parameters.
    pub float_optimizer: String,
    /// Their learning rate.
    pub float_rate: f32,
    /// How it moves.
    pub float_schedule: String,
    /// Seed.
    pub seed: u64,
    /// Device.
    pub device: String,
    /// Threads of the processor's engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
}

impl TrainConfig {
    fn check(&self) -> Result<()> {
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
        self.loss()?;
        self.rules()?;
        self.model_spec([1, 1, 1], 2, 1).build()?;
        Ok(())
    }

    /// Which data.
    pub fn data(&self) -> DataSpec {
        DataSpec { dataset: self.dataset.clone(), folder: self.data_dir.clone(), limit: self.limit }
    }

    /// The model for some data.
    pub fn model_for(&self, data: &Data) -> ModelSpec {
        self.model_spec(data.shape, data.classes.len(), data.pixel_max)
    }

    /// The model for images of a shape.
    pub fn model_spec(&self, input: [usize; 3], classes: usize, pixel_max: u8) -> ModelSpec {
        ModelSpec {
            model: self.model.clone(),
            hidden: self.hidden.clone(),
            input,
            classes,
            surrogate: self.surrogate.clone(),
            pixels: PixelScale::to_unit(pixel_max),
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

    /// The rules.
    pub fn rules(&self) -> Result<Rules> {
        let binary = Box::new(self.optimizer.make()?);
        let float = (FloatRule::named(&self.float_optimizer)?.make)(self.float_rate, self.float_schedule.parse()?)?;
        Ok(Rules { binary, float })
    }

    /// As TOML; refuses a path that is no text.
    pub fn to_toml(&self) -> Result<String> {
        let wrong =
            |e: toml::ser::Error| Error::setting("configuration", "settings that a text file can hold", e.to_string());
        toml::to_string(self).map_err(wrong)
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
