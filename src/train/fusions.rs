//! The table of fusions, in the order in which they are tried.

use crate::graph::Fusion;
use crate::ops::{JOIN_DROPPED, MASK, MASK_ADD, NORM_SIGN_FUSION, POOL_STATISTICS, PRODUCT_STATISTICS, THRESHOLD};
use crate::optim::GRADIENT_UPDATE;

/// Fusions that are applied before gradients are added.
pub static FUSIONS: &[Fusion] = &[NORM_SIGN_FUSION];

/// Fusions that are applied after gradients and updates are added; the operations that they create have no backward.
pub static LATE_FUSIONS: &[Fusion] =
    &[PRODUCT_STATISTICS, POOL_STATISTICS, MASK, MASK_ADD, THRESHOLD, JOIN_DROPPED, GRADIENT_UPDATE];
