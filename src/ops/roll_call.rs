//! Every kernel of this folder, for tests, benchmarks and translation.

use super::{
    activation, add, batch_norm, by_channel, constant_channels, conv_bits, conv_bits_input, conv_float, conv_weights,
    distillation, dropout, flatten, float_bits, magnitudes, masked, matmul, mean_loss, norm_sign, normalise, pool,
    pool_bits, sample_flips, shift_channels, sign, softmax_cross_entropy, squared_hinge, statistics, transpose_bits,
    unpack_signs, with_statistics, xnor_matmul,
};
use crate::graph::Fusion;
use crate::runtime::Kernel;

/// Every fusion that a graph sees before its gradients are added.
pub static FUSIONS: &[Fusion] = &[norm_sign::NORM_SIGN_FUSION];

/// Every fusion that it sees when it is whole: what they make needs no gradient.
pub static LATE_FUSIONS: &[Fusion] = &[
    with_statistics::PRODUCT_STATISTICS,
    with_statistics::POOL_STATISTICS,
    masked::MASK,
    masked::MASK_JOIN,
    pool_bits::POOL_NORM_SIGN_FUSION,
];

/// Every kernel of `shaders/ops/`.
pub static KERNELS: &[&Kernel] = &[
    &activation::ACTIVATION,
    &activation::ACTIVATION_BACKWARD,
    &add::ADD,
    &batch_norm::APPLY,
    &batch_norm::SUMS,
    &batch_norm::GRADIENTS,
    &batch_norm::BACKWARD,
    &by_channel::BY_CHANNEL,
    &by_channel::BY_CHANNEL_BACKWARD,
    &by_channel::CHANNEL_SUMS,
    &by_channel::JOIN_SUMS,
    &constant_channels::CONSTANT_CHANNELS,
    &conv_bits::CONV_BITS,
    &conv_bits::CONV_BITS_WEIGHT,
    &conv_bits_input::CONV_BITS_INPUT,
    &conv_float::CONV_FLOAT,
    &conv_float::CONV_FLOAT_INPUT,
    &conv_float::CONV_FLOAT_WEIGHT,
    &conv_weights::CONV_WEIGHTS,
    &distillation::FORWARD,
    &distillation::BACKWARD,
    &dropout::DROPOUT,
    &flatten::FLATTEN,
    &flatten::UNFLATTEN,
    &float_bits::FLOAT_BITS,
    &float_bits::FLOAT_BITS_TRANSPOSED,
    &magnitudes::MAGNITUDES,
    &masked::CONV_BITS_INPUT_MASKED,
    &masked::CONV_BITS_INPUT_JOINED,
    &masked::FLOAT_BITS_MASKED,
    &matmul::MATMUL,
    &matmul::MATMUL_INPUT,
    &matmul::MATMUL_TRANSPOSED,
    &mean_loss::MEAN_LOSS,
    &norm_sign::NORM_SIGN,
    &norm_sign::NORM_SIGN_SUMS,
    &norm_sign::NORM_SIGN_BACKWARD,
    &normalise::NORMALISE,
    &pool::MAX_POOL,
    &pool_bits::MAX_POOL_BITS,
    &pool_bits::POOL_NORM_SIGN,
    &pool::MAX_POOL_BACKWARD,
    &pool::MEAN_POOL,
    &pool::MEAN_POOL_BACKWARD,
    &sample_flips::SAMPLE_FLIPS,
    &shift_channels::SHIFT_CHANNELS,
    &sign::SIGN,
    &sign::SIGN_MASK,
    &sign::SIGN_MASK_BACKWARD,
    &sign::SIGN_BACKWARD,
    &softmax_cross_entropy::FORWARD,
    &softmax_cross_entropy::BACKWARD,
    &squared_hinge::FORWARD,
    &squared_hinge::BACKWARD,
    &statistics::BLOCK_STATISTICS,
    &statistics::JOIN_STATISTICS,
    &transpose_bits::TRANSPOSE_BITS,
    &unpack_signs::UNPACK_SIGNS,
    &unpack_signs::UNPACK_SIGNS_ROWS,
    &with_statistics::CONV_BITS_STATISTICS,
    &with_statistics::XNOR_MATMUL_STATISTICS,
    &with_statistics::MAX_POOL_STATISTICS,
    &xnor_matmul::XNOR_MATMUL,
];
