//! Batches: shuffled by seed, the last one padded, made ahead of the engine on a thread of their own.

use super::dataset::Dataset;
use crate::error::Result;
use crate::tensor::{Stream, shuffled};
use std::sync::Arc;

/// A batch as it is uploaded. Rows beyond `valid` are padding.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Bytes `[batch][pixels]`, four to a word.
    pub pixels: Vec<u32>,
    /// One an image; padding has 0.
    pub labels: Vec<u32>,
    /// Rows that hold samples.
    pub valid: u32,
}

/// Makes batches of a data set.
#[derive(Clone)]
pub struct Loader {
    dataset: Arc<dyn Dataset>,
    batch: usize,
    pixels: usize,
}

impl Loader {
    /// Batches of `batch` images.
    pub fn new(dataset: Arc<dyn Dataset>, batch: usize) -> Self {
        let pixels = dataset.shape().iter().product();
        Self { dataset, batch, pixels }
    }

    /// Batches of an epoch.
    pub fn batches(&self) -> usize {
        self.dataset.len().div_ceil(self.batch)
    }

    /// One pass over the data: in random order under the stream, or in order.
    pub fn epoch(&self, order: Option<Stream>) -> Batches {
        let order = match order {
            Some(stream) => shuffled(self.dataset.len(), stream),
            None => (0..self.dataset.len() as u32).collect(),
        };
        Batches::start(self.clone(), order)
    }

    fn fill(&self, samples: &[u32], batch: &mut Batch) -> Result<()> {
        batch.pixels.clear();
        batch.pixels.resize((self.batch * self.pixels).div_ceil(4), 0);
        batch.labels.clear();
        batch.labels.resize(self.batch, 0);
        batch.valid = samples.len() as u32;
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut batch.pixels);
        for (row, (&sample, out)) in samples.iter().zip(bytes.chunks_exact_mut(self.pixels)).enumerate() {
            self.dataset.image(sample as usize, out)?;
            batch.labels[row] = self.dataset.label(sample as usize);
        }
        Ok(())
    }
}

/// Batches made ahead: one is filled while another is trained on. Used batches are handed back and filled again.
#[cfg(not(target_arch = "wasm32"))]
pub struct Batches {
    full: std::sync::mpsc::Receiver<Result<Batch>>,
    empty: std::sync::mpsc::Sender<Batch>,
    filler: Option<std::thread::JoinHandle<()>>,
}

#[cfg(not(target_arch = "wasm32"))]
impl Batches {
    /// Batches that wait.
    const AHEAD: usize = 2;

    fn start(loader: Loader, order: Vec<u32>) -> Self {
        use std::sync::mpsc;
        let (send, full) = mpsc::sync_channel(Self::AHEAD);
        let (empty, used) = mpsc::channel::<Batch>();
        let filler = std::thread::spawn(move || {
            for samples in order.chunks(loader.batch) {
                let mut batch = used.try_recv().unwrap_or_default();
                let filled = loader.fill(samples, &mut batch);
                let failed = filled.is_err();
                if send.send(filled.map(|()| batch)).is_err() || failed {
                    return; // Nobody listens any more, or nothing more can be told.
                }
            }
        });
        Self { full, empty, filler: Some(filler) }
    }

    /// Takes a batch back to fill it again.
    pub fn give_back(&self, batch: Batch) {
        // The filling thread may have ended; the batch is dropped then.
        let _ = self.empty.send(batch);
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        let batch = self.full.recv().ok();
        // The end of the epoch, or of a data set that panicked: that is not the end of an epoch.
        if let (None, Some(Err(panic))) = (&batch, self.filler.take_if(|_| batch.is_none()).map(|filler| filler.join()))
        {
            std::panic::resume_unwind(panic);
        }
        batch
    }
}

/// Batches made when they are asked for: there are no threads here.
#[cfg(target_arch = "wasm32")]
pub struct Batches {
    loader: Loader,
    order: Vec<u32>,
    at: usize,
    spare: std::cell::Cell<Option<Batch>>,
}

#[cfg(target_arch = "wasm32")]
impl Batches {
    fn start(loader: Loader, order: Vec<u32>) -> Self {
        Self { loader, order, at: 0, spare: std::cell::Cell::new(None) }
    }

    /// Takes a batch back to fill it again.
    pub fn give_back(&self, batch: Batch) {
        self.spare.set(Some(batch));
    }
}

#[cfg(target_arch = "wasm32")]
impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        let samples = self.order.chunks(self.loader.batch).nth(self.at)?;
        self.at += 1;
        let mut batch = self.spare.take().unwrap_or_default();
        Some(self.loader.fill(samples, &mut batch).map(|()| batch))
    }
}

#[cfg(test)]
mod tests {
    use super::super::dataset::InMemory;
    use super::*;

    #[test]
    fn an_epoch_has_every_sample_once_and_pads_the_last_batch() {
        let data = InMemory { shape: [1, 1, 3], pixels: (0..30).collect(), labels: (0..10).collect() };
        let loader = Loader::new(Arc::new(data), 4);
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
