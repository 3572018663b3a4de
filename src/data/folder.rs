//! A folder of images: `train/CLASS/*.png` and `test/CLASS/*.png`, or `CLASS/*.png` and a split.

use super::dataset::{Data, Dataset, InMemory};
use super::image_file::{Header, decode, header, is_image};
use super::resample::{Region, resample};
use super::subset::split;
use super::threads::Threads;
use crate::error::{Error, Result};
use crate::tensor::Stream;
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Fraction of each class that is held out for testing if the folder has no split.
const TEST_SHARE: f32 = 0.2;

/// Data sets up to this number of bytes are decoded once; larger ones are decoded image by image on access.
pub(super) const IN_MEMORY: usize = 1 << 30;

/// Settings for reading a folder.
#[derive(Clone, Debug)]
pub(super) struct Folder<'a> {
    pub root: &'a Path,
    /// Height and width that images are scaled to; `None` requires images of a single size.
    pub size: Option<[usize; 2]>,
    /// 1 or 3; `None` uses 3 if any image has colour.
    pub channels: Option<usize>,
    /// Whether an image that cannot be read is an error.
    pub is_strict: bool,
    pub split_seed: u64,
    /// [`IN_MEMORY`], or less in tests.
    pub in_memory: usize,
    /// Threads that decode images.
    pub threads: &'a Threads,
}

/// A file and its label.
type Sample = (PathBuf, u32);

/// Images that are decoded on access.
struct Files {
    samples: Vec<Sample>,
    shape: [usize; 3],
}

impl Dataset for Files {
    fn shape(&self) -> [usize; 3] {
        self.shape
    }

    fn len(&self) -> usize {
        self.samples.len()
    }

    fn image(&self, index: usize, out: &mut [u8]) -> Result<()> {
        let path = &self.samples[index].0;
        pixels(path, self.shape, out).map_err(|reason| unreadable(path, reason))
    }

    fn label(&self, index: usize) -> u32 {
        self.samples[index].1
    }

    fn decodes_lazily(&self) -> bool {
        true
    }
}

/// Decodes a file and scales the region that covers the shape.
fn pixels(path: &Path, shape: [usize; 3], out: &mut [u8]) -> std::result::Result<(), String> {
    let [height, width, channels] = shape;
    let (Header { height: h, width: w, .. }, image) = decode(path, channels)?;
    if [h, w] == [height, width] {
        out.copy_from_slice(&image);
    } else {
        let region = Region::covering([h, w], [height, width]);
        resample(&image, [h, w, channels], region, [height, width], out);
    }
    Ok(())
}

fn unreadable(path: &Path, reason: String) -> Error {
    Error::Format { path: path.to_path_buf(), expected: "a PNG or JPEG image".into(), got: reason }
}

impl Folder<'_> {
    /// Reads the folder as the data set `name`.
    pub fn load(&self, name: &str) -> Result<Data> {
        match self.threads.pool() {
            Some(pool) => pool.install(|| self.read(name)),
            None => self.read(name),
        }
    }

    fn read(&self, name: &str) -> Result<Data> {
        let mut skipped = Vec::new();
        let parts = ["train", "test"].map(|part| self.root.join(part)).map(|path| path.is_dir().then_some(path));
        let (classes, [train, test]) = match parts {
            [Some(train), Some(test)] => {
                let (classes, train) = list(&train)?;
                let (test_classes, test_samples) = list(&test)?;
                if test_classes != classes {
                    let (expected, got) = (format!("the classes of train: {}", some(&classes)), some(&test_classes));
                    return Err(Error::Format { path: test, expected, got });
                }
                (classes, [train, test_samples])
            }
            [None, None] => {
                let (classes, samples) = list(self.root)?;
                let stream = Stream::new(self.split_seed, "folder.split");
                let halves = split(samples.len(), classes.len(), |i| samples[i].1, TEST_SHARE, stream);
                let pick = |half: Vec<usize>| half.into_iter().map(|i| samples[i].clone()).collect();
                (classes, [pick(halves.0), pick(halves.1)])
            }
            [train, _] => {
                let got = if train.is_some() { "train alone" } else { "test alone" };
                let expected = "both folders train and test, or one folder per class";
                return Err(Error::Format { path: self.root.into(), expected: expected.into(), got: got.into() });
            }
        };
        let mut headers = [self.headers(train, &mut skipped)?, self.headers(test, &mut skipped)?];
        let shape = self.shape(&headers)?;
        let bytes = headers.iter().map(Vec::len).sum::<usize>().saturating_mul(shape.iter().product());
        let late = bytes > self.in_memory;
        let mut sets = Vec::new();
        for part in &mut headers {
            let samples: Vec<Sample> = part.drain(..).map(|(sample, _)| sample).collect();
            let set: Arc<dyn Dataset> = match late {
                true => Arc::new(Files { samples, shape }),
                false => Arc::new(self.decoded(samples, shape, &mut skipped)?),
            };
            let mut is_there = vec![false; classes.len()];
            (0..set.len()).for_each(|i| is_there[set.label(i) as usize] = true);
            if let Some(missing) = is_there.iter().position(|there| !there) {
                let got = skipped.last().map_or("too few".into(), |last| format!("too few readable ones ({last})"));
                let expected = format!("training and test images of class `{}`", classes[missing]);
                return Err(Error::Format { path: self.root.into(), expected, got });
            }
            sets.push(set);
        }
        let test = sets.pop().expect("two parts");
        let train = sets.pop().expect("two parts");
        Ok(Data { skipped, ..Data::new(name, 255, classes, train, test) })
    }

    /// Returns the headers of the readable samples, in order.
    fn headers(&self, samples: Vec<Sample>, skipped: &mut Vec<String>) -> Result<Vec<(Sample, Header)>> {
        let headers: Vec<_> = samples.par_iter().map(|(path, _)| header(path)).collect();
        self.readable(samples, headers, skipped)
    }

    /// Decodes all samples in parallel.
    fn decoded(&self, samples: Vec<Sample>, shape: [usize; 3], skipped: &mut Vec<String>) -> Result<InMemory> {
        let bytes = shape.iter().product();
        let mut all = vec![0; samples.len() * bytes];
        let results: Vec<_> = all
            .par_chunks_exact_mut(bytes)
            .zip(&samples)
            .enumerate()
            .map(|(at, (out, (path, _)))| pixels(path, shape, out).map(|()| at))
            .collect();
        let read = self.readable(samples, results, skipped)?;
        // Compacts the samples after unreadable ones are removed.
        for (to, &(_, from)) in read.iter().enumerate() {
            all.copy_within(from * bytes..(from + 1) * bytes, to * bytes);
        }
        all.truncate(read.len() * bytes);
        Ok(InMemory { shape, pixels: all, labels: read.iter().map(|((_, label), _)| *label).collect() })
    }

    /// Returns the readable samples. Records the unreadable ones, or fails if the folder is strict.
    fn readable<T>(
        &self,
        samples: Vec<Sample>,
        results: Vec<std::result::Result<T, String>>,
        skipped: &mut Vec<String>,
    ) -> Result<Vec<(Sample, T)>> {
        let mut kept = Vec::with_capacity(samples.len());
        for (sample, result) in samples.into_iter().zip(results) {
            match result {
                Ok(value) => kept.push((sample, value)),
                Err(reason) if self.is_strict => return Err(unreadable(&sample.0, reason)),
                Err(reason) => skipped.push(format!("{}: {reason}", sample.0.display())),
            }
        }
        Ok(kept)
    }

    /// Returns height, width, channels: the settings, or the common values of all images.
    fn shape(&self, parts: &[Vec<(Sample, Header)>; 2]) -> Result<[usize; 3]> {
        let all = || parts.iter().flatten();
        let channels = self.channels.unwrap_or(if all().any(|(_, header)| header.is_colour) { 3 } else { 1 });
        let Some(((first, _), one)) = all().next() else {
            let expected = "readable images".into();
            return Err(Error::Format { path: self.root.into(), expected, got: "none".into() });
        };
        let other = all().find(|(_, header)| (header.height, header.width) != (one.height, one.width));
        match (self.size, other) {
            (Some([height, width]), _) => Ok([height, width, channels]),
            (None, None) => Ok([one.height, one.width, channels]),
            (None, Some(((other, _), two))) => {
                let say = |path: &Path, h: &Header| format!("{}x{} ({})", h.height, h.width, path.display());
                let got = format!("{} and {}", say(first, one), say(other, two));
                Err(Error::setting("image-size", "HEIGHTxWIDTH, since the images are not of one size", got))
            }
        }
    }
}

/// Returns the names of the classes and their files, one folder per class, both sorted by name.
fn list(root: &Path) -> Result<(Vec<String>, Vec<Sample>)> {
    let folders: Vec<PathBuf> = entries(root)?.into_iter().filter(|path| path.is_dir()).collect();
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let classes: Vec<String> = folders.iter().map(name).collect();
    if classes.len() < 2 {
        let expected = "at least 2 folders of images, one per class".into();
        return Err(Error::Format { path: root.into(), expected, got: some(&classes) });
    }
    let mut samples = Vec::new();
    for (label, folder) in folders.into_iter().enumerate() {
        let before = samples.len();
        samples.extend(entries(&folder)?.into_iter().filter(|path| is_image(path)).map(|path| (path, label as u32)));
        if samples.len() == before {
            let expected = "images of this class (.png, .jpg, .jpeg)".into();
            return Err(Error::Format { path: folder, expected, got: "none".into() });
        }
    }
    Ok((classes, samples))
}

/// Returns the entries of a folder, sorted by name, without hidden files.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let wrong = |source| Error::File { doing: "reading the folder", path: folder.to_path_buf(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// Lists the first names for a message.
fn some(names: &[String]) -> String {
    match names {
        [] => "none".into(),
        few if few.len() <= 10 => few.join(", "),
        many => format!("{}, ... ({} in all)", many[..10].join(", "), many.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_decoded_late_are_those_decoded_early() {
        let root = tempfile::tempdir().unwrap();
        for (class, i) in [("a", 0), ("a", 1), ("b", 2), ("b", 3)] {
            let folder = root.path().join(class);
            std::fs::create_dir_all(&folder).unwrap();
            let file = std::fs::File::create(folder.join(format!("{i}.png"))).unwrap();
            let pixels: Vec<u8> = (0..70).map(|p: u8| p.wrapping_mul(i + 1)).collect();
            png::Encoder::new(file, 7, 10).write_header().unwrap().write_image_data(&pixels).unwrap();
        }
        let load = |in_memory| {
            let size = Some([4, 5]);
            let (root, threads) = (root.path(), &Threads::new(Some(1)));
            Folder { root, size, channels: None, is_strict: true, split_seed: 1, in_memory, threads }
                .load("folder")
                .unwrap()
        };
        let (early, late) = (load(IN_MEMORY), load(79));
        assert_eq!((early.train.decodes_lazily(), late.train.decodes_lazily()), (false, true));
        for (early, late) in [(early.train, late.train), (early.test, late.test)] {
            assert_eq!((early.len(), late.len()), (2, 2));
            for i in 0..2 {
                let (mut one, mut two) = ([0; 20], [0; 20]);
                early.image(i, &mut one).unwrap();
                late.image(i, &mut two).unwrap();
                assert_eq!((one, early.label(i)), (two, late.label(i)));
            }
        }
    }
}
