//! How large the numbers of a tensor are: a histogram by powers of two and sums of squares, for diagnostics.

use crate::error::Result;
use crate::graph::{Bound, Op};
use crate::runtime::interface::ops::magnitudes::{Params, magnitudes};
use crate::runtime::{Grid, Recording, kernel::kernel};
use crate::tensor::{DType, TensorType};
use std::sync::atomic::Ordering;

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
    fn block(x: &TensorType) -> usize {
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
        let params = Params { words: ty.words() as u32, block: Self::block(ty) as u32, pad0: 0, pad1: 0 };
        let blocks = Self::squares(ty).elements();
        let buffers = magnitudes::Buffers { x, counts: bound.update(0), squares: bound.update(1).chunks(1) };
        recording.dispatch(&MAGNITUDES, params, buffers, Grid::Tiles([blocks as u32, 1, 1]), blocks);
    }
}

/// Lanes of the shader, so that both sum in the same order.
const LANES: usize = 64;

/// A task has a block. Neighbours often have the same exponent: with tables of their own they do not wait for each other.
fn twin(args: magnitudes::Args<'_>) {
    const TABLES: usize = 4;
    let Params { words, block, .. } = *args.params;
    let first = args.index * block as usize;
    let x = &args.x[first..(first + block as usize).min(words as usize)];
    let (mut tables, mut sums) = ([[0_u32; EXPONENTS]; TABLES], [0.0_f32; LANES]);
    for values in x.chunks(LANES) {
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value * value);
        for (lane, value) in values.iter().enumerate() {
            tables[lane % TABLES][(value.to_bits() >> 23 & 255) as usize] += 1;
        }
    }
    args.squares[0] = sums.iter().sum();
    for (exponent, counter) in args.counts.iter().enumerate() {
        let count: u32 = tables.iter().map(|table| table[exponent]).sum();
        if count != 0 {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }
}
