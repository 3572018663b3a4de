//! How large the numbers of a tensor are: a histogram by powers of two and sums of squares, for diagnostics.

use crate::error::Result;
use crate::graph::{Bound, Op};
use crate::runtime::interface::ops::magnitudes::{Params, magnitudes};
use crate::runtime::{Grid, Recording, kernel::kernel};
use crate::tensor::{DType, TensorType};
use std::sync::atomic::{AtomicU32, Ordering};

kernel!(
    /// Counts by exponent, sums of squares by block.
    MAGNITUDES = ops::magnitudes::{ magnitudes }, twin = twin
);

/// Values of a float's exponent field.
const EXPONENTS: usize = 256;

/// Input: floats of any layout, padding 0. Updates: counts by exponent field (they grow and wrap), sums of squares by block of words.
#[derive(Clone, Copy, Debug)]
pub struct Magnitudes;

impl Magnitudes {
    /// Type of the counts.
    pub fn counts() -> TensorType {
        TensorType::plain(DType::U32, &[EXPONENTS])
    }

    /// Type of the sums of squares.
    pub fn squares(x: &TensorType) -> TensorType {
        TensorType::plain(DType::F32, &[x.words().div_ceil(Self::block(x))])
    }

    /// Words of a block: at most some 64 blocks.
    pub(in crate::ops) fn block(x: &TensorType) -> usize {
        x.words().div_ceil(64).max(4096)
    }
}

impl Op for Magnitudes {
    fn name(&self) -> &'static str {
        "magnitudes"
    }

    fn outputs(&self, _inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(Vec::new())
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (x, ty) = bound.inputs[0];
        let params = Params { words: ty.words() as u32, block: Self::block(ty) as u32 };
        let blocks = Self::squares(ty).elements();
        let buffers = magnitudes::Buffers { x, counts: bound.update(0), squares: bound.update(1).per_task(1) };
        recording.dispatch(&MAGNITUDES, params, buffers, Grid::Tiles([blocks as u32, 1, 1]), blocks);
    }
}

/// Lanes of the shaders, so that twins sum in the same order.
pub(in crate::ops) const LANES: usize = crate::runtime::interface::shared::exponent_histogram::THREADS as usize;

/// Neighbours often have the same exponent: with tables of their own they do not wait for each other.
const TABLES: usize = 4;

/// What a twin has met in a block: `shaders/shared/exponent_histogram.wgsl`.
pub(in crate::ops) struct ExponentHistogram {
    tables: [[u32; EXPONENTS]; TABLES],
    sums: [f32; LANES],
}

impl ExponentHistogram {
    pub(in crate::ops) fn new() -> Self {
        Self { tables: [[0; EXPONENTS]; TABLES], sums: [0.0; LANES] }
    }

    /// Numbers of as many lanes, from the first on.
    pub(in crate::ops) fn add(&mut self, values: &[f32]) {
        self.sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value * value);
        for (lane, value) in values.iter().enumerate() {
            self.tables[lane % TABLES][(value.to_bits() >> 23 & 255) as usize] += 1;
        }
    }

    /// Adds the counts to those of all blocks, and gives the sum of squares.
    pub(in crate::ops) fn end(self, counts: &[AtomicU32]) -> f32 {
        for (exponent, counter) in counts.iter().enumerate() {
            let count: u32 = self.tables.iter().map(|table| table[exponent]).sum();
            if count != 0 {
                counter.fetch_add(count, Ordering::Relaxed);
            }
        }
        self.sums.iter().sum()
    }
}

/// A task has a block.
fn twin(args: magnitudes::Args<'_>) {
    let Params { words, block, .. } = *args.params;
    let first = args.index * block as usize;
    let mut histogram = ExponentHistogram::new();
    args.x[first..(first + block as usize).min(words as usize)].chunks(LANES).for_each(|values| histogram.add(values));
    args.squares[0] = histogram.end(args.counts);
}
