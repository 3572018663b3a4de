//! Product of floats and bits, one panel of columns at a time: the signs of a block of terms are expanded once and reused for all rows.

use std::array;
use std::mem::MaybeUninit;

use super::tasks::{ABSENT, FloatBits, GatheredFloatBits, PANEL};
use super::vector::SignedSums;

/// Capacity of [`Signs`] in floats: 16 KiB, half of a 32 KiB L1 cache.
const SIGNS: usize = 4096;

/// Expanded signs of several terms, T registers per term.
#[repr(align(64))]
struct Signs<const T: usize>(MaybeUninit<[f32; SIGNS]>);

impl<const T: usize> Signs<T> {
    /// Returns an uninitialised buffer.
    const fn new() -> Self {
        Self(MaybeUninit::uninit())
    }

    /// Returns the address of the signs of term `j`.
    fn at<V: SignedSums>(&self, j: usize) -> *const f32 {
        self.0.as_ptr().cast::<f32>().wrapping_add(j * T * V::LANES)
    }

    /// Expands the first T registers of signs of a word as term `j`.
    ///
    /// # Safety
    /// The processor has V's instructions.
    #[inline(always)]
    unsafe fn spread<V: SignedSums>(&mut self, j: usize, word: u32) {
        assert!((j + 1) * T * V::LANES <= SIGNS, "the terms exceed the buffer of signs");
        let signs = self.0.as_mut_ptr().cast::<f32>().wrapping_add(j * T * V::LANES);
        for t in 0..T {
            // SAFETY: the caller promises the instructions; there is room for the term, as asserted.
            unsafe { V::store(signs.add(t * V::LANES), V::spread(word, t * V::LANES, t + 1 == T)) };
        }
    }
}

/// Computes one panel of `Isa::float_bits`. `T` registers hold the signs of a term; a register tile is `C` of them by at most `R` rows; sums of
/// `ROOM` terms are added to y at a time.
///
/// # Safety
/// The processor has V's instructions; the task of one panel passed its check against `y`, its rows and inner are at least 1; T registers hold all
/// its columns, C divides T, `ROOM` terms of T registers are at most 4096 numbers, R is at most 6.
#[inline(always)]
pub(super) unsafe fn panel<V: SignedSums, const T: usize, const C: usize, const R: usize, const ROOM: usize>(
    task: &FloatBits,
    y: &mut [f32],
) {
    // SAFETY: the caller promises the instructions and a checked task. The two common pairs of strides are passed as constants, which the compiler
    // folds into the addressing of the instructions.
    unsafe {
        match (task.x_row, task.x_inner) {
            (32, 1) => strided::<V, T, C, R, ROOM>(task, 32, 1, y),
            (1, 32) => strided::<V, T, C, R, ROOM>(task, 1, 32, y),
            (x_row, x_inner) => strided::<V, T, C, R, ROOM>(task, x_row, x_inner, y),
        }
    }
}

/// Computes one panel as [`panel`], with the strides of x as arguments.
///
/// # Safety
/// As [`panel`].
#[inline(always)]
unsafe fn strided<V: SignedSums, const T: usize, const C: usize, const R: usize, const ROOM: usize>(
    task: &FloatBits,
    x_row: usize,
    x_inner: usize,
    y: &mut [f32],
) {
    let mut signs = Signs::<T>::new();
    for start in (0..task.inner).step_by(ROOM) {
        let end = task.inner.min(start + ROOM);
        for j in start..end {
            // SAFETY: the caller promises the instructions.
            unsafe { signs.spread::<V>(j - start, task.bits[j / PANEL * task.bits_block + j % PANEL]) };
        }
        let mut i = 0;
        while i < task.rows {
            let x = task.x.as_ptr().wrapping_add(i * x_row);
            let stretches = (start..end).step_by(PANEL).map(|first| Stretch {
                terms: PANEL.min(end - first),
                signs: signs.at::<V>(first - start),
                row: move |r| x.wrapping_add(first / PANEL * task.x_block + r * x_row),
            });
            let joins = start > 0 || task.accumulate;
            let target = Target { y: &mut y[i * task.y_row..], y_row: task.y_row, columns: task.columns, joins };
            // SAFETY: the caller promises the instructions. Rows from i and j from start are inside the task, whose reach was checked; all their
            // signs are written.
            i += unsafe { tile::<V, T, C, R, _>(task.rows - i, x_inner, stretches, target) };
        }
    }
}

/// Computes panel `at` of `Isa::gathered_float_bits`, reading rows of x without copying them. `T`, `C`, `R` and `ROOM` are those of [`panel`]; sums
/// of `most` blocks of terms are added to y at a time.
///
/// # Safety
/// The processor has V's instructions; the task passed its check against all its panels, and `y` is panel `at`; its rows are at least 1; T
/// registers hold all columns of the panel, C divides T, `ROOM` terms of T registers are at most 4096 numbers, `most` blocks are at most `ROOM`
/// terms, R is at most 6.
#[inline(always)]
pub(super) unsafe fn gathered_panel<
    V: SignedSums,
    const T: usize,
    const C: usize,
    const R: usize,
    const ROOM: usize,
>(
    task: &GatheredFloatBits,
    at: usize,
    most: usize,
    y: &mut [f32],
) {
    /// Terms of an absent row.
    static NOTHING: [f32; PANEL] = [0.0; PANEL];
    let (terms, blocks) = (task.terms, task.panels * task.taps);
    let columns = PANEL.min(task.columns - at * PANEL);
    let mut signs = Signs::<T>::new();
    let mut sources = [(task.x.as_ptr(), &task.places[..0]); ROOM];
    for start in (0..blocks).step_by(most) {
        let count = most.min(blocks - start);
        for (slot, source) in sources[..count].iter_mut().enumerate() {
            let block = start + slot;
            let bits = &task.bits[block * task.bits_block + at * task.bits_panel..][..terms];
            for (j, word) in bits.iter().enumerate() {
                // SAFETY: the caller promises the instructions.
                unsafe { signs.spread::<V>(slot * terms + j, *word) };
            }
            let x = task.x.as_ptr().wrapping_add(block / task.taps * task.x_panel);
            *source = (x, &task.places[block % task.taps * task.rows..][..task.rows]);
        }
        let mut i = 0;
        while i < task.rows {
            let stretches = sources[..count].iter().enumerate().map(|(slot, (x, places))| Stretch {
                terms,
                signs: signs.at::<V>(slot * terms),
                row: move |r| match places[i + r] {
                    ABSENT => NOTHING.as_ptr(),
                    place => x.wrapping_add(place as usize * PANEL),
                },
            });
            let target = Target { y: &mut y[i * PANEL..], y_row: PANEL, columns, joins: start > 0 };
            // SAFETY: the caller promises the instructions. All terms of places that are not absent were checked, and the signs of all terms are
            // written.
            i += unsafe { tile::<V, T, C, R, _>(task.rows - i, 1, stretches, target) };
        }
    }
}

/// A run of consecutive terms of a sum.
struct Stretch<F> {
    terms: usize,
    /// Expanded signs of the terms.
    signs: *const f32,
    /// Function from a row of the tile to the address of its first x.
    row: F,
}

/// Output of a tile.
struct Target<'a> {
    /// Panel of y, starting at the tile's first row.
    y: &'a mut [f32],
    y_row: usize,
    columns: usize,
    /// Whether the sums are added to y instead of overwriting it.
    joins: bool,
}

/// Computes a tile of at most R and at most `rows` rows. Returns its number of rows.
///
/// # Safety
/// The processor has V's instructions; for every stretch, the x of that number of rows, `x_inner` apart, and the signs are readable. C divides T, R
/// is at most 6.
#[inline(always)]
unsafe fn tile<V: SignedSums, const T: usize, const C: usize, const R: usize, F: Fn(usize) -> *const f32>(
    rows: usize,
    x_inner: usize,
    stretches: impl Iterator<Item = Stretch<F>> + Clone,
    target: Target<'_>,
) -> usize {
    // Tiles of equal height where possible: 7 rows are 4 + 3 instead of 6 + 1.
    let count = rows.div_ceil(rows.div_ceil(R));
    // SAFETY: the caller promises the instructions, and x and signs of that number of rows.
    unsafe {
        match count {
            1 => tile_of::<V, T, C, 1, F>(x_inner, stretches, target),
            2 if R >= 2 => tile_of::<V, T, C, 2, F>(x_inner, stretches, target),
            3 if R >= 3 => tile_of::<V, T, C, 3, F>(x_inner, stretches, target),
            4 if R >= 4 => tile_of::<V, T, C, 4, F>(x_inner, stretches, target),
            5 if R >= 5 => tile_of::<V, T, C, 5, F>(x_inner, stretches, target),
            _ if R >= 6 => tile_of::<V, T, C, 6, F>(x_inner, stretches, target),
            _ => unreachable!("a tile has at most R rows"),
        }
    }
    count
}

/// Computes a tile of R rows.
///
/// # Safety
/// As [`tile`], of R rows.
#[inline(always)]
unsafe fn tile_of<V: SignedSums, const T: usize, const C: usize, const R: usize, F: Fn(usize) -> *const f32>(
    x_inner: usize,
    stretches: impl Iterator<Item = Stretch<F>> + Clone,
    target: Target<'_>,
) {
    for first in (0..T).step_by(C) {
        // SAFETY: the caller promises the instructions, x and signs; a row of y has 32 elements.
        unsafe {
            let sums = sums::<V, T, C, R, F>(x_inner, first, stretches.clone());
            for (r, sums) in sums.into_iter().enumerate() {
                let y = &mut target.y[r * target.y_row..][..PANEL];
                for (c, sum) in sums.into_iter().enumerate() {
                    let first = (first + c) * V::LANES;
                    let y = y[first..].as_mut_ptr();
                    let sum = if target.joins { V::add(V::load(y), sum) } else { sum };
                    V::store(y, V::keep(sum, V::lanes_below(target.columns, first)));
                }
                y[T * V::LANES..].fill(0.0);
            }
        }
    }
}

/// Returns the sums of R rows and C registers of columns, starting at register `first`.
///
/// # Safety
/// As [`tile`], of R rows.
#[inline(always)]
unsafe fn sums<V: SignedSums, const T: usize, const C: usize, const R: usize, F: Fn(usize) -> *const f32>(
    x_inner: usize,
    first: usize,
    stretches: impl Iterator<Item = Stretch<F>>,
) -> [[V::Floats; C]; R] {
    // SAFETY: the caller promises the instructions, x and signs.
    unsafe {
        let zero = V::splat(0.0);
        let mut sums = [[zero; C]; R];
        for Stretch { terms, signs, row } in stretches {
            let x: [*const f32; R] = array::from_fn(row);
            for j in 0..terms {
                let signs = signs.add((j * T + first) * V::LANES);
                // Keep the smaller of the two sets of operands in registers: the signs (C) or the x (R).
                if C <= R {
                    let mut all = [zero; C];
                    for (c, register) in all.iter_mut().enumerate() {
                        *register = V::load(signs.add(c * V::LANES));
                    }
                    for (sums, x) in sums.iter_mut().zip(x) {
                        let x = V::splat(*x.add(j * x_inner));
                        for (c, (sum, signs)) in sums.iter_mut().zip(all).enumerate() {
                            *sum = V::add_signed(*sum, x, signs, first + c + 1 == T);
                        }
                    }
                } else {
                    let mut all = [zero; R];
                    for (number, x) in all.iter_mut().zip(x) {
                        *number = V::splat(*x.add(j * x_inner));
                    }
                    for c in 0..C {
                        let signs = V::load(signs.add(c * V::LANES));
                        for (sums, x) in sums.iter_mut().zip(all) {
                            sums[c] = V::add_signed(sums[c], x, signs, first + c + 1 == T);
                        }
                    }
                }
            }
        }
        sums
    }
}
