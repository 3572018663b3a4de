//! The contract of a data set: so many images of bytes, each with a label.

use crate::error::Result;
use std::sync::Arc;

/// Images and labels by index.
pub trait Dataset: Send + Sync {
    /// Height, width, channels of every image.
    fn shape(&self) -> [usize; 3];

    /// Samples.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes image `index`: height x width x channels bytes, channel last. An error ends the training that asked.
    fn image(&self, index: usize, out: &mut [u8]) -> Result<()>;

    /// Label of image `index`.
    fn label(&self, index: usize) -> u32;
}

/// Images in memory.
#[derive(Clone, Debug)]
pub struct InMemory {
    /// Height, width, channels.
    pub shape: [usize; 3],
    /// Image after image.
    pub pixels: Vec<u8>,
    /// One an image.
    pub labels: Vec<u32>,
}

impl InMemory {
    /// No images of a shape.
    pub fn new(shape: [usize; 3]) -> Self {
        Self { shape, pixels: Vec::new(), labels: Vec::new() }
    }
}

impl Dataset for InMemory {
    fn shape(&self) -> [usize; 3] {
        self.shape
    }

    fn len(&self) -> usize {
        self.labels.len()
    }

    fn image(&self, index: usize, out: &mut [u8]) -> Result<()> {
        out.copy_from_slice(&self.pixels[index * out.len()..][..out.len()]);
        Ok(())
    }

    fn label(&self, index: usize) -> u32 {
        self.labels[index]
    }
}

/// Some samples of another data set.
pub struct Subset {
    of: Arc<dyn Dataset>,
    samples: Vec<usize>,
}

impl Subset {
    /// At most `count` samples, balanced: round after round the next sample of each class, as long as they last.
    pub fn balanced(of: Arc<dyn Dataset>, count: usize, classes: usize) -> Self {
        let mut of_class = vec![Vec::new(); classes];
        (0..of.len()).for_each(|i| of_class[of.label(i) as usize].push(i));
        let rounds = of_class.iter().map(Vec::len).max().unwrap_or(0);
        let order = (0..rounds).flat_map(|round| of_class.iter().filter_map(move |samples| samples.get(round)));
        let samples = order.take(count).copied().collect();
        Self { of, samples }
    }
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
}

/// A data set as training sees it.
#[derive(Clone)]
pub struct Data {
    /// Its name.
    pub name: String,
    /// Height, width, channels.
    pub shape: [usize; 3],
    /// Largest byte of a pixel; pixels map to -1..=1.
    pub pixel_max: u8,
    /// Names of the classes, by label.
    pub classes: Vec<String>,
    /// What is trained on.
    pub train: Arc<dyn Dataset>,
    /// What is never trained on.
    pub test: Arc<dyn Dataset>,
}

impl std::fmt::Debug for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [h, w, c] = self.shape;
        write!(
            f,
            "{}: {} + {} images {h}x{w}x{c}, {} classes",
            self.name,
            self.train.len(),
            self.test.len(),
            self.classes.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_balanced() {
        let all: Arc<dyn Dataset> = Arc::new(InMemory {
            shape: [1, 2, 1],
            pixels: (0..20).collect(),
            labels: [vec![0; 6], vec![1; 4]].concat(),
        });
        let some = Subset::balanced(all.clone(), 4, 2);
        assert_eq!((0..4).map(|i| some.label(i)).collect::<Vec<_>>(), [0, 1, 0, 1]);
        let mut image = [0; 2];
        some.image(1, &mut image).unwrap();
        assert_eq!(image, [12, 13]);
        assert_eq!(Subset::balanced(all, 100, 2).len(), 10);
    }
}
