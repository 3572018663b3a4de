//! Pooling of numbers and of bits.

pub(crate) mod max_pool_bits;
#[allow(clippy::module_inception, reason = "files are named after their operations")]
pub(crate) mod pool;
pub(crate) mod window;
