//! Sign and its surrogate gradients, float activations, and dropout.

#[allow(clippy::module_inception, reason = "files are named after their operations")]
pub(crate) mod activation;
pub(crate) mod by_channel;
pub(crate) mod drop_signs;
pub(crate) mod dropout;
pub(crate) mod join_dropped;
pub(crate) mod sign;
