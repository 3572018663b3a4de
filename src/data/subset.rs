//! Subsets of a data set: a balanced subset, or a split.

use super::dataset::{Dataset, ImageFile};
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

    /// Returns the samples of these indices, in this order.
    pub fn of(of: Arc<dyn Dataset>, samples: Vec<usize>) -> Self {
        Self { of, samples }
    }

    /// Splits a data set into the remaining samples and a fraction of each class. Images that have a file are split by a hash of the file's
    /// path: files that are added later leave the others in their part. Other images are split by index.
    pub fn split(of: Arc<dyn Dataset>, share: f32, classes: usize, stream: Stream) -> (Self, Self) {
        let (count, label) = (of.len(), |i| of.label(i));
        let is_taken = match of.file(0).filter(|_| count > 0) {
            Some(_) => {
                let path = |i| of.file(i).map_or("", |file| &file.path);
                taken_by_hash(count, classes, label, share, |i| stream.named(path(i)).word(0))
            }
            None => taken_by_index(count, classes, label, share, stream),
        };
        let (kept, taken) = (0..count).partition(|&i| !is_taken[i]);
        (Self { of: of.clone(), samples: kept }, Self { of, samples: taken })
    }
}

fn by_class(count: usize, classes: usize, label: impl Fn(usize) -> u32) -> Vec<Vec<usize>> {
    let mut of_class = vec![Vec::new(); classes];
    (0..count).for_each(|i| of_class[label(i) as usize].push(i));
    of_class
}

/// Takes a fraction of each class, chosen by the stream: at least one sample, but never all of a class. Returns whether each is taken.
fn taken_by_index(count: usize, classes: usize, label: impl Fn(usize) -> u32, share: f32, stream: Stream) -> Vec<bool> {
    let mut is_taken = vec![false; count];
    for (class, samples) in by_class(count, classes, label).iter().enumerate() {
        let wanted = (samples.len() as f64 * f64::from(share)).round() as usize;
        let taken = wanted.max(1).min(samples.len().saturating_sub(1));
        let order = shuffled(samples.len(), stream.named(&class.to_string()));
        order[..taken].iter().for_each(|&i| is_taken[samples[i as usize]] = true);
    }
    is_taken
}

/// Takes the samples whose hash is below the fraction `share` of its range. If these are none or all of a class, the one with the lowest hash
/// is taken, or the one with the highest is left; the only sample of a class is left.
fn taken_by_hash(
    count: usize,
    classes: usize,
    label: impl Fn(usize) -> u32,
    share: f32,
    hash: impl Fn(usize) -> u32,
) -> Vec<bool> {
    let mut is_taken = vec![false; count];
    for samples in by_class(count, classes, label) {
        let mut hashes: Vec<(u32, usize)> = samples.iter().map(|&i| (hash(i), i)).collect();
        hashes.sort_unstable();
        let below = hashes.partition_point(|(hash, _)| f64::from(*hash) < f64::from(share) * 2_f64.powi(32));
        let taken = below.max(1).min(hashes.len().saturating_sub(1));
        hashes[..taken].iter().for_each(|&(_, i)| is_taken[i] = true);
    }
    is_taken
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

    fn file(&self, index: usize) -> Option<&ImageFile> {
        self.of.file(self.samples[index])
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
    #[test]
    fn a_split_by_hash_keeps_its_share_and_is_kept_when_samples_are_added() {
        let taken = |count: usize, share: f32| {
            let hash = |i: usize| Stream::new(3, &format!("class/{i}.png")).word(0);
            taken_by_hash(count, 2, |i| (i % 2) as u32, share, hash)
        };
        let first = taken(4000, 0.2);
        assert!((740..860).contains(&first.iter().filter(|&&taken| taken).count()));
        assert_eq!(taken(5000, 0.2)[..4000], first, "1,000 more samples");
        // A class of which the share takes none or all: the lowest hash is taken, the highest is left.
        let hashes = [5, 3, u32::MAX, u32::MAX - 1];
        let few = |share| taken_by_hash(4, 1, |_| 0, share, |i| hashes[i]);
        assert_eq!((few(1e-12), few(1.0)), (vec![false, true, false, false], vec![true, true, false, true]));
        assert_eq!(taken_by_hash(1, 1, |_| 0, 0.9, |_| 0), [false], "training needs it");
    }
}
