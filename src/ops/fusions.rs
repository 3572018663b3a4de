//! Every fusion, in the order in which they are tried.

use crate::graph::Fusion;

/// Every fusion that a graph sees before its gradients are added.
pub static FUSIONS: &[Fusion] = &[super::norm::norm_sign::NORM_SIGN_FUSION];

/// Every fusion that it sees when it is whole: what they make needs no gradient.
pub static LATE_FUSIONS: &[Fusion] = &[
    super::norm::with_statistics::PRODUCT_STATISTICS,
    super::norm::with_statistics::POOL_STATISTICS,
    super::products::masked::MASK,
    super::products::masked::MASK_JOIN,
    super::pool::pool_bits::POOL_NORM_SIGN_FUSION,
];
