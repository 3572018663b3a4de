//! Schedules: the value of a hyperparameter as a pure function of the step, with a text form of one line.

use super::number::check_above_smallest;
use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// The values of a hyperparameter over a run: pieces in sequence, each of which starts at the end value of the previous one.
///
/// As text, pieces are joined by commas. `END` is a value of the hyperparameter (default 0). `@LENGTH` is a number of steps or a share of
/// the run such as `@20%`; every piece except the last requires it, and the last takes the remaining steps:
///
/// | text | from v, after t of n steps |
/// |---|---|
/// | `constant` | v |
/// | `linear:END` | END + (v - END) (1 - t / n) |
/// | `cosine:END` | END + (v - END) (1 + cos(pi t / n)) / 2 |
/// | `exponential:END` | v (END / v)^(t / n), END above 0 |
/// | `step:FACTOR:LENGTH` | v FACTOR^k after k times LENGTH |
/// | `warmup:LENGTH` | v (t + 1) / n, so the first step is not lost; only at the beginning |
///
/// `linear`, `cosine:1e-5`, `warmup:500,cosine`, `constant@50%,linear`.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule(Vec<Piece>);

#[derive(Clone, Copy, Debug, PartialEq)]
struct Piece {
    shape: Shape,
    length: Option<Length>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Constant,
    Linear(f32),
    Cosine(f32),
    Exponential(f32),
    Step(f32, Length),
    WarmUp,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Length {
    Steps(u64),
    Percent(f32),
}

impl Schedule {
    /// The forms of a piece, for help texts and errors.
    pub const FORMS: &str = "constant, linear[:END], cosine[:END], exponential:END, step:FACTOR:LENGTH, warmup:LENGTH, or several with commas, \
        each but the last with @LENGTH; LENGTH in steps, or in percent of the run (20%)";

    /// Returns a constant schedule.
    pub fn constant() -> Self {
        Self::of(Shape::Constant)
    }

    /// Returns a linear decay to 0 after the last step.
    pub fn linear() -> Self {
        Self::of(Shape::Linear(0.0))
    }

    /// Returns a decay to 0 after the last step along half a cosine.
    pub fn cosine() -> Self {
        Self::of(Shape::Cosine(0.0))
    }

    fn of(shape: Shape) -> Self {
        Self(vec![Piece { shape, length: None }])
    }

    /// Returns the hyperparameter at step `step` (from 0) of `total`, for an initial value of `value`.
    pub fn at(&self, value: f32, step: u64, total: u64) -> f32 {
        let (mut from, mut start) = (f64::from(value), 0);
        for (i, piece) in self.0.iter().enumerate() {
            let left = total.saturating_sub(start);
            let length = piece.length.map_or(left, |length| length.of(total));
            let step = step - start;
            if step < length || i + 1 == self.0.len() {
                return piece.shape.at(from, step.min(length), length, total) as f32;
            }
            from = piece.shape.at(from, length, length, total);
            start += length;
        }
        from as f32
    }

    /// Describes the first piece that does not fit into a run of `total` steps: it begins after the run, is cut, or never acts.
    pub(super) fn misfit(&self, total: u64) -> Option<String> {
        let mut start = 0;
        for piece in &self.0 {
            let length = piece.length.map_or(total.saturating_sub(start), |length| length.of(total));
            let text = Self(vec![*piece]);
            if start >= total {
                return Some(format!("`{text}` begins at step {start}, and the run has {total} steps"));
            }
            // Percentages are rounded.
            let slack = if matches!(piece.length, Some(Length::Percent(_))) { self.0.len() as u64 } else { 0 };
            if start + length > total + slack {
                return Some(format!("`{text}` ends at step {}, and the run has {total} steps", start + length));
            }
            if let Shape::Step(_, every) = piece.shape
                && every.of(total) >= length
            {
                return Some(format!("`{text}` never comes in its {length} steps"));
            }
            start += length;
        }
        None
    }

    /// Returns the end values that pieces specify.
    pub(super) fn ends(&self) -> impl Iterator<Item = f32> {
        self.0.iter().filter_map(|piece| match piece.shape {
            Shape::Linear(end) | Shape::Cosine(end) | Shape::Exponential(end) => Some(end),
            Shape::Constant | Shape::Step(..) | Shape::WarmUp => None,
        })
    }
}

impl Shape {
    /// Returns the value after `t` of `length` steps, for an initial value of `from`.
    fn at(self, from: f64, t: u64, length: u64, total: u64) -> f64 {
        let share = if length == 0 { 0.0 } else { t as f64 / length as f64 };
        let toward = |end: f32, left: f64| f64::from(end) + (from - f64::from(end)) * left;
        match self {
            Self::Constant => from,
            Self::Linear(end) => toward(end, 1.0 - share),
            Self::Cosine(end) => toward(end, 0.5 * (1.0 + (std::f64::consts::PI * share).cos())),
            Self::Exponential(end) => from * (f64::from(end) / from).powf(share),
            Self::Step(factor, every) => from * f64::from(factor).powf((t / every.of(total).max(1)) as f64),
            Self::WarmUp => from * ((t + 1) as f64 / length.max(1) as f64).min(1.0),
        }
    }
}

impl Length {
    fn of(self, total: u64) -> u64 {
        match self {
            Self::Steps(steps) => steps,
            Self::Percent(percent) => (f64::from(percent) / 100.0 * total as f64).round() as u64,
        }
    }
}

impl FromStr for Length {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong =
            || Error::setting("schedule", "a LENGTH of at least 1 step, or a share of the run such as 20%", text);
        let length = match text.strip_suffix('%') {
            Some(percent) => Self::Percent(percent.parse().map_err(|_| wrong())?),
            None => Self::Steps(text.parse().map_err(|_| wrong())?),
        };
        let fine = match length {
            Self::Steps(steps) => steps > 0,
            Self::Percent(percent) => percent > 0.0 && percent <= 100.0,
        };
        if fine { Ok(length) } else { Err(wrong()) }
    }
}

impl FromStr for Schedule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let pieces = text.split(',').map(|piece| piece.trim().parse()).collect::<Result<Vec<Piece>>>()?;
        let last = pieces.len() - 1;
        if pieces[..last].iter().any(|piece| piece.length.is_none()) {
            return Err(Error::setting("schedule", "a length behind every piece but the last, as in linear@500", text));
        }
        if pieces[1..].iter().any(|piece| piece.shape == Shape::WarmUp) {
            return Err(Error::setting("schedule", "warmup only at the beginning", text));
        }
        Ok(Self(pieces))
    }
}

impl FromStr for Piece {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::setting("schedule", Schedule::FORMS, text);
        let (shape, length) = match text.split_once('@') {
            Some((shape, length)) => (shape, Some(length.parse()?)),
            None => (text, None),
        };
        let number = |text: &str| {
            check_above_smallest(text).map_err(|error| error.within("schedule"))?;
            text.parse().ok().filter(|n: &f32| n.is_finite() && *n >= 0.0).ok_or_else(wrong)
        };
        let parts: Vec<&str> = shape.split(':').collect();
        let shape = match parts[..] {
            ["constant"] => Shape::Constant,
            ["linear"] => Shape::Linear(0.0),
            ["linear", end] => Shape::Linear(number(end)?),
            ["cosine"] => Shape::Cosine(0.0),
            ["cosine", end] => Shape::Cosine(number(end)?),
            ["exponential", end] if number(end)? > 0.0 => Shape::Exponential(number(end)?),
            ["step", factor, every] => Shape::Step(number(factor)?, every.parse()?),
            ["warmup", length] => return Ok(Self { shape: Shape::WarmUp, length: Some(length.parse()?) }),
            _ => return Err(wrong()),
        };
        Ok(Self { shape, length })
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps(steps) => write!(f, "{steps}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Piece { shape, length }) in self.0.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { "," })?;
            let to = |end: &f32| if *end == 0.0 { String::new() } else { format!(":{end}") };
            match shape {
                Shape::Constant => f.write_str("constant")?,
                Shape::Linear(end) => write!(f, "linear{}", to(end))?,
                Shape::Cosine(end) => write!(f, "cosine{}", to(end))?,
                Shape::Exponential(end) => write!(f, "exponential:{end}")?,
                Shape::Step(factor, every) => write!(f, "step:{factor}:{every}")?,
                Shape::WarmUp => f.write_str("warmup")?,
            }
            match (shape, length) {
                (Shape::WarmUp, Some(length)) => write!(f, ":{length}")?,
                (_, Some(length)) => write!(f, "@{length}")?,
                (_, None) => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_that_do_not_fit_are_described() {
        let misfit = |text: &str| text.parse::<Schedule>().expect(text).misfit(100);
        for fits in ["linear", "warmup:100", "warmup:20%,cosine", "step:0.1:20%", "step:0.1:99", "linear@50,constant"] {
            assert_eq!(misfit(fits), None, "{fits}");
        }
        let halves = "constant@50%,linear@50%".parse::<Schedule>().expect("a schedule");
        assert_eq!(halves.misfit(45), None, "percentages are rounded");
        for (text, words) in [
            ("warmup:500,linear", "`warmup:500` ends at step 500, and the run has 100 steps"),
            ("linear@100,constant", "`constant` begins at step 100"),
            ("step:0.1:1000", "`step:0.1:1000` never comes in its 100 steps"),
            ("constant@60,step:0.1:50", "never comes in its 40 steps"),
        ] {
            assert!(misfit(text).is_some_and(|line| line.contains(words)), "{text}: {:?}", misfit(text));
        }
    }

    fn schedule(text: &str) -> Schedule {
        text.parse().expect(text)
    }

    /// Every form with its value at the first step, half-way, and at the end, for an initial value of 0.5 and a run of 100 steps.
    const FORMS: [(&str, [f32; 3]); 12] = [
        ("constant", [0.5, 0.5, 0.5]),
        ("linear", [0.5, 0.25, 0.0]),
        ("linear:0.1", [0.5, 0.3, 0.1]),
        ("cosine", [0.5, 0.25, 0.0]),
        ("cosine:0.1", [0.5, 0.3, 0.1]),
        ("exponential:0.005", [0.5, 0.05, 0.005]),
        ("step:0.5:40", [0.5, 0.25, 0.125]),
        ("step:0.1:50%", [0.5, 0.05, 0.005]),
        ("warmup:10", [0.05, 0.5, 0.5]),
        ("warmup:10%,linear", [0.05, 0.5 * 50.0 / 90.0, 0.0]),
        ("constant@50%,cosine:0.1", [0.5, 0.5, 0.1]),
        ("linear:0.3@20,constant@30,exponential:0.03", [0.5, 0.3, 0.03]),
    ];

    #[test]
    fn every_schedule_reaches_its_end() {
        for (text, expected) in FORMS {
            let schedule = schedule(text);
            for (step, expected) in [0, 50, 100].into_iter().zip(expected) {
                let got = schedule.at(0.5, step, 100);
                assert!((got - expected).abs() < 1e-6, "{text}: step {step}: expected {expected}, got {got}");
            }
            assert_eq!(schedule.at(0.5, 100, 100), schedule.at(0.5, 1000, 100), "{text}: it stays at its end");
            assert!(schedule.at(0.5, 0, 0).is_finite(), "{text}: a run of no steps");
        }
    }

    #[test]
    fn text_comes_back() {
        for (text, _) in FORMS {
            assert_eq!(schedule(text).to_string(), text);
        }
        assert_eq!(schedule("linear:0@9, constant@3").to_string(), "linear@9,constant@3");
    }

    #[test]
    fn mistakes_are_named() {
        for (text, word) in [
            ("", "constant"),
            ("nope", "nope"),
            ("linear:x", "linear:x"),
            ("linear:-1", "linear:-1"),
            ("exponential", "exponential"),
            ("exponential:0", "exponential:0"),
            ("step:0.1", "step:0.1"),
            ("warmup", "warmup"),
            ("warmup:0", "at least 1"),
            ("warmup:x", "LENGTH"),
            ("linear@120%", "120%"),
            ("linear,cosine", "linear@500"),
            ("linear@5,warmup:3", "beginning"),
            ("linear@5,", "constant"),
        ] {
            let error = text.parse::<Schedule>().expect_err(text).to_string();
            assert!(error.contains(word) && error.contains("schedule"), "`{text}`: expected `{word}` in: {error}");
        }
    }
}
