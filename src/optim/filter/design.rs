//! Specification of filters: by a design and its cut-off, by poles, or by coefficients.

use crate::error::{Error, Result};
use crate::optim::filter::biquad::{Biquads, MAX_BIQUADS, roots};
use num_complex::Complex64;
use serde::{Deserialize, Serialize};
use std::f64::consts::{PI, SQRT_2};
use std::fmt;
use std::str::FromStr;

/// A recursive filter with gain 1 at frequency 0, specified in one of three ways: a design and its order (the cut-off is a hyperparameter),
/// the poles, or the coefficients b and a of H = (b\[0\] + b\[1\] / z + ...) / (a\[0\] + a\[1\] / z + ...). The default is a design of
/// order 2.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilterSpec {
    /// `butterworth`, `bessel` or `critical`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub design: Option<String>,
    /// Order of the design, 1 to 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<usize>,
    /// Poles of an all-pole filter; with real poles it is a cascade of moving averages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poles: Option<Poles>,
    /// Numerator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b: Option<Vec<f64>>,
    /// Denominator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub a: Option<Vec<f64>>,
}

/// Poles in z, as text `0.99,0.9+0.1i`; a complex pole implies its conjugate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Poles(Vec<Complex64>);

/// A checked filter, which may still depend on the cut-off.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Constant over the run.
    Fixed(Biquads),
    /// Poles of the analog design with gain 1 / sqrt(2) at 1 radian per second.
    Designed(Vec<[f64; 2]>),
}

/// Names of the designs.
pub const DESIGNS: [&str; 3] = ["butterworth", "bessel", "critical"];

/// Minimum period of the cut-off; a period of two steps is the Nyquist limit.
const SHORTEST: f64 = 2.001;

impl FilterSpec {
    /// Names of its parts, as settings and as keys of a table.
    pub const KEYS: [&str; 5] = ["design", "order", "poles", "b", "a"];

    /// Checks the specification. Fails for unknown designs, unsupported orders, unstable filters, and filters whose gain at frequency 0 is
    /// not 1.
    pub fn resolve(&self) -> Result<Filter> {
        if self.ways().iter().filter(|way| **way).count() > 1 {
            return Err(Error::setting("filter", "either a design, or poles, or b and a", "more than one of them"));
        }
        match (&self.poles, &self.b, &self.a) {
            (Some(poles), ..) => poles.filter(),
            (None, Some(b), Some(a)) => from_coefficients(b, a),
            (None, Some(_), None) => {
                Err(Error::setting("a", "coefficients of the denominator in addition to b", "none"))
            }
            (None, None, Some(_)) => Err(Error::setting("b", "coefficients of the numerator in addition to a", "none")),
            (None, None, None) => designed(self.design.as_deref().unwrap_or("critical"), self.order.unwrap_or(2)),
        }
    }

    /// Returns which of design, poles and coefficients are set.
    fn ways(&self) -> [bool; 3] {
        let Self { design, order, poles, b, a } = self;
        [design.is_some() || order.is_some(), poles.is_some(), b.is_some() || a.is_some()]
    }

    /// Returns the settings of `self`, completed by those of `other`, unless `other` specifies its filter in another way.
    pub fn over(self, other: Self) -> Self {
        if self.ways() != other.ways() {
            return self;
        }
        Self {
            design: self.design.or(other.design),
            order: self.order.or(other.order),
            poles: self.poles.or(other.poles),
            b: self.b.or(other.b),
            a: self.a.or(other.a),
        }
    }

    /// Returns the specification with defaults filled in.
    pub fn filled(mut self) -> Self {
        if self.poles.is_none() && self.b.is_none() && self.a.is_none() {
            self.design.get_or_insert_with(|| "critical".into());
            self.order.get_or_insert(2);
        }
        self
    }
}

impl Filter {
    /// Returns the sections for a cut-off: the period, in steps, of the frequency where the gain is 1 / sqrt(2). Fixed filters ignore it.
    pub fn sections(&self, cutoff: f32) -> Biquads {
        match self {
            Self::Fixed(sections) => *sections,
            Self::Designed(poles) => bilinear(poles, f64::from(cutoff)),
        }
    }

    /// Returns the number of sections.
    pub fn count(&self) -> usize {
        match self {
            Self::Fixed(sections) => sections.list().len(),
            Self::Designed(poles) => poles.len().div_ceil(2),
        }
    }
}

fn designed(design: &str, order: usize) -> Result<Filter> {
    if !(1..=2 * MAX_BIQUADS).contains(&order) {
        return Err(Error::setting("order", format!("1 to {}", 2 * MAX_BIQUADS), order));
    }
    let poles = match design {
        "butterworth" => butterworth(order),
        "bessel" => bessel(order),
        "critical" => vec![Complex64::new(-1.0 / (2_f64.powf(1.0 / order as f64) - 1.0).sqrt(), 0.0); order],
        other => return Err(Error::setting("design", DESIGNS.join(", "), other)),
    };
    Ok(Filter::Designed(poles.into_iter().map(|p| [p.re, p.im]).collect()))
}

/// Returns poles equally spaced on the left half of the unit circle.
fn butterworth(order: usize) -> Vec<Complex64> {
    let n = order as f64;
    (0..order).map(|k| Complex64::from_polar(1.0, PI * (2.0 * k as f64 + n + 1.0) / (2.0 * n))).collect()
}

/// Returns the roots of the reverse Bessel polynomial, sum of (2n - k)! / ((n - k)! k! 2^(n - k)) s^k, divided by the frequency where the
/// gain is 1 / sqrt(2) (SciPy's `norm="mag"`, which is not its default).
fn bessel(order: usize) -> Vec<Complex64> {
    let factorial = |n: usize| (1..=n).map(|i| i as f64).product::<f64>();
    let n = order;
    let coefficient = |k: usize| factorial(2 * n - k) / (factorial(n - k) * factorial(k) * 2_f64.powi((n - k) as i32));
    let coefficients: Vec<f64> = (0..=n).map(coefficient).collect();
    let gain = |w: f64| {
        let s = Complex64::new(0.0, w);
        coefficients[0] / coefficients.iter().rev().fold(Complex64::ZERO, |sum, c| sum * s + c).norm()
    };
    let (mut below, mut above) = (0.0, 10.0 * n as f64);
    for _ in 0..200 {
        let middle = 0.5 * (below + above);
        if gain(middle) * SQRT_2 > 1.0 { below = middle } else { above = middle }
    }
    roots(&coefficients).into_iter().map(|root| root / below).collect()
}

/// Applies the bilinear transform s = 2 (z - 1) / (z + 1) with a prewarped cut-off: poles z - 1 = 2 s / (2 - s), zeros at z = -1.
fn bilinear(poles: &[[f64; 2]], cutoff: f64) -> Biquads {
    let warped = 2.0 * (PI / cutoff.max(SHORTEST)).tan();
    let pole = |&[re, im]: &[f64; 2]| {
        let s = Complex64::new(re, im) * warped;
        2.0 * s / (2.0 - s)
    };
    let poles: Vec<Complex64> = poles.iter().map(pole).collect();
    Biquads::new(&poles, &vec![Complex64::new(-2.0, 0.0); poles.len()])
}

/// Fails unless all poles, given as z - 1, are inside the unit circle; `what` is the setting that they come from.
fn check_stable(what: &str, poles: &[Complex64]) -> Result<()> {
    // |1 + d|^2 - 1, without cancellation near z = 1.
    let excess = |d: &Complex64| 2.0 * d.re + d.norm_sqr();
    match poles.iter().find(|d| excess(d) >= 0.0 || excess(d).is_nan()) {
        None => Ok(()),
        Some(d) => {
            let (pole, size) = (d + 1.0, (d + 1.0).norm());
            let got = format!("a pole at {} of size {size}", text(pole));
            let expected = "poles inside the unit circle, since the state diverges otherwise";
            let lost = "; coefficients lose poles that lie close together: give those as poles";
            Err(Error::setting(what, format!("{expected}{}", if what == "a" { lost } else { "" }), got))
        }
    }
}

impl Poles {
    fn filter(&self) -> Result<Filter> {
        let poles: Vec<Complex64> = self.0.iter().map(|p| p - 1.0).collect();
        check_stable("poles", &poles)?;
        let conjugates = poles.iter().filter(|p| p.im != 0.0).map(Complex64::conj);
        let all: Vec<Complex64> = poles.iter().copied().chain(conjugates).collect();
        if all.len() > 2 * MAX_BIQUADS {
            return Err(Error::setting("poles", format!("at most {}, with conjugates", 2 * MAX_BIQUADS), all.len()));
        }
        Ok(Filter::Fixed(Biquads::new(&all, &vec![Complex64::new(-1.0, 0.0); all.len()])))
    }
}

/// Formats a pole.
fn text(pole: Complex64) -> String {
    if pole.im == 0.0 { pole.re.to_string() } else { pole.to_string() }
}

impl fmt::Display for Poles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().copied().map(text).collect::<Vec<_>>().join(","))
    }
}

impl FromStr for Poles {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::setting("poles", "numbers as in 0.99,0.9+0.1i", format!("`{text}`"));
        let pole = |part: &str| part.trim().parse().ok().filter(|p: &Complex64| p.is_finite()).ok_or_else(wrong);
        text.split(',').map(pole).collect::<Result<_>>().map(Self)
    }
}

impl TryFrom<String> for Poles {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Poles> for String {
    fn from(poles: Poles) -> Self {
        poles.to_string()
    }
}

/// Creates the filter from b and a. A gain within one part in a million of 1 is accepted and normalised.
fn from_coefficients(b: &[f64], a: &[f64]) -> Result<Filter> {
    let order = b.len().max(a.len()).saturating_sub(1);
    let finite = |list: &[f64]| !list.is_empty() && list.iter().all(|c| c.is_finite());
    let wrong = |what: &str, expected: String, got: String| Err(Error::setting(what, expected, got));
    if !finite(b) || !finite(a) || a[0] == 0.0 {
        return wrong("a", "finite coefficients, the first of a not 0".into(), format!("b {b:?}, a {a:?}"));
    }
    if !(1..=2 * MAX_BIQUADS).contains(&order) {
        return wrong("a", format!("an order of 1 to {}", 2 * MAX_BIQUADS), format!("an order of {order}"));
    }
    let poles = roots_of(a, order);
    check_stable("a", &poles)?;
    let gain = b.iter().sum::<f64>() / a.iter().sum::<f64>();
    if (gain - 1.0).abs() >= 1e-6 {
        return wrong(
            "b",
            "the sum of b equal to the sum of a, so that the gain at frequency 0 is 1".into(),
            format!("a gain of {gain}"),
        );
    }
    Ok(Filter::Fixed(Biquads::new(&poles, &roots_of(b, order))))
}

/// Returns the roots of the polynomial with these coefficients of 1, 1/z, ... (not all 0), times z^order, as z - 1. Missing trailing
/// coefficients give roots at z = 0, leading zeros (a delay) reduce the number of roots.
fn roots_of(coefficients: &[f64], order: usize) -> Vec<Complex64> {
    let delay = coefficients.iter().take_while(|c| **c == 0.0).count();
    let end = coefficients.iter().rposition(|c| *c != 0.0).map_or(delay, |last| last + 1);
    // The polynomial in z - 1, the constant first, by Horner's scheme.
    let mut p: Vec<f64> = coefficients[delay..end].iter().rev().copied().collect();
    for first in 0..p.len().saturating_sub(1) {
        for i in (first..p.len() - 1).rev() {
            p[i] += p[i + 1];
        }
    }
    let mut all = if p.len() > 1 { roots(&p) } else { Vec::new() };
    all.resize(order - delay, Complex64::new(-1.0, 0.0));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> FilterSpec {
        toml::from_str(text).expect(text)
    }

    #[test]
    fn designs_have_their_cut_off_where_it_belongs() {
        for design in ["butterworth", "bessel", "critical"] {
            for order in 1..=8 {
                let filter = spec(&format!("design = \"{design}\"\norder = {order}")).resolve().expect("in range");
                for cutoff in [2.5, 10.0, 500.0, 1e5] {
                    let sections = filter.sections(cutoff);
                    let gain = |f: f64| sections.response(f)[0].hypot(sections.response(f)[1]);
                    assert!((gain(1.0 / f64::from(cutoff)) - 0.5_f64.sqrt()).abs() < 1e-9, "{design} {order} {cutoff}");
                    assert!((gain(0.0) - 1.0).abs() < 1e-12 && gain(0.5) < 1e-6);
                }
            }
        }
    }

    #[test]
    fn wrong_filters_are_refused_with_the_reason() {
        for (text, words) in [
            ("design = \"chebyshev\"", vec!["design", "butterworth", "chebyshev"]),
            ("order = 9", vec!["order", "1 to 8", "9"]),
            ("poles = \"1.01\"", vec!["poles", "unit circle", "1.01"]),
            ("poles = \"0.9+0.5i\"", vec!["poles", "size 1.0295"]),
            ("poles = \"1\"", vec!["poles", "unit circle"]),
            ("poles = \"0.9\"\norder = 2", vec!["either a design"]),
            ("b = [0.2]\na = [1, -0.9]", vec!["gain at frequency 0", "gain of 2"]),
            ("b = [0, 0]\na = [1, -0.9]", vec!["gain at frequency 0", "gain of 0"]),
            ("b = [0]\na = [1]", vec!["an order of 1 to", "order of 0"]),
            ("b = [-0.5]\na = [1, -1.5]", vec!["unit circle", "1.5"]),
            ("b = [1]", vec!["a: ", "none"]),
            ("b = [1]\na = [0, 1]", vec!["not 0"]),
            ("b = [1]\na = [1]", vec!["order of 1 to 8"]),
        ] {
            let error = spec(text).resolve().expect_err(text).to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{text}: {error}");
        }
        assert!(toml::from_str::<FilterSpec>("poles = \"0.9,x\"").is_err());
    }

    #[test]
    fn parts_of_a_filter_join_and_ways_do_not_mix() {
        let bessel = spec("design = \"bessel\"");
        assert_eq!(spec("order = 4").over(bessel.clone()), spec("design = \"bessel\"\norder = 4"));
        assert_eq!(spec("poles = \"0.9\"").over(bessel), spec("poles = \"0.9\""));
        assert_eq!(spec("a = [1, -0.9]").over(spec("b = [0.1]")), spec("b = [0.1]\na = [1, -0.9]"));
    }

    #[test]
    fn coefficients_poles_and_text_agree() {
        let poles = spec("poles = \"0.9,0.8+0.1i\"");
        assert_eq!(
            toml::from_str::<FilterSpec>(&toml::to_string(&poles).expect("text")).expect("it reads back"),
            poles
        );
        // a = (1 - 0.9/z)(1 - 1.6/z + 0.65/z^2), b = its sum.
        let same = spec("b = [0.005]\na = [1, -2.5, 2.09, -0.585]");
        let [one, two] = [poles, same].map(|spec| spec.resolve().expect("stable").sections(0.0).impulse(100));
        assert!(one.iter().zip(&two).all(|(a, b)| (a - b).abs() < 1e-12));
        // A delay of one step.
        let late = spec("b = [0, 0.1]\na = [1, -0.9]").resolve().expect("stable").sections(0.0).impulse(3);
        assert!(late.iter().zip([0.0, 0.1, 0.09]).all(|(a, b)| (a - b).abs() < 1e-15), "{late:?}");
    }
}
