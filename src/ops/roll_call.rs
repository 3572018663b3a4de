//! Every kernel of this folder, for tests, benchmarks and translation.

use super::{
    add, batch_norm, conv_bits, conv_float, conv_weights, float_bits, matmul, mean_loss, normalise, sign,
    softmax_cross_entropy, squared_hinge, transpose_bits, unpack_signs, xnor_matmul,
};
use crate::runtime::Kernel;

/// Every kernel of `shaders/ops/`.
pub static KERNELS: &[&Kernel] = &[
    &add::ADD,
    &batch_norm::STATISTICS,
    &batch_norm::APPLY,
    &batch_norm::BACKWARD,
    &conv_bits::CONV_BITS,
    &conv_bits::CONV_BITS_INPUT,
    &conv_bits::CONV_BITS_WEIGHT,
    &conv_float::CONV_FLOAT,
    &conv_float::CONV_FLOAT_INPUT,
    &conv_float::CONV_FLOAT_WEIGHT,
    &conv_weights::CONV_WEIGHTS,
    &float_bits::FLOAT_BITS,
    &float_bits::FLOAT_BITS_TRANSPOSED,
    &matmul::MATMUL,
    &matmul::MATMUL_INPUT,
    &matmul::MATMUL_TRANSPOSED,
    &mean_loss::MEAN_LOSS,
    &normalise::NORMALISE,
    &sign::SIGN,
    &sign::SIGN_MASK,
    &sign::SIGN_MASK_BACKWARD,
    &sign::SIGN_BACKWARD,
    &softmax_cross_entropy::FORWARD,
    &softmax_cross_entropy::BACKWARD,
    &squared_hinge::FORWARD,
    &squared_hinge::BACKWARD,
    &transpose_bits::TRANSPOSE_BITS,
    &unpack_signs::UNPACK_SIGNS,
    &unpack_signs::UNPACK_SIGNS_ROWS,
    &xnor_matmul::XNOR_MATMUL,
];
