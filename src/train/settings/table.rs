//! The table of settings. A new setting is one row here: from it come the flag, the key in files, merging, the help text, the check of its
//! range or names, and the field of [`TrainConfig`]; the code that it is for reads that field.

use super::declare::{resolved_type, resolved_value, setting_value, settings, shown_default};
use super::optimizer::{LayerRule, OptimizerTable};
use super::setting::{Form, Owner, Setting, float_hyperparameter, hyperparameter, switch, value};
use super::value::Value;
use crate::data::{AUGMENTATIONS, DATASETS, DataSpec};
use crate::error::Result;
use crate::nn::{MODELS, ZooModel};
use crate::ops::SURROGATES;
use crate::optim::{
    BINARY_RULES, BinaryRule, DESIGNS, FLOAT_RULES, Hyperparameter, MAX_BIQUADS, Poles, Schedule, StateType,
};
use serde::{Deserialize, Serialize};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::path::PathBuf;
use std::sync::LazyLock;

/// Names of the losses.
pub const LOSSES: [&str; 2] = ["cross-entropy", "squared-hinge"];

settings! {
    resolved {
        "Data" {
            /// Data set
            dataset: String = |s| s.dataset().into(); value("NAME").one_of(DATASETS);

            /// Folder of the data set's files; none for digits, which are part of the program
            data_dir: PathBuf; value("DIR").of(Owner::Dataset);

            /// Use at most N training images, class-balanced
            limit: usize; value("N").by_default("all");

            /// Fraction of each class's training images that is held out for validation
            validation: f32 = |_| 0.0; value("FRACTION").within(0.0..1.0);

            /// Seed of splits that a data set does not define: validation images, and test images of a folder without a test set
            split_seed: u64 = |_| 0; value("N");

            /// Augmentations of training images, applied in the order of this list
            augment: Vec<String> = |s| DataSpec::usual_augment(s.dataset()).iter().map(|name| name.to_string()).collect();
                value("NAME,...").one_of([&["none"], &AUGMENTATIONS[..]].concat())
                    .by_default("pad-crop,flip for cifar10 and cifar100, else none");

            /// Image size of a folder: images are scaled to cover it, then centre-cropped
            image_size: String; value("HxW").by_default("no scaling; 32x32 for svhn-folder");

            /// Crop size; centre crop in evaluation, the augmentation's crop in training
            crop: String; value("HxW").by_default("the whole image");

            /// Channels of a folder's images: 1 (grey) or 3 (colour)
            channels: usize; value("N").by_default("3 if any image is in colour, else 1");

            /// Colour under transparent pixels of a folder's images: white, black, #RRGGBB, or none to drop alpha
            background: String; value("COLOUR").by_default("white");

            /// Pixel mean for normalisation, as a fraction of the largest byte; per channel, or one for all
            mean: Vec<f32>; value("X,...").by_default("the data set's");

            /// Pixel standard deviation for normalisation, as a fraction of the largest byte; per channel, or one for all
            std: Vec<f32>; value("X,...").by_default("the data set's");

            /// Treat warnings about data as errors: images that cannot be read, and test images that this run, or the one of --init-from or
            /// --teacher, is trained on
            strict: bool = |_| false; switch();
        }
        "Network" {
            /// Network
            model: String = |s| s.model().into(); value("NAME").one_of(MODELS.iter().map(|model| model.name));

            /// Units of the hidden layers of mlp
            hidden: Vec<usize> => |s| (s.model() == "mlp").then(|| s.hidden_default());
                value("N,...").of(Owner::Model).by_default("4096,4096,4096; 512,512 for digits");

            /// Dropout probabilities of the MLP's input and hidden activations, each in [0, 1)
            dropout: [f64; 2]; value("INPUT,HIDDEN").of(Owner::Model).by_default("0,0");

            /// Width multiplier: scales the channels and hidden units of every layer
            width: f64 = |_| 1.0; value("FACTOR").within((Excluded(0.0), Included(64.0)));

            /// Use float weights, and ReLU in the place of sign: the full-precision baseline
            full_precision: bool = |_| false; switch();

            /// Surrogate gradient of sign
            surrogate: String = |s| s.zoo().map_or("clip", |zoo| zoo.surrogate).into();
                value("NAME").one_of(SURROGATES.iter().map(|surrogate| surrogate.name)).by_default("as published with the network");

            /// Initialise the weights from a run of the same network; if its classes are others, all layers but the last
            init_from: PathBuf; value("RUN");
        }
        "Training" {
            /// Loss
            loss: String = |_| "cross-entropy".into(); value("NAME").one_of(LOSSES);

            /// Label smoothing: fraction of the target that is spread evenly over all classes
            label_smoothing: f32 = |_| 0.0; value("FRACTION").within(0.0..1.0).note("cross-entropy only");

            /// Weights of the classes in the training loss: balanced (by the inverse of their numbers of images), or one per class. Reported
            /// losses are without them
            class_weights: String; value("balanced|W,...").by_default("1 each");

            /// Distil from a trained run with the same classes
            teacher: PathBuf; value("RUN");

            /// Distil from a file of logits of all training images, as `eval --logits` writes it
            teacher_logits: PathBuf; value("FILE");

            /// Weight W of the distillation loss
            teacher_weight: f32 => |s| s.is_taught().then_some(0.5);
                value("W").within(0.0..=1.0).note("the loss on labels has weight 1 - W").by_default("0.5");

            /// Distillation temperature of teacher and student
            temperature: f32 => |s| s.is_taught().then_some(2.0); value("T").within(1e-3..=1e3).by_default("2");

            /// Images per batch
            batch_size: usize; value("N").within(2.0..).by_default("100; below 1000 training images about a tenth of them, at least 48");

            /// Passes over the training images
            epochs: u32; value("N").within(1.0..).by_default("6; 30 for digits; more for at least 400 steps");

            /// Stop after N epochs without a higher validation accuracy
            early_stopping: u32; value("N").within(1.0..).by_default("off");

            /// Run every operation as a kernel of its own: slower, same results
            no_fuse: bool = |_| false; switch();

            /// Seed of all random numbers of the run
            seed: u64 = |_| 1; value("N").global();

            /// Device: auto (the first GPU, else the processor), cpu, gpu (the first GPU that is hardware), a number that `plusminus devices` prints, or part of a name
            device: String = |_| "auto".into(); value("DEVICE").global();

            /// Threads of the cpu engine, and of the data loader
            threads: usize; value("N").by_default("all cores").global();
        }
        "Optimizer of binary weights" {
            /// Rule
            optimizer: OptimizerTable = |_| OptimizerTable::default();
                value("RULE").one_of(BINARY_RULES.map(|rule| rule.name))
                    .note("hyperparameters that the rule does not have are refused");

            /// Steer each layer's rate (alpha or lr) so that this share of its weights flips in a step
            target_flip_ratio: Hyperparameter;
                value("RATIO[,SCHEDULE]").note("in (0, 1]; the rate then has no schedule by default").by_default("no control");
        }
        "Optimizer of float parameters" {
            /// Rule
            float_optimizer: String = |s| s.float_optimizer().into(); value("RULE").one_of(FLOAT_RULES.iter().map(|rule| rule.name));

            /// Learning rate
            float_rate: f32 = |_| 1e-3; value("RATE").within((Excluded(0.0), Unbounded));

            /// Schedule of the learning rate, in the forms of --alpha
            float_schedule: String = |_| "constant".into(); value("SCHEDULE");

            /// Decay rate of the first moment
            float_beta1: f64 => |s| s.float_default("float-beta1"); float_hyperparameter("float-beta1");

            /// Decay rate of the second moment
            float_beta2: f64 => |s| s.float_default("float-beta2"); float_hyperparameter("float-beta2");

            /// Number added to the root of the second moment
            float_epsilon: f64 => |s| s.float_default("float-epsilon"); float_hyperparameter("float-epsilon");

            /// Momentum
            float_momentum: f64 => |s| s.float_default("float-momentum"); float_hyperparameter("float-momentum");

            /// Weight decay (L2, added to the gradient as in PyTorch's Adam and SGD; also of batch norm's parameters)
            float_weight_decay: f64 => |s| s.float_default("float-weight-decay"); float_hyperparameter("float-weight-decay");
        }
        "Output" {
            /// Inspect every layer each N steps (100 without N; 0: never): flips, weights that never flipped or oscillate, magnitudes of
            /// gradients and states, masked gradients, dead channels
            diagnostics: u64 = |_| 0; value("N").or("100");

            /// Write event files for TensorBoard into the run's folder
            tensorboard: bool = |_| false; switch();
        }
    }
    folded {
        "Optimizer of binary weights" {
            /// Rule of some layers, such as 'conv*=bop,alpha=1e-4' or 'dense*=cema,state-dtype=i16'; the first pattern that matches a
            /// layer's name wins
            layer_optimizer: Vec<LayerRule>; value("LAYERS=RULE[,NAME=VALUE...]").note("may be repeated");

            /// Source of hyperparameters that are not set
            hyperparameters: String;
                value("SOURCE").of(Owner::Optimizer).one_of(["defaults", "paper"])
                    .note(format!("published values exist for {}", rules(|rule| !rule.paper.is_empty()))).by_default("defaults");

            /// Storage format of states
            state_dtype: StateType;
                value("DTYPE").of(Owner::Optimizer).one_of(StateType::ALL).by_default("f32")
                    .note(format!("other than f32 only for {}", rules(has_narrow_states)));

            /// Initial filter states
            state_init: String;
                value("INIT").one_of(["zero", "scaled"])
                    .note("from zero the first gradient decides every weight, scaled states are along the weights")
                    .by_default("scaled");

            /// Initialise filter states to -SCALE x weight, in units of the first update, by which the first step moves a layer's states
            state_init_scale: Hyperparameter;
                hyperparameter("state-init-scale").without_schedule("SCALE").by_default("5; 100 with --init-from");

            /// Rate of the filter whose sign is the weight
            alpha: Hyperparameter; hyperparameter("alpha").note(format!("schedules: {}", Schedule::FORMS));

            /// Rate of the moving average of gradients before it
            gamma: Hyperparameter; hyperparameter("gamma");

            /// Rate of the moving average of squared gradients
            sigma: Hyperparameter; hyperparameter("sigma");

            /// Magnitude of the filtered gradient above which a weight flips
            threshold: Hyperparameter; hyperparameter("threshold");

            /// Learning rate of latent weights
            lr: Hyperparameter; hyperparameter("lr");

            /// Momentum of latent weights
            momentum: Hyperparameter; hyperparameter("momentum");

            /// Decay rate of the first moment
            beta1: Hyperparameter; hyperparameter("beta1");

            /// Decay rate of the second moment
            beta2: Hyperparameter; hyperparameter("beta2");

            /// Weight decay of latent weights
            weight_decay: Hyperparameter; hyperparameter("weight-decay");

            /// Bound on the magnitude of latent weights
            clip: Hyperparameter; hyperparameter("clip");

            /// Largest magnitude of initial latent weights
            init: Hyperparameter; hyperparameter("init").without_schedule("NUMBER");

            /// Filter design of iir
            design: String; value("NAME").of(Owner::Optimizer).one_of(DESIGNS).by_default("critical");

            /// Order of the design
            order: usize; value("N").of(Owner::Optimizer).within(1.0..=2.0 * MAX_BIQUADS as f64).by_default("2");

            /// Cut-off (-3 dB) of the design, as a period in steps
            cutoff: Hyperparameter; hyperparameter("cutoff");

            /// Filter of iir by its poles, such as 0.99,0.9+0.1i; a complex pole brings its conjugate
            poles: Poles; value("POLE,...").of(Owner::Optimizer);

            /// Filter of iir by the numerator of H = (B0 + B1/z + ...) / (A0 + A1/z + ...), whose sum is the denominator's
            b: Vec<f64>; value("B0,B1,...").of(Owner::Optimizer);

            /// Denominator beside --b
            a: Vec<f64>; value("A0,A1,...").of(Owner::Optimizer);
        }
    }
}

/// A row of the table with what the macro knows of it.
fn row(
    field: &'static str,
    doc: &[&str],
    heading: &'static str,
    form: Form,
    default: Option<String>,
    setting: Setting,
) -> Setting {
    let doc = doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
    // A switch is off unless it is given.
    let default = setting.default.clone().or(default.filter(|_| form != Form::Switch));
    Setting { name: field.replace('_', "-"), doc, heading, form, default, ..setting }
}

/// Names of some rules for binary weights.
fn rules(is_one: impl Fn(&'static BinaryRule) -> bool) -> String {
    BINARY_RULES.into_iter().filter(|rule| is_one(rule)).map(|rule| rule.name).collect::<Vec<_>>().join(", ")
}

fn has_narrow_states(rule: &'static BinaryRule) -> bool {
    rule.with::<f32>([]).and_then(|made| made.with_state(StateType::I16)).is_ok()
}

/// What defaults depend on.
impl Settings {
    /// Name of the data set.
    fn dataset(&self) -> &str {
        self.dataset.as_deref().unwrap_or("digits")
    }

    fn is_digits(&self) -> bool {
        self.dataset() == "digits"
    }

    /// Name of the network.
    pub(super) fn model(&self) -> &str {
        self.model.as_deref().unwrap_or("mlp")
    }

    /// Units of the hidden layers of `mlp`.
    fn hidden_default(&self) -> Vec<usize> {
        if self.is_digits() { vec![512; 2] } else { vec![4096; 3] }
    }

    fn zoo(&self) -> Option<&'static ZooModel> {
        MODELS.iter().find(|zoo| zoo.name == self.model())
    }

    /// Whether there is a teacher.
    pub(super) fn is_taught(&self) -> bool {
        self.teacher.is_some() || self.teacher_logits.is_some()
    }

    /// Name of the rule for float parameters.
    pub(super) fn float_optimizer(&self) -> &str {
        self.float_optimizer.as_deref().unwrap_or(FLOAT_RULES[0].name)
    }

    /// Default of a hyperparameter of that rule; `None` if the rule does not have it.
    fn float_default(&self, name: &str) -> Option<f64> {
        let rule = FLOAT_RULES.iter().find(|rule| rule.name == self.float_optimizer())?;
        rule.hyperparameters.iter().find(|spec| spec.name == name).map(|spec| spec.default)
    }
}
