//! Sums over steps, from counters that only ever grow on the device.

/// What happened between two read-backs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interval {
    /// Steps.
    pub steps: u64,
    /// Samples.
    pub samples: u64,
    /// Sum over steps of the mean loss.
    pub loss: f64,
    /// Correct samples.
    pub correct: u64,
    /// Flipped weights by binary layer.
    pub flips: Vec<u64>,
}

impl Interval {
    /// Adds a later interval.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.samples += other.samples;
        self.loss += other.loss;
        self.correct += other.correct;
        self.flips.resize(self.flips.len().max(other.flips.len()), 0);
        self.flips.iter_mut().zip(&other.flips).for_each(|(a, b)| *a += b);
    }

    /// Mean loss of a step.
    pub fn mean_loss(&self) -> f64 {
        self.loss / self.steps.max(1) as f64
    }

    /// Share of correct samples.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.samples.max(1) as f64
    }

    /// Share of `weights` that flipped in a step of layer `layer`.
    pub fn flip_ratio(&self, layer: usize, weights: u64) -> f64 {
        let flips = self.flips.get(layer).copied().unwrap_or(0);
        flips as f64 / (weights.max(1) * self.steps.max(1)) as f64
    }
}

/// Growth of counters since they were last seen; they wrap, and never grow by 2^32 between two looks.
#[derive(Clone, Debug)]
pub(super) struct Counters {
    seen: Vec<u32>,
}

impl Counters {
    pub(super) fn new(count: usize) -> Self {
        Self { seen: vec![0; count] }
    }

    pub(super) fn growth(&mut self, now: &[u32]) -> Vec<u64> {
        let growth = now.iter().zip(&self.seen).map(|(now, seen)| u64::from(now.wrapping_sub(*seen))).collect();
        self.seen.copy_from_slice(now);
        growth
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_may_wrap() {
        let mut counters = Counters::new(1);
        assert_eq!(counters.growth(&[u32::MAX]), [u64::from(u32::MAX)]);
        assert_eq!(counters.growth(&[4]), [5]);
    }
}
