//! Data sets, and batches of them.

mod augment;
mod batches;
mod cifar;
mod class_names;
mod dataset;
mod digits;
#[cfg(all(feature = "images", not(target_arch = "wasm32")))]
mod folder;
mod gzip;
mod idx;
#[cfg(all(feature = "images", not(target_arch = "wasm32")))]
mod image;
mod loader;
mod normalisation;
mod resample;
mod spec;
mod subset;
mod threads;

pub use augment::{AUGMENTATIONS, Augment, Crop};
pub use batches::{Batch, Batches};
pub use cifar::{CIFAR10, CIFAR100, Cifar};
pub use class_names::{keys, shown};
pub use dataset::{Data, Dataset, ImageFile, InMemory};
pub use digits::digits;
pub use idx::{IDX_SETS, IdxSet};
pub use loader::Loader;
pub use normalisation::Normalisation;
pub use spec::{DATASETS, DataSpec};
pub use subset::Subset;
pub use threads::Threads;
