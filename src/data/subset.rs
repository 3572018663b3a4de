//! Subsets of a data set: a balanced subset, or a split.

use super::dataset::Dataset;
use crate::error::Result;
use crate::tensor::{Stream, shuffled};
use std::sync::Arc;

/// A subset of another data set.
pub struct Subset {
    of: Arc<dyn Dataset>,
    samples: Vec<usize>,
}

impl Subset {
    /// Returns at most `count` samples, balanced: takes the next sample of each class in turn while there are any.
    pub fn balanced(of: Arc<dyn Dataset>, count: usize, classes: usize) -> Self {
        let of_class = by_class(of.len(), classes, |i| of.label(i));
        let rounds = of_class.iter().map(Vec::len).max().unwrap_or(0);
        let order = (0..rounds).flat_map(|round| of_class.iter().filter_map(move |samples| samples.get(round)));
        let samples = order.take(count).copied().collect();
        Self { of, samples }
    }

    /// Splits a data set into the remaining samples and a fraction of each class.
    pub fn split(of: Arc<dyn Dataset>, share: f32, classes: usize, stream: Stream) -> (Self, Self) {
        let (kept, taken) = split(of.len(), classes, |i| of.label(i), share, stream);
        (Self { of: of.clone(), samples: kept }, Self { of, samples: taken })
    }
}

fn by_class(count: usize, classes: usize, label: impl Fn(usize) -> u32) -> Vec<Vec<usize>> {
    let mut of_class = vec![Vec::new(); classes];
    (0..count).for_each(|i| of_class[label(i) as usize].push(i));
    of_class
}

/// Splits `0..count`, both parts in order. Takes a fraction of each class, chosen by the stream: at least one sample, but never all of a
/// class.
pub(super) fn split(
    count: usize,
    classes: usize,
    label: impl Fn(usize) -> u32,
    share: f32,
    stream: Stream,
) -> (Vec<usize>, Vec<usize>) {
    let mut is_taken = vec![false; count];
    for (class, samples) in by_class(count, classes, label).iter().enumerate() {
        let wanted = (samples.len() as f64 * f64::from(share)).round() as usize;
        let taken = wanted.max(1).min(samples.len().saturating_sub(1));
        let order = shuffled(samples.len(), stream.named(&class.to_string()));
        order[..taken].iter().for_each(|&i| is_taken[samples[i as usize]] = true);
    }
    (0..count).partition(|&i| !is_taken[i])
}

impl Dataset for Subset {
    fn shape(&self) -> [usize; 3] {
        self.of.shape()
    }

    fn len(&self) -> usize {
        self.samples.len()
    }

    fn image(&self, index: usize, out: &mut [u8]) -> Result<()> {
        self.of.image(self.samples[index], out)
    }

    fn label(&self, index: usize) -> u32 {
        self.of.label(self.samples[index])
    }

    fn decodes_lazily(&self) -> bool {
        self.of.decodes_lazily()
    }
}

#[cfg(test)]
mod tests {
    use super::super::dataset::InMemory;
    use super::*;

    fn ten() -> Arc<dyn Dataset> {
        Arc::new(InMemory { shape: [1, 2, 1], pixels: (0..20).collect(), labels: [vec![0; 6], vec![1; 4]].concat() })
    }

    #[test]
    fn a_limit_is_balanced() {
        let some = Subset::balanced(ten(), 4, 2);
        assert_eq!((0..4).map(|i| some.label(i)).collect::<Vec<_>>(), [0, 1, 0, 1]);
        let mut image = [0; 2];
        some.image(1, &mut image).unwrap();
        assert_eq!(image, [12, 13]);
        assert_eq!(Subset::balanced(ten(), 100, 2).len(), 10);
    }

    #[test]
    fn a_split_takes_its_share_of_each_class_once() {
        let parts = |share, seed| {
            let (kept, taken) = Subset::split(ten(), share, 2, Stream::new(seed, "split"));
            let both = [&kept.samples[..], &taken.samples].concat();
            assert!((0..10).all(|i| both.contains(&i)) && both.len() == 10, "{both:?}");
            (kept.samples, taken.samples)
        };
        let (kept, taken) = parts(0.5, 1);
        assert_eq!(taken.iter().filter(|&&i| i < 6).count(), 3);
        assert_eq!((kept.len(), taken.len()), (5, 5));
        assert_eq!(parts(0.5, 1), (kept.clone(), taken));
        assert!((2..20).any(|seed| parts(0.5, seed).0 != kept), "another seed, another split");
        assert_eq!(parts(0.01, 1).1.len(), 2, "at least one of each class");
        assert_eq!(parts(0.99, 1).0.len(), 2, "never all of a class");
    }
}
