//! The definition of bit order, tails and panels.

use super::random::Stream;

/// Rows of a panel of bits, columns of a panel of numbers, and bits of a word. All three are equal so that a 32 x 32 tile of bits is 32
/// adjacent words and can be transposed in place.
pub const PANEL: usize = 32;

/// Returns the number of words of `columns` signs: `ceil(columns / 32)`.
pub const fn words_of(columns: usize) -> usize {
    columns.div_ceil(PANEL)
}

/// Returns the index of element (row, column) of a matrix of numbers with `rows` rows in panels `[columns/32][rows][32]`.
pub const fn number_at(rows: usize, row: usize, column: usize) -> usize {
    ((column / PANEL) * rows + row) * PANEL + column % PANEL
}

/// Returns the bits of a row's last word that belong to no column.
const fn tail_of(columns: usize) -> u32 {
    match columns % PANEL {
        0 => 0,
        used => u32::MAX << used,
    }
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
    /// Creates a matrix from a function of (row, column) that returns whether the sign is +1.
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

    /// Draws random signs, each +1 with probability one half.
    pub fn random(rows: usize, columns: usize, stream: Stream) -> Self {
        let mut at = 0;
        Self::from_fn(rows, columns, |_, _| {
            at += 1;
            stream.word(at - 1) & 1 == 1
        })
    }

    /// Creates a matrix from words in panels; `None` if their number is wrong or a tail bit is set.
    pub fn from_panels(rows: usize, columns: usize, words: Vec<u32>) -> Option<Self> {
        let per_row = words_of(columns);
        if rows.div_ceil(PANEL).checked_mul(per_row)?.checked_mul(PANEL)? != words.len() {
            return None;
        }
        let last_column = |at: usize| at / PANEL % per_row == per_row - 1;
        let is_row = |at: usize| at / (per_row * PANEL) * PANEL + at % PANEL < rows;
        let tail = |at: usize| {
            if !is_row(at) {
                u32::MAX
            } else if last_column(at) {
                tail_of(columns)
            } else {
                0
            }
        };
        let clean = words.iter().enumerate().all(|(at, word)| word & tail(at) == 0);
        clean.then_some(Self { rows, columns, words })
    }

    /// Creates a matrix from the plain rows of a file, `[rows][words]`; `None` if their number is wrong or a tail bit is set.
    pub fn from_rows(rows: usize, columns: usize, plain: &[u32]) -> Option<Self> {
        let per_row = words_of(columns);
        if rows.checked_mul(per_row)? != plain.len() {
            return None;
        }
        let mut words = vec![0; rows.div_ceil(PANEL) * per_row * PANEL];
        // A matrix without columns has no words, and no rows to visit.
        for (r, row) in plain.chunks_exact(per_row.max(1)).enumerate() {
            if row[per_row - 1] & tail_of(columns) != 0 {
                return None;
            }
            let panel = &mut words[r / PANEL * per_row * PANEL..];
            row.iter().enumerate().for_each(|(w, word)| panel[w * PANEL + r % PANEL] = *word);
        }
        Some(Self { rows, columns, words })
    }

    /// Returns plain rows `[rows][words]`, the format of files.
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

    /// Returns the words in panels.
    pub fn panels(&self) -> &[u32] {
        &self.words
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the number of columns.
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
        // All bits of all words: those of the 33 x 40 signs, and the padding.
        let (rows, columns) = (33, 40);
        for bit in 0..2 * 2 * PANEL * 32 {
            let (at, place) = (bit / 32, bit % 32);
            let (row, column) = (at / (2 * PANEL) * PANEL + at % PANEL, at / PANEL % 2 * 32 + place);
            let mut words = vec![0; 2 * 2 * PANEL];
            words[at] = 1 << place;
            let is_inside = row < rows && column < columns;
            assert_eq!(BitMatrix::from_panels(rows, columns, words).is_some(), is_inside, "row {row}, column {column}");
        }
    }

    /// Products of such extents wrap around to sizes that a file may have.
    #[test]
    fn extents_that_wrap_are_refused() {
        let columns = 1 << (usize::BITS - 1);
        assert!(BitMatrix::from_rows(64, columns, &[]).is_none());
        assert!(BitMatrix::from_rows(1 << (usize::BITS - 2), 97, &[]).is_none());
        assert!(BitMatrix::from_panels(64, columns, vec![]).is_none());
        assert!(BitMatrix::from_panels(usize::MAX, columns, vec![0; 32]).is_none());
        // Without rows or columns there is nothing to read.
        assert!(BitMatrix::from_rows(0, columns, &[]).is_some_and(|matrix| matrix.panels().is_empty()));
        assert!(BitMatrix::from_rows(5, 0, &[]).is_some_and(|matrix| matrix.panels().is_empty()));
        assert!(BitMatrix::from_panels(5, 0, vec![]).is_some());
    }
}
