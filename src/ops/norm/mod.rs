//! Batch normalisation, its statistics, and the sign behind it.

pub(crate) mod batch_norm;
pub(crate) mod norm_sign;
pub(crate) mod shift_channels;
pub(crate) mod statistics;
