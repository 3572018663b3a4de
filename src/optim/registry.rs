//! The registry of rules, by name.

use super::hyperparameter::Range;
use super::kernels::BINARY_RULES;
use super::optimizer::Optimizer;
use super::rule::BinaryRule;
use super::schedule::Schedule;
use crate::error::{Error, Result};
use crate::optim::rules::adam::Adam;
use crate::optim::rules::sgd::Sgd;

/// What a float rule says of one of its hyperparameters; those stay where they are, only the rate moves.
#[derive(Clone, Copy, Debug)]
pub struct FloatHyperparameter {
    /// Name in flags and files.
    pub name: &'static str,
    /// What it may be.
    pub range: Range,
    /// What it is unless it is set; in f64, since 1 - beta is what enters.
    pub default: f64,
}

/// From a rate, its schedule, and hyperparameters.
type Make = fn(f32, Schedule, &[f64]) -> Result<Box<dyn Optimizer>>;

/// A rule for float parameters, made from its rate, the rate's schedule, and its hyperparameters.
#[derive(Clone, Copy)]
pub struct FloatRule {
    /// Name in flags and files.
    pub name: &'static str,
    /// Its hyperparameters beside the rate.
    pub hyperparameters: &'static [FloatHyperparameter],
    /// Makes it from values in the order of its hyperparameters, whose ranges are checked; refuses a rate outside its range.
    make: Make,
}

const fn hyperparameter(name: &'static str, range: Range, default: f64) -> FloatHyperparameter {
    FloatHyperparameter { name, range, default }
}

const DECAY: FloatHyperparameter = hyperparameter("float-weight-decay", Range::NotNegative, 0.0);

/// Every rule for float parameters.
pub static FLOAT_RULES: [FloatRule; 2] = [
    FloatRule {
        name: "adam",
        hyperparameters: &[
            hyperparameter("float-beta1", Range::Share, 0.9),
            hyperparameter("float-beta2", Range::Share, 0.999),
            hyperparameter("float-epsilon", Range::Positive, 1e-8),
            DECAY,
        ],
        make: |rate, schedule, hyperparameters| {
            let (epsilon, decay) = (hyperparameters[2] as f32, hyperparameters[3] as f32);
            Ok(Box::new(Adam {
                beta1: hyperparameters[0],
                beta2: hyperparameters[1],
                epsilon,
                decay,
                ..Adam::new(rate, schedule)?
            }))
        },
    },
    FloatRule {
        name: "sgd",
        hyperparameters: &[hyperparameter("float-momentum", Range::Share, 0.9), DECAY],
        make: |rate, schedule, hyperparameters| {
            let (momentum, decay) = (hyperparameters[0] as f32, hyperparameters[1] as f32);
            Ok(Box::new(Sgd { momentum, decay, ..Sgd::new(rate, schedule)? }))
        },
    },
];

impl BinaryRule {
    /// The rule of that name.
    pub fn named(name: &str) -> Result<&'static Self> {
        let names = BINARY_RULES.map(|r| r.name).join(", ");
        BINARY_RULES.into_iter().find(|r| r.name == name).ok_or_else(|| Error::setting("optimizer", names, name))
    }
}

impl FloatRule {
    /// The rule of that name.
    pub fn named(name: &str) -> Result<&'static Self> {
        let names = FLOAT_RULES.map(|r| r.name).join(", ");
        FLOAT_RULES.iter().find(|r| r.name == name).ok_or_else(|| Error::setting("float-optimizer", names, name))
    }

    /// All of its hyperparameters, those that are set and else their defaults; refuses one that it does not have or that is outside its range.
    pub fn settings(&self, set: &[(&str, f64)]) -> Result<Vec<(&'static str, f64)>> {
        if let Some((name, value)) =
            set.iter().find(|(name, _)| self.hyperparameters.iter().all(|hyperparameter| hyperparameter.name != *name))
        {
            let names: Vec<&str> = self.hyperparameters.iter().map(|hyperparameter| hyperparameter.name).collect();
            let expected = format!("a hyperparameter of {} ({})", self.name, names.join(", "));
            return Err(Error::setting("float-optimizer", expected, format!("{name} = {value}")));
        }
        let value = |hyperparameter: &FloatHyperparameter| {
            let value = set
                .iter()
                .find(|(name, _)| *name == hyperparameter.name)
                .map_or(hyperparameter.default, |(_, value)| *value);
            // As the kernels see it.
            match hyperparameter.range.holds(value as f32) {
                true => Ok((hyperparameter.name, value)),
                false => Err(Error::setting(hyperparameter.name, hyperparameter.range.describe(), value)),
            }
        };
        self.hyperparameters.iter().map(value).collect()
    }

    /// The rule with its rate, how that moves, and some hyperparameters; the others keep their defaults.
    pub fn with(&self, rate: f32, schedule: Schedule, set: &[(&str, f64)]) -> Result<Box<dyn Optimizer>> {
        let values: Vec<f64> = self.settings(set)?.into_iter().map(|(_, value)| value).collect();
        (self.make)(rate, schedule, &values)
    }
}

#[cfg(test)]
mod tests {
    use super::super::hyperparameter::Hyperparameter;
    use super::*;

    #[test]
    fn defaults_are_in_range_and_strangers_are_named() {
        for rule in BINARY_RULES {
            let made = rule.with::<f32>([]).expect("defaults");
            assert_eq!(made.settings().count(), rule.hyperparameters.len());
            let paper = rule
                .paper
                .iter()
                .map(|(name, hyperparameter)| (*name, hyperparameter.parse::<Hyperparameter>().expect(hyperparameter)));
            rule.with(paper).expect("published hyperparameters are in range");
            let error = rule.with([("volume", 11.0)]).expect_err("no such hyperparameter").to_string();
            assert!(
                error.contains(rule.name) && error.contains("volume") && error.contains(rule.hyperparameters[0].name),
                "{error}"
            );
        }
        for rule in &FLOAT_RULES {
            assert_eq!(rule.settings(&[]).expect("defaults").len(), rule.hyperparameters.len());
            for hyperparameter in rule.hyperparameters {
                let error = rule.settings(&[(hyperparameter.name, -1.0)]).expect_err("none is negative").to_string();
                assert!(error.starts_with(hyperparameter.name) && error.contains("-1"), "{error}");
            }
            let error = rule.settings(&[("volume", 11.0)]).expect_err("no such hyperparameter").to_string();
            assert!(error.contains(rule.name) && error.contains("volume = 11"), "{error}");
            assert!(error.contains(rule.hyperparameters[0].name), "{error}");
        }
        let made = |name: &str, set: &[(&str, f64)]| {
            let rule = FloatRule::named(name).expect("there is one").with(0.5, Schedule::constant(), set);
            format!("{:?}", rule.expect("in range"))
        };
        let adam =
            [("float-beta2", 0.75), ("float-beta1", 0.25), ("float-weight-decay", 0.125), ("float-epsilon", 2.0)];
        let adam = made("adam", &adam);
        assert!(adam.contains("beta1: 0.25, beta2: 0.75, epsilon: 2.0, decay: 0.125"), "{adam}");
        let sgd = made("sgd", &[("float-weight-decay", 0.125), ("float-momentum", 0.25)]);
        assert!(sgd.contains("momentum: 0.25, decay: 0.125"), "{sgd}");
        let defaults = made("sgd", &[]);
        assert!(defaults.contains("momentum: 0.9, decay: 0.0"), "{defaults}");
        assert!(BinaryRule::named("sgd").is_err_and(|e| e.is_usage() && e.to_string().contains("latent-sgd")));
    }
}
