//! The roll-call: rules by name.

use super::adam::Adam;
use super::filter::{CascadedEma, Ema};
use super::optimizer::Optimizer;
use super::schedule::Schedule;
use super::sgd::Sgd;
use crate::error::{Error, Result};

/// A rule for binary weights, made from alpha, gamma and alpha's schedule.
#[derive(Clone, Copy)]
pub struct BinaryRule {
    /// Name in flags and files.
    pub name: &'static str,
    /// Makes it; refuses knobs outside their range.
    pub make: fn(f32, f32, Schedule) -> Result<Box<dyn Optimizer>>,
}

/// Every rule for binary weights.
pub static BINARY_RULES: [BinaryRule; 2] = [
    BinaryRule { name: "cema", make: |alpha, gamma, schedule| Ok(Box::new(CascadedEma::new(alpha, gamma, schedule)?)) },
    BinaryRule { name: "ema", make: |alpha, _, schedule| Ok(Box::new(Ema::new(alpha, schedule)?)) },
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
        BINARY_RULES.iter().find(|r| r.name == name).ok_or_else(|| Error::setting("optimizer", names, name))
    }
}

impl FloatRule {
    /// The rule of that name.
    pub fn named(name: &str) -> Result<&'static Self> {
        let names = FLOAT_RULES.map(|r| r.name).join(", ");
        FLOAT_RULES.iter().find(|r| r.name == name).ok_or_else(|| Error::setting("float-optimizer", names, name))
    }
}
