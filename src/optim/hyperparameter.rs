//! A hyperparameter: a number with a schedule, its text form, and the table entry that declares it.

use super::number::check_above_smallest;
use super::schedule::Schedule;
use crate::error::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Visitor};
use std::fmt;
use std::str::FromStr;

/// A hyperparameter setting: `1e-3`, `1e-3,linear`, `0.1,warmup:500,cosine`, `off`. In a file it is a number or such a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Hyperparameter {
    /// Its value at the first step.
    pub value: f32,
    /// Its schedule; `None` uses the hyperparameter's default schedule.
    pub schedule: Option<Schedule>,
}

impl Hyperparameter {
    /// Creates a number with a schedule.
    pub fn new(value: f32, schedule: Schedule) -> Self {
        Self { value, schedule: Some(schedule) }
    }

    /// Returns the value at step `step` (from 0) of `total`.
    pub fn at(&self, step: u64, total: u64) -> f32 {
        self.schedule.as_ref().map_or(self.value, |schedule| schedule.at(self.value, step, total))
    }
}

impl From<f32> for Hyperparameter {
    fn from(value: f32) -> Self {
        Self { value, schedule: None }
    }
}

impl FromStr for Hyperparameter {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (number, schedule) = match text.split_once(',') {
            Some((number, schedule)) => (number, Some(schedule.parse()?)),
            None => (text, None),
        };
        // A number beyond the range of f32 is an error and does not mean "no limit".
        let finite = || number.trim().parse().ok().filter(|value: &f32| !value.is_infinite());
        let value = if number.trim() == "off" { Some(f32::INFINITY) } else { finite() };
        let value = value.ok_or_else(|| Error::setting("hyperparameter", "NUMBER or NUMBER,SCHEDULE", text))?;
        check_above_smallest(number).map_err(|error| error.within("hyperparameter"))?;
        Ok(Self { value, schedule })
    }
}

impl fmt::Display for Hyperparameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value {
            f32::INFINITY => f.write_str("off")?,
            value => write!(f, "{value}")?,
        }
        self.schedule.as_ref().map_or(Ok(()), |schedule| write!(f, ",{schedule}"))
    }
}

impl Serialize for Hyperparameter {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let text = self.to_string();
        // The shortest decimal that reads back as this f32, not the f64 nearest to it.
        match text.parse::<f64>() {
            Ok(number) => serializer.serialize_f64(number),
            Err(_) => serializer.serialize_str(&text),
        }
    }
}

impl<'de> Deserialize<'de> for Hyperparameter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(HyperparameterVisitor)
    }
}

struct HyperparameterVisitor;

impl Visitor<'_> for HyperparameterVisitor {
    type Value = Hyperparameter;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or a text NUMBER,SCHEDULE")
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> std::result::Result<Hyperparameter, E> {
        Ok((number as f32).into())
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> std::result::Result<Hyperparameter, E> {
        Ok((number as f32).into())
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> std::result::Result<Hyperparameter, E> {
        match number as f32 {
            value if value.is_infinite() => {
                Err(E::custom(Error::setting("hyperparameter", "a number within the range of f32", number)))
            }
            0.0 => check_above_smallest(&format!("{number:e}")).map_err(E::custom).map(|()| 0.0.into()),
            value => Ok(value.into()),
        }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<Hyperparameter, E> {
        text.parse().map_err(E::custom)
    }
}

/// The range of a hyperparameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// (0, 1\]: the rate of a moving average.
    Rate,
    /// [0, 1): momentum.
    Share,
    /// Above 0.
    Positive,
    /// 0 or above.
    NotNegative,
    /// Above 0, or off.
    Limit,
    /// Above 2: a period in steps.
    Period,
}

impl Range {
    /// Whether the number is in the range. NaN is in none.
    pub fn holds(self, value: impl Into<f64>) -> bool {
        let value = value.into();
        match self {
            Self::Rate => value > 0.0 && value <= 1.0,
            Self::Share => (0.0..1.0).contains(&value),
            Self::Positive => value > 0.0 && value.is_finite(),
            Self::NotNegative => value >= 0.0 && value.is_finite(),
            Self::Limit => value > 0.0,
            Self::Period => value > 2.0 && value.is_finite(),
        }
    }

    /// Describes the range in words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Rate => "a number in (0, 1]",
            Self::Share => "a number in [0, 1)",
            Self::Positive => "a positive number",
            Self::NotNegative => "0 or a positive number",
            Self::Limit => "a positive number or off",
            Self::Period => "a number of steps above 2",
        }
    }
}

/// The declaration of a hyperparameter of a rule.
#[derive(Clone, Copy, Debug)]
pub struct HyperparameterSpec {
    /// Name in flags and files.
    pub name: &'static str,
    /// Description.
    pub doc: &'static str,
    /// Valid range.
    pub range: Range,
    /// Default value.
    pub default: f32,
    /// Text of the default schedule.
    pub schedule: &'static str,
}

impl HyperparameterSpec {
    /// Declares a hyperparameter that is constant by default.
    pub const fn new(name: &'static str, doc: &'static str, range: Range, default: f32) -> Self {
        Self { name, doc, range, default, schedule: "constant" }
    }

    /// Sets the default schedule to a linear decay to 0.
    pub const fn falling(self) -> Self {
        Self { schedule: "linear", ..self }
    }

    /// Returns the hyperparameter as set, or the default, with its schedule, after a check of its range. A schedule may end at 0 whatever
    /// the range, except for a period, which must stay at 2 or above.
    pub fn resolve(&self, set: Option<&Hyperparameter>) -> Result<Hyperparameter> {
        let hyperparameter = set.cloned().unwrap_or_else(|| self.default.into());
        let wrong = |got: &dyn fmt::Display| Error::setting(self.name, self.range.describe(), got);
        if hyperparameter.value == f32::INFINITY && self.range != Range::Limit {
            return Err(wrong(&"off, which is valid only for a limit such as clip"));
        }
        if !self.range.holds(hyperparameter.value) {
            return Err(wrong(&hyperparameter.value));
        }
        let schedule =
            hyperparameter.schedule.unwrap_or_else(|| self.schedule.parse().expect("defaults are schedules"));
        if !schedule.ends().all(|end| self.may_move_to(end)) {
            return Err(wrong(&schedule));
        }
        Ok(Hyperparameter::new(hyperparameter.value, schedule))
    }

    /// Fails for a value outside the range.
    pub(super) fn check(&self, value: f32) -> Result<()> {
        if self.range.holds(value) { Ok(()) } else { Err(Error::setting(self.name, self.range.describe(), value)) }
    }

    fn may_move_to(&self, value: f32) -> bool {
        self.range.holds(value) || (value == 0.0 && self.range != Range::Period)
    }

    /// Fails if the hyperparameter leaves its range in a run of `total` steps; checks at most 1000 evenly spaced steps and the last.
    pub(super) fn check_steps(&self, hyperparameter: &Hyperparameter, total: u64) -> Result<()> {
        let every = total.div_ceil(1000).max(1) as usize;
        for step in (0..total).step_by(every).chain(total.checked_sub(1)) {
            let value = hyperparameter.at(step, total);
            if !self.may_move_to(value) {
                let got = format!("{value} at step {step} of {total}, by {hyperparameter}");
                return Err(Error::setting(self.name, self.range.describe(), got));
            }
        }
        Ok(())
    }
}

/// The range of the rate of a rule for float parameters.
pub(super) const FLOAT_RATE: HyperparameterSpec =
    HyperparameterSpec::new("float-rate", "learning rate of float parameters", Range::Positive, 1e-3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_comes_back() {
        for text in ["0.001", "off", "0.5,linear", "0.1,warmup:5,cosine:0.00001"] {
            assert_eq!(text.parse::<Hyperparameter>().expect(text).to_string(), text);
        }
        for (text, word) in [
            ("x", "NUMBER"),
            ("", "NUMBER"),
            ("1,nope", "schedule"),
            ("linear", "NUMBER"),
            ("1e39", "1e39"),
            ("inf", "inf"),
            ("1e-50", "at least 1e-45, the smallest f32, got 1e-50"),
            ("1,linear:1e-50", "the smallest f32, got 1e-50"),
        ] {
            let error = text.parse::<Hyperparameter>().expect_err(text).to_string();
            assert!(error.contains(word), "`{text}`: {error}");
        }
        let error = serde_json::from_str::<Hyperparameter>("1e39").expect_err("too large").to_string();
        assert!(error.contains("hyperparameter: expected a number within the range of f32, got 1000"), "{error}");
    }

    #[test]
    fn ranges_hold_ends_too() {
        let rate = HyperparameterSpec::new("alpha", "", Range::Rate, 0.5).falling();
        let of = |text: &str| rate.resolve(Some(&text.parse().expect(text)));
        assert_eq!(of("0.25").expect("in range"), Hyperparameter::new(0.25, Schedule::linear()));
        assert_eq!(of("0.25,constant").expect("in range"), Hyperparameter::new(0.25, Schedule::constant()));
        for wrong in ["0", "1.5", "nan", "off", "0.5,linear:2"] {
            assert!(of(wrong).is_err_and(|e| e.is_usage()), "{wrong}");
        }
        let error = of("off").expect_err("no limit").to_string();
        assert!(error.contains("alpha") && error.contains("got off") && error.contains("clip"), "{error}");
    }
}
