//! Changes of layout and type, and sums of two tensors.

pub(crate) mod add;
pub(crate) mod flatten;
pub(crate) mod normalise;
pub(crate) mod transpose_bits;
pub(crate) mod unpack_signs;
