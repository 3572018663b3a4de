//! Linear filters as second-order sections, from poles and zeros, with gain 1 at frequency 0.

use num_complex::Complex64;
use std::f64::consts::TAU;

/// Maximum number of sections in series; the maximum order of a filter is twice this number.
pub const MAX_BIQUADS: usize = 4;

/// A second-order section in transposed direct form II with the delta operator d = z - 1 instead of z:
///
/// y = b0 u + p,  p += q + b1 u - a1 y,  q += a2 (u - y),   H = (b0 d^2 + b1 d + a2) / (d^2 + a1 d + a2).
///
/// The poles of slow filters cluster around z = 1. There a1 and a2 are small numbers that f32 represents to seven digits, while the usual
/// coefficients are near -2 and 1 and lose these digits. The gain at frequency 0 is exactly 1 regardless of rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Biquad {
    /// Of d^2 in the numerator.
    pub b0: f64,
    /// Of d in the numerator.
    pub b1: f64,
    /// Of d in the denominator.
    pub a1: f64,
    /// The constant term of both.
    pub a2: f64,
}

/// Up to [`MAX_BIQUADS`] sections in series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Biquads {
    sections: [Biquad; MAX_BIQUADS],
    count: usize,
}

/// A real polynomial of degree 0 to 2 in d with leading coefficient 1: its constant, and its coefficient of d.
#[derive(Clone, Copy)]
enum Factor {
    One,
    Linear(f64),
    Quadratic(f64, f64),
}

impl Biquads {
    /// Creates the sections from poles and zeros, given as z - 1. Complex ones come with their conjugates. There are at most 2
    /// [`MAX_BIQUADS`] poles, no more zeros than poles, and no zero at frequency 0.
    pub(in crate::optim) fn new(poles: &[Complex64], zeros: &[Complex64]) -> Self {
        let (mut poles, mut zeros) = (poles.to_vec(), zeros.to_vec());
        if poles.len() % 2 == 1 {
            // A pole and a zero at z = 0 cancel.
            [&mut poles, &mut zeros].into_iter().for_each(|list| list.push(Complex64::new(-1.0, 0.0)));
        }
        let (poles, zeros) = (factors(poles), factors(zeros));
        let mut sections = [Biquad::default(); MAX_BIQUADS];
        for (i, (section, pole)) in sections.iter_mut().zip(&poles).enumerate() {
            let Factor::Quadratic(a2, a1) = *pole else { unreachable!("an even number of poles") };
            *section = match zeros.get(i).copied().unwrap_or(Factor::One) {
                Factor::One => Biquad { b0: 0.0, b1: 0.0, a1, a2 },
                Factor::Linear(c0) => Biquad { b0: 0.0, b1: a2 / c0, a1, a2 },
                Factor::Quadratic(c0, c1) => Biquad { b0: a2 / c0, b1: a2 / c0 * c1, a1, a2 },
            };
        }
        Self { sections, count: poles.len() }
    }

    /// Returns the sections.
    pub fn list(&self) -> &[Biquad] {
        &self.sections[..self.count]
    }

    /// Returns H at a frequency in cycles per step, as (real, imaginary).
    pub fn response(&self, frequency: f64) -> [f64; 2] {
        // exp(i w) - 1 without loss of digits at low frequencies.
        let (half, phase) = (TAU * frequency / 2.0, Complex64::from_polar(1.0, TAU * frequency / 2.0));
        let d = phase * Complex64::new(0.0, 2.0 * half.sin());
        let of = |s: &Biquad| (d * d * s.b0 + d * s.b1 + s.a2) / (d * d + d * s.a1 + s.a2);
        let all = self.list().iter().map(of).product::<Complex64>();
        [all.re, all.im]
    }

    /// Returns the impulse response in f64.
    pub fn impulse(&self, steps: usize) -> Vec<f64> {
        let mut states = [[0.0; 2]; MAX_BIQUADS];
        let step = |t: usize| {
            let mut u = if t == 0 { 1.0 } else { 0.0 };
            for ([p, q], s) in states.iter_mut().zip(self.list()) {
                let y = s.b0 * u + *p;
                *p += *q + s.b1 * u - s.a1 * y;
                *q += s.a2 * (u - y);
                u = y;
            }
            u
        };
        (0..steps).map(step).collect()
    }
}

/// Pairs conjugates and real numbers into quadratic factors; a remaining real number becomes a linear factor, last. Rounding may hide which
/// of two nearly real numbers is the conjugate of which; the pairing minimises the error.
fn factors(mut roots: Vec<Complex64>) -> Vec<Factor> {
    let (mut quadratic, mut real) = (Vec::new(), Vec::new());
    while !roots.is_empty() {
        let widest = (0..roots.len()).max_by(|&a, &b| roots[a].im.abs().total_cmp(&roots[b].im.abs()));
        let root = roots.swap_remove(widest.expect("there is one"));
        let distance = |other: &Complex64| (other.conj() - root).norm();
        let partner = (0..roots.len()).min_by(|&a, &b| distance(&roots[a]).total_cmp(&distance(&roots[b])));
        match partner.filter(|&i| distance(&roots[i]) < root.im.abs()) {
            Some(i) => {
                let other = roots.swap_remove(i);
                quadratic.push(Factor::Quadratic((root * other).re, -(root + other).re));
            }
            None => real.push(root.re),
        }
    }
    real.sort_by(f64::total_cmp);
    let pairs = real.chunks(2).map(|pair| match *pair {
        [a, b] => Factor::Quadratic(a * b, -(a + b)),
        [a] => Factor::Linear(-a),
        _ => unreachable!("chunks of two"),
    });
    quadratic.extend(pairs);
    quadratic
}

/// Returns the roots of a polynomial with real coefficients, the constant first and the last not 0, by the simultaneous iteration of
/// Weierstrass (1891), Durand (1960) and Kerner (1966). A root of multiplicity m has an error of about 1e-16^(1/m); the polynomial is
/// reproduced to rounding.
pub(in crate::optim) fn roots(coefficients: &[f64]) -> Vec<Complex64> {
    let degree = coefficients.len() - 1;
    let last = coefficients[degree];
    let value = |x: Complex64| coefficients.iter().rev().fold(Complex64::ZERO, |sum, c| sum * x + c / last);
    // Starts on a circle of about the magnitude of the roots, at angles that are not symmetric about the real axis.
    let size = |i: usize| (coefficients[i] / last).abs().powf(1.0 / (degree - i) as f64);
    let radius = (0..degree).map(size).fold(1e-300, f64::max);
    let start = |i: usize| Complex64::from_polar(radius, TAU * i as f64 / degree as f64 + 0.4);
    let mut roots: Vec<Complex64> = (0..degree).map(start).collect();
    for _ in 0..2000 {
        let mut moved = 0.0_f64;
        for i in 0..degree {
            let others = (0..degree).filter(|&j| j != i).map(|j| roots[i] - roots[j]).product::<Complex64>();
            let step = value(roots[i]) / others;
            // Two estimates that coincide separate in the next iteration.
            if step.is_finite() {
                roots[i] -= step;
                moved = moved.max(step.norm() / roots[i].norm().max(1e-3 * radius));
            }
        }
        if moved < 1e-15 {
            break;
        }
    }
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_of_known_polynomials() {
        // (x - 1)(x + 2)(x^2 + 1), and a triple root.
        for (coefficients, expected, within) in [
            (vec![-2.0, 1.0, -1.0, 1.0, 1.0], vec![[-2.0, 0.0], [0.0, -1.0], [0.0, 1.0], [1.0, 0.0]], 1e-13),
            (vec![-0.125, 0.75, -1.5, 1.0], vec![[0.5, 0.0]; 3], 1e-4),
            (vec![0.0, 0.0, 1.0], vec![[0.0, 0.0]; 2], 1e-12),
        ] {
            let found = roots(&coefficients);
            assert_eq!(found.len(), expected.len());
            for [re, im] in expected {
                let nearest = found.iter().map(|r| (r - Complex64::new(re, im)).norm()).fold(f64::INFINITY, f64::min);
                assert!(nearest <= within, "{coefficients:?}: {found:?}");
            }
        }
    }

    #[test]
    fn a_cascade_of_averages() {
        // H = alpha gamma / ((1 - p / z)(1 - q / z)).
        let (p, q) = (0.999, 0.9);
        let at = |z: f64| Complex64::new(z - 1.0, 0.0);
        let sections = Biquads::new(&[at(p), at(q)], &[at(0.0), at(0.0)]);
        let (mut m, mut h) = (0.0, 0.0);
        for (t, got) in sections.impulse(2000).into_iter().enumerate() {
            m += (1.0 - q) * (if t == 0 { 1.0 } else { 0.0 } - m);
            h += (1.0 - p) * (m - h);
            assert!((got - h).abs() < 1e-15, "step {t}: expected {h}, got {got}");
        }
        assert_eq!(sections.response(0.0), [1.0, 0.0]);
    }
}
