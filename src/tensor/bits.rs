//! The one definition of bit order, tails and panels.

use super::random::Stream;

/// Rows of a panel of bits, columns of a panel of numbers, bits of a word: one number on purpose, so that a 32 x 32 tile of bits is
/// 32 neighbouring words and transposes in place.
pub const PANEL: usize = 32;

/// Words that hold `columns` signs: `ceil(columns / 32)`.
pub const fn words_of(columns: usize) -> usize {
    columns.div_ceil(PANEL)
}

/// Where element (row, column) of a matrix of numbers with so many rows lies in panels `[columns/32][rows][32]`.
pub const fn number_at(rows: usize, row: usize, column: usize) -> usize {
    ((column / PANEL) * rows + row) * PANEL + column % PANEL
}

/// A matrix of signs in panels `[rows/32][words][32]`: sign (r, c) is bit `c % 32` of word `((r/32) * words + c/32) * 32 + r % 32`,
/// 1 for +1 and 0 for -1. Tail bits and tail rows are 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BitMatrix {
    rows: usize,
    columns: usize,
    words: Vec<u32>,
}

impl BitMatrix {
    /// From a function of (row, column) that says whether the sign is +1.
    pub fn from_fn(rows: usize, columns: usize, mut positive: impl FnMut(usize, usize) -> bool) -> Self {
        let per_row = words_of(columns);
        let mut words = vec![0; rows.div_ceil(PANEL) * per_row * PANEL];
        for r in 0..rows {
            for c in 0..columns {
                let at = ((r / PANEL) * per_row + c / PANEL) * PANEL + r % PANEL;
                words[at] |= u32::from(positive(r, c)) << (c % PANEL);
            }
        }
        Self { rows, columns, words }
    }

    /// Random signs, each with probability one half.
    pub fn random(rows: usize, columns: usize, stream: Stream) -> Self {
        let mut at = 0;
        Self::from_fn(rows, columns, |_, _| {
            at += 1;
            stream.word(at - 1) & 1 == 1
        })
    }

    /// From words that already lie in panels; `None` when their number is wrong or a tail bit is set.
    pub fn from_panels(rows: usize, columns: usize, words: Vec<u32>) -> Option<Self> {
        let matrix = Self { rows, columns, words };
        let clean =
            Self::from_fn(rows, columns, |r, c| matrix.words.len() > matrix.index(r, c).0 && matrix.is_positive(r, c));
        (clean == matrix).then_some(matrix)
    }

    /// From the plain rows of a file, `[rows][words]`; `None` when their number is wrong or a tail bit is set.
    pub fn from_rows(rows: usize, columns: usize, plain: &[u32]) -> Option<Self> {
        let per_row = words_of(columns);
        if plain.len() != rows * per_row {
            return None;
        }
        let matrix = Self::from_fn(rows, columns, |r, c| plain[r * per_row + c / PANEL] >> (c % PANEL) & 1 == 1);
        (matrix.to_rows() == plain).then_some(matrix)
    }

    /// Plain rows `[rows][words]`, as files hold them.
    pub fn to_rows(&self) -> Vec<u32> {
        let per_row = words_of(self.columns);
        let word = |r: usize, w: usize| self.words[((r / PANEL) * per_row + w) * PANEL + r % PANEL];
        (0..self.rows).flat_map(|r| (0..per_row).map(move |w| word(r, w))).collect()
    }

    /// Whether the sign at (row, column) is +1.
    pub fn is_positive(&self, row: usize, column: usize) -> bool {
        let (word, bit) = self.index(row, column);
        self.words[word] >> bit & 1 == 1
    }

    fn index(&self, row: usize, column: usize) -> (usize, usize) {
        (((row / PANEL) * words_of(self.columns) + column / PANEL) * PANEL + row % PANEL, column % PANEL)
    }

    /// The words, in panels.
    pub fn panels(&self) -> &[u32] {
        &self.words
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns.
    pub fn columns(&self) -> usize {
        self.columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_panels_hold_the_same_signs() {
        for (rows, columns) in [(1, 1), (31, 33), (32, 32), (33, 31), (70, 100)] {
            let matrix = BitMatrix::random(rows, columns, Stream::new(7, "bits"));
            let again = BitMatrix::from_rows(rows, columns, &matrix.to_rows()).expect("its own rows");
            assert_eq!(matrix, again);
            assert_eq!(Some(&matrix), BitMatrix::from_panels(rows, columns, matrix.panels().to_vec()).as_ref());
        }
    }

    #[test]
    fn a_set_tail_bit_is_refused() {
        assert!(BitMatrix::from_rows(1, 3, &[0b1000]).is_none());
        assert!(BitMatrix::from_rows(1, 3, &[0b111]).is_some());
        assert!(BitMatrix::from_panels(1, 3, vec![0; 31]).is_none());
    }
}
