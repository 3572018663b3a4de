//! Threads that decode and augment images, separate from those of the processor's engine.

#[cfg(not(target_arch = "wasm32"))]
use std::sync::{Arc, OnceLock};

/// A thread pool that starts on first use. Clones share the threads.
#[derive(Clone, Debug)]
pub struct Threads {
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) count: usize,
    #[cfg(not(target_arch = "wasm32"))]
    pool: Arc<OnceLock<Option<rayon::ThreadPool>>>,
}

#[cfg(not(target_arch = "wasm32"))]
impl Threads {
    /// Creates a pool of `count` threads; `None` uses all cores.
    pub fn new(count: Option<usize>) -> Self {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        Self { count: count.unwrap_or_else(cores), pool: Arc::default() }
    }

    /// Returns the pool; `None` if the operating system cannot start the threads.
    pub(super) fn pool(&self) -> Option<&rayon::ThreadPool> {
        self.pool.get_or_init(|| rayon::ThreadPoolBuilder::new().num_threads(self.count).build().ok()).as_ref()
    }
}

#[cfg(target_arch = "wasm32")]
impl Threads {
    /// A browser has no threads.
    pub fn new(_count: Option<usize>) -> Self {
        Self {}
    }
}
