//! What SGD's learning rate, momentum and weight decay mean as a filter on the gradient, and back.

use super::knob::Range;
use crate::error::{Error, Result};
use std::f64::consts::PI;

/// Settings of SGD on latent weights, as PyTorch means them: v = momentum v + (g + decay x), x -= rate v.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LatentSgd {
    /// Learning rate.
    pub rate: f64,
    /// Momentum.
    pub momentum: f64,
    /// Weight decay.
    pub decay: f64,
}

/// The filter h = -decay x obeys: a linear recursion of second order with gain 1 at frequency 0,
///
/// h_t = sum h_{t-1} - product h_{t-2} + gain G_t,  sum = p + q, product = p q, gain = (1 - p)(1 - q),
///
/// whose poles p and q are the roots of z^2 - (1 + momentum - rate decay) z + momentum. Where they are real it is the cascade of two moving
/// averages with alpha = 1 - p and gamma = 1 - q.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Response {
    /// p + q.
    sum: f64,
    /// p q.
    product: f64,
    /// (1 - p)(1 - q), held apart: it may be far below the rounding of p and q.
    gain: f64,
}

impl LatentSgd {
    /// The filter; refuses settings out of range, and those that blow up.
    pub fn response(&self) -> Result<Response> {
        let Self { rate, momentum, decay } = *self;
        let ranges = [
            ("lr", Range::Positive, rate),
            ("momentum", Range::Share, momentum),
            ("weight-decay", Range::NotNegative, decay),
        ];
        for (name, range, value) in ranges {
            if !range.holds(value as f32) {
                return Err(Error::setting(name, range.describe(), value));
            }
        }
        let gain = rate * decay;
        if gain >= 2.0 * (1.0 + momentum) {
            let most =
                format!("below 2 (1 + momentum) = {}, else the weights grow without end", 2.0 * (1.0 + momentum));
            return Err(Error::setting("lr * weight-decay", most, gain));
        }
        Ok(Response { sum: 1.0 + momentum - gain, product: momentum, gain })
    }
}

impl Response {
    /// The cascade of two moving averages; gamma 1 is one.
    pub fn cascade(alpha: f64, gamma: f64) -> Result<Self> {
        for (name, value) in [("alpha", alpha), ("gamma", gamma)] {
            if !Range::Rate.holds(value as f32) {
                return Err(Error::setting(name, Range::Rate.describe(), value));
            }
        }
        let (p, q) = (1.0 - alpha, 1.0 - gamma);
        Ok(Self { sum: p + q, product: p * q, gain: alpha * gamma })
    }

    /// Momentum, and learning rate times weight decay, of the SGD that is this filter.
    pub fn momentum_and_gain(&self) -> [f64; 2] {
        [self.product, self.gain]
    }

    /// A quarter of the discriminant of z^2 - sum z + product, as (1 - sum / 2)^2 - gain, which loses no digits near z = 1.
    fn discriminant(&self) -> f64 {
        self.middle().powi(2) - self.gain
    }

    /// (alpha + gamma) / 2.
    fn middle(&self) -> f64 {
        0.5 * (1.0 - self.product + self.gain)
    }

    /// The rates of the two averages, the slower first; `None` where the poles are complex.
    pub fn rates(&self) -> Option<[f64; 2]> {
        // Two equal poles are real, whichever side rounding leaves them on.
        let (root, middle) = (self.discriminant(), self.middle());
        (root >= -1e-15 * middle * middle).then(|| {
            let gamma = middle + root.max(0.0).sqrt();
            [self.gain / gamma, gamma]
        })
    }

    /// The poles, as (real, imaginary), the slower first.
    pub fn poles(&self) -> [[f64; 2]; 2] {
        match self.rates() {
            Some(rates) => rates.map(|rate| [1.0 - rate, 0.0]),
            None => [1.0, -1.0].map(|side| [0.5 * self.sum, side * (-self.discriminant()).sqrt()]),
        }
    }

    /// Steps after which each pole has forgotten all but 1/e: -1 / ln |p|; infinite where nothing is forgotten, 0 where all is.
    pub fn time_constants(&self) -> [f64; 2] {
        let steps = |rate: f64| match rate {
            rate if (1.0 - rate).abs() < 1e-12 => 0.0,
            rate if rate < 1.0 => -1.0 / (-rate).ln_1p(),
            rate => -1.0 / (rate - 1.0).ln(),
        };
        match self.rates() {
            Some(rates) => rates.map(steps),
            None => [-2.0 / self.product.ln(); 2],
        }
    }

    /// Square of the gain at a frequency in cycles a step.
    pub fn power(&self, frequency: f64) -> f64 {
        // |1 - sum e + product e^2|^2 with e = exp(-i w), by 1 - cos w = 2 sin^2(w / 2), which loses no digits at low frequencies.
        let (Self { sum, product, gain }, low) = (*self, 2.0 * (PI * frequency).sin().powi(2));
        let high = 2.0 * (2.0 * PI * frequency).sin().powi(2);
        let below = gain * gain + 2.0 * sum * (1.0 + product) * low - 2.0 * product * high;
        gain * gain / below
    }

    /// Cycles a step at which the gain has fallen by 3 dB; `None` where it never does, or where nothing is forgotten.
    pub fn corner(&self) -> Option<f64> {
        let falls = |frequency: &f64| self.power(*frequency) <= 0.5;
        // From far below the slowest pole upward by 1 %, then between the last two.
        let start = 1e-3 * self.gain.min(1.0);
        let steps = (0..).map(|i| start * 1.01_f64.powi(i)).take_while(|frequency| *frequency < 0.5).chain([0.5]);
        let mut above = if self.gain > 0.0 { steps.into_iter().find(falls)? } else { return None };
        let mut below = above / 1.02;
        for _ in 0..60 {
            let middle = 0.5 * (below + above);
            if falls(&middle) { above = middle } else { below = middle }
        }
        Some(above)
    }

    /// Share of weights that flip at a step where gradients are independent noise of mean 0 and the start is forgotten:
    /// arccos(r) / pi, where r = sum / (1 + product) is the output's correlation with itself one step later.
    pub fn noise_flips(&self) -> f64 {
        // 1 - r = gain / (1 + product) and arccos(r) = 2 arcsin(sqrt((1 - r) / 2)).
        2.0 * (0.5 * self.gain / (1.0 + self.product)).sqrt().min(1.0).asin() / PI
    }

    /// The settings of SGD with this learning rate that are this filter: momentum = p q, decay = gain / rate.
    pub fn latent_sgd(&self, rate: f64) -> Result<LatentSgd> {
        let sgd = LatentSgd { rate, momentum: self.product, decay: self.gain / rate };
        sgd.response().map(|_| sgd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sgd(rate: f64, momentum: f64, decay: f64) -> Response {
        LatentSgd { rate, momentum, decay }.response().expect("in range")
    }

    fn close(got: f64, expected: f64, share: f64) {
        assert!((got - expected).abs() <= share * expected.abs(), "expected {expected}, got {got}");
    }

    #[test]
    fn the_usual_settings() {
        // The roots of x^2 - (1 - mu + e l) x + e l, by hand.
        for ([rate, momentum, decay], [alpha, gamma]) in [
            ([0.1, 0.9, 1e-4], [1.0009e-4, 0.099_91]),
            ([0.1, 0.9, 5e-4], [5.0227e-4, 0.099_548]),
            ([0.01, 0.9, 1e-4], [1.0e-5, 0.099_991]),
        ] {
            let rates = sgd(rate, momentum, decay).rates().expect("real poles");
            close(rates[0], alpha, 1e-3);
            close(rates[1], gamma, 1e-3);
            close(rates[0] * rates[1], rate * decay, 1e-12);
            close((1.0 - rates[0]) * (1.0 - rates[1]), momentum, 1e-12);
        }
    }

    #[test]
    fn there_and_back() {
        for (alpha, gamma) in [(1e-3, 0.1), (1e-6, 0.5), (0.2, 0.2), (0.3, 1.0)] {
            let response = Response::cascade(alpha, gamma).expect("in range");
            let back = response.latent_sgd(0.1).expect("in range").response().expect("in range").rates().expect("real");
            close(back[0], alpha, 1e-7);
            close(back[1], gamma, 1e-7);
        }
    }

    #[test]
    fn time_constants_corner_and_flips_of_one_average() {
        let one = Response::cascade(1e-3, 1.0).expect("in range");
        close(one.time_constants()[0], 999.5, 1e-5);
        assert_eq!(one.time_constants()[1], 0.0);
        // |H|^2 = a^2 / (a^2 + 2 (1 - a)(1 - cos w)) = 1/2.
        let corner = one.corner().expect("it falls");
        close(corner, (1.0 - 1e-6 / (2.0 * 0.999_f64)).acos() / (2.0 * PI), 1e-9);
        close(one.noise_flips(), (2e-3_f64).sqrt() / PI, 1e-3);
        let (p, q) = (0.98_f64, 0.7_f64);
        let cascade = Response::cascade(1.0 - p, 1.0 - q).expect("in range");
        close(cascade.noise_flips(), ((p + q) / (1.0 + p * q)).acos() / PI, 1e-12);
    }

    #[test]
    fn complex_poles_ring() {
        let ringing = sgd(1.0, 0.9, 0.1);
        assert_eq!(ringing.rates(), None);
        let [[re, im], [_, other]] = ringing.poles();
        close(re * re + im * im, 0.9, 1e-12);
        assert_eq!(im, -other);
        close(ringing.time_constants()[0], -1.0 / 0.9_f64.sqrt().ln(), 1e-12);
        assert!(ringing.power(0.04) > 1.0 && ringing.corner().is_some_and(|corner| corner > 0.05));
    }

    #[test]
    fn without_decay_nothing_is_forgotten() {
        let never = sgd(0.1, 0.9, 0.0);
        assert_eq!((never.rates().map(|r| r[0]), never.corner(), never.noise_flips()), (Some(0.0), None, 0.0));
        assert_eq!(never.time_constants()[0], f64::INFINITY);
    }

    #[test]
    fn what_blows_up_is_refused() {
        for (rate, momentum, decay) in
            [(0.0, 0.9, 1e-4), (0.1, 1.0, 1e-4), (0.1, 0.9, -1.0), (100.0, 0.9, 1.0), (f64::NAN, 0.9, 1.0)]
        {
            assert!(LatentSgd { rate, momentum, decay }.response().is_err_and(|e| e.is_usage()));
        }
        assert!(Response::cascade(0.0, 0.1).is_err() && Response::cascade(0.1, 1.5).is_err());
    }
}
