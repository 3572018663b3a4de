//! The roll-call: rules by name.

use super::adam::Adam;
use super::binary::BinaryRule;
use super::knob::Range;
use super::optimizer::Optimizer;
use super::schedule::Schedule;
use super::sgd::Sgd;
use super::{bop, diode, filter, iir, latent};
use crate::error::{Error, Result};

/// Every rule for binary weights.
pub static BINARY_RULES: [&BinaryRule; 9] = [
    &filter::CEMA,
    &filter::EMA,
    &iir::IIR,
    &bop::BOP,
    &bop::BOP2,
    &diode::RULE,
    &latent::SIGNUM,
    &latent::LATENT_SGD,
    &latent::LATENT_ADAM,
];

/// What a float rule says of one of its knobs; those stay where they are, only the rate moves.
#[derive(Clone, Copy, Debug)]
pub struct FloatKnob {
    /// Name in flags and files.
    pub name: &'static str,
    /// What it may be.
    pub range: Range,
    /// What it is unless it is set; in f64, since 1 - beta is what enters.
    pub default: f64,
}

/// From a rate, its schedule, and knobs.
type Make = fn(f32, Schedule, &[f64]) -> Result<Box<dyn Optimizer>>;

/// A rule for float parameters, made from its rate, the rate's schedule, and its knobs.
#[derive(Clone, Copy)]
pub struct FloatRule {
    /// Name in flags and files.
    pub name: &'static str,
    /// Its knobs beside the rate.
    pub knobs: &'static [FloatKnob],
    /// Makes it from values in the order of its knobs, whose ranges are checked; refuses a rate outside its range.
    make: Make,
}

const fn knob(name: &'static str, range: Range, default: f64) -> FloatKnob {
    FloatKnob { name, range, default }
}

const DECAY: FloatKnob = knob("float-weight-decay", Range::NotNegative, 0.0);

/// Every rule for float parameters.
pub static FLOAT_RULES: [FloatRule; 2] = [
    FloatRule {
        name: "adam",
        knobs: &[
            knob("float-beta1", Range::Share, 0.9),
            knob("float-beta2", Range::Share, 0.999),
            knob("float-epsilon", Range::Positive, 1e-8),
            DECAY,
        ],
        make: |rate, schedule, knobs| {
            let (epsilon, decay) = (knobs[2] as f32, knobs[3] as f32);
            Ok(Box::new(Adam { beta1: knobs[0], beta2: knobs[1], epsilon, decay, ..Adam::new(rate, schedule)? }))
        },
    },
    FloatRule {
        name: "sgd",
        knobs: &[knob("float-momentum", Range::Share, 0.9), DECAY],
        make: |rate, schedule, knobs| {
            let (momentum, decay) = (knobs[0] as f32, knobs[1] as f32);
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

    /// All of its knobs, those that are set and else their defaults; refuses one that it does not have or that is outside its range.
    pub fn settings(&self, set: &[(&str, f64)]) -> Result<Vec<(&'static str, f64)>> {
        if let Some((name, value)) = set.iter().find(|(name, _)| self.knobs.iter().all(|knob| knob.name != *name)) {
            let names: Vec<&str> = self.knobs.iter().map(|knob| knob.name).collect();
            let expected = format!("a knob of {} ({})", self.name, names.join(", "));
            return Err(Error::setting("float-optimizer", expected, format!("{name} = {value}")));
        }
        let value = |knob: &FloatKnob| {
            let value = set.iter().find(|(name, _)| *name == knob.name).map_or(knob.default, |(_, value)| *value);
            // As the kernels see it.
            match knob.range.holds(value as f32) {
                true => Ok((knob.name, value)),
                false => Err(Error::setting(knob.name, knob.range.describe(), value)),
            }
        };
        self.knobs.iter().map(value).collect()
    }

    /// The rule with its rate, how that moves, and some knobs; the others keep their defaults.
    pub fn with(&self, rate: f32, schedule: Schedule, set: &[(&str, f64)]) -> Result<Box<dyn Optimizer>> {
        let values: Vec<f64> = self.settings(set)?.into_iter().map(|(_, value)| value).collect();
        (self.make)(rate, schedule, &values)
    }
}

#[cfg(test)]
mod tests {
    use super::super::knob::Knob;
    use super::*;

    #[test]
    fn defaults_are_in_range_and_strangers_are_named() {
        for rule in BINARY_RULES {
            let made = rule.with::<f32>([]).expect("defaults");
            assert_eq!(made.settings().count(), rule.knobs.len());
            let paper = rule.paper.iter().map(|(name, knob)| (*name, knob.parse::<Knob>().expect(knob)));
            rule.with(paper).expect("published knobs are in range");
            let error = rule.with([("volume", 11.0)]).expect_err("no such knob").to_string();
            assert!(
                error.contains(rule.name) && error.contains("volume") && error.contains(rule.knobs[0].name),
                "{error}"
            );
        }
        for rule in &FLOAT_RULES {
            assert_eq!(rule.settings(&[]).expect("defaults").len(), rule.knobs.len());
            for knob in rule.knobs {
                let error = rule.settings(&[(knob.name, -1.0)]).expect_err("none is negative").to_string();
                assert!(error.starts_with(knob.name) && error.contains("-1"), "{error}");
            }
            let error = rule.settings(&[("volume", 11.0)]).expect_err("no such knob").to_string();
            assert!(error.contains(rule.name) && error.contains("volume = 11"), "{error}");
            assert!(error.contains(rule.knobs[0].name), "{error}");
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
