//! Batches: shuffled by seed, augmented, the last one padded, made ahead of the engine on threads of their own.

use super::augment::{Augment, Draws, View};
use super::dataset::{Data, Dataset};
use super::threads::Threads;
use crate::error::{Error, Result};
use crate::tensor::{Stream, shuffled};
use std::sync::Arc;

/// A batch as it is uploaded. Rows beyond `valid` are padding.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Bytes `[batch][pixels]`, four to a word.
    pub pixels: Vec<u32>,
    /// One an image; padding has 0.
    pub labels: Vec<u32>,
    /// Which image of the data set each row holds.
    pub samples: Vec<u32>,
    /// Rows that hold samples.
    pub valid: u32,
}

/// Makes batches of a data set.
#[derive(Clone)]
pub struct Loader {
    dataset: Arc<dyn Dataset>,
    batch: usize,
    view: View,
    #[cfg(not(target_arch = "wasm32"))]
    threads: Option<Threads>,
}

/// One pass over the data.
struct Pass {
    order: Vec<u32>,
    /// Where random numbers come from, in training.
    augment: Option<Stream>,
}

/// Batches of no images are refused.
impl Loader {
    /// Batches of `batch` images as they are.
    pub fn new(dataset: Arc<dyn Dataset>, batch: usize) -> Result<Self> {
        let [height, width, _] = dataset.shape();
        Self::with_view(dataset, [height, width], Augment::default(), batch)
    }

    /// Batches to train on: augmented as the data set says.
    pub fn training(data: &Data, batch: usize) -> Result<Self> {
        Self::with_view(data.train.clone(), [data.shape[0], data.shape[1]], data.augment, batch)
    }

    /// Batches of one of the data set's parts to judge by: the middle of each image.
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
            #[cfg(not(target_arch = "wasm32"))]
            threads: None,
        })
    }

    /// Lets so many threads (`None`: all cores) decode and augment the images of a batch, where there is anything to decode or to
    /// augment. The batches are the same.
    pub fn with_threads(self, threads: Option<usize>) -> Self {
        self.with_thread_pool(&Threads::new(threads))
    }

    /// The same with threads that other loaders share.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn with_thread_pool(mut self, threads: &Threads) -> Self {
        let has_work = self.dataset.decodes_lazily() || !self.view.is_whole();
        self.threads = (threads.count > 1 && has_work).then(|| threads.clone());
        self
    }

    /// There are no threads in a browser.
    #[cfg(target_arch = "wasm32")]
    pub fn with_thread_pool(self, _threads: &Threads) -> Self {
        self
    }

    /// Batches of an epoch.
    pub fn batches(&self) -> usize {
        self.dataset.len().div_ceil(self.batch)
    }

    /// Bytes of the batches that exist at once while an epoch runs, and of the images that one is made from.
    pub fn buffer_bytes(&self) -> u64 {
        let words = (self.batch * self.view.bytes()).div_ceil(4) + 2 * self.batch;
        let stored = if self.view.is_whole() { 0 } else { self.batch * self.dataset.shape().iter().product::<usize>() };
        (4 * words * Batches::AT_ONCE + stored) as u64
    }

    /// One pass over the data: in random order under the stream, which augmentation draws from, too; or in order and as it is.
    pub fn epoch(&self, order: Option<Stream>) -> Batches {
        let pass = Pass {
            order: match order {
                Some(stream) => shuffled(self.dataset.len(), stream),
                None => (0..self.dataset.len() as u32).collect(),
            },
            augment: order.map(|stream| stream.named("augment")),
        };
        Batches::start(self.clone(), pass)
    }

    /// Fills a batch; `stored` is memory for its images as they are stored.
    fn fill(&self, samples: &[u32], augment: Option<Stream>, stored: &mut Vec<u8>, batch: &mut Batch) -> Result<()> {
        let bytes = self.view.bytes();
        batch.pixels.clear();
        batch.pixels.resize((self.batch * bytes).div_ceil(4), 0);
        batch.labels.clear();
        batch.labels.extend(samples.iter().map(|&sample| self.dataset.label(sample as usize)));
        batch.labels.resize(self.batch, 0);
        batch.samples.clear();
        batch.samples.extend_from_slice(samples);
        batch.valid = samples.len() as u32;
        let out: &mut [u8] = &mut bytemuck::cast_slice_mut(&mut batch.pixels)[..samples.len() * bytes];
        if self.view.is_whole() {
            return self
                .rows(samples, out.chunks_exact_mut(bytes), |sample, out| self.dataset.image(sample as usize, out));
        }
        let whole = self.dataset.shape().iter().product();
        stored.resize(self.batch * whole, 0);
        let rows = stored.chunks_exact_mut(whole).zip(out.chunks_exact_mut(bytes));
        self.rows(samples, rows, |sample, (stored, out)| {
            self.dataset.image(sample as usize, stored)?;
            self.view.write(stored, augment.map(|stream| Draws::new(stream, sample)), out);
            Ok(())
        })
    }

    /// Does something for each row of a batch, on the loader's threads where it has some.
    fn rows<Row: Send>(
        &self,
        samples: &[u32],
        rows: impl Iterator<Item = Row> + Send,
        make: impl Fn(u32, Row) -> Result<()> + Sync,
    ) -> Result<()> {
        let mut rows = samples.iter().zip(rows);
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(pool) = self.threads.as_ref().and_then(Threads::pool) {
            use rayon::prelude::*;
            return pool.install(|| rows.par_bridge().try_for_each(|(&sample, row)| make(sample, row)));
        }
        rows.try_for_each(|(&sample, row)| make(sample, row))
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

    /// Those, one that is filled, and one that is used.
    const AT_ONCE: usize = Self::AHEAD + 2;

    fn start(loader: Loader, pass: Pass) -> Self {
        use std::sync::mpsc;
        let (send, full) = mpsc::sync_channel(Self::AHEAD);
        let (empty, used) = mpsc::channel::<Batch>();
        let filler = std::thread::spawn(move || {
            let mut stored = Vec::new();
            for samples in pass.order.chunks(loader.batch) {
                let mut batch = used.try_recv().unwrap_or_default();
                let filled = loader.fill(samples, pass.augment, &mut stored, &mut batch);
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
    pass: Pass,
    at: usize,
    stored: Vec<u8>,
    spare: std::cell::Cell<Option<Batch>>,
}

#[cfg(target_arch = "wasm32")]
impl Batches {
    /// The one that is used.
    const AT_ONCE: usize = 1;

    fn start(loader: Loader, pass: Pass) -> Self {
        Self { loader, pass, at: 0, stored: Vec::new(), spare: std::cell::Cell::new(None) }
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
        let samples = self.pass.order.chunks(self.loader.batch).nth(self.at)?;
        self.at += 1;
        let mut batch = self.spare.take().unwrap_or_default();
        Some(self.loader.fill(samples, self.pass.augment, &mut self.stored, &mut batch).map(|()| batch))
    }
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
        // Two wait, one is filled, one is used.
        assert!(buffers.len() <= Batches::AT_ONCE, "{} buffers for 250 batches", buffers.len());
        // 12 bytes of pixels, four labels, four numbers of samples.
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
