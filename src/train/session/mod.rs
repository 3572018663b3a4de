//! A model compiled for a device: one recording to train, one to evaluate, and the tensors they share.

mod base;
mod evaluation;
mod steps;
mod tensors;

pub use base::{Memory, Session};
pub use evaluation::Evaluation;
pub use steps::{Measurement, ReadBack};
