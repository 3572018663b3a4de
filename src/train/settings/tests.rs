//! Tests of settings: every row of the table, merging, defaults, the optimizer's table.

use super::optimizer::{LayerRule, OptimizerTable, RENAMED};
use super::table::{Settings, TABLE, TrainConfig};
use crate::optim::{BINARY_RULES, FLOAT_RULES};

#[test]
fn a_resolved_configuration_is_a_settings_file() {
    let config = Settings { alpha: Some(0.01.into()), ..Settings::default() }.resolve().expect("in range");
    assert_eq!(again(&config), config);
}

#[test]
fn augmentation_is_the_data_set_s_unless_it_is_set() {
    let augment = |dataset: &str, augment: Option<&str>| {
        let augment = augment.map(|name| vec![name.to_string()]);
        let settings = Settings { dataset: Some(dataset.into()), augment, ..Settings::default() };
        settings.resolve().expect("in range").augment.join(",")
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
    let of = |model: &str, dropout: [f64; 2]| {
        Settings { model: Some(model.into()), dropout: Some(dropout), ..Settings::default() }.resolve()
    };
    let config = of("mlp", [0.2, 0.5]).expect("in range");
    let text = config.to_toml().expect("plain text");
    assert!(text.contains("dropout = [0.2, 0.5]"), "{text}");
    let again: Settings = toml::from_str(&text).expect("it is TOML");
    assert_eq!(again.resolve().expect("in range"), config);
    for (model, dropout, words) in [("vgg-small", [0.2, 0.5], "with model vgg-small"), ("mlp", [0.0, 1.0], "[0, 1)")] {
        let error = of(model, dropout).expect_err("wrong");
        assert!(error.is_usage() && error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_rule_s_table_has_all_of_its_hyperparameters_and_no_others() {
    let settings = Settings { optimizer: Some(OptimizerTable::named("diode")), ..Settings::default() };
    let start = Settings { state_init: Some("scaled".into()), ..settings.clone() };
    let table = start.resolve().expect("in range").optimizer;
    assert_eq!(table.hyperparameters.keys().collect::<Vec<_>>(), ["alpha", "gamma", "state-init-scale"]);
    assert_eq!(
        (table.hyperparameters["state-init-scale"].value, &*table.hyperparameters["alpha"].to_string()),
        (5.0, "0.001,linear")
    );
    let stranger = Settings { lr: Some(0.1.into()), ..settings };
    let error = stranger.resolve().expect_err("diode has no lr").to_string();
    assert!(error.contains("diode") && error.contains("gamma") && error.contains("lr = 0.1"), "{error}");
}

#[test]
fn the_float_rule_s_hyperparameters_are_saved_and_another_rule_drops_them() {
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
    let other = sgd.clone().over(again.clone()).resolve().expect("in range");
    assert_eq!((other.float_momentum, other.float_weight_decay, other.float_beta1), (Some(0.9), Some(0.0), None));
    let same = Settings { float_optimizer: Some("adam".into()), ..Settings::default() }.over(again);
    assert_eq!(same.resolve().expect("in range"), config);
    let error = Settings { float_beta1: Some(0.8), ..sgd }.resolve().expect_err("sgd has no beta1");
    assert!(error.is_usage() && error.to_string().contains("float-momentum"), "{error}");
}

#[test]
fn a_rule_s_name_keeps_its_table_and_another_drops_it() {
    let bop = "optimizer = \"bop\"\nalpha = \"1e-4,step:0.1:20%\"\nthreshold = 1e-8\nbatch-size = 50";
    let table = "[optimizer]\nname = \"ema\"\nstate-dtype = \"i16\"\nhyperparameters = { alpha = 0.01 }\n[[optimizer.rules]]\nlayers = \"dense1\"\nname = \"bop\"";
    let over = |name: &str, text: &str| {
        let file: Settings = toml::from_str(text).expect("it is TOML");
        let flags = Settings { optimizer: Some(OptimizerTable::named(name)), ..Settings::default() };
        (flags.over(file.clone()).resolve().expect("in range"), file.resolve().expect("in range"))
    };
    for (name, text) in [("bop", bop), ("ema", table)] {
        let (with, without) = over(name, text);
        assert_eq!(with, without, "{name}");
    }
    let (cema, _) = over("cema", bop);
    let usual = Settings::default().resolve().expect("in range");
    assert_eq!((cema.optimizer, cema.batch_size), (usual.optimizer.clone(), Some(50)));
    let (cema, file) = over("cema", table);
    assert_eq!(
        (cema.optimizer.hyperparameters, cema.optimizer.state_dtype),
        (usual.optimizer.hyperparameters, usual.optimizer.state_dtype)
    );
    assert_eq!(cema.optimizer.rules, file.optimizer.rules, "rules of single layers stay");
}

/// A rule of some layers from its text.
fn layers(text: &str) -> Option<Vec<LayerRule>> {
    Some(vec![text.parse().expect("a rule")])
}

#[test]
fn layers_have_rules_of_their_own() {
    let text = "[optimizer]\nhyperparameters = { alpha = 0.01 }\n[[optimizer.rules]]\nlayers = \"dense1\"\nname = \"bop\"\nhyperparameters = { threshold = 0 }";
    let file: Settings = toml::from_str(text).expect("it is TOML");
    let config = file.clone().resolve().expect("in range");
    let rule = &config.optimizer.rules[0];
    assert_eq!((&*config.optimizer.name, &*rule.hyperparameters["alpha"].to_string()), ("cema", "0.001,linear"));
    assert_eq!(again(&config), config);
    let flag = Settings { layer_optimizer: layers("dense2=latent-sgd"), ..Settings::default() }.over(file.clone());
    let scale = |rule: &OptimizerTable| rule.hyperparameters["state-init-scale"].value;
    let from = Settings { init_from: Some("runs/before".into()), ..flag.clone() };
    let scaled = from.clone().resolve().expect("in range");
    let rules = &scaled.optimizer.rules;
    assert_eq!((rules.len(), &*rules[0].layers, scale(&scaled.optimizer)), (1, "dense2", 100.0));
    let zero_settings = Settings { state_init: Some("zero".into()), ..from };
    let zero = zero_settings.clone().resolve().expect("in range");
    assert_eq!(scale(&zero.optimizer), 0.0, "as it was asked for");
    let by_number = Settings { state_init: None, state_init_scale: Some(0.0.into()), ..zero_settings.clone() };
    let by_number = by_number.resolve().expect("in range");
    assert_eq!(scale(&by_number.optimizer), 0.0, "as it was asked for");
    let layer = layers("dense2=ema,state-init-scale=0");
    let of_layer = Settings { state_init: None, layer_optimizer: layer, ..zero_settings }.resolve().expect("in range");
    let of_rule = of_layer.optimizer.rules[0].hyperparameters["state-init-scale"].value;
    assert_eq!([scale(&of_layer.optimizer), of_rule], [100.0, 0.0], "as it was asked for");
    for config in [scaled, zero, by_number, of_layer] {
        assert_eq!(again(&config), config);
    }
    let of_first_rule = |settings: Settings| {
        let table = settings.resolve().expect("in range").optimizer;
        [scale(&table), table.rules[0].hyperparameters["state-init-scale"].value]
    };
    assert_eq!(of_first_rule(file.clone()), [5.0; 2], "the default of all filters");
    let zero = Settings { state_init: Some("zero".into()), ..file.clone() };
    assert_eq!(of_first_rule(zero), [0.0; 2], "state-init is for all filters");
    // The configuration of a run without given weights has its default, which is not that of given weights.
    let given = Settings { init_from: Some("runs/before".into()), ..Settings::default() };
    assert_eq!(of_first_rule(given.clone().over(config.settings())), [100.0; 2]);
    let again_given = given.clone().over(config.settings()).resolve().expect("in range");
    assert_eq!(again(&again_given), again_given);
    let asked = Settings { state_init_scale: Some(5.0.into()), ..given };
    assert_eq!(of_first_rule(asked.over(config.settings())), [5.0, 100.0], "as it was asked for");
    let many = Settings { layer_optimizer: Some(vec!["*=ema".parse().expect("a rule"); 7]), ..Settings::default() };
    assert!(many.resolve().is_err_and(|e| e.to_string().contains("at most 6 patterns, got 7")));
    // A file has texts as flags do, or tables.
    let file =
        "layer-optimizer = [\"dense1=bop,alpha=1e-4\", { layers = \"*\", name = \"iir\", filter = { order = 3 } }]";
    let rules = toml::from_str::<Settings>(file).expect("it is TOML").layer_optimizer.expect("two rules");
    assert_eq!(rules[0], "dense1=bop,alpha=1e-4".parse().expect("a rule"));
    assert_eq!(rules[1].filter.as_ref().and_then(|filter| filter.order), Some(3));
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

#[test]
fn initial_states_take_no_schedule_wherever_they_are_set() {
    let file = |text: &str| toml::from_str::<Settings>(text).expect("it is TOML").resolve().map(drop);
    let of = |text: &str| text.parse().expect("a hyperparameter");
    let scaled = |init: Option<&str>, scale: &str| {
        let (state_init, state_init_scale) = (init.map(String::from), Some(of(scale)));
        Settings { state_init, state_init_scale, ..Settings::default() }.resolve().map(drop)
    };
    let flag = |rule: &str| Settings { layer_optimizer: layers(rule), ..Settings::default() }.resolve().map(drop);
    let one = |rule: &str, name: &str, value: &str| {
        let base = Settings { optimizer: Some(OptimizerTable::named(rule)), ..Settings::default() };
        Settings::parse(name, value).expect("a value").over(base).resolve().map(drop)
    };
    for (hyperparameter, refused) in [
        ("state-init-scale", scaled(None, "1e-3,linear")),
        ("state-init-scale", scaled(Some("scaled"), "1e-3,linear")),
        ("state-init-scale", scaled(Some("zero"), "0,linear")),
        ("state-init-scale", file("state-init-scale = \"1e-3,linear\"")),
        (
            "state-init-scale",
            file("[optimizer]\nname = \"diode\"\nhyperparameters = { state-init-scale = \"1e-3,warmup:5\" }"),
        ),
        ("init", file("[optimizer]\nname = \"latent-sgd\"\nhyperparameters = { init = \"0.1,cosine\" }")),
        (
            "init",
            file("[[optimizer.rules]]\nlayers = \"*\"\nname = \"signum\"\nhyperparameters = { init = \"1,linear\" }"),
        ),
        (
            "state-init-scale",
            file("state-init = \"zero\"\nlayer-optimizer = [\"dense1=ema,state-init-scale=1,linear\"]"),
        ),
        ("state-init-scale", flag("dense1=bop,state-init-scale=1e-3,linear")),
        ("init", flag("dense1=latent-adam,init=1,exponential:0.1")),
        ("state-init-scale", one("ema", "state-init-scale", "1e-3,linear")),
        ("init", one("latent-sgd", "init", "0.1,linear")),
    ] {
        let error = refused.expect_err("a schedule for initial states");
        let text = error.to_string();
        assert!(
            error.is_usage() && text.contains(&format!("{hyperparameter}: expected a number without a schedule")),
            "{text}"
        );
    }
    file("state-init-scale = \"1e-3,constant\"").expect("as in resolved files");
    one("ema", "state-init-scale", "1e-3").expect("a number");
}

/// The configuration that the saved file of another one resolves to.
fn again(config: &TrainConfig) -> TrainConfig {
    let text = config.to_toml().expect("plain text");
    let file: Settings = toml::from_str(&text).unwrap_or_else(|e| panic!("{e} in {text}"));
    file.resolve().expect("in range")
}

/// A value of every setting as a flag has it, and what must stand beside it, as a file has it.
const VALUES: [(&str, &str, &str); 70] = [
    ("dataset", "cifar100", "data-dir = \"d\""),
    ("data-dir", "d", "dataset = \"mnist\""),
    ("limit", "77", ""),
    ("validation", "0.25", ""),
    ("split-seed", "77", ""),
    ("augment", "pad-crop,flip", ""),
    ("image-size", "20x30", "dataset = \"folder\""),
    ("crop", "6x7", ""),
    ("channels", "1", "dataset = \"folder\""),
    ("background", "#102030", "dataset = \"folder\""),
    ("mean", "0.1,0.2", ""),
    ("std", "0.3", ""),
    ("strict", "true", "dataset = \"folder\""),
    ("model", "binarynet", ""),
    ("hidden", "7,8", ""),
    ("dropout", "0.1,0.2", ""),
    ("width", "0.5", ""),
    ("full-precision", "true", ""),
    ("surrogate", "swish", ""),
    ("init-from", "runs/1", ""),
    ("loss", "squared-hinge", ""),
    ("label-smoothing", "0.125", ""),
    ("teacher", "runs/1", ""),
    ("class-weights", "balanced", ""),
    ("early-stopping", "7", ""),
    ("teacher-logits", "file", ""),
    ("teacher-weight", "0.75", "teacher = \"runs/1\""),
    ("temperature", "3", "teacher = \"runs/1\""),
    ("batch-size", "77", ""),
    ("epochs", "77", ""),
    ("no-fuse", "true", ""),
    ("seed", "77", ""),
    ("device", "cpu", ""),
    ("threads", "3", ""),
    ("optimizer", "bop", ""),
    ("state-init", "zero", ""),
    ("target-flip-ratio", "0.125,linear", ""),
    ("float-optimizer", "sgd", ""),
    ("float-rate", "0.5", ""),
    ("float-schedule", "cosine", ""),
    ("float-beta1", "0.5", ""),
    ("float-beta2", "0.5", ""),
    ("float-epsilon", "0.5", ""),
    ("float-momentum", "0.5", "float-optimizer = \"sgd\""),
    ("float-weight-decay", "0.5", ""),
    ("diagnostics", "7", ""),
    ("tensorboard", "true", ""),
    ("layer-optimizer", "dense1=bop,alpha=0.5,linear", ""),
    ("hyperparameters", "paper", "optimizer = \"bop\""),
    ("state-dtype", "i16", ""),
    ("state-init-scale", "0.5", ""),
    ("alpha", "0.5,cosine:0.125", ""),
    ("gamma", "0.5", ""),
    ("sigma", "0.5", "optimizer = \"bop2\""),
    ("threshold", "0.5", "optimizer = \"bop\""),
    ("lr", "0.5", "optimizer = \"signum\""),
    ("momentum", "0.5", "optimizer = \"signum\""),
    ("beta1", "0.5", "optimizer = \"latent-adam\""),
    ("beta2", "0.5", "optimizer = \"latent-adam\""),
    ("weight-decay", "0.5", "optimizer = \"signum\""),
    ("clip", "off", "optimizer = \"signum\""),
    ("init", "0.5", "optimizer = \"signum\""),
    ("design", "bessel", "optimizer = \"iir\""),
    ("order", "5", "optimizer = \"iir\""),
    ("cutoff", "77", "optimizer = \"iir\""),
    ("poles", "0.9,0.8+0.1i", "optimizer = \"iir\""),
    ("b", "0.1", "optimizer = \"iir\"\na = [1, -0.9]"),
    ("a", "2,-1.8", "optimizer = \"iir\"\nb = [0.2]"),
    ("seed", "18446744073709551615", ""),
    ("augment", "none", "dataset = \"cifar10\"\ndata-dir = \"d\""),
];

#[test]
fn every_setting_of_the_table_comes_back_from_a_saved_configuration() {
    for row in TABLE.iter() {
        assert!(VALUES.iter().any(|(name, ..)| *name == row.name), "no value of {} is tested", row.name);
        assert!(!row.doc.is_empty() && row.help().starts_with(&row.doc), "{}", row.name);
    }
    for (name, text, beside) in VALUES {
        let beside: Settings = toml::from_str(beside).expect("it is TOML");
        let one = Settings::parse(name, text).expect(name);
        let field = name.replace('-', "_");
        assert_eq!(one.value(&field).map(|value| value.text()).as_deref(), Some(text), "{name}");
        let without = beside.clone().resolve();
        let config = one.over(beside).resolve().unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(without.is_err() || without.is_ok_and(|without| without != config), "{name} changes nothing");
        assert_eq!(again(&config), config, "{name}");
        // What a configuration is saved as sets nothing else.
        assert_eq!(config.settings().over(config.settings()), config.settings(), "{name}");
    }
}

#[test]
fn hyperparameters_of_all_rules_are_settings() {
    let is_setting = |name: &str| TABLE.iter().any(|row| row.name == name && row.default.is_some());
    let binary = BINARY_RULES.into_iter().flat_map(|rule| rule.hyperparameters.iter().map(|spec| spec.name));
    let float = FLOAT_RULES.iter().flat_map(|rule| rule.hyperparameters.iter().map(|spec| spec.name));
    binary.chain(float).for_each(|name| assert!(is_setting(name), "no setting `{name}`"));
}

#[test]
fn texts_of_values_are_checked() {
    for (name, text, words) in [
        ("alfa", "1", "the name of a setting"),
        ("batch_size", "10", "the name of a setting"),
        ("batch-size", "1", "batch-size: expected at least 2, got 1"),
        ("epochs", "-1", "epochs: expected a whole number, got -1"),
        ("width", "0", "width: expected a number in (0, 64], got 0"),
        ("width", "nan", "width: expected a number in (0, 64], got NaN"),
        ("loss", "hinge", "loss: expected cross-entropy, squared-hinge, got hinge"),
        ("loss", "cross-entropy,squared-hinge", "got cross-entropy,squared-hinge"),
        ("augment", "flip,spin", "augment: expected none, pad-crop"),
        ("dropout", "0.1", "dropout: expected two numbers, got 0.1"),
        ("strict", "maybe", "strict: expected true or false, got maybe"),
        ("alpha", "1e-3,nope", "alpha: schedule: expected constant"),
        ("alpha", "fast", "alpha: expected NUMBER or NUMBER,SCHEDULE, got fast"),
        ("layer-optimizer", "dense1", "layer-optimizer: expected LAYERS=RULE"),
        ("poles", "p", "poles: expected numbers"),
        ("state-dtype", "i4", "state-dtype: expected f32, f16, i16, i8, got i4"),
    ] {
        let error = Settings::parse(name, text).expect_err(text);
        let line = error.to_string();
        assert!(error.is_usage() && line.contains(words), "expected `{words}` in: {line}");
        assert!(line.matches(name).count() <= 1 + words.matches(name).count(), "said twice: {line}");
    }
    let list = |text: &str| Settings::parse("augment", text).expect(text).augment.expect("it is set");
    assert_eq!(list("pad-crop,flip"), list("[\"pad-crop\", \"flip\"]"));
    let mut rules = Settings::parse("layer-optimizer", "dense1=bop").expect("a rule");
    rules.add(Settings::parse("layer-optimizer", "*=ema").expect("a rule"));
    assert_eq!(rules.layer_optimizer.map(|rules| rules.len()), Some(2), "repeated");
}

#[test]
fn old_names_are_refused_with_the_new_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config.toml");
    for (text, old, new) in [
        ("rule = [\"dense1=bop\"]", "rule", "layer-optimizer"),
        ("state = \"i16\"", "state", "state-dtype"),
        ("epochs = 1\nfloat = true", "float", "full-precision"),
        ("start = \"hold\"", "start", "state-init"),
        ("hold = 1e-6", "hold", "state-init-scale"),
        ("preset = \"paper\"", "preset", "hyperparameters"),
        ("[optimizer]\nname = \"cema\"\nstate = \"i16\"", "state", "state-dtype"),
        ("[optimizer.hyperparameters]\nhold = 0.0", "hold", "state-init-scale"),
        ("[optimizer.knobs]\nalpha = 0.1", "knobs", "hyperparameters"),
        ("[[optimizer.rules]]\nlayers = \"*\"\nname = \"ema\"\nstate = \"i8\"", "state", "state-dtype"),
    ] {
        std::fs::write(&path, text).expect("it is written");
        let error = Settings::read(&path).expect_err(text);
        let line = error.to_string();
        assert!(error.is_usage() && line.contains(&format!("`{new}`, which replaces `{old}`")), "{line}");
        assert!(line.contains("config.toml") && !line.contains('\n'), "{line}");
    }
    for key in crate::optim::FilterSpec::KEYS {
        assert!(TABLE.iter().any(|row| row.name == key), "{key}");
    }
    for (old, new) in RENAMED {
        let new = new.split(' ').next().expect("a name");
        assert!(TABLE.iter().all(|row| row.name != old) && TABLE.iter().any(|row| row.name == new), "{old}");
    }
    for wrong in ["dense1=bop,hold=1", "dense1=ema,state=i16"] {
        assert!(wrong.parse::<LayerRule>().is_err_and(|e| e.to_string().contains("which replaces")), "{wrong}");
    }
}
