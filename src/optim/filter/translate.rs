//! Translates SGD's learning rate, momentum and weight decay to a filter on the gradient, and back.

use crate::error::{Error, Result};
use crate::optim::hyperparameter::Range;
use std::f64::consts::PI;

/// Settings of SGD on latent weights in PyTorch's definition: v = momentum v + (g + decay x), x -= rate v.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LatentSgd {
    /// Learning rate.
    pub rate: f64,
    /// Momentum.
    pub momentum: f64,
    /// Weight decay.
    pub decay: f64,
}

/// The filter of h = -decay x: a linear recursion of second order with gain 1 at frequency 0,
///
/// h_t = sum h_{t-1} - product h_{t-2} + gain G_t,  sum = p + q, product = p q, gain = (1 - p)(1 - q),
///
/// whose poles p and q are the roots of z^2 - (1 + momentum - rate decay) z + momentum. If they are real and not negative it is the cascade
/// of two moving averages with alpha = 1 - p and gamma = 1 - q.
///
/// All computations use differences to 1, since slow poles differ from 1 by less than the rounding of the poles themselves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Response {
    /// 1 - p q = 1 - momentum.
    loss: f64,
    /// (1 - p)(1 - q) = rate decay.
    gain: f64,
}

impl LatentSgd {
    /// Returns the filter; fails for settings out of range, and for divergent ones.
    pub fn response(&self) -> Result<Response> {
        let Self { rate, momentum, decay } = *self;
        let ranges = [
            ("lr", Range::Positive, rate),
            ("momentum", Range::Share, momentum),
            ("weight-decay", Range::NotNegative, decay),
        ];
        for (name, range, value) in ranges {
            if !range.holds(value) {
                return Err(Error::setting(name, range.describe(), value));
            }
        }
        let gain = rate * decay;
        if gain >= 2.0 * (1.0 + momentum) {
            let most =
                format!("below 2 (1 + momentum) = {}, since the weights diverge otherwise", 2.0 * (1.0 + momentum));
            return Err(Error::setting("lr * weight-decay", most, gain));
        }
        Ok(Response { loss: 1.0 - momentum, gain })
    }
}

impl Response {
    /// Returns the cascade of two moving averages; with gamma 1 it is a single one.
    pub fn cascade(alpha: f64, gamma: f64) -> Result<Self> {
        for (name, value) in [("alpha", alpha), ("gamma", gamma)] {
            if !Range::Rate.holds(value) {
                return Err(Error::setting(name, Range::Rate.describe(), value));
            }
        }
        let gain = alpha * gamma;
        Ok(Self { loss: alpha + gamma - gain, gain })
    }

    /// Returns momentum, and learning rate times weight decay, of the equivalent SGD.
    pub fn momentum_and_gain(&self) -> [f64; 2] {
        [1.0 - self.loss, self.gain]
    }

    /// Returns (alpha + gamma) / 2 = 1 - sum / 2.
    fn middle(&self) -> f64 {
        0.5 * (self.loss + self.gain)
    }

    /// Returns a quarter of the discriminant of z^2 - sum z + product.
    fn discriminant(&self) -> f64 {
        let middle = self.middle();
        let root = middle * middle - self.gain;
        // Two equal poles are treated as real, whatever the sign of the rounding error.
        if root.abs() <= 4.0 * f64::EPSILON * middle { 0.0 } else { root }
    }

    /// Returns 1 - p and 1 - q of real poles, the slower first; `None` if the poles are complex. They are the rates of two moving averages
    /// unless one is above 1, where its pole is negative.
    pub fn rates(&self) -> Option<[f64; 2]> {
        let root = self.discriminant();
        (root >= 0.0).then(|| {
            let high = self.middle() + root.sqrt();
            let low = if root > 0.0 { self.gain / high } else { high };
            if (1.0 - low).abs() >= (1.0 - high).abs() { [low, high] } else { [high, low] }
        })
    }

    /// Returns the rates of the equivalent two moving averages, alpha and gamma, the slower first; `None` if there are none.
    pub fn averages(&self) -> Option<[f64; 2]> {
        // Rounding may yield a rate slightly above 1.
        let rates = self.rates().filter(|rates| rates.iter().all(|rate| (0.0..=1.0 + 1e-12).contains(rate)));
        rates.map(|rates| rates.map(|rate| rate.min(1.0)))
    }

    /// Returns the poles as (real, imaginary), the slower first.
    pub fn poles(&self) -> [[f64; 2]; 2] {
        self.offsets().map(|[left, imaginary]| [1.0 - left, imaginary])
    }

    /// Returns 1 minus the real part of each pole, and the imaginary part.
    fn offsets(&self) -> [[f64; 2]; 2] {
        match self.rates() {
            Some(rates) => rates.map(|rate| [rate, 0.0]),
            None => [1.0, -1.0].map(|side| [self.middle(), side * (-self.discriminant()).sqrt()]),
        }
    }

    /// Returns the time constant of each pole in steps, -1 / ln |p|: infinite for |p| = 1, 0 for p = 0.
    pub fn time_constants(&self) -> [f64; 2] {
        let steps = |rate: f64| match rate {
            rate if (1.0 - rate).abs() < 1e-12 => 0.0,
            rate if rate < 1.0 => -1.0 / (-rate).ln_1p(),
            rate => -1.0 / (rate - 1.0).ln(),
        };
        match self.rates() {
            Some(rates) => rates.map(steps),
            None => [-2.0 / (-self.loss).ln_1p(); 2],
        }
    }

    /// Returns the squared gain at a frequency in cycles per step.
    pub fn power(&self, frequency: f64) -> f64 {
        // |exp(i w) - p| for each pole, by 1 - cos w = 2 sin^2(w / 2): sums of squares of small numbers, without cancellation.
        let (low, sine) = (2.0 * (PI * frequency).sin().powi(2), (2.0 * PI * frequency).sin());
        let away = self.offsets().map(|[left, imaginary]| (left - low).powi(2) + (sine - imaginary).powi(2));
        self.gain / away[0] * (self.gain / away[1])
    }

    /// Returns the frequency in cycles per step where the gain has fallen by 3 dB; `None` if there is none, or if a pole has magnitude 1.
    pub fn corner(&self) -> Option<f64> {
        let falls = |frequency: &f64| self.power(*frequency) <= 0.5;
        // Searches upward in steps of 1 % from far below the slowest pole, then bisects the last interval.
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

    /// Returns the fraction of weights that flip per step if gradients are independent noise of mean 0, in the stationary state: arccos(r)
    /// / pi, where r = sum / (1 + product) is the output's autocorrelation at lag 1.
    pub fn noise_flips(&self) -> f64 {
        // 1 - r = gain / (1 + product) and arccos(r) = 2 arcsin(sqrt((1 - r) / 2)).
        2.0 * (0.5 * self.gain / (2.0 - self.loss)).sqrt().min(1.0).asin() / PI
    }

    /// Returns the settings of the equivalent SGD with this learning rate: momentum = p q, decay = gain / rate.
    pub fn latent_sgd(&self, rate: f64) -> Result<LatentSgd> {
        let sgd = LatentSgd { rate, momentum: 1.0 - self.loss, decay: self.gain / rate };
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
        // The roots of x^2 - (1 - mu + e l) x + e l, computed by hand.
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
        // Equal rates with a rounded momentum: the poles of z^2 - 2 z + 1 - e are sqrt(e) apart.
        for (alpha, gamma, share) in [
            (1e-3, 0.1, 1e-7),
            (1e-6, 0.5, 1e-7),
            (0.2, 0.2, 1e-7),
            (0.3, 1.0, 1e-7),
            (1e-3, 1e-3, 1e-6),
            (1e-6, 1e-6, 1e-4),
        ] {
            let response = Response::cascade(alpha, gamma).expect("in range");
            let back = response.latent_sgd(0.1).expect("in range").response().expect("in range").rates().expect("real");
            close(back[0], alpha, share);
            close(back[1], gamma, share);
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
    fn equal_rates_are_real_however_slow() {
        for rate in (1..=9).map(|power| 0.1_f64.powi(power)).chain([5e-3, 5e-4, 3e-4, 3e-5]) {
            let response = Response::cascade(rate, rate).expect("in range");
            let [alpha, gamma] = response.averages().expect("real poles");
            close(alpha, rate, 1e-7);
            close(gamma, rate, 1e-7);
            // |H| = a^2 / (a^2 + 2 (1 - a)(1 - cos w)) = 1 / sqrt(2), and sin(w / 2) = sqrt((1 - cos w) / 2).
            let fall = rate * rate * (2_f64.sqrt() - 1.0) / (2.0 * (1.0 - rate));
            close(response.corner().expect("it falls"), (0.5 * fall).sqrt().asin() / PI, 1e-7);
        }
    }

    #[test]
    fn a_pole_below_0_alternates() {
        let alternating = sgd(1.0, 0.0, 1.9);
        let [slow, fast] = alternating.rates().expect("real poles");
        close(slow, 1.9, 1e-12);
        close(fast, 1.0, 1e-12);
        assert_eq!(alternating.averages(), None);
        close(alternating.time_constants()[0], -1.0 / 0.9_f64.ln(), 1e-12);
        assert_eq!(alternating.time_constants()[1], 0.0);
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
        assert!(LatentSgd { rate: 1.0, momentum: 0.999_999_99, decay: 1e-9 }.response().is_ok());
        for (rate, momentum, decay) in [
            (0.0, 0.9, 1e-4),
            (0.1, 1.0, 1e-4),
            (0.1, 1.0 + 1e-12, 1e-4),
            (0.1, 0.9, -1.0),
            (100.0, 0.9, 1.0),
            (f64::NAN, 0.9, 1.0),
        ] {
            assert!(LatentSgd { rate, momentum, decay }.response().is_err_and(|e| e.is_usage()));
        }
        assert!(Response::cascade(0.0, 0.1).is_err() && Response::cascade(0.1, 1.5).is_err());
    }
}
