//! The roll-call: rules by name.

use super::adam::Adam;
use super::binary::BinaryRule;
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

/// A rule for float parameters, made from its rate and the rate's schedule.
#[derive(Clone, Copy)]
pub struct FloatRule {
    /// Name in flags and files.
    pub name: &'static str,
    /// Makes it; refuses knobs outside their range.
    pub make: fn(f32, Schedule) -> Result<Box<dyn Optimizer>>,
}

/// Every rule for float parameters.
pub static FLOAT_RULES: [FloatRule; 2] = [
    FloatRule { name: "adam", make: |rate, schedule| Ok(Box::new(Adam::new(rate, schedule)?)) },
    FloatRule { name: "sgd", make: |rate, schedule| Ok(Box::new(Sgd::new(rate, schedule)?)) },
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
        assert!(BinaryRule::named("sgd").is_err_and(|e| e.is_usage() && e.to_string().contains("latent-sgd")));
    }
}
