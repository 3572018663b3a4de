//! The loader: batches that are shuffled by seed, augmented, the last one padded, and decoded on separate threads.

use super::augment::{Augment, Draws, View};
use super::batches::{Batch, Batches};
use super::dataset::{Data, Dataset};
use super::threads::Threads;
use crate::error::{Error, Result};
use crate::tensor::{Stream, shuffled};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// Creates batches of a data set.
#[derive(Clone)]
pub struct Loader {
    dataset: Arc<dyn Dataset>,
    batch: usize,
    view: View,
    /// Images that could not be read, shared by clones.
    skipped: Arc<Mutex<BTreeSet<String>>>,
    #[cfg(not(target_arch = "wasm32"))]
    threads: Option<Threads>,
}

/// Batches without images are refused.
impl Loader {
    /// Creates a loader of batches of `batch` unmodified images.
    pub fn new(dataset: Arc<dyn Dataset>, batch: usize) -> Result<Self> {
        let [height, width, _] = dataset.shape();
        Self::with_view(dataset, [height, width], Augment::default(), batch)
    }

    /// Creates a loader of training batches with the data set's augmentation.
    pub fn training(data: &Data, batch: usize) -> Result<Self> {
        Self::with_view(data.train.clone(), [data.shape[0], data.shape[1]], data.augment, batch)
    }

    /// Creates a loader of a part of the data set for evaluation, with the centre crop of each image.
    pub fn for_evaluation(data: &Data, part: &Arc<dyn Dataset>, batch: usize) -> Result<Self> {
        Self::with_view(part.clone(), [data.shape[0], data.shape[1]], Augment::default(), batch)
    }

    fn with_view(dataset: Arc<dyn Dataset>, to: [usize; 2], augment: Augment, batch: usize) -> Result<Self> {
        if batch == 0 {
            return Err(Error::setting("batch-size", "at least 1", batch));
        }
        let view = View::new(dataset.shape(), to, augment);
        Ok(Self {
            dataset,
            batch,
            view,
            skipped: Arc::default(),
            #[cfg(not(target_arch = "wasm32"))]
            threads: None,
        })
    }

    /// Sets the number of threads that decode and augment the images of a batch (`None`: all cores), if there is anything to decode or
    /// augment. The batches do not depend on it.
    pub fn with_threads(self, threads: Option<usize>) -> Self {
        self.with_thread_pool(&Threads::new(threads))
    }

    /// Sets threads that are shared with other loaders.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn with_thread_pool(mut self, threads: &Threads) -> Self {
        let has_work = self.dataset.decodes_lazily() || !self.view.is_whole();
        self.threads = (threads.count > 1 && has_work).then(|| threads.clone());
        self
    }

    /// A browser has no threads.
    #[cfg(target_arch = "wasm32")]
    pub fn with_thread_pool(self, _threads: &Threads) -> Self {
        self
    }

    /// Returns the images that could not be read so far, each with the reason, sorted.
    pub fn skipped(&self) -> Vec<String> {
        self.skipped.lock().expect("no other thread panics with it").iter().cloned().collect()
    }

    /// Returns the number of batches per epoch; there may be fewer if images cannot be read.
    pub fn batches(&self) -> usize {
        self.dataset.len().div_ceil(self.batch)
    }

    /// Returns the bytes of the batches that exist at the same time during an epoch, and of the stored images that one is made from.
    pub fn buffer_bytes(&self) -> u64 {
        let words = (self.batch * self.view.bytes()).div_ceil(4) + 2 * self.batch;
        let stored = if self.view.is_whole() { 0 } else { self.batch * self.dataset.shape().iter().product::<usize>() };
        (4 * words * Batches::AT_ONCE + stored) as u64
    }

    /// Starts one pass over the data: in random order under the stream, from which augmentation draws as well; or in order and without
    /// augmentation.
    pub fn epoch(&self, order: Option<Stream>) -> Batches {
        let samples = match order {
            Some(stream) => shuffled(self.dataset.len(), stream),
            None => (0..self.dataset.len() as u32).collect(),
        };
        let augment = order.map(|stream| stream.named("augment"));
        let (loader, mut stored, mut at) = (self.clone(), Vec::new(), 0);
        Batches::start(move |batch| {
            let mut rest = &samples[at..];
            if rest.is_empty() {
                return None;
            }
            let filled = loader.fill(&mut rest, augment, &mut stored, batch);
            at = samples.len() - rest.len();
            // Without a row, no image of the rest of the epoch can be read.
            (filled.is_err() || batch.valid > 0).then_some(filled)
        })
    }

    /// Fills a batch with the next images of the epoch; `stored` is memory for its images as stored. In the place of an image that cannot be
    /// read comes the next one, whatever the threads; at the end of the epoch the batch is shorter, and may be empty.
    fn fill(&self, rest: &mut &[u32], augment: Option<Stream>, stored: &mut Vec<u8>, batch: &mut Batch) -> Result<()> {
        let (bytes, whole) = (self.view.bytes(), self.dataset.shape().iter().product::<usize>());
        batch.pixels.clear();
        batch.pixels.resize((self.batch * bytes).div_ceil(4), 0);
        batch.samples.clear();
        batch.samples.extend_from_slice(take(rest, self.batch));
        let out: &mut [u8] = &mut bytemuck::cast_slice_mut(&mut batch.pixels)[..batch.samples.len() * bytes];
        // An image that is seen whole is written where it belongs.
        let stored_bytes = if self.view.is_whole() { 0 } else { whole };
        stored.resize(self.batch * stored_bytes, 0);
        let make = |sample: u32, stored: &mut [u8], out: &mut [u8]| -> Result<bool> {
            let into: &mut [u8] = if stored.is_empty() { &mut *out } else { &mut *stored };
            match self.dataset.image(sample as usize, into) {
                Ok(()) => {}
                Err(error @ Error::Unreadable { .. }) => {
                    self.skipped.lock().expect("no other thread panics with it").insert(error.to_string());
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
            if !stored.is_empty() {
                self.view.write(stored, augment.map(|stream| Draws::new(stream, sample)), out);
            }
            Ok(true)
        };
        let missing = self.rows(&batch.samples, stored, stored_bytes, out, make)?;
        let mut lost = Vec::new();
        for row in missing {
            let (stored, out) = (&mut stored[row * stored_bytes..][..stored_bytes], &mut out[row * bytes..][..bytes]);
            loop {
                let Some(&sample) = take(rest, 1).first() else {
                    lost.push(row);
                    break;
                };
                if make(sample, stored, out)? {
                    batch.samples[row] = sample;
                    break;
                }
            }
        }
        for row in lost.into_iter().rev() {
            batch.samples.remove(row);
            out.copy_within((row + 1) * bytes.., row * bytes);
        }
        // Padding is 0, also where rows were moved.
        out[batch.samples.len() * bytes..].fill(0);
        batch.labels.clear();
        batch.labels.extend(batch.samples.iter().map(|&sample| self.dataset.label(sample as usize)));
        batch.labels.resize(self.batch, 0);
        batch.valid = batch.samples.len() as u32;
        Ok(())
    }

    /// Makes each row of a batch, on the loader's threads if it has some. Returns the rows that could not be made, in order.
    fn rows(
        &self,
        samples: &[u32],
        stored: &mut [u8],
        stored_bytes: usize,
        out: &mut [u8],
        make: impl Fn(u32, &mut [u8], &mut [u8]) -> Result<bool> + Sync,
    ) -> Result<Vec<usize>> {
        let mut views: Vec<&mut [u8]> = match stored_bytes {
            0 => samples.iter().map(|_| &mut [][..]).collect(),
            bytes => stored.chunks_exact_mut(bytes).collect(),
        };
        let missing = Mutex::new(Vec::new());
        let one = |row: usize, sample: u32, stored: &mut [u8], out: &mut [u8]| -> Result<()> {
            if !make(sample, stored, out)? {
                missing.lock().expect("no other thread panics with it").push(row);
            }
            Ok(())
        };
        let rows = samples.iter().zip(&mut views).zip(out.chunks_exact_mut(self.view.bytes())).enumerate();
        let mut rows = rows.map(|(row, ((&sample, stored), out))| (row, sample, stored, out));
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(pool) = self.threads.as_ref().and_then(Threads::pool) {
            use rayon::prelude::*;
            pool.install(|| {
                rows.par_bridge().try_for_each(|(row, sample, stored, out)| one(row, sample, stored, out))
            })?;
            return Ok(sorted(missing));
        }
        rows.try_for_each(|(row, sample, stored, out)| one(row, sample, stored, out))?;
        Ok(sorted(missing))
    }
}

/// Takes the first samples of the rest of an epoch, at most `count`.
fn take<'a>(rest: &mut &'a [u32], count: usize) -> &'a [u32] {
    let (now, later) = rest.split_at(count.min(rest.len()));
    *rest = later;
    now
}

fn sorted(rows: Mutex<Vec<usize>>) -> Vec<usize> {
    let mut rows = rows.into_inner().expect("no other thread panics with it");
    rows.sort_unstable();
    rows
}

#[cfg(test)]
mod tests {
    use super::super::dataset::InMemory;
    use super::*;

    #[test]
    fn batches_that_are_given_back_are_filled_again() {
        let data = InMemory { shape: [1, 1, 3], pixels: vec![0; 3000], labels: vec![0; 1000] };
        let loader = Loader::new(Arc::new(data), 4).unwrap();
        let (mut batches, bytes) = (loader.epoch(None), loader.buffer_bytes());
        let mut buffers = std::collections::BTreeSet::new();
        while let Some(batch) = batches.next() {
            let batch = batch.unwrap();
            buffers.insert(batch.pixels.as_ptr() as usize);
            batches.give_back(batch);
        }
        // Two wait, one is being filled, one is in use.
        assert!(buffers.len() <= Batches::AT_ONCE, "{} buffers for 250 batches", buffers.len());
        // 12 bytes of pixels, four labels, four sample indices.
        assert_eq!(bytes, 4 * (12 + 16 + 16));
    }

    #[test]
    fn batches_of_nothing_are_refused() {
        let data: Arc<dyn Dataset> = Arc::new(InMemory { shape: [1, 1, 1], pixels: vec![0; 10], labels: vec![0; 10] });
        let Err(error) = Loader::new(data, 0) else { panic!("a loader of batches of 0") };
        assert_eq!(error.to_string(), "batch-size: expected at least 1, got 0");
    }

    #[test]
    fn an_epoch_has_every_sample_once_and_pads_the_last_batch() {
        let data = InMemory { shape: [1, 1, 3], pixels: (0..30).collect(), labels: (0..10).collect() };
        let loader = Loader::new(Arc::new(data), 4).unwrap();
        assert_eq!(loader.batches(), 3);
        let mut seen = Vec::new();
        for batch in loader.epoch(Some(Stream::new(1, "order"))).map(Result::unwrap) {
            let bytes: &[u8] = bytemuck::cast_slice(&batch.pixels);
            for row in 0..batch.valid as usize {
                assert_eq!(u32::from(bytes[row * 3]), 3 * batch.labels[row]);
                seen.push(batch.labels[row]);
            }
            assert!(batch.labels[batch.valid as usize..].iter().all(|&l| l == 0));
        }
        assert_ne!(seen, (0..10).collect::<Vec<_>>());
        seen.sort_unstable();
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
    }
}
