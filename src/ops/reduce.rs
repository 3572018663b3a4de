//! Sums over the rows of a matrix in panels: first over blocks of rows, whose size depends on the shape alone, then over the blocks in
//! order.

use crate::tensor::{PANEL, TensorType};

/// One number per channel of a panel.
pub type Lanes = [f32; PANEL];

/// The division of a matrix's rows into blocks.
#[derive(Clone, Copy, Debug)]
pub struct Blocks {
    /// Rows of a block; the last block may have fewer.
    pub rows: usize,
    /// Number of blocks.
    pub count: usize,
}

impl Blocks {
    /// Returns about 64 blocks at most, of at least 128 rows each.
    pub fn of(ty: &TensorType) -> Self {
        let rows = ty.rows().div_ceil(64).max(128);
        Self { rows, count: ty.rows().div_ceil(rows) }
    }
}

/// Returns the rows per sample: the pixels of an image, 1 for a vector of features.
pub fn pixels(ty: &TensorType) -> usize {
    ty.shape[1..ty.shape.len() - 1].iter().product()
}

/// Returns rows of integers or floats as floats.
pub fn numbers(words: &[u32], integer: bool) -> impl Iterator<Item = Lanes> + Clone + '_ {
    let (rows, _) = words.as_chunks::<PANEL>();
    rows.iter()
        .map(move |row| if integer { row.map(|word| word.cast_signed() as f32) } else { row.map(f32::from_bits) })
}

/// Returns the lanes of panel `index` of a vector; `fill` beyond its end.
pub fn lanes(vector: &[f32], index: usize, fill: f32) -> Lanes {
    std::array::from_fn(|lane| vector.get(index * PANEL + lane).copied().unwrap_or(fill))
}

/// Returns the rows of block `block` of panel `panel` that lie inside the matrix.
pub fn block<T>(all: &[T], rows: u32, size: u32, panel: usize, block: usize) -> &[T] {
    let (rows, size) = (rows as usize, size as usize);
    &all[(panel * rows + block * size) * PANEL..][..size.min(rows - block * size) * PANEL]
}

/// Rows that are summed before their sum is added to the total. It bounds the error of long sums, and depends on nothing but the shape.
const STRETCH: usize = 64;

/// Returns the sum by lane, computed in stretches of `STRETCH` rows.
pub fn sum(rows: impl Iterator<Item = Lanes>) -> Lanes {
    let (mut total, mut stretch) = ([0.0; PANEL], [0.0; PANEL]);
    for (r, row) in rows.enumerate() {
        (0..PANEL).for_each(|l| stretch[l] += row[l]);
        if r % STRETCH == STRETCH - 1 {
            (0..PANEL).for_each(|l| total[l] += stretch[l]);
            stretch = [0.0; PANEL];
        }
    }
    (0..PANEL).for_each(|l| total[l] += stretch[l]);
    total
}
