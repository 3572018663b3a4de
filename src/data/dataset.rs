//! The contract of a data set: images of bytes, each with a label.

use super::augment::Augment;
use super::normalisation::Normalisation;
use crate::error::{Error, Result};
use crate::tensor::hash;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A file of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFile {
    /// Path below the data set's folder, with `/` between names; in names that are not Unicode, invalid bytes are `\xNN`.
    pub path: String,
    /// Hash of the file's bytes.
    pub content: u64,
}

/// Images and labels by index.
pub trait Dataset: Send + Sync {
    /// Returns height, width and channels of every image.
    fn shape(&self) -> [usize; 3];

    /// Returns the number of samples.
    fn len(&self) -> usize;

    /// Whether there are no samples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes image `index`: height x width x channels bytes, channel last. In place of an image that is
    /// [`Error::Unreadable`], training takes the next one of the epoch; any other error ends it.
    fn image(&self, index: usize, out: &mut [u8]) -> Result<()>;

    /// Returns the label of image `index`.
    fn label(&self, index: usize) -> u32;

    /// Whether images are read and decoded on access; several threads then access them.
    fn decodes_lazily(&self) -> bool {
        false
    }

    /// Returns the file of image `index`; `None` in a data set without a file per image.
    fn file(&self, _index: usize) -> Option<&ImageFile> {
        None
    }
}

/// Images in memory.
#[derive(Clone, Debug)]
pub struct InMemory {
    /// Height, width, channels.
    pub shape: [usize; 3],
    /// Images in sequence.
    pub pixels: Vec<u8>,
    /// One label per image.
    pub labels: Vec<u32>,
}

impl InMemory {
    /// Creates an empty set of images of a shape.
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

/// A data set prepared for training.
#[derive(Clone)]
pub struct Data {
    /// Its name.
    pub name: String,
    /// Height, width and channels of the network's input. Images may be larger: evaluation takes their centre, training the crop of
    /// `augment`.
    pub shape: [usize; 3],
    /// Largest byte of a pixel.
    pub pixel_max: u8,
    /// Normalisation of bytes.
    pub normalisation: Normalisation,
    /// Augmentation of training images.
    pub augment: Augment,
    /// Names of the classes, by label.
    pub classes: Vec<String>,
    /// Training images.
    pub train: Arc<dyn Dataset>,
    /// Validation images, not used for training: epochs and settings are chosen by them.
    pub validation: Option<Arc<dyn Dataset>>,
    /// Test images, used neither for training nor for any choice.
    pub test: Arc<dyn Dataset>,
    /// Image files that could not be read, each with the reason.
    pub skipped: Vec<String>,
    /// Number of files in the data set's folder that are not read, by reason.
    pub skipped_by_reason: BTreeMap<String, usize>,
}

impl Data {
    /// Creates a data set without augmentation and validation images. Pixels of 0 to `pixel_max` become -1 to 1.
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
            skipped_by_reason: BTreeMap::new(),
        }
    }

    /// Returns 16 hexadecimal digits that are equal for two data sets with the same test images: a hash of the shape and number of the test
    /// images, their labels, and the pixels of some. Images that cannot be read have no pixels.
    pub fn fingerprint(&self) -> Result<String> {
        /// Number of evenly spaced images whose pixels are hashed.
        const LOOKED_AT: usize = 16;
        let (test, count) = (&self.test, self.test.len());
        let numbers = test.shape().into_iter().chain([count]).map(|number| number as u64);
        let mut bytes: Vec<u8> = numbers.flat_map(u64::to_le_bytes).collect();
        bytes.extend((0..count).flat_map(|i| test.label(i).to_le_bytes()));
        let mut image = vec![0; test.shape().iter().product()];
        for i in 0..LOOKED_AT.min(count) {
            match test.image(i * count / LOOKED_AT.min(count), &mut image) {
                Ok(()) => bytes.extend(&image),
                Err(Error::Unreadable { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(format!("{:016x}", hash(bytes)))
    }

    /// Fails for images that are smaller than the network's input or have another number of channels.
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
