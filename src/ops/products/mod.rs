//! Products of signs, integers and floats, dense and convolution, and their gradients.

pub(crate) mod conv_bits;
pub(crate) mod conv_bits_input;
pub(crate) mod conv_bits_weight;
pub(crate) mod conv_float;
pub(crate) mod conv_weights;
pub(crate) mod float_bits;
pub(crate) mod float_bits_transposed;
pub(crate) mod matmul;
pub(crate) mod patches;
pub(crate) mod xnor_matmul;
