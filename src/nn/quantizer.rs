//! Quantisers of a layer's input or weights: floats, or signs.

use crate::ops::Surrogate;

/// A quantiser of a layer's input or weights.
#[derive(Clone, Copy, Debug)]
pub enum Quantizer {
    /// The identity.
    Float,
    /// max(x, 0), which replaces sign in the full-precision baseline. For inputs only.
    Relu,
    /// sign(x), with a surrogate gradient for inputs. Weights are binary parameters and need no surrogate.
    Sign(&'static Surrogate),
    /// sign(x) with dropout, whose probability is in [0, 1): dropped signs are 0, the others are divided by the probability that a sign is
    /// kept (Srivastava et al. 2014). Evaluation drops none. For inputs only; its product consists of two products of signs
    /// ([`crate::ops::DropSigns`]).
    DroppedSign(&'static Surrogate, f32),
}

impl Quantizer {
    /// Returns sign with the clip surrogate.
    pub fn sign() -> Self {
        Self::Sign(Surrogate::named("clip").expect("it is in the table"))
    }

    /// Whether the output is signs.
    pub fn is_binary(self) -> bool {
        matches!(self, Self::Sign(_) | Self::DroppedSign(..))
    }

    /// Returns the name for summaries.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::Relu => "relu",
            Self::Sign(_) | Self::DroppedSign(..) => "sign",
        }
    }
}
