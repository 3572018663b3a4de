//! Reads a folder of images: headers, then pixels, then the split.

use super::super::dataset::{Data, Dataset, ImageFile};
use super::super::image::{Background, Header, header};
use super::super::subset::Subset;
use super::super::threads::Threads;
use super::images::{Images, Store, Target, read_file, unreadable};
use super::listing::{Found, Listing, list, list_everything};
use super::names::Part;
use crate::error::{Error, Result};
use crate::tensor::{Stream, hash};
use rayon::prelude::*;
use std::path::Path;
use std::sync::Arc;

/// Fraction of each class that is held out for testing if the folder has no test part.
const TEST_SHARE: f32 = 0.2;

/// Data sets up to this number of bytes are decoded once; larger ones are decoded image by image on access.
pub(in super::super) const IN_MEMORY: usize = 1 << 30;

/// Settings for reading a folder.
#[derive(Clone, Debug)]
pub(in super::super) struct Folder<'a> {
    pub root: &'a Path,
    /// Height and width that images are scaled to; `None` requires images of a single size.
    pub size: Option<[usize; 2]>,
    /// 1 or 3; `None` uses 3 if any image has colour.
    pub channels: Option<usize>,
    pub background: Background,
    /// Whether an image that cannot be read is an error.
    pub is_strict: bool,
    pub split_seed: u64,
    /// [`IN_MEMORY`], or less in tests.
    pub in_memory: usize,
    /// Threads that decode images.
    pub threads: &'a Threads,
}

/// A file whose header has been read.
struct Sample {
    found: Found,
    header: Header,
    /// Hash of the file's bytes.
    content: u64,
}

impl Folder<'_> {
    /// Reads the folder as the data set `name`.
    pub fn load(&self, name: &str) -> Result<Data> {
        self.on_threads(|| {
            let listing = list(self.root)?;
            let (classes, omitted) = (listing.classes.clone(), listing.omitted.clone());
            let mut skipped = Vec::new();
            let (images, parts) = self.images(listing, &mut skipped)?;
            let images: Arc<dyn Dataset> = images;
            let of_part = |part| {
                let indices: Vec<usize> = (0..parts.len()).filter(|&i| parts[i] == part).collect();
                (!indices.is_empty()).then(|| Arc::new(Subset::of(images.clone(), indices)) as Arc<dyn Dataset>)
            };
            let [train, validation, test] = [Some(Part::Train), Some(Part::Validation), Some(Part::Test)].map(of_part);
            let (train, test) = match (train.or_else(|| of_part(None)), test) {
                (Some(train), Some(test)) => (train, test),
                (Some(all), None) => {
                    let stream = Stream::new(self.split_seed, "folder.split");
                    let (train, test) = Subset::split(all, TEST_SHARE, classes.len(), stream);
                    (Arc::new(train) as _, Arc::new(test) as _)
                }
                (None, _) => return Err(self.missing("training images", &skipped)),
            };
            for set in [&train, &test] {
                let mut is_there = vec![false; classes.len()];
                (0..set.len()).for_each(|i| is_there[set.label(i) as usize] = true);
                if let Some(missing) = is_there.iter().position(|there| !there) {
                    return Err(
                        self.missing(&format!("training and test images of class `{}`", classes[missing]), &skipped)
                    );
                }
            }
            let data = Data::new(name, 255, classes, train, test);
            Ok(with_skipped(Data { validation, ..data }, skipped, omitted))
        })
    }

    /// Reads everything in the folder, whether it has parts or not, as test images of known classes.
    pub fn load_everything(&self, name: &str, classes: &[String]) -> Result<Data> {
        self.on_threads(|| {
            let listing = list_everything(self.root, classes)?;
            let omitted = listing.omitted.clone();
            let mut skipped = Vec::new();
            let images: Arc<dyn Dataset> = self.images(listing, &mut skipped)?.0;
            let none = Arc::new(Subset::of(images.clone(), Vec::new()));
            Ok(with_skipped(Data::new(name, 255, classes.to_vec(), none, images), skipped, omitted))
        })
    }

    fn on_threads<T: Send>(&self, read: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        match self.threads.pool() {
            Some(pool) => pool.install(read),
            None => read(),
        }
    }

    fn missing(&self, expected: &str, skipped: &[String]) -> Error {
        let got = skipped.last().map_or("too few".into(), |last| format!("too few readable ones ({last})"));
        Error::Format { path: self.root.into(), expected: expected.into(), got }
    }

    /// Reads the images of a listing, and returns the part of each.
    fn images(&self, listing: Listing, skipped: &mut Vec<String>) -> Result<(Arc<Images>, Vec<Option<Part>>)> {
        let samples = self.headers(listing.files, skipped)?;
        let target = Target { shape: self.shape(&samples)?, background: self.background };
        let bytes = samples.len().saturating_mul(target.shape.iter().product());
        let (samples, store) = if bytes > self.in_memory {
            let paths = samples.iter().map(|sample| sample.found.path.clone()).collect();
            (samples, Store::Disk { paths, is_strict: self.is_strict })
        } else {
            self.decoded(samples, target, skipped)?
        };
        let parts = samples.iter().map(|sample| sample.found.part).collect();
        let labels = samples.iter().map(|sample| sample.found.label).collect();
        let file = |sample: Sample| ImageFile { path: sample.found.relative, content: sample.content };
        Ok((Arc::new(Images { target, files: samples.into_iter().map(file).collect(), labels, store }), parts))
    }

    /// Reads the headers of all files in parallel and returns the readable ones, in order.
    fn headers(&self, files: Vec<Found>, skipped: &mut Vec<String>) -> Result<Vec<Sample>> {
        let read = |found: &Found| {
            let bytes = read_file(&found.path)?;
            Ok((header(&bytes)?, hash(bytes.iter().copied())))
        };
        let headers: Vec<_> = files.par_iter().map(read).collect();
        let readable = self.readable(files, headers, |found| found, skipped)?;
        Ok(readable.into_iter().map(|(found, (header, content))| Sample { found, header, content }).collect())
    }

    /// Decodes all samples in parallel.
    fn decoded(&self, samples: Vec<Sample>, target: Target, skipped: &mut Vec<String>) -> Result<(Vec<Sample>, Store)> {
        let bytes = target.shape.iter().product();
        let mut all = vec![0; samples.len() * bytes];
        let results: Vec<_> = all
            .par_chunks_exact_mut(bytes)
            .zip(&samples)
            .enumerate()
            .map(|(at, (out, sample))| target.read(&sample.found.path, out).map(|()| at))
            .collect();
        let read = self.readable(samples, results, |sample| &sample.found, skipped)?;
        // Compacts the samples after unreadable ones are removed.
        for (to, &(_, from)) in read.iter().enumerate() {
            all.copy_within(from * bytes..(from + 1) * bytes, to * bytes);
        }
        all.truncate(read.len() * bytes);
        Ok((read.into_iter().map(|(sample, _)| sample).collect(), Store::Memory(all)))
    }

    /// Returns the readable files. Records the unreadable ones, or fails if the folder is strict.
    fn readable<T, R>(
        &self,
        files: Vec<T>,
        results: Vec<std::result::Result<R, String>>,
        found: impl Fn(&T) -> &Found,
        skipped: &mut Vec<String>,
    ) -> Result<Vec<(T, R)>> {
        let mut kept = Vec::with_capacity(files.len());
        for (file, result) in files.into_iter().zip(results) {
            match result {
                Ok(value) => kept.push((file, value)),
                Err(reason) if self.is_strict => return Err(unreadable(&found(&file).path, reason)),
                Err(reason) => skipped.push(format!("{}: {reason}", found(&file).path.display())),
            }
        }
        Ok(kept)
    }

    /// Returns height, width, channels: the settings, or the common values of all images.
    fn shape(&self, samples: &[Sample]) -> Result<[usize; 3]> {
        let is_colour = |header: &Header| header.is_colour || header.has_alpha && self.background.is_colour();
        let has_colour = || samples.iter().any(|sample| is_colour(&sample.header));
        let channels = self.channels.unwrap_or_else(|| if has_colour() { 3 } else { 1 });
        let Some(first) = samples.first() else {
            let expected = "readable images".into();
            return Err(Error::Format { path: self.root.into(), expected, got: "none".into() });
        };
        let size = |sample: &Sample| [sample.header.height, sample.header.width];
        match (self.size, samples.iter().find(|sample| size(sample) != size(first))) {
            (Some([height, width]), _) => Ok([height, width, channels]),
            (None, None) => Ok([first.header.height, first.header.width, channels]),
            (None, Some(other)) => {
                let say = |sample: &Sample| {
                    let [height, width] = size(sample);
                    format!("{height}x{width} ({})", sample.found.path.display())
                };
                let got = format!("{} and {}", say(first), say(other));
                Err(Error::setting("image-size", "HEIGHTxWIDTH, since the images are not of one size", got))
            }
        }
    }
}

/// Adds what was not read to the data set.
fn with_skipped(data: Data, skipped: Vec<String>, mut omitted: std::collections::BTreeMap<String, usize>) -> Data {
    if !skipped.is_empty() {
        omitted.insert("unreadable".into(), skipped.len());
    }
    Data { skipped, skipped_by_reason: omitted, ..data }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(path: &Path, i: u8) -> Vec<u8> {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let pixels: Vec<u8> = (0..70).map(|p: u8| p.wrapping_mul(i + 1)).collect();
        let mut encoder = png::Encoder::new(std::fs::File::create(path).unwrap(), 7, 10);
        encoder.set_compression(png::Compression::NoCompression);
        encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
        std::fs::read(path).unwrap()
    }

    fn load(root: &Path, in_memory: usize, is_strict: bool) -> Result<Data> {
        let folder = Folder {
            root,
            size: Some([4, 5]),
            channels: None,
            background: Background::default(),
            is_strict,
            split_seed: 1,
            in_memory,
            threads: &Threads::new(Some(1)),
        };
        folder.load("folder")
    }

    #[test]
    fn images_decoded_late_are_those_decoded_early() {
        let root = tempfile::tempdir().unwrap();
        for (class, i) in [("a", 0), ("a", 1), ("b", 2), ("b", 3)] {
            png(&root.path().join(class).join(format!("{i}.png")), i);
        }
        let [early, late] = [IN_MEMORY, 79].map(|in_memory| load(root.path(), in_memory, true).unwrap());
        assert_eq!((early.train.decodes_lazily(), late.train.decodes_lazily()), (false, true));
        for (early, late) in [(early.train, late.train), (early.test, late.test)] {
            assert_eq!((early.len(), late.len()), (2, 2));
            for i in 0..2 {
                let (mut one, mut two) = ([0; 20], [0; 20]);
                early.image(i, &mut one).unwrap();
                late.image(i, &mut two).unwrap();
                assert_eq!((one, early.label(i)), (two, late.label(i)));
                assert_eq!(early.file(i), late.file(i));
            }
        }
    }

    #[test]
    fn damage_behind_the_header_is_found_early_or_when_the_image_is_asked_for() {
        let root = tempfile::tempdir().unwrap();
        for (part, i) in [("train", 0), ("train", 1), ("train", 2), ("test", 3)] {
            for class in ["a", "b"] {
                png(&root.path().join(part).join(class).join(format!("{i}.png")), i);
            }
        }
        let path = root.path().join("train/a/1.png");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[70] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let early = load(root.path(), IN_MEMORY, false).unwrap();
        assert_eq!((early.train.len(), early.skipped.len()), (5, 1));
        assert_eq!(early.skipped_by_reason, [("unreadable".to_string(), 1)].into());
        let late = load(root.path(), 79, false).unwrap();
        assert_eq!((late.train.len(), late.skipped.len()), (6, 0));
        let read = |data: &Data| data.train.image(1, &mut [0; 20]);
        assert!(matches!(read(&late), Err(Error::Unreadable { path: named, .. }) if named == path));
        assert_eq!(late.fingerprint().unwrap().len(), 16);
        let strict = read(&load(root.path(), 79, true).unwrap()).unwrap_err();
        assert!(matches!(&strict, Error::Format { path: named, .. } if *named == path), "{strict}");
        assert!(load(root.path(), IN_MEMORY, true).is_err());
    }
}
