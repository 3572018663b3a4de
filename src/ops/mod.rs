//! Operations: each file holds one, with its shapes, its backward, and the twins of its kernels.

mod add;
mod batch_norm;
mod conv_bits;
mod conv_float;
mod conv_weights;
mod float_bits;
mod geometry;
mod matmul;
mod mean_loss;
mod normalise;
mod patches;
mod roll_call;
mod sign;
mod softmax_cross_entropy;
mod squared_hinge;
mod transpose_bits;
mod unpack_signs;
mod xnor_matmul;

pub use add::{Add, join};
pub use batch_norm::{BatchNorm, BatchNormBackward, BatchNormStatistics, EPSILON, MOMENTUM};
pub use conv_bits::{ConvBits, ConvBitsInput, ConvBitsWeight};
pub use conv_float::{ConvFloat, ConvFloatInput, ConvFloatWeight};
pub use conv_weights::{ConvWeights, weight_type};
pub use float_bits::{FloatBits, FloatBitsTransposed, FloatByBits};
pub use geometry::{ConvShape, Geometry, PadValue, Window, image_of};
pub use matmul::{Matmul, MatmulInput, MatmulTransposed};
pub use mean_loss::MeanLoss;
pub use normalise::{MAX_CHANNELS, Normalise};
pub use roll_call::KERNELS;
pub use sign::{SURROGATES, Sign, SignBackward, Surrogate};
pub use softmax_cross_entropy::{SoftmaxCrossEntropy, SoftmaxCrossEntropyBackward};
pub use squared_hinge::{SquaredHinge, SquaredHingeBackward};
pub use transpose_bits::TransposeBits;
pub use unpack_signs::UnpackSigns;
pub use xnor_matmul::XnorMatmul;
