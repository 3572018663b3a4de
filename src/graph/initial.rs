//! Initial content of persistent values. Content that depends on the signs of a parameter comes from an implementation of [`FromSigns`].

use crate::tensor::{BitMatrix, Stream, TensorType, pack_numbers};
use std::fmt;
use std::sync::Arc;

/// Initial content of a persistent tensor.
#[derive(Clone, Debug)]
pub enum Init {
    /// Random signs, from the random stream of the tensor's name.
    Signs,
    /// Uniform floats in +-bound, from the random stream of the tensor's name.
    Uniform(f32),
    /// The same float in every element.
    Fill(f32),
    /// The same word at every index.
    Words(u32),
    /// A list of words, one per word of the tensor.
    List(Arc<[u32]>),
    /// Derived from the signs of the parameter that the state belongs to.
    FromSigns(Arc<dyn FromSigns>),
}

/// Computes the initial content of a state from the signs of its parameter, as drawn or loaded.
pub trait FromSigns: fmt::Debug + Send + Sync {
    /// Returns the words of the tensor.
    fn words(&self, state: &StateContext<'_>) -> Vec<u32>;
}

/// The input of [`FromSigns::words`].
#[derive(Clone, Copy, Debug)]
pub struct StateContext<'a> {
    /// Name of the state: `PARAMETER.NAME`.
    pub name: &'a str,
    /// Type of the state.
    pub ty: &'a TensorType,
    /// Seed of the run.
    pub seed: u64,
    /// Signs of the parameter.
    pub signs: &'a BitMatrix,
}

/// `FromSigns` implementations are equal if they are the same object.
impl PartialEq for Init {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Signs, Self::Signs) => true,
            (Self::Uniform(a), Self::Uniform(b)) | (Self::Fill(a), Self::Fill(b)) => a == b,
            (Self::Words(a), Self::Words(b)) => a == b,
            (Self::List(a), Self::List(b)) => a == b,
            (Self::FromSigns(a), Self::FromSigns(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl Init {
    /// Returns the words of a tensor of this name and type; `signs` are those of the parameter that it belongs to.
    ///
    /// # Panics
    /// Panics if the content requires `signs` and they are `None`, or if it does not fit the type.
    pub fn words(&self, name: &str, ty: &TensorType, seed: u64, signs: Option<&BitMatrix>) -> Vec<u32> {
        let words = match self {
            Self::Signs => BitMatrix::random(ty.rows(), ty.columns(), Stream::new(seed, name)).panels().to_vec(),
            Self::Uniform(bound) => {
                let stream = Stream::new(seed, name);
                let data: Vec<f32> = (0..ty.elements() as u64).map(|i| bound * (2.0 * stream.unit(i) - 1.0)).collect();
                pack_numbers(ty, &data).unwrap_or_else(|| panic!("`{name}`: {ty} cannot hold floats"))
            }
            Self::Fill(value) => vec![value.to_bits(); ty.words()],
            Self::Words(word) => vec![*word; ty.words()],
            Self::List(words) => words.to_vec(),
            Self::FromSigns(owner) => {
                let signs = signs.unwrap_or_else(|| panic!("`{name}` requires the signs of a binary parameter"));
                owner.words(&StateContext { name, ty, seed, signs })
            }
        };
        assert_eq!(words.len(), ty.words(), "`{name}`: number of initial words");
        words
    }
}
