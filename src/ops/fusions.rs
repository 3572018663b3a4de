//! The registry of fusions, in the order in which they are tried.

use crate::graph::Fusion;

/// Fusions that are applied before gradients are added.
pub static FUSIONS: &[Fusion] = &[super::norm::norm_sign::NORM_SIGN_FUSION];

/// Fusions that are applied after gradients are added; the operations that they create have no backward.
pub static LATE_FUSIONS: &[Fusion] = &[
    super::composed::PRODUCT_STATISTICS,
    super::composed::POOL_STATISTICS,
    super::composed::MASK,
    super::composed::MASK_ADD,
    super::pool::pool_norm_sign::POOL_NORM_SIGN_FUSION,
];
