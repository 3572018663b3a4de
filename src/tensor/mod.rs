//! Shapes, element types, the bit layouts, and counter-based random numbers: what every floor above agrees on.

mod bits;
#[cfg(feature = "train")]
mod geometry;
mod half;
mod numbers;
mod random;
mod shape;

pub use bits::{BitMatrix, PANEL, number_at, words_of};
#[cfg(feature = "train")]
pub use geometry::{ConvShape, Geometry, PadValue, Window, image_of};
pub use half::{HALF_MOST, half_rounded, half_value};
pub use numbers::{pack_numbers, unpack_numbers};
#[cfg(feature = "train")]
pub(crate) use random::hash;
pub use random::{Draws, Stream, seed_word, shuffled, stream_word};
pub use shape::{DType, Layout, TensorType};
