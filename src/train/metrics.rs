//! Sums over steps, from counters that only grow on the device.

/// Metrics between two read-backs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interval {
    /// Number of steps.
    pub steps: u64,
    /// Number of samples.
    pub samples: u64,
    /// Sum over steps of the mean loss.
    pub loss: f64,
    /// Number of correct samples.
    pub correct: u64,
    /// Flipped weights by binary layer.
    pub flips: Vec<u64>,
    /// Number of times that a narrow state was stored at the limit of its format.
    pub saturated: u64,
}

impl Interval {
    /// Adds a later interval.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.samples += other.samples;
        self.loss += other.loss;
        self.correct += other.correct;
        self.saturated += other.saturated;
        self.flips.resize(self.flips.len().max(other.flips.len()), 0);
        self.flips.iter_mut().zip(&other.flips).for_each(|(a, b)| *a += b);
    }

    /// Returns the mean loss per step.
    pub fn mean_loss(&self) -> f64 {
        self.loss / self.steps.max(1) as f64
    }

    /// Returns the fraction of correct samples.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.samples.max(1) as f64
    }

    /// Returns the fraction of `weights` that flipped per step in layer `layer`.
    pub fn flip_ratio(&self, layer: usize, weights: u64) -> f64 {
        let flips = self.flips.get(layer).copied().unwrap_or(0);
        flips as f64 / (weights.max(1) * self.steps.max(1)) as f64
    }
}

/// Extends wrapping 32-bit counters to 64 bits. Successive readings differ by less than 2^31, and may arrive out of order.
#[derive(Clone, Debug)]
pub(super) struct Counters {
    /// The latest reading.
    latest: Vec<(u32, u64)>,
    /// The values at the last call of `growth`.
    last_reported: Vec<u64>,
}

impl Counters {
    pub(super) fn new(count: usize) -> Self {
        Self { latest: vec![(0, 0); count], last_reported: vec![0; count] }
    }

    /// Returns the extended values of a reading.
    pub(super) fn see(&mut self, now: &[u32]) -> Vec<u64> {
        let total = |(&now, latest): (&u32, &mut (u32, u64))| {
            let ahead = now.wrapping_sub(latest.0).cast_signed();
            let total = latest.1.wrapping_add_signed(i64::from(ahead));
            if ahead > 0 {
                *latest = (now, total);
            }
            total
        };
        now.iter().zip(&mut self.latest).map(total).collect()
    }

    /// Returns the growth since the last call, whose readings are in order.
    pub(super) fn growth(&mut self, now: &[u32]) -> Vec<u64> {
        let totals = self.see(now);
        let growth = totals
            .iter()
            .zip(&self.last_reported)
            .map(|(total, last_reported)| total.saturating_sub(*last_reported))
            .collect();
        self.last_reported = totals;
        growth
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_may_wrap() {
        let mut counters = Counters::new(1);
        assert_eq!(counters.growth(&[7]), [7]);
        // Readings between two calls of `growth`, one of them out of order.
        assert_eq!(counters.see(&[1 << 31]), [1 << 31]);
        assert_eq!(counters.see(&[3 << 30]), [3 << 30]);
        assert_eq!(counters.see(&[3]), [(1 << 32) + 3]);
        assert_eq!(counters.see(&[u32::MAX]), [u64::from(u32::MAX)]);
        assert_eq!(counters.growth(&[4]), [(1 << 32) - 3]);
        assert_eq!(counters.growth(&[9]), [5]);
    }
}
