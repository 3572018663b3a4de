//! Every fusion, in the order in which they are tried.

use crate::graph::Fusion;

/// Every fusion that a graph sees before its gradients are added.
pub static FUSIONS: &[Fusion] = &[super::norm::norm_sign::NORM_SIGN_FUSION];

/// Every fusion that it sees when it is whole: what they make needs no gradient.
pub static LATE_FUSIONS: &[Fusion] = &[
    super::composed::PRODUCT_STATISTICS,
    super::composed::POOL_STATISTICS,
    super::composed::MASK,
    super::composed::MASK_ADD,
    super::pool::pool_norm_sign::POOL_NORM_SIGN_FUSION,
];
