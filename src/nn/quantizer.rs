//! How a layer sees its input or its weights: as floats, or as signs.

use crate::ops::Surrogate;

/// A quantiser, a property of a layer's input or weight.
#[derive(Clone, Copy, Debug)]
pub enum Quantizer {
    /// As it is.
    Float,
    /// max(x, 0): what stands in for sign in the float network that a binary one is compared with. For inputs alone.
    Relu,
    /// sign(x), and for inputs the surrogate of its derivative. Weights are binary from the start: their optimizer needs none.
    Sign(&'static Surrogate),
    /// The same, of which training drops a share in [0, 1): what is dropped is 0, the others are divided by the share that is kept (Srivastava et
    /// al. 2014). Evaluation drops none. For inputs alone; its product takes two of signs ([`crate::ops::DropSigns`]).
    DroppedSign(&'static Surrogate, f32),
}

impl Quantizer {
    /// Sign with the clip surrogate.
    pub fn sign() -> Self {
        Self::Sign(Surrogate::named("clip").expect("it is in the table"))
    }

    /// Whether it gives signs.
    pub fn is_binary(self) -> bool {
        matches!(self, Self::Sign(_) | Self::DroppedSign(..))
    }

    /// For summaries.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::Relu => "relu",
            Self::Sign(_) | Self::DroppedSign(..) => "sign",
        }
    }
}
