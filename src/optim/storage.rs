//! How states are stored: as floats of 32 or 16 bits, or as integers whose unit a row shares, rounded at random.

use crate::bits::Unit;
use crate::error::{Error, Result};
use crate::graph::Init;
use crate::runtime::interface::storage::as_f16;
use crate::tensor::DType;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How a rule's states are stored. Narrow ones are rounded to one of their two neighbours at random, the nearer the likelier, by a hash of
/// (seed, step, parameter, element), so that changes below a step of the format still count on average.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StateType {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats of 2^16 times the state: sizes from 1e-12 to 1, as large as gradients of a mean cross-entropy are.
    F16,
    /// 16-bit integers in a power of two that a row shares and that follows the row's largest size.
    I16,
    /// The same with 8 bits.
    I8,
}

/// What halves hold of a state.
const SCALE: f32 = as_f16::SCALE_F16;

impl StateType {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::I16, Self::I8];

    /// Unit of 16-bit floats.
    pub const HALF_UNIT: f32 = as_f16::UNIT_F16;

    /// The same, and its inverse.
    pub(super) const HALVES: Unit = Unit { old: Self::HALF_UNIT, inverse: SCALE };

    /// Element type of a state's tensor.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
            Self::I16 => DType::I16,
            Self::I8 => DType::I8,
        }
    }

    /// Bytes of a state.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::I16 => 2,
            Self::I8 => 1,
        }
    }

    /// Size of a gradient that first units are made for. i16: a large one of a last layer. i8, whose steps are coarse: a usual one. Units
    /// follow by some powers a step; until they fit, states are at the ends, with their signs, or coarse.
    fn first_gradient(self) -> f32 {
        2_f32.powi(if self == Self::I8 { -11 } else { -6 })
    }

    /// Biased exponent of the unit for a first state of this size: it takes half the range, or a quarter.
    fn exponent(self, size: f32) -> u32 {
        let bits = 8 * self.bytes() as u32;
        (size.to_bits() >> 23).clamp(30 + bits, 226).saturating_sub(bits - 3)
    }

    /// A first state as its tensor holds it, of integers in the unit of this exponent.
    pub(super) fn stored(self, state: f32, exponent: u32) -> f32 {
        match self {
            Self::F32 => state,
            Self::F16 => SCALE * state,
            Self::I16 | Self::I8 => state * f32::from_bits((254 - exponent) << 23),
        }
    }

    /// Exponents of the first units of states, each given as `[rate, first size]`: for the size that it starts with, or for what its rate leaves of the
    /// gradient, or of the state before, in one step, whichever is larger.
    pub(super) fn exponents(self, states: &[[f32; 2]]) -> Vec<u32> {
        let mut step = self.first_gradient();
        let exponent = |[rate, size]: &[f32; 2]| {
            step *= rate;
            self.exponent(step.max(*size))
        };
        states.iter().map(exponent).collect()
    }

    /// Whether rows have units of their own, which the tensor `row_state` keeps.
    pub fn has_units(self) -> bool {
        matches!(self, Self::I16 | Self::I8)
    }

    /// First content of `row_state` for states with these exponents of their first units, of `rows` rows: the exponents `[states][rows][2]` by step mod 2,
    /// then the rows' largest sizes `[states][rows][3]` by step mod 3.
    pub(super) fn row_state(exponents: &[u32], rows: usize) -> Init {
        let units = exponents.iter().flat_map(|&exponent| std::iter::repeat_n(exponent, 2 * rows));
        let sizes = std::iter::repeat_n(0, 3 * rows * exponents.len());
        Init::List(units.chain(sizes).collect())
    }
}

impl fmt::Display for StateType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::I16 => "i16",
            Self::I8 => "i8",
        })
    }
}

impl FromStr for StateType {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|state| state.to_string() == text);
        found.ok_or_else(|| Error::setting("state-dtype", Self::ALL.map(|state| state.to_string()).join(", "), text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bits::{ABSENT, F16, I8, I16, Storage};
    use crate::runtime::interface::shared::conv;
    use crate::runtime::interface::{shared::half, storage};

    /// `bits` lies below the shaders' interface and has these constants by itself.
    #[test]
    fn constants_of_bits_are_those_of_the_shaders() {
        assert_eq!(
            [F16::MAX, I16::MAX, I8::MAX],
            [half::MAX_F16, storage::as_i16::MAX_STORED, storage::as_i8::MAX_STORED]
        );
        assert_eq!(StateType::HALF_UNIT * SCALE, 1.0);
        assert_eq!(ABSENT, conv::ABSENT);
    }
}
