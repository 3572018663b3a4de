//! Element types, layouts, and the type of a tensor.

use super::bits::{PANEL, words_of};
use std::fmt;

/// Element type. Everything is stored in 32-bit words.
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

/// Where the elements of a matrix `[rows][columns]` lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Row after row without gaps.
    Plain,
    /// Rows padded with zeros to a multiple of 32 columns: gradients of weights, filter states.
    Rows,
    /// Panels. Numbers: `[columns/32][rows][32]`, so that channels pack and no column has a power-of-two pitch.
    /// Bits: `[rows/32][words][32]`, so that a 32 x 32 tile of bits is 32 neighbouring words. Tails are 0.
    Panels,
}

/// Shape, element type and layout. The last axis is the one that packs (channels, features); the others together are the rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TensorType {
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// Element type.
    pub dtype: DType,
    /// Where elements lie.
    pub layout: Layout,
}

impl TensorType {
    /// A tensor type from its parts.
    pub fn new(dtype: DType, layout: Layout, shape: &[usize]) -> Self {
        assert!(!shape.is_empty(), "a tensor has at least one axis");
        Self { shape: shape.to_vec(), dtype, layout }
    }

    /// Floats or integers in panels: activations and their gradients.
    pub fn panels(dtype: DType, rows: usize, columns: usize) -> Self {
        Self::new(dtype, Layout::Panels, &[rows, columns])
    }

    /// Signs in panels.
    pub fn bits(rows: usize, columns: usize) -> Self {
        Self::new(DType::Bits, Layout::Panels, &[rows, columns])
    }

    /// A vector, or any tensor without gaps.
    pub fn plain(dtype: DType, shape: &[usize]) -> Self {
        Self::new(dtype, Layout::Plain, shape)
    }

    /// Product of all axes but the last.
    pub fn rows(&self) -> usize {
        self.shape[..self.shape.len() - 1].iter().product()
    }

    /// Extent of the last axis.
    pub fn columns(&self) -> usize {
        self.shape[self.shape.len() - 1]
    }

    /// Elements, without padding.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Elements in a word, where there are several whole ones.
    pub fn elements_a_word(&self) -> usize {
        match self.dtype {
            DType::F16 | DType::I16 => 2,
            DType::I8 | DType::U8 => 4,
            DType::Bits => 32,
            DType::F32 | DType::I32 | DType::U32 => 1,
        }
    }

    /// 32-bit words that the tensor takes, padding included; at least one, since no device binds nothing.
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

    /// Bytes that the tensor takes.
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
