//! Settings in layers, and the defaults of what is left out.

use super::config::TrainConfig;
use super::optimizer_config::OptimizerConfig;
use super::settings::Settings;
use crate::data::DataSpec;
use crate::error::{Error, Result};
use crate::nn::MODELS;
use crate::optim::{BinaryOptimizer, FloatRule, Hyperparameter};

/// Rule of the float parameters unless it is set.
const FLOAT_OPTIMIZER: &str = "adam";

impl Settings {
    /// The rule of the binary weights.
    pub fn binary_optimizer(&self) -> Result<BinaryOptimizer> {
        self.optimizer_table()?.make()
    }

    /// Settings whose other value drops some that stand beside it, by their names in files: of several they are set first.
    pub(super) const DROPPING: [&str; 4] = ["optimizer", "float-optimizer", "model", "dataset"];

    /// These settings where they are set, else those of `other`; another optimizer, float optimizer, model or data set drops what `other` has
    /// beside its own.
    pub fn over(self, other: Self) -> Self {
        // Another rule drops the hyperparameters, filter and states of the one that it stands for; those beside no rule are for any.
        let stays =
            self.optimizer.as_ref().zip(other.optimizer.as_ref()).is_none_or(|(set, other)| set.name() == other.name());
        let hyperparameter =
            |set: Option<Hyperparameter>, other: Option<Hyperparameter>| set.or(other.filter(|_| stays));
        let filter = match (self.filter(), other.filter().filter(|_| stays)) {
            (Some(filter), Some(other)) => filter.over(other),
            (filter, other) => filter.or(other).unwrap_or_default(),
        };
        let rule = |settings: &Self| settings.float_optimizer.clone().unwrap_or_else(|| FLOAT_OPTIMIZER.into());
        let keeps = self.float_optimizer.is_none() || rule(&self) == rule(&other);
        let float = |set: Option<f64>, other: Option<f64>| set.or(other.filter(|_| keeps));
        // Another data set lies elsewhere.
        let lies_there = self.dataset.as_ref().zip(other.dataset.as_ref()).is_none_or(|(set, other)| set == other);
        // Another network drops the hidden layers of mlp and its dropout.
        let model = |settings: &Self| settings.model.clone().unwrap_or_else(|| "mlp".into());
        let same = self.model.is_none() || model(&self) == model(&other);
        let hidden = self.hidden.or(other.hidden.filter(|_| same));
        Self {
            design: filter.design,
            order: filter.order,
            poles: filter.poles,
            b: filter.b,
            a: filter.a,
            cutoff: hyperparameter(self.cutoff, other.cutoff),
            state: self.state.or(other.state.filter(|_| stays)),
            preset: self.preset.or(other.preset.filter(|_| stays)),
            dataset: self.dataset.or(other.dataset),
            data_dir: self.data_dir.or(other.data_dir.filter(|_| lies_there)),
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
            hidden,
            dropout: self.dropout.or(other.dropout.filter(|_| same)),
            width: self.width.or(other.width),
            float: self.float.or(other.float),
            surrogate: self.surrogate.or(other.surrogate),
            loss: self.loss.or(other.loss),
            label_smoothing: self.label_smoothing.or(other.label_smoothing),
            no_fuse: self.no_fuse.or(other.no_fuse),
            init_from: self.init_from.or(other.init_from),
            teacher: self.teacher.or(other.teacher),
            teacher_logits: self.teacher_logits.or(other.teacher_logits),
            teacher_weight: self.teacher_weight.or(other.teacher_weight),
            temperature: self.temperature.or(other.temperature),
            batch_size: self.batch_size.or(other.batch_size),
            epochs: self.epochs.or(other.epochs),
            optimizer: OptimizerConfig::over(self.optimizer, other.optimizer),
            rule: self.rule.or(other.rule),
            alpha: hyperparameter(self.alpha, other.alpha),
            gamma: hyperparameter(self.gamma, other.gamma),
            sigma: hyperparameter(self.sigma, other.sigma),
            threshold: hyperparameter(self.threshold, other.threshold),
            hold: hyperparameter(self.hold, other.hold),
            lr: hyperparameter(self.lr, other.lr),
            momentum: hyperparameter(self.momentum, other.momentum),
            beta1: hyperparameter(self.beta1, other.beta1),
            beta2: hyperparameter(self.beta2, other.beta2),
            weight_decay: hyperparameter(self.weight_decay, other.weight_decay),
            clip: hyperparameter(self.clip, other.clip),
            init: hyperparameter(self.init, other.init),
            start: self.start.or(other.start),
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
        let optimizer = if self.init_from.is_some() { self.holding_table()? } else { self.optimizer_table()? };
        let taught = self.teacher.is_some() || self.teacher_logits.is_some();
        let float_hyperparameters = self.float_hyperparameters();
        let teacher_weight = self.teacher_weight.or(taught.then_some(0.5));
        let temperature = self.temperature.or(taught.then_some(2.0));
        let float_optimizer = self.float_optimizer.unwrap_or_else(|| FLOAT_OPTIMIZER.into());
        let float_hyperparameters = FloatRule::named(&float_optimizer)?.settings(&float_hyperparameters)?;
        let dataset = self.dataset.unwrap_or_else(|| "digits".into());
        let digits = dataset == "digits";
        let model = self.model.unwrap_or_else(|| "mlp".into());
        let usual = || if digits { vec![512; 2] } else { vec![4096; 3] };
        let hidden = self.hidden.or_else(|| (model == "mlp").then(usual));
        let pair = |shares: &Vec<f64>| {
            let wrong = |_| Error::setting("dropout", "two shares, INPUT,HIDDEN", format!("{shares:?}"));
            <[f64; 2]>::try_from(&**shares).map_err(wrong)
        };
        let dropout = self.dropout.as_ref().map(pair).transpose()?;
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
            dropout,
            width: self.width.unwrap_or(1.0),
            float: self.float.unwrap_or(false),
            loss: self.loss.unwrap_or_else(|| "cross-entropy".into()),
            label_smoothing: self.label_smoothing.unwrap_or(0.0),
            no_fuse: self.no_fuse.unwrap_or(false),
            // So that the same file starts the same run: what its table says of states holds.
            start: self.init_from.is_some().then(|| self.start.unwrap_or_else(|| "hold".into())),
            init_from: self.init_from,
            teacher: self.teacher,
            teacher_logits: self.teacher_logits,
            teacher_weight,
            temperature,
            batch_size: self.batch_size.unwrap_or(100),
            epochs: self.epochs.unwrap_or(if digits { 30 } else { 6 }),
            optimizer,
            float_optimizer,
            float_hyperparameters: float_hyperparameters
                .into_iter()
                .map(|(name, value)| (name.to_string(), value))
                .collect(),
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
    use super::super::optimizer_config::OptimizerConfig;
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
    fn another_network_drops_the_hidden_layers() {
        let file = Settings { hidden: Some(vec![64]), ..Settings::default() };
        let model = |name: &str| Settings { model: Some(name.into()), ..Settings::default() };
        let hidden = |settings: Settings| settings.over(file.clone()).resolve().expect("in range").hidden;
        assert_eq!((hidden(model("vgg-small")), hidden(model("mlp"))), (None, Some(vec![64])));
        let refused = Settings { hidden: Some(vec![64]), ..model("vgg-small") }.resolve().expect_err("it has none");
        assert!(refused.to_string().contains("[64] with model vgg-small"), "{refused}");
    }

    #[test]
    fn dropout_is_of_mlp_alone() {
        let of = |model: &str, dropout: &[f64]| {
            Settings { model: Some(model.into()), dropout: Some(dropout.to_vec()), ..Settings::default() }.resolve()
        };
        let config = of("mlp", &[0.2, 0.5]).expect("in range");
        let text = config.to_toml().expect("plain text");
        assert!(text.contains("dropout = [0.2, 0.5]"), "{text}");
        let again: Settings = toml::from_str(&text).expect("it is TOML");
        assert_eq!(again.resolve().expect("in range"), config);
        for (model, dropout, words) in [
            ("vgg-small", &[0.2, 0.5][..], "with model vgg-small"),
            ("mlp", &[0.2], "INPUT,HIDDEN"),
            ("mlp", &[0.0, 1.0], "[0, 1)"),
        ] {
            let error = of(model, dropout).expect_err("wrong");
            assert!(error.is_usage() && error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn a_rule_s_table_has_all_of_its_knobs_and_no_other() {
        let settings = Settings { optimizer: Some(OptimizerConfig::Name("diode".into())), ..Settings::default() };
        let start = Settings { start: Some("hold".into()), ..settings.clone() };
        let table = start.resolve().expect("in range").optimizer;
        assert_eq!(table.hyperparameters.keys().collect::<Vec<_>>(), ["alpha", "gamma", "hold"]);
        assert_eq!(
            (table.hyperparameters["hold"].value, &*table.hyperparameters["alpha"].to_string()),
            (5e-3, "0.001,linear")
        );
        let stranger = Settings { lr: Some(0.1.into()), ..settings };
        let error = stranger.resolve().expect_err("diode has no lr").to_string();
        assert!(error.contains("diode") && error.contains("gamma") && error.contains("lr = 0.1"), "{error}");
    }

    #[test]
    fn the_float_rule_s_knobs_are_saved_and_another_rule_drops_them() {
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
        let hyperparameters = sgd.clone().over(again.clone()).resolve().expect("in range").float_hyperparameters;
        assert_eq!(
            hyperparameters.into_iter().collect::<Vec<_>>(),
            [("float-momentum".to_string(), 0.9), ("float-weight-decay".to_string(), 0.0)]
        );
        let same = Settings { float_optimizer: Some("adam".into()), ..Settings::default() }.over(again);
        assert_eq!(same.resolve().expect("in range"), config);
        let error = Settings { float_beta1: Some(0.8), ..sgd }.resolve().expect_err("sgd has no beta1");
        assert!(error.is_usage() && error.to_string().contains("float-momentum"), "{error}");
    }

    #[test]
    fn a_rule_s_name_keeps_its_table_and_another_drops_it() {
        let bop = "optimizer = \"bop\"\nalpha = \"1e-4,step:0.1:20%\"\nthreshold = 1e-8\nbatch-size = 50";
        let table = "[optimizer]\nname = \"ema\"\nstate = \"i16\"\nhyperparameters = { alpha = 0.01 }\n[[optimizer.rules]]\nlayers = \"dense1\"\nname = \"bop\"";
        let over = |name: &str, text: &str| {
            let file: Settings = toml::from_str(text).expect("it is TOML");
            let flags = Settings { optimizer: Some(OptimizerConfig::Name(name.into())), ..Settings::default() };
            (flags.over(file.clone()).resolve().expect("in range"), file.resolve().expect("in range"))
        };
        for (name, text) in [("bop", bop), ("ema", table)] {
            let (with, without) = over(name, text);
            assert_eq!(with, without, "{name}");
        }
        let (cema, _) = over("cema", bop);
        let usual = Settings::default().resolve().expect("in range");
        assert_eq!((cema.optimizer, cema.batch_size), (usual.optimizer.clone(), 50));
        let (cema, file) = over("cema", table);
        assert_eq!(
            (cema.optimizer.hyperparameters, cema.optimizer.state),
            (usual.optimizer.hyperparameters, usual.optimizer.state)
        );
        assert_eq!(cema.optimizer.rules, file.optimizer.rules, "rules of single layers stay");
    }

    #[test]
    fn layers_have_rules_of_their_own() {
        let text = "[optimizer]\nhyperparameters = { alpha = 0.01 }\n[[optimizer.rules]]\nlayers = \"dense1\"\nname = \"bop\"\nhyperparameters = { threshold = 0 }";
        let file: Settings = toml::from_str(text).expect("it is TOML");
        let config = file.clone().resolve().expect("in range");
        let rule = &config.optimizer.rules[0];
        assert_eq!((&*config.optimizer.name, &*rule.hyperparameters["alpha"].to_string()), ("cema", "0.001,linear"));
        let again: Settings = toml::from_str(&config.to_toml().expect("plain text")).expect("it is TOML");
        assert_eq!(again.resolve().expect("in range"), config);
        let flag = Settings { rule: Some(vec!["dense2=latent-sgd".into()]), ..Settings::default() }.over(file.clone());
        let from = Settings { init_from: Some("runs/before".into()), ..flag.clone() };
        let held = from.clone().resolve().expect("in range");
        let rules = &held.optimizer.rules;
        assert_eq!((rules.len(), &*rules[0].layers, held.optimizer.hyperparameters["hold"].value), (1, "dense2", 1e-6));
        let zero_settings = Settings { start: Some("zero".into()), ..from };
        let zero = zero_settings.clone().resolve().expect("in range");
        assert_eq!(zero.optimizer.hyperparameters["hold"].value, 0.0, "as it was asked for");
        let hyperparameter = Settings { start: None, hold: Some(0.0.into()), ..zero_settings.clone() };
        let hyperparameter = hyperparameter.resolve().expect("in range");
        assert_eq!(hyperparameter.optimizer.hyperparameters["hold"].value, 0.0, "as it was asked for");
        let of_layer = Settings { start: None, rule: Some(vec!["dense2=ema,hold=0".into()]), ..zero_settings };
        let of_layer = of_layer.resolve().expect("in range");
        let holds = [&of_layer.optimizer.hyperparameters, &of_layer.optimizer.rules[0].hyperparameters]
            .map(|hyperparameters| hyperparameters["hold"].value);
        assert_eq!(holds, [1e-6, 0.0], "as it was asked for");
        for config in [held, zero, hyperparameter, of_layer] {
            let again: Settings = toml::from_str(&config.to_toml().expect("plain text")).expect("it is TOML");
            assert_eq!(again.resolve().expect("in range"), config);
        }
        let start = Settings { start: Some("hold".into()), ..file }.resolve().expect("in range").optimizer;
        assert_eq!(start.rules[0].hyperparameters["hold"].value, 1e-6, "starts are for all filters");
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
