//! The contract of a data set: so many images of bytes, each with a label.

use super::augment::Augment;
use super::normalisation::Normalisation;
use crate::error::{Error, Result};
use crate::tensor::hash;
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

    /// Whether an image is read and decoded when it is asked for; then several threads ask.
    fn decodes_lazily(&self) -> bool {
        false
    }
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

/// A data set as training sees it.
#[derive(Clone)]
pub struct Data {
    /// Its name.
    pub name: String,
    /// Height, width, channels of what a network sees. Images may be larger: it sees their centre, or what `augment` takes of them.
    pub shape: [usize; 3],
    /// Largest byte of a pixel.
    pub pixel_max: u8,
    /// How bytes become numbers.
    pub normalisation: Normalisation,
    /// What training does to an image.
    pub augment: Augment,
    /// Names of the classes, by label.
    pub classes: Vec<String>,
    /// What is trained on.
    pub train: Arc<dyn Dataset>,
    /// What is never trained on, to choose epochs and settings by.
    pub validation: Option<Arc<dyn Dataset>>,
    /// What is never trained on, and nothing is chosen by.
    pub test: Arc<dyn Dataset>,
    /// Files that could not be read, each with the reason.
    pub skipped: Vec<String>,
}

impl Data {
    /// Images as they are: pixels of 0 to `pixel_max` become -1 to 1, nothing is augmented, nothing is held back to validate.
    pub fn new(
        name: impl Into<String>,
        pixel_max: u8,
        classes: Vec<String>,
        train: Arc<dyn Dataset>,
        test: Arc<dyn Dataset>,
    ) -> Self {
        Self {
            name: name.into(),
            shape: train.shape(),
            pixel_max,
            normalisation: Normalisation::UNIT,
            augment: Augment::default(),
            classes,
            train,
            validation: None,
            test,
            skipped: Vec::new(),
        }
    }

    /// 16 hexadecimal digits that two data sets share where they are tested on the same images: a hash of the shape and number of the test
    /// images, their labels, and the pixels of some. Fails where an image cannot be read.
    pub fn fingerprint(&self) -> Result<String> {
        /// Images whose pixels count, evenly apart.
        const LOOKED_AT: usize = 16;
        let (test, count) = (&self.test, self.test.len());
        let numbers = test.shape().into_iter().chain([count]).map(|number| number as u64);
        let mut bytes: Vec<u8> = numbers.flat_map(u64::to_le_bytes).collect();
        bytes.extend((0..count).flat_map(|i| test.label(i).to_le_bytes()));
        let mut image = vec![0; test.shape().iter().product()];
        for i in 0..LOOKED_AT.min(count) {
            test.image(i * count / LOOKED_AT.min(count), &mut image)?;
            bytes.extend(&image);
        }
        Ok(format!("{:016x}", hash(bytes)))
    }

    /// Refuses what batches cannot be made of: images smaller than what the network sees, or of other channels.
    pub fn check(&self) -> Result<()> {
        let [height, width, channels] = self.shape;
        for set in [Some(&self.train), self.validation.as_ref(), Some(&self.test)].into_iter().flatten() {
            let [h, w, c] = set.shape();
            if c != channels || h < height || w < width {
                let expected = format!("images of at least {height}x{width} pixels and {channels} channels");
                return Err(Error::shape(format!("data set `{}`", self.name), expected, format!("{h}x{w}x{c}")));
            }
        }
        self.augment.check(self.shape[2])
    }
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
    fn a_fingerprint_is_of_the_test_images_and_their_labels() {
        let whole = InMemory { shape: [2, 2, 1], pixels: (0..80).collect(), labels: (0..20).map(|i| i % 3).collect() };
        let print = |train: &InMemory, test: &InMemory| {
            let [train, test] = [train, test].map(|part| Arc::new(part.clone()) as Arc<dyn Dataset>);
            Data::new("mine", 255, vec![String::new(); 3], train, test).fingerprint().expect("it is in memory")
        };
        let first = print(&whole, &whole);
        assert_eq!(first, "498a896f2989f931", "the same on every machine");
        assert_eq!(first, print(&InMemory::new([2, 2, 1]), &whole), "whatever is trained on");
        let mut other = [whole.clone(), whole.clone(), whole.clone()];
        other[0].labels[19] = 2;
        other[1].pixels[0] = 255;
        other[2].shape = [1, 4, 1];
        other.iter().for_each(|other| assert_ne!(first, print(&whole, other)));
        assert_eq!(print(&whole, &InMemory::new([2, 2, 1])).len(), 16, "of no images, too");
    }
}
