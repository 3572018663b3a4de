//! The table of fusions, in the order in which they are tried.

use crate::graph::Fusion;
use crate::ops::{norm_and_sign, producer_and_epilogue};
use crate::optim::gradient_and_update;

/// Fusions that are applied before gradients are added.
pub static FUSIONS: &[Fusion] = &[norm_and_sign];

/// Fusions that are applied after gradients and updates are added; the operations that they create have no backward.
pub static LATE_FUSIONS: &[Fusion] = &[producer_and_epilogue, gradient_and_update];
