//! Measurements that diagnostics insert into a step; nothing in the step reads them.

pub(crate) mod constant_channels;
pub(crate) mod magnitudes;
pub(crate) mod sample_flips;
pub(crate) mod state_magnitudes;
