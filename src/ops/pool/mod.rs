//! Pooling of numbers and of bits.

pub(crate) mod max_pool_bits;
pub(crate) mod pool;
pub(crate) mod pool_norm_sign;
pub(crate) mod window;
