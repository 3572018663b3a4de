//! Storage of states: 32-bit or 16-bit floats, or integers in a unit per row, with stochastic rounding.

use crate::bits::{self, Storage};
use crate::error::{Error, Result};
use crate::graph::Init;
use crate::runtime::interface::for_each_storage;
use crate::tensor::DType;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Declares the types of states from the list of `shaders/storage/`.
macro_rules! state_types {
    (; $([$variant:ident $module:ident $name:literal $doc:literal])*) => {
        /// The storage of a rule's states. Narrow types are rounded stochastically to one of the two neighbours, so that changes below a
        /// step of the format are preserved on average. The random bits are a hash of (seed, step, parameter, element).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum StateType {
            $(#[doc = $doc] $variant,)*
        }

        impl StateType {
            /// All types, f32 first.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// Returns its name in flags and files.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Returns the element type of a state's tensor.
            pub fn dtype(self) -> DType {
                match self { $(Self::$variant => DType::$variant,)* }
            }

            /// Returns the bytes per state.
            pub fn bytes(self) -> usize {
                match self { $(Self::$variant => size_of::<<bits::$variant as Storage>::Stored>(),)* }
            }

            /// Whether each row has a unit, which the tensor `row_state` stores.
            pub fn has_units(self) -> bool {
                match self { $(Self::$variant => bits::$variant::HAS_UNITS,)* }
            }

            /// Returns the factor of the stored number relative to the state, where rows have no units.
            fn scale(self) -> f32 {
                match self { $(Self::$variant => bits::$variant::SCALE,)* }
            }

            /// Returns the gradient magnitude for which the first units are chosen.
            fn first_gradient(self) -> f32 {
                match self { $(Self::$variant => bits::$variant::FIRST_GRADIENT,)* }
            }
        }
    };
}
for_each_storage!({ state_types });

impl Default for StateType {
    /// Returns f32.
    fn default() -> Self {
        Self::ALL[0]
    }
}

impl StateType {
    /// Unit of 16-bit floats.
    pub const HALF_UNIT: f32 = 1.0 / bits::F16::SCALE;

    /// Returns the biased exponent of the unit for a first state of this magnitude, which then uses half or a quarter of the range.
    fn exponent(self, size: f32) -> u32 {
        let bits = 8 * self.bytes() as u32;
        (size.to_bits() >> 23).clamp(30 + bits, 226).saturating_sub(bits - 3)
    }

    /// Returns a first state as stored, for integers in the unit of this exponent.
    pub(super) fn stored(self, state: f32, exponent: u32) -> f32 {
        if self.has_units() { state * f32::from_bits((254 - exponent) << 23) } else { state * self.scale() }
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
        f.write_str(self.name())
    }
}

impl FromStr for StateType {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|state| state.name() == text);
        found.ok_or_else(|| Error::setting("state-dtype", Self::ALL.map(Self::name).join(", "), text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bits::{ABSENT, F16, I8, I16};
    use crate::runtime::interface::shared::conv;
    use crate::runtime::interface::{shared::half, storage};

    /// `bits` is below the shaders' interface and defines these constants itself.
    #[test]
    fn constants_of_bits_are_those_of_the_shaders() {
        assert_eq!(
            [F16::MAX, I16::MAX, I8::MAX],
            [half::MAX_F16, storage::as_i16::MAX_STORED, storage::as_i8::MAX_STORED]
        );
        assert_eq!([F16::SCALE, StateType::HALF_UNIT], [storage::as_f16::SCALE_F16, storage::as_f16::UNIT_F16]);
        assert_eq!(ABSENT, conv::ABSENT);
    }
}
