//! Data sets, and batches of them.

mod dataset;
mod digits;
mod idx;
mod loader;
mod spec;

pub use dataset::{Data, Dataset, InMemory, Subset};
pub use digits::digits;
pub use idx::mnist;
pub use loader::{Batch, Batches, Loader};
pub use spec::{DATASETS, DataSpec};
