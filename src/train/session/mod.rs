//! A model compiled for a device: a recording for training, one for evaluation, and the tensors that they share.

mod base;
mod evaluation;
mod steps;
mod tensors;

pub use base::{Memory, Session};
pub use evaluation::Evaluation;
pub use steps::{Measurement, ReadBack};
