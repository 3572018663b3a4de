//! Arguments of the bit kernels, and their validation.

pub use crate::tensor::{PANEL, words_of as words};

/// Returns the word whose lowest `columns` bits are 1: the mask of a panel's valid lanes. `columns` is 0 to 32.
pub const fn panel_mask(columns: usize) -> u32 {
    if columns >= PANEL { u32::MAX } else { (1 << columns) - 1 }
}

/// Product of bits and bits for one output panel: `y[r][c] = k - 2 * sum over words of popcount(a[r] ^ w[c])`, for rows
/// `row_begin..row_end` and the panel's 32 columns; lanes `c >= columns` are 0.
///
/// Results are exact integers, identical on every instruction set and for every split of the rows. Tail bits of both
/// operands must be 0; otherwise the results are wrong, but memory safety holds.
#[derive(Clone, Copy, Debug)]
pub struct Xnor<'a> {
    /// Bit panels `[ceil(rows / 32)][words(k)][32]` of the left matrix, at least through the panel of row
    /// `row_end - 1`. Panels are complete: rows beyond the matrix are 0.
    pub a: &'a [u32],
    /// One weight panel `[words(k)][32]` of 32 output columns. The slice may be longer; the rest is not read.
    pub w: &'a [u32],
    /// Valid bits in each dot product, below 2^30.
    pub k: usize,
    /// Valid columns of this panel, 1 to 32.
    pub columns: usize,
    /// First row to compute, a multiple of 8 (the register tile's height).
    pub row_begin: usize,
    /// End of the rows to compute, exclusive: a multiple of 8, or the number of rows of the matrix.
    pub row_end: usize,
}

impl Xnor<'_> {
    pub(super) fn check(&self, y: usize) {
        let words = words(self.k);
        assert!(self.k > 0 && self.k < 1 << 30, "xnor: k is {}, expected 1 to 2^30 - 1", self.k);
        assert!((1..=PANEL).contains(&self.columns), "xnor: columns is {}, expected 1 to 32", self.columns);
        assert!(self.row_begin.is_multiple_of(8), "xnor: row_begin is {}, expected a multiple of 8", self.row_begin);
        assert!(
            self.row_begin <= self.row_end,
            "xnor: rows are {}..{}, expected begin <= end",
            self.row_begin,
            self.row_end
        );
        let need = self.row_end.div_ceil(PANEL).saturating_mul(words).saturating_mul(PANEL);
        assert!(self.a.len() >= need, "xnor: a has {} words, expected at least {need}", self.a.len());
        assert!(self.w.len() >= words * PANEL, "xnor: w has {} words, expected {words} x 32", self.w.len());
        let rows = self.row_end - self.row_begin;
        assert!(y == rows.saturating_mul(PANEL), "xnor: y has {y} elements, expected {rows} x 32");
    }
}

/// Product of floats and bits: `y(i, c) = sum over j of x(i, j) * s(j, c)`, where s is +1 for bit 1 and -1 for bit 0; lanes of the last panel
/// beyond `columns` are 0.
///
/// Strides let one kernel compute all float products of a training step:
///
/// | | forward and dX | dW |
/// |---|---|---|
/// | x | panels `[K/32][rows][32]`; i is a row, j a column | one panel `[B][32]` of dY; i is a channel, j a row |
/// | `x_block`, `x_inner`, `x_row` | `rows * 32`, 1, 32 | 1024, 32, 1 |
/// | bits | packed along the output axis: words of j | activations' bits: words of row j |
/// | `bits_block`, `bits_panel` | `words * 32` of that matrix, 32 | `words(K) * 32`, 32 |
/// | `y_row` | 32 | `words(K) * 32` |
///
/// These two sets of strides run at full speed; others are correct but slower. Sums are in f32, in blocks of j that
/// depend only on the shape, so y(i, c) is bit-identical for every split of the rows into tasks. Results differ in
/// rounding between instruction sets. If x contains infinities, elements that should be infinite may be NaN instead
/// (never finite).
#[derive(Clone, Copy, Debug)]
pub struct FloatBits<'a> {
    /// Element (i, j) is `x[(j / 32) * x_block + (j % 32) * x_inner + i * x_row]`.
    pub x: &'a [f32],
    /// Stride between blocks of 32 j.
    pub x_block: usize,
    /// Stride between consecutive j of a block.
    pub x_inner: usize,
    /// Stride between consecutive i.
    pub x_row: usize,
    /// The word of j and panel p is `bits[(j / 32) * bits_block + j % 32 + p * bits_panel]`; its bit c belongs to column `32 p + c`.
    pub bits: &'a [u32],
    /// Stride between blocks of 32 words.
    pub bits_block: usize,
    /// Stride between the words of consecutive panels of columns.
    pub bits_panel: usize,
    /// Number of terms j, 0 or more.
    pub inner: usize,
    /// Number of rows i.
    pub rows: usize,
    /// Columns of a set, at least 1. One task of many columns is faster than one task per panel: some kernels tabulate x once for all of them.
    pub columns: usize,
    /// Number of sets of columns, at least 1. Each set starts a new panel.
    pub sets: usize,
    /// Stride between rows of a panel of y, at least 32. Row i is `[i * y_row ..][..32]`; elements between rows are not written.
    pub y_row: usize,
    /// Whether the sum is added to y instead of overwriting it.
    pub accumulate: bool,
}

/// Output of a product of several panels.
pub trait Panels {
    /// Returns panel `at`, starting at its first row.
    fn panel(&mut self, at: usize) -> &mut [f32];
}

/// Panels of one tensor, at a constant stride (the second field).
#[derive(Debug)]
pub struct StridedPanels<'a>(pub &'a mut [f32], pub usize);

impl Panels for StridedPanels<'_> {
    fn panel(&mut self, at: usize) -> &mut [f32] {
        &mut self.0[at * self.1..]
    }
}

impl FloatBits<'_> {
    /// Returns the number of panels of columns.
    pub fn panels(&self) -> usize {
        words(self.columns) * self.sets
    }

    /// Returns the number of valid columns of panel `at`.
    pub(super) fn valid(&self, at: usize) -> usize {
        PANEL.min(self.columns - at % words(self.columns) * PANEL)
    }

    /// Returns the task restricted to panel `at`.
    pub(super) fn panel(&self, at: usize) -> Self {
        Self { bits: &self.bits[at * self.bits_panel..], columns: self.valid(at), sets: 1, ..*self }
    }

    /// Returns the exclusive upper bound of the offsets that j reads. The last block may be partial, so the block before
    /// it may reach further.
    fn reach(&self, block: usize, inner: usize) -> usize {
        let last = self.inner - 1;
        let at = |j: usize| (j / PANEL).saturating_mul(block).saturating_add((j % PANEL).saturating_mul(inner));
        let before = if last >= PANEL { at(last / PANEL * PANEL - 1) } else { 0 };
        at(last).max(before).saturating_add(1)
    }

    pub(super) fn check(&self, y: &mut dyn Panels) {
        let (columns, sets) = (self.columns, self.sets);
        assert!(columns > 0 && sets > 0, "float_bits: {sets} sets of {columns} columns, expected at least 1");
        assert!(self.y_row >= PANEL, "float_bits: y_row is {}, expected at least 32", self.y_row);
        if self.rows == 0 {
            return;
        }
        let need = (self.rows - 1).saturating_mul(self.y_row).saturating_add(PANEL);
        for at in 0..self.panels() {
            let y = y.panel(at).len();
            assert!(y >= need, "float_bits: panel {at} of y has {y} elements, expected at least {need}");
        }
        if self.inner == 0 {
            return;
        }
        let need = self.reach(self.x_block, self.x_inner).saturating_add((self.rows - 1).saturating_mul(self.x_row));
        assert!(self.x.len() >= need, "float_bits: x has {} elements, expected at least {need}", self.x.len());
        let need = self.reach(self.bits_block, 1).saturating_add((self.panels() - 1).saturating_mul(self.bits_panel));
        assert!(self.bits.len() >= need, "float_bits: bits has {} words, expected at least {need}", self.bits.len());
    }
}

/// Index of a row that is absent and counts as zeros (padding).
pub const ABSENT: u32 = u32::MAX;

/// Product of floats and bits that gathers the rows of x by index: the input gradient of a convolution, as an implicit matrix product.
///
/// `y(i, c) = sum over panels q, taps t and terms j of x(q, places(t, i), j) * s(q, t, j, c)`; lanes of the last panel beyond `columns` are 0.
///
/// Sums are in f32, in an order that depends only on the shape.
#[derive(Clone, Copy, Debug)]
pub struct GatheredFloatBits<'a> {
    /// Panels of floats: term j of row r of panel q is `x[q * x_panel + r * 32 + j]`.
    pub x: &'a [f32],
    /// Stride between panels of x.
    pub x_panel: usize,
    /// Number of panels of x.
    pub panels: usize,
    /// Valid terms of each panel, 1 to 32.
    pub terms: usize,
    /// Indices of rows of x, `[taps][rows]`; [`ABSENT`] stands for a row of zeros.
    pub places: &'a [u32],
    /// Number of taps.
    pub taps: usize,
    /// The word of term j, tap t and panel p of columns is `bits[(q * taps + t) * bits_block + p * bits_panel + j]`.
    pub bits: &'a [u32],
    /// Stride between blocks of words.
    pub bits_block: usize,
    /// Stride between the words of consecutive panels of columns.
    pub bits_panel: usize,
    /// Number of rows i. Row i of a panel of y is `[i * 32..][..32]`.
    pub rows: usize,
    /// Number of columns, at least 1.
    pub columns: usize,
}

impl GatheredFloatBits<'_> {
    pub(super) fn check(&self, y: &mut dyn Panels) {
        assert!((1..=PANEL).contains(&self.terms), "gathered_float_bits: {} terms, expected 1 to 32", self.terms);
        let [panels, taps, columns] = [self.panels, self.taps, self.columns];
        assert!(
            panels > 0 && taps > 0 && columns > 0,
            "gathered_float_bits: {panels} panels, {taps} taps, {columns} columns, expected at least 1 of each"
        );
        let places = self.taps.saturating_mul(self.rows);
        assert!(self.places.len() == places, "gathered_float_bits: {} places, expected {places}", self.places.len());
        for at in 0..words(self.columns) {
            let (y, need) = (y.panel(at).len(), self.rows.saturating_mul(PANEL));
            assert!(y >= need, "gathered_float_bits: panel {at} of y has {y} elements, expected at least {need}");
        }
        let blocks = panels.saturating_mul(taps) - 1;
        let last =
            blocks.saturating_mul(self.bits_block).saturating_add((words(columns) - 1).saturating_mul(self.bits_panel));
        let (bits, need) = (self.bits.len(), last.saturating_add(self.terms));
        assert!(bits >= need, "gathered_float_bits: bits has {bits} words, expected at least {need}");
        let Some(last) = self.places.iter().filter(|place| **place != ABSENT).max() else { return };
        let last = (panels - 1).saturating_mul(self.x_panel).saturating_add(*last as usize * PANEL);
        let (x, need) = (self.x.len(), last.saturating_add(self.terms));
        assert!(x >= need, "gathered_float_bits: x has {x} elements, expected at least {need}");
    }
}
