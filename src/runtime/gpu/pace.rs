//! Splits recordings into submissions that are short enough for the watchdog of the operating system (Windows resets a device after 2 s).
//! The first play uses estimated times; later plays use measured times.

use std::ops::Range;

/// Maximum duration of a submission in seconds.
const LONGEST_SUBMIT: f64 = 0.1;
/// Rates per second that estimates assume: those of the slowest adapter measured, Mesa's software Vulkan on two AVX2 cores (floats by bits:
/// 2.1 G multiply-adds). Other adapters are 10 to 1000 times faster; the first plays measure by how much.
const BYTES: f64 = 2e9;
const MULTIPLY_ADDS: f64 = 2e9;
/// Safety factor on measured times: a step may wait for the previous one, and the next step may be slower.
const MARGIN: f64 = 2.0;
/// Maximum factor by which one measurement reduces the expected time.
const STEADY: f64 = 8.0;

/// Returns the estimated seconds of a dispatch on a slow adapter.
pub fn estimate(bytes: u64, multiply_adds: u64) -> f64 {
    bytes as f64 / BYTES + multiply_adds as f64 / MULTIPLY_ADDS
}

/// The split of one recording into submissions on one device.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Estimated seconds of each dispatch.
    estimates: Vec<f64>,
    /// Ranges of dispatches between cuts; no submission crosses a cut.
    parts: Vec<Range<usize>>,
    /// Ratio of expected to estimated seconds.
    ratio: f64,
    submits: Vec<Vec<Range<usize>>>,
}

impl Pace {
    /// Creates the pace from the estimates of all dispatches by part.
    pub fn new(parts: &[Vec<f64>]) -> Self {
        let mut first = 0;
        let ranges = parts.iter().map(|part| {
            first += part.len();
            first - part.len()..first
        });
        let mut pace = Self { estimates: parts.concat(), parts: ranges.collect(), ratio: 1.0, submits: Vec::new() };
        pace.submits = pace.split();
        pace
    }

    /// Returns the dispatches of each submission of a part. There is at least one submission, which may be empty.
    pub fn submits(&self, part: usize) -> &[Range<usize>] {
        &self.submits[part]
    }

    /// Returns the estimated seconds of a part.
    pub fn estimate_of(&self, part: usize) -> f64 {
        self.estimates[self.parts[part].clone()].iter().sum()
    }

    /// Updates the pace with a play that took `seconds` and was estimated at `estimated` seconds. If the end was not `waited` for,
    /// `seconds` is an upper bound. Returns the number of submissions if it has changed.
    pub fn measured(&mut self, estimated: f64, seconds: f64, waited: bool) -> Option<usize> {
        // A play with an estimate of zero carries no information about the rates.
        if estimated <= 0.0 {
            return None;
        }
        let found = MARGIN * seconds / estimated;
        let ratio = if waited || found < self.ratio { found.max(self.ratio / STEADY) } else { self.ratio };
        self.ratio = ratio;
        let (before, submits) = (self.count(), self.split());
        let after: usize = submits.iter().map(Vec::len).sum();
        (before != after).then(|| {
            self.submits = submits;
            after
        })
    }

    /// Returns the total number of submissions of all parts.
    pub fn count(&self) -> usize {
        self.submits.iter().map(Vec::len).sum()
    }

    /// Splits parts into the fewest submissions whose expected time stays below the limit. A dispatch above the limit has its own
    /// submission.
    fn split(&self) -> Vec<Vec<Range<usize>>> {
        let split_part = |part: &Range<usize>| {
            let (mut submits, mut first, mut expected) = (Vec::new(), part.start, 0.0);
            for i in part.clone() {
                let next = self.ratio * self.estimates[i];
                if i > first && expected + next > LONGEST_SUBMIT {
                    submits.push(first..i);
                    (first, expected) = (i, 0.0);
                }
                expected += next;
            }
            submits.push(first..part.end);
            submits
        };
        self.parts.iter().map(split_part).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(pace: &Pace) -> Vec<usize> {
        pace.submits.iter().flatten().map(Range::len).collect()
    }

    #[test]
    fn the_first_play_is_split_already() {
        // Products of 0.04 s, one of 0.3 s.
        let mut estimates = vec![0.04; 6];
        estimates[3] = 0.3;
        let pace = Pace::new(&[estimates]);
        assert_eq!(lengths(&pace), [2, 1, 1, 2]);
        assert_eq!(pace.submits(0)[0], 0..2);
        assert!((pace.estimate_of(0) - 0.5).abs() < 1e-9);
        // Short parts, and empty ones, are one submission.
        assert_eq!(lengths(&Pace::new(&[vec![1e-4; 900]])), [900]);
        assert_eq!(lengths(&Pace::new(&[vec![]])), [0]);
    }

    #[test]
    fn submits_merge_as_plays_turn_out_fast_and_part_again() {
        let mut pace = Pace::new(&[vec![0.05; 40]]);
        assert_eq!(pace.count(), 20);
        // A step of an estimated 2 s takes 10 ms: each measurement reduces the expected time by a factor of 8 at most.
        let mut counts = Vec::new();
        for _ in 0..4 {
            pace.measured(2.0, 0.01, true);
            counts.push(pace.count());
        }
        assert_eq!(counts, [3, 1, 1, 1]);
        // A slower play than expected takes effect at once.
        assert_eq!(pace.measured(2.0, 0.4, true), Some(10));
        // The end was not waited for, so the measured time is only an upper bound: no change.
        assert_eq!(pace.measured(2.0, 60.0, false), None);
        assert_eq!(pace.count(), 10);
        assert_eq!(pace.measured(2.0, 0.09, false), Some(2));
        assert_eq!(pace.measured(0.0, 1.0, true), None);
    }

    /// Each recording has its own pace, independent of the times of other recordings.
    #[test]
    fn each_recording_has_its_own() {
        let (mut long, mut short) = (Pace::new(&[vec![0.05; 40]]), Pace::new(&[vec![1e-6; 3]]));
        (0..9).for_each(|_| assert_eq!(short.measured(3e-6, 1e-5, true), None));
        assert_eq!((long.count(), short.count()), (20, 1));
        // A long recording that is as slow as expected stays split, however often it is played.
        (0..9).for_each(|_| assert_eq!(long.measured(2.0, 1.0, true), None));
        assert_eq!(long.count(), 20);
    }

    #[test]
    fn no_submit_crosses_a_cut() {
        let pace = Pace::new(&[vec![0.01; 3], vec![], vec![0.06; 2]]);
        let starts =
            |part: usize| pace.submits(part).iter().map(|submit| (submit.start, submit.end)).collect::<Vec<_>>();
        assert_eq!([0, 1, 2].map(starts), [vec![(0, 3)], vec![(3, 3)], vec![(3, 4), (4, 5)]]);
    }
}
