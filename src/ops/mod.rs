//! Operations: each file holds one, with its shapes, its backward, and the twins of its kernels.

mod add;
mod batch_norm;
mod float_bits;
mod matmul;
mod mean_loss;
mod normalise;
mod roll_call;
mod sign;
mod softmax_cross_entropy;
mod squared_hinge;
mod transpose_bits;
mod xnor_matmul;

pub use add::{Add, join};
pub use batch_norm::{BatchNorm, BatchNormBackward, BatchNormStatistics, EPSILON, MOMENTUM};
pub use float_bits::{FloatBits, FloatBitsTransposed, FloatByBits};
pub use matmul::{Matmul, MatmulInput, MatmulTransposed};
pub use mean_loss::MeanLoss;
pub use normalise::{MAX_CHANNELS, Normalise};
pub use roll_call::KERNELS;
pub use sign::{SURROGATES, Sign, SignBackward, Surrogate};
pub use softmax_cross_entropy::{SoftmaxCrossEntropy, SoftmaxCrossEntropyBackward};
pub use squared_hinge::{SquaredHinge, SquaredHingeBackward};
pub use transpose_bits::TransposeBits;
pub use xnor_matmul::XnorMatmul;
