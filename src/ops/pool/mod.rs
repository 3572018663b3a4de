//! Pooling of numbers and of bits.

pub(crate) mod pool;
pub(crate) mod pool_bits;
