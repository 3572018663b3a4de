//! Batches that are prefetched on a thread of their own.

use crate::error::Result;

/// A batch in the format of its upload. Rows beyond `valid` are padding.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Bytes `[batch][pixels]`, four to a word.
    pub pixels: Vec<u32>,
    /// One label per image; 0 for padding.
    pub labels: Vec<u32>,
    /// Index in the data set of each row's image.
    pub samples: Vec<u32>,
    /// Rows that hold samples.
    pub valid: u32,
}

/// Fills the next batch; `None` at the end of the epoch.
type Fill = dyn FnMut(&mut Batch) -> Option<Result<()>> + Send;

/// Prefetched batches: one is filled while another is in use. Used batches are returned and filled again.
#[cfg(not(target_arch = "wasm32"))]
pub struct Batches {
    full: std::sync::mpsc::Receiver<Result<Batch>>,
    empty: std::sync::mpsc::Sender<Batch>,
    filler: Option<std::thread::JoinHandle<()>>,
}

#[cfg(not(target_arch = "wasm32"))]
impl Batches {
    /// Number of batches that wait in the queue.
    const AHEAD: usize = 2;

    /// The batches in the queue, one that is being filled, and one in use.
    pub(super) const AT_ONCE: usize = Self::AHEAD + 2;

    /// Starts to fill batches with a function that returns `None` at the end of the epoch.
    pub(super) fn start(fill: impl FnMut(&mut Batch) -> Option<Result<()>> + Send + 'static) -> Self {
        use std::sync::mpsc;
        let (send, full) = mpsc::sync_channel(Self::AHEAD);
        let (empty, used) = mpsc::channel::<Batch>();
        let mut fill: Box<Fill> = Box::new(fill);
        let filler = std::thread::spawn(move || {
            loop {
                let mut batch = used.try_recv().unwrap_or_default();
                let Some(filled) = fill(&mut batch) else { return };
                let failed = filled.is_err();
                if send.send(filled.map(|()| batch)).is_err() || failed {
                    return; // The receiver was dropped, or the epoch ends with this error.
                }
            }
        });
        Self { full, empty, filler: Some(filler) }
    }

    /// Returns a batch so that it is filled again.
    pub fn give_back(&self, batch: Batch) {
        // The filling thread may have ended; the batch is then dropped.
        let _ = self.empty.send(batch);
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        let batch = self.full.recv().ok();
        // The end of the epoch, or a panic in the data set, which must not look like the end of an epoch.
        if let (None, Some(Err(panic))) = (&batch, self.filler.take_if(|_| batch.is_none()).map(|filler| filler.join()))
        {
            std::panic::resume_unwind(panic);
        }
        batch
    }
}

/// Batches that are created on request, since a browser has no threads.
#[cfg(target_arch = "wasm32")]
pub struct Batches {
    fill: Box<Fill>,
    spare: std::cell::Cell<Option<Batch>>,
}

#[cfg(target_arch = "wasm32")]
impl Batches {
    /// The batch in use.
    pub(super) const AT_ONCE: usize = 1;

    /// Fills batches with a function that returns `None` at the end of the epoch.
    pub(super) fn start(fill: impl FnMut(&mut Batch) -> Option<Result<()>> + Send + 'static) -> Self {
        Self { fill: Box::new(fill), spare: std::cell::Cell::new(None) }
    }

    /// Returns a batch so that it is filled again.
    pub fn give_back(&self, batch: Batch) {
        self.spare.set(Some(batch));
    }
}

#[cfg(target_arch = "wasm32")]
impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        let mut batch = self.spare.take().unwrap_or_default();
        (self.fill)(&mut batch).map(|filled| filled.map(|()| batch))
    }
}
