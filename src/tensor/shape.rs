//! Element types, layouts, and the type of a tensor.

use super::bits::{PANEL, words_of};
use std::fmt;

/// Element type. All types are stored in 32-bit words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// 32-bit float.
    F32,
    /// 32-bit signed integer: exact products of bits.
    I32,
    /// 32-bit unsigned integer: labels, counters.
    U32,
    /// 16-bit floats, two to a word: narrow states.
    F16,
    /// 16-bit signed integers, two to a word: narrow states.
    I16,
    /// 8-bit signed integers, four to a word: narrow states.
    I8,
    /// Bytes, four to a word: pixels.
    U8,
    /// Signs, 32 to a word: bit 1 is +1, bit 0 is -1.
    Bits,
}

/// The layout of a matrix `[rows][columns]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Row-major without gaps.
    Plain,
    /// Rows padded with zeros to a multiple of 32 columns: weight gradients, filter states.
    Rows,
    /// Panels. Numbers: `[columns/32][rows][32]`, so that channels pack and no column has a power-of-two pitch. Bits:
    /// `[rows/32][words][32]`, so that a 32 x 32 tile of bits is 32 adjacent words. Tails are 0.
    Panels,
}

/// Shape, element type and layout. The last axis (channels, features) is packed; the product of the others is the number of rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TensorType {
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// Element type.
    pub dtype: DType,
    /// Layout of the elements.
    pub layout: Layout,
}

impl TensorType {
    /// Creates a tensor type.
    pub fn new(dtype: DType, layout: Layout, shape: &[usize]) -> Self {
        assert!(!shape.is_empty(), "a tensor has at least one axis");
        Self { shape: shape.to_vec(), dtype, layout }
    }

    /// Returns a type of floats or integers in panels: activations and their gradients.
    pub fn panels(dtype: DType, rows: usize, columns: usize) -> Self {
        Self::new(dtype, Layout::Panels, &[rows, columns])
    }

    /// Returns a type of signs in panels.
    pub fn bits(rows: usize, columns: usize) -> Self {
        Self::new(DType::Bits, Layout::Panels, &[rows, columns])
    }

    /// Returns a type without gaps, such as a vector.
    pub fn plain(dtype: DType, shape: &[usize]) -> Self {
        Self::new(dtype, Layout::Plain, shape)
    }

    /// Returns the product of all axes except the last.
    pub fn rows(&self) -> usize {
        self.shape[..self.shape.len() - 1].iter().product()
    }

    /// Returns the extent of the last axis.
    pub fn columns(&self) -> usize {
        self.shape[self.shape.len() - 1]
    }

    /// Returns the number of elements, without padding.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Returns the number of elements per word: 1 for 32-bit types, 32 for signs.
    pub fn elements_a_word(&self) -> usize {
        match self.dtype {
            DType::F16 | DType::I16 => 2,
            DType::I8 | DType::U8 => 4,
            DType::Bits => 32,
            DType::F32 | DType::I32 | DType::U32 => 1,
        }
    }

    /// Returns the number of 32-bit words including padding; at least one, since no device binds empty buffers.
    pub fn words(&self) -> usize {
        let (rows, words) = (self.rows(), words_of(self.columns()));
        let count = match (self.dtype, self.layout) {
            (DType::Bits, Layout::Panels) => rows.div_ceil(PANEL) * words * PANEL,
            (DType::Bits, _) => rows * words,
            (DType::U8, _) => self.elements().div_ceil(4),
            (DType::F16 | DType::I16, _) => rows * words * PANEL / 2,
            (DType::I8, _) => rows * words * PANEL / 4,
            (_, Layout::Plain) => self.elements(),
            (_, Layout::Rows | Layout::Panels) => rows * words * PANEL,
        };
        count.max(1)
    }

    /// Returns the number of bytes including padding.
    pub fn bytes(&self) -> u64 {
        4 * self.words() as u64
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extents: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        write!(f, "{:?}[{}]", self.dtype, extents.join(" x "))
    }
}
