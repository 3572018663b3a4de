//! Batch normalisation, its statistics, and its fusion with sign.

pub(crate) mod batch_norm;
pub(crate) mod norm_sign;
pub(crate) mod shift_channels;
pub(crate) mod statistics;
