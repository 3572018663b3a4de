//! Knobs as pure functions of the step.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// How a knob moves from its value at the first step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Stays.
    Constant,
    /// value * (1 - step / total): reaches 0 after the last step.
    Linear,
    /// value * (1 + cos(pi step / total)) / 2: reaches 0 after the last step.
    Cosine,
}

impl Schedule {
    /// Every schedule by name.
    pub const NAMES: [(&'static str, Self); 3] =
        [("constant", Self::Constant), ("linear", Self::Linear), ("cosine", Self::Cosine)];

    /// The schedule of that name.
    pub fn named(name: &str) -> Result<Self> {
        let found = Self::NAMES.iter().find(|(n, _)| *n == name).map(|(_, s)| *s);
        found.ok_or_else(|| Error::setting("schedule", Self::NAMES.map(|(n, _)| n).join(", "), name))
    }

    /// The knob at step `step` (from 0) of `total`, where it starts at `value`.
    pub fn at(self, value: f32, step: u64, total: u64) -> f32 {
        let share = if total == 0 { 0.0 } else { step as f64 / total as f64 };
        let factor = match self {
            Self::Constant => 1.0,
            Self::Linear => 1.0 - share,
            Self::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * share).cos()),
        };
        (f64::from(value) * factor) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends() {
        assert_eq!(Schedule::Constant.at(0.5, 10, 10), 0.5);
        for schedule in [Schedule::Linear, Schedule::Cosine] {
            assert_eq!(schedule.at(0.5, 0, 10), 0.5);
            assert!((schedule.at(0.5, 5, 10) - 0.25).abs() < 1e-7);
            assert!(schedule.at(0.5, 10, 10).abs() < 1e-7);
        }
    }
}
