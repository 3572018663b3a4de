//! Product of bits and bits. Sums are exact integers, so both algorithms return identical results.
#![cfg_attr(
    target_arch = "wasm32",
    allow(dead_code, reason = "only instruction sets with vectors count bits in registers")
)]

use super::tasks::{PANEL, Xnor, words};
use super::vector::BitCounts;

/// Computes a task on instruction sets with a popcount instruction: one sum for each of R rows and C registers of columns at a time.
///
/// # Safety
/// The processor has V's instructions, and `task` passed its check against `y`. R divides 8, and C registers divide a panel.
#[inline(always)]
pub(super) unsafe fn by_counting<V: BitCounts, const R: usize, const C: usize>(task: &Xnor, y: &mut [i32]) {
    let words = words(task.k);
    for row in (task.row_begin..task.row_end).step_by(R) {
        let a = &task.a[row / PANEL * words * PANEL + row % PANEL..];
        let y = &mut y[(row - task.row_begin) * PANEL..];
        for first in (0..PANEL).step_by(C * V::LANES) {
            // SAFETY: row is a multiple of R, so its R rows lie in one panel, and a holds whole panels; w holds words x 32. A row of y has 32
            // elements.
            unsafe {
                let sums = counts::<V, R, C>(a.as_ptr(), task.w.as_ptr().add(first), words);
                for (y, sums) in y.chunks_exact_mut(PANEL).zip(sums) {
                    for (c, sum) in sums.into_iter().enumerate() {
                        let first = first + c * V::LANES;
                        let k = V::splat_word(task.k as u32);
                        finish::<V>(k, sum, V::lanes_below(task.columns, first), y[first..].as_mut_ptr());
                    }
                }
            }
        }
    }
}

/// Writes `before - 2 distance` where `valid` is all ones, else 0.
///
/// # Safety
/// The processor has V's instructions; a register's lanes are writable at `y`.
#[inline(always)]
unsafe fn finish<V: BitCounts>(before: V::Words, distance: V::Words, valid: V::Words, y: *mut i32) {
    // SAFETY: the caller promises the instructions and a writable y.
    unsafe {
        let after = V::sub_words(before, V::add_words(distance, distance));
        V::store_words(y.cast(), V::and(after, valid));
    }
}

/// Returns the popcounts of `a ^ w` for R rows and C registers of columns.
///
/// # Safety
/// The processor has V's instructions. Readable: R words at every `a + 32 i` and C registers at every `w + 32 i`, for i below `words`.
#[inline(always)]
unsafe fn counts<V: BitCounts, const R: usize, const C: usize>(
    mut a: *const u32,
    mut w: *const u32,
    words: usize,
) -> [[V::Words; C]; R] {
    // SAFETY: the caller promises the instructions and the words; the pointers pass the end only by wrapping arithmetic, and are not read there.
    unsafe {
        let mut sums = [[V::splat_word(0); C]; R];
        let mut left = words;
        loop {
            let mut counts = [[V::splat_word(0); C]; R];
            let here = left.min(V::COUNTED);
            for _ in 0..here {
                let mut weights = [V::splat_word(0); C];
                for (c, weights) in weights.iter_mut().enumerate() {
                    *weights = V::load_words(w.add(c * V::LANES));
                }
                for (r, counts) in counts.iter_mut().enumerate() {
                    let word = V::splat_word(*a.add(r));
                    for (count, weights) in counts.iter_mut().zip(weights) {
                        *count = V::add_counts(*count, V::count::<0>(V::xor(word, weights)));
                    }
                }
                (a, w) = (a.wrapping_add(PANEL), w.wrapping_add(PANEL));
            }
            for r in 0..R {
                for c in 0..C {
                    sums[r][c] = V::add_words(sums[r][c], V::total(counts[r][c]));
                }
            }
            left -= here;
            if left == 0 {
                return sums;
            }
        }
    }
}

/// Words per row that are compared before the counts are added to y. A chunk of weights and one of activations fit the L1 cache (16 KiB each). The
/// counts fit bytes: those of the eights are at most `128 / 8 * 8`, those of the rest `8 + 2 * 8 + 4 * 8 + 7 * 8`.
const CHUNK: usize = 128;

/// Computes a task on instruction sets that need several operations for a popcount: R rows and one register of columns at a time.
///
/// # Safety
/// The processor has V's instructions, and `task` passed its check against `y`. R divides 8.
#[inline(always)]
pub(super) unsafe fn by_carry_save<V: BitCounts, const R: usize>(task: &Xnor, y: &mut [i32]) {
    let words = words(task.k);
    for start in (0..words).step_by(CHUNK) {
        let length = CHUNK.min(words - start);
        let w = task.w[start * PANEL..].as_ptr();
        for (row, y) in (task.row_begin..task.row_end).step_by(R).zip(y.chunks_mut(R * PANEL)) {
            let a = task.a[(row / PANEL * words + start) * PANEL + row % PANEL..].as_ptr();
            for first in (0..PANEL).step_by(V::LANES) {
                // SAFETY: row is a multiple of R, so its R rows lie in one panel, and a holds whole panels; words are inside a and w. A row of y
                // has 32 elements.
                unsafe {
                    let valid = V::lanes_below(task.columns, first);
                    let distances = distances::<V, R>(a, w.add(first), length);
                    for (y, distance) in y.chunks_exact_mut(PANEL).zip(distances) {
                        let y = y[first..].as_mut_ptr();
                        let before = if start == 0 {
                            V::splat_word(task.k as u32)
                        } else {
                            V::load_words(y.cast_const().cast())
                        };
                        finish::<V>(before, distance, valid, y);
                    }
                }
            }
        }
    }
}

/// Returns the popcounts of `a ^ w` for R rows and one register of columns. Seven carry-save adders reduce eight words at a time, so that only one
/// of eight words needs a popcount: on AVX2 6.4 operations per word instead of 8.
///
/// # Safety
/// The processor has V's instructions. Readable: R words at every `a + 32 i` and a register at every `w + 32 i`, for i below `words`, which is at
/// most [`CHUNK`].
#[inline(always)]
unsafe fn distances<V: BitCounts, const R: usize>(a: *const u32, w: *const u32, words: usize) -> [V::Words; R] {
    // SAFETY: the caller promises the instructions and the words.
    unsafe {
        let zero = [V::splat_word(0); R];
        let (mut ones, mut twos, mut fours, mut eights) = (zero, zero, zero, zero);
        let whole = words / 8 * 8;
        for i in (0..whole).step_by(8) {
            let two_a = add_pair::<V, R>(a, w, i, &mut ones);
            let two_b = add_pair::<V, R>(a, w, i + 2, &mut ones);
            let four_a = add_all::<V, R>(&mut twos, two_a, two_b);
            let two_a = add_pair::<V, R>(a, w, i + 4, &mut ones);
            let two_b = add_pair::<V, R>(a, w, i + 6, &mut ones);
            let four_b = add_all::<V, R>(&mut twos, two_a, two_b);
            let eight = add_all::<V, R>(&mut fours, four_a, four_b);
            for r in 0..R {
                eights[r] = V::add_counts(eights[r], V::count::<0>(eight[r]));
            }
        }
        let mut distances = zero;
        for r in 0..R {
            let mut counts = V::add_counts(V::count::<0>(ones[r]), V::count::<1>(twos[r]));
            counts = V::add_counts(counts, V::count::<2>(fours[r]));
            for i in whole..words {
                counts = V::add_counts(counts, V::count::<0>(differ::<V>(a.add(r), w, i)));
            }
            distances[r] = V::add_words(V::total(counts), V::shift_left::<3>(V::total(eights[r])));
        }
        distances
    }
}

/// Returns `a ^ w` of word i of a row.
///
/// # Safety
/// The processor has V's instructions; `a + 32 i` and a register at `w + 32 i` are readable.
#[inline(always)]
unsafe fn differ<V: BitCounts>(a: *const u32, w: *const u32, i: usize) -> V::Words {
    // SAFETY: the caller promises the instructions and the words.
    unsafe { V::xor(V::splat_word(*a.add(i * PANEL)), V::load_words(w.add(i * PANEL))) }
}

/// Adds `a ^ w` of words i and i + 1 to R sums; returns the carries.
///
/// # Safety
/// As [`distances`]; i + 1 is below `words`.
#[inline(always)]
unsafe fn add_pair<V: BitCounts, const R: usize>(
    a: *const u32,
    w: *const u32,
    i: usize,
    sums: &mut [V::Words; R],
) -> [V::Words; R] {
    let mut carries = *sums;
    for r in 0..R {
        // SAFETY: the caller promises the instructions and the words.
        unsafe {
            let pair = [differ::<V>(a.add(r), w, i), differ::<V>(a.add(r), w, i + 1)];
            carries[r] = add::<V>(&mut sums[r], pair);
        }
    }
    carries
}

/// Adds `a` and `b` to R sums; returns the carries.
///
/// # Safety
/// The processor has V's instructions.
#[inline(always)]
unsafe fn add_all<V: BitCounts, const R: usize>(
    sums: &mut [V::Words; R],
    a: [V::Words; R],
    b: [V::Words; R],
) -> [V::Words; R] {
    let mut carries = a;
    for r in 0..R {
        // SAFETY: the caller promises the instructions.
        carries[r] = unsafe { add::<V>(&mut sums[r], [a[r], b[r]]) };
    }
    carries
}

/// Adds with a carry-save adder and returns the carry: `sum + a + b = sum' + 2 * carry` in every bit.
///
/// # Safety
/// The processor has V's instructions.
#[inline(always)]
unsafe fn add<V: BitCounts>(sum: &mut V::Words, [a, b]: [V::Words; 2]) -> V::Words {
    // SAFETY: the caller promises the instructions.
    unsafe {
        let half = V::xor(a, b);
        let carry = V::or(V::and(a, b), V::and(half, *sum));
        *sum = V::xor(half, *sum);
        carry
    }
}
