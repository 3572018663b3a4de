//! A folder of images as a data set: `train/CLASS/IMAGE`, `test/CLASS/IMAGE` and `val/CLASS/IMAGE`, or `CLASS/IMAGE` and a split by the
//! hash of each file's path.

mod images;
mod listing;
mod load;
mod names;

pub(super) use load::{Folder, IN_MEMORY};
