//! Storage of states: 32-bit or 16-bit floats, or integers in a unit per row, with stochastic rounding.

use crate::bits::Unit;
use crate::error::{Error, Result};
use crate::graph::Init;
use crate::runtime::interface::storage::as_f16;
use crate::tensor::DType;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The storage of a rule's states. Narrow types are rounded stochastically to one of the two neighbours, so that changes below a step of
/// the format are preserved on average. The random bits are a hash of (seed, step, parameter, element).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StateType {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats of 2^16 times the state: magnitudes from 1e-12 to 1, the range of gradients of a mean cross-entropy.
    F16,
    /// 16-bit integers in a power of two per row, which follows the row's largest magnitude.
    I16,
    /// 8-bit integers in a power of two per row.
    I8,
}

/// Factor of 16-bit floats relative to the state.
const SCALE: f32 = as_f16::SCALE_F16;

impl StateType {
    /// All types.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::I16, Self::I8];

    /// Unit of 16-bit floats.
    pub const HALF_UNIT: f32 = as_f16::UNIT_F16;

    /// Unit of 16-bit floats, and its inverse.
    pub(super) const HALVES: Unit = Unit { old: Self::HALF_UNIT, inverse: SCALE };

    /// Returns the element type of a state's tensor.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
            Self::I16 => DType::I16,
            Self::I8 => DType::I8,
        }
    }

    /// Returns the bytes per state.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::I16 => 2,
            Self::I8 => 1,
        }
    }

    /// Returns the gradient magnitude for which the first units are chosen. i16: a large one of a last layer. i8, whose steps are coarse: a
    /// typical one. Units adapt by a few powers of two per step; until they fit, states saturate with the correct sign, or are coarse.
    fn first_gradient(self) -> f32 {
        2_f32.powi(if self == Self::I8 { -11 } else { -6 })
    }

    /// Returns the biased exponent of the unit for a first state of this magnitude, which then uses half or a quarter of the range.
    fn exponent(self, size: f32) -> u32 {
        let bits = 8 * self.bytes() as u32;
        (size.to_bits() >> 23).clamp(30 + bits, 226).saturating_sub(bits - 3)
    }

    /// Returns a first state as stored, for integers in the unit of this exponent.
    pub(super) fn stored(self, state: f32, exponent: u32) -> f32 {
        match self {
            Self::F32 => state,
            Self::F16 => SCALE * state,
            Self::I16 | Self::I8 => state * f32::from_bits((254 - exponent) << 23),
        }
    }

    /// Returns the exponents of the first units of states, each given as `[rate, first magnitude]`. They are chosen for the larger of the
    /// first magnitude and the rate times the gradient (or the previous state) of one step.
    pub(super) fn exponents(self, states: &[[f32; 2]]) -> Vec<u32> {
        let mut step = self.first_gradient();
        let exponent = |[rate, size]: &[f32; 2]| {
            step *= rate;
            self.exponent(step.max(*size))
        };
        states.iter().map(exponent).collect()
    }

    /// Whether each row has a unit, which the tensor `row_state` stores.
    pub fn has_units(self) -> bool {
        matches!(self, Self::I16 | Self::I8)
    }

    /// Returns the initial content of `row_state` for states with these exponents of their first units and `rows` rows: the exponents
    /// `[states][rows][2]` by step mod 2, then the rows' largest magnitudes `[states][rows][3]` by step mod 3.
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

    /// `bits` is below the shaders' interface and defines these constants itself.
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
