//! Sums over the rows of a matrix in panels: blocks of rows first, whose size the shape alone fixes, then the blocks in order.

use crate::tensor::{PANEL, TensorType};

/// A number for each of the 32 channels of a panel.
pub type Lanes = [f32; PANEL];

/// How the rows of a matrix are cut into blocks.
#[derive(Clone, Copy, Debug)]
pub struct Blocks {
    /// Rows of a block; the last may have fewer.
    pub rows: usize,
    /// Blocks.
    pub count: usize,
}

impl Blocks {
    /// At most some 64 blocks of at least 128 rows.
    pub fn of(ty: &TensorType) -> Self {
        let rows = ty.rows().div_ceil(64).max(128);
        Self { rows, count: ty.rows().div_ceil(rows) }
    }
}

/// Rows of a sample: the pixels of an image, 1 for a vector of features.
pub fn pixels(ty: &TensorType) -> usize {
    ty.shape[1..ty.shape.len() - 1].iter().product()
}

/// Rows of numbers, integers or floats, as floats.
pub fn numbers(words: &[u32], integer: bool) -> impl Iterator<Item = Lanes> + Clone + '_ {
    let (rows, _) = words.as_chunks::<PANEL>();
    rows.iter()
        .map(move |row| if integer { row.map(|word| word.cast_signed() as f32) } else { row.map(f32::from_bits) })
}

/// A vector's lanes of panel `index`; beyond its end `fill`.
pub fn lanes(vector: &[f32], index: usize, fill: f32) -> Lanes {
    std::array::from_fn(|lane| vector.get(index * PANEL + lane).copied().unwrap_or(fill))
}

/// Block `block` of panel `panel` of a matrix of numbers, row by row, as far as the matrix reaches.
pub fn block<T>(all: &[T], rows: u32, size: u32, panel: usize, block: usize) -> &[T] {
    let (rows, size) = (rows as usize, size as usize);
    &all[(panel * rows + block * size) * PANEL..][..size.min(rows - block * size) * PANEL]
}

/// Rows that are summed before their sum joins the total: keeps the error of long sums small, and depends on the shape alone.
const STRETCH: usize = 64;

/// Sum by lane, in stretches.
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
