//! AVX2 with FMA. Lanes are columns: four registers hold a panel's 32.

use std::arch::x86_64::*;

use super::avx2_float::{float_bits, gathered};
use super::isa::{Floats, Isa, Set};
use super::sweep::{Job, Vectors};
use super::tasks::{PANEL, Xnor, words};

pub(super) static ISA: Isa = Isa {
    name: "avx2",
    set: Set::Avx2,
    xnor,
    floats: Floats::Panels { float_bits, gathered },
    sign_pack,
    sign_pack_mask,
    transpose32,
};

/// Columns in a register.
pub(super) const LANES: usize = 8;

/// Words a row that are compared before the counts join y: a chunk of weights and one of activations fit the first
/// cache (16 KiB each at 128), and a byte holds at most `128 / 8 * 8` counts of eights and `8 + 2 * 8 + 4 * 8 + 7 *
/// 8` of others.
const CHUNK: usize = 128;

/// All ones in the first `columns` of the 8 lanes from column `first` on.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
pub(super) fn lanes_below(columns: usize, first: usize) -> __m256i {
    let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_cmpgt_epi32(_mm256_set1_epi32(columns as i32 - first as i32), lane)
}

/// # Safety
/// The processor has the instructions and `task` passed its check against `y`.
#[target_feature(enable = "avx2,fma,popcnt")]
unsafe fn xnor(task: &Xnor, y: &mut [i32]) {
    let words = words(task.k);
    let valid: [__m256i; 4] = std::array::from_fn(|v| lanes_below(task.columns, v * LANES));
    for start in (0..words).step_by(CHUNK) {
        let length = CHUNK.min(words - start);
        let w = task.w[start * PANEL..].as_ptr();
        for (row, y) in (task.row_begin..task.row_end).step_by(2).zip(y.chunks_mut(2 * PANEL)) {
            let a = task.a[(row / PANEL * words + start) * PANEL + row % PANEL..].as_ptr();
            for (v, valid) in valid.into_iter().enumerate() {
                // SAFETY: two rows from an even one lie in one panel, and a holds whole panels; words are inside a
                // and w.
                let distances = unsafe { distances::<2>(a, w.add(v * LANES), length) };
                for (y, distance) in y.chunks_exact_mut(PANEL).zip(distances) {
                    let y = y[v * LANES..][..LANES].as_mut_ptr().cast();
                    // SAFETY: y has 8 elements.
                    unsafe {
                        let before = if start == 0 { _mm256_set1_epi32(task.k as i32) } else { _mm256_loadu_si256(y) };
                        let after = _mm256_sub_epi32(before, _mm256_add_epi32(distance, distance));
                        _mm256_storeu_si256(y, _mm256_and_si256(after, valid));
                    }
                }
            }
        }
    }
}

/// Carry-save adder: `sum + a + b = sum' + 2 * carry` in every bit.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn add(sum: &mut __m256i, a: __m256i, b: __m256i) -> __m256i {
    let half = _mm256_xor_si256(a, b);
    let carry = _mm256_or_si256(_mm256_and_si256(a, b), _mm256_and_si256(half, *sum));
    *sum = _mm256_xor_si256(half, *sum);
    carry
}

/// `2^SHIFT` times the count of bits in each byte, by look-up of its two nibbles.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn count<const SHIFT: i32>(x: __m256i) -> __m256i {
    let table = _mm256_setr_epi8(
        0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
    );
    let table = _mm256_slli_epi16::<SHIFT>(table);
    let nibble = _mm256_set1_epi8(15);
    let low = _mm256_shuffle_epi8(table, _mm256_and_si256(x, nibble));
    let high = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16::<4>(x), nibble));
    _mm256_add_epi8(low, high)
}

/// Popcounts of `a ^ w` for R rows and 8 columns. Eight words at a time go through seven carry-save adders, so that
/// only one of eight needs its bits counted (AVX2 has no instruction for that): 6.4 operations a word instead of 8.
///
/// # Safety
/// Readable: R words at every `a + 32 i` and 8 words at every `w + 32 i`, for i below `words`, which is at most
/// [`CHUNK`].
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
unsafe fn distances<const R: usize>(a: *const u32, w: *const u32, words: usize) -> [__m256i; R] {
    // SAFETY: the caller's promise.
    let weights = |i: usize| unsafe { _mm256_loadu_si256(w.add(i * PANEL).cast()) };
    // SAFETY: the caller's promise.
    let word = |i: usize, r: usize| unsafe { _mm256_set1_epi32(*a.add(i * PANEL + r) as i32) };
    let zero = [_mm256_setzero_si256(); R];
    let (mut ones, mut twos, mut fours, mut eights) = (zero, zero, zero, zero);
    let pair = |i: usize, ones: &mut [__m256i; R]| -> [__m256i; R] {
        let w = [weights(i), weights(i + 1)];
        std::array::from_fn(|r| {
            add(&mut ones[r], _mm256_xor_si256(word(i, r), w[0]), _mm256_xor_si256(word(i + 1, r), w[1]))
        })
    };
    let join = |sum: &mut [__m256i; R], a: [__m256i; R], b: [__m256i; R]| -> [__m256i; R] {
        std::array::from_fn(|r| add(&mut sum[r], a[r], b[r]))
    };
    let whole = words / 8 * 8;
    let mut i = 0;
    while i < whole {
        let (two_a, two_b) = (pair(i, &mut ones), pair(i + 2, &mut ones));
        let four_a = join(&mut twos, two_a, two_b);
        let (two_a, two_b) = (pair(i + 4, &mut ones), pair(i + 6, &mut ones));
        let four_b = join(&mut twos, two_a, two_b);
        let eight = join(&mut fours, four_a, four_b);
        for r in 0..R {
            eights[r] = _mm256_add_epi8(eights[r], count::<0>(eight[r]));
        }
        i += 8;
    }
    let mut distances = zero;
    for (r, distance) in distances.iter_mut().enumerate() {
        let mut bytes = _mm256_setzero_si256();
        for i in whole..words {
            bytes = _mm256_add_epi8(bytes, count::<0>(_mm256_xor_si256(word(i, r), weights(i))));
        }
        let small = _mm256_add_epi8(count::<0>(ones[r]), count::<1>(twos[r]));
        let bytes = _mm256_add_epi8(bytes, _mm256_add_epi8(small, count::<2>(fours[r])));
        let (one, eight) = (_mm256_set1_epi8(1), _mm256_set1_epi8(8));
        let pairs = _mm256_add_epi16(_mm256_maddubs_epi16(bytes, one), _mm256_maddubs_epi16(eights[r], eight));
        *distance = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    }
    distances
}

/// Which of a panel row's 32 floats lie within `-1..=1` (`NEAR`) or are at least 0.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn test<const NEAR: bool>(x: &[f32]) -> u32 {
    x.chunks_exact(LANES).enumerate().fold(0, |word, (v, x)| {
        // SAFETY: x has 8 elements.
        let x = unsafe { _mm256_loadu_ps(x.as_ptr()) };
        let lanes = if NEAR {
            let magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0), x);
            _mm256_cmp_ps::<_CMP_LE_OQ>(magnitude, _mm256_set1_ps(1.0))
        } else {
            _mm256_cmp_ps::<_CMP_GE_OQ>(x, _mm256_setzero_ps())
        };
        word | (_mm256_movemask_ps(lanes) as u32) << (v * LANES)
    })
}

#[target_feature(enable = "avx2,fma,popcnt")]
fn sign_pack(x: &[f32], valid: u32, out: &mut [u32]) {
    for (x, out) in x.chunks_exact(PANEL).zip(out) {
        *out = test::<false>(x) & valid;
    }
}

#[target_feature(enable = "avx2,fma,popcnt")]
fn sign_pack_mask(x: &[f32], valid: u32, out: &mut [u32], mask: &mut [u32]) {
    for ((x, out), mask) in x.chunks_exact(PANEL).zip(out).zip(mask) {
        *out = test::<false>(x) & valid;
        *mask = test::<true>(x) & valid;
    }
}

/// Gathers one byte of each of the 32 words into a register; its top bits are then one word of the answer, seven
/// doublings bring up the others.
#[target_feature(enable = "avx2,fma,popcnt")]
fn transpose32(tile: &[u32; PANEL], out: &mut [u32; PANEL]) {
    let group = _mm256_setr_epi8(
        0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15,
    );
    let mut rows = [_mm256_setzero_si256(); 4];
    for (rows, tile) in rows.iter_mut().zip(tile.chunks_exact(LANES)) {
        // SAFETY: tile has 8 words.
        *rows = _mm256_shuffle_epi8(unsafe { _mm256_loadu_si256(tile.as_ptr().cast()) }, group);
    }
    // rows[q] holds, of words 8q to 8q + 7, bytes 0 of words 0-3, bytes 1, 2, 3, then the same of words 4-7. A
    // transpose of 4 x 4 dwords in each half brings byte b of all words together, in the order q, then half.
    let low = [_mm256_unpacklo_epi32(rows[0], rows[1]), _mm256_unpacklo_epi32(rows[2], rows[3])];
    let high = [_mm256_unpackhi_epi32(rows[0], rows[1]), _mm256_unpackhi_epi32(rows[2], rows[3])];
    let bytes = [
        _mm256_unpacklo_epi64(low[0], low[1]),
        _mm256_unpackhi_epi64(low[0], low[1]),
        _mm256_unpacklo_epi64(high[0], high[1]),
        _mm256_unpackhi_epi64(high[0], high[1]),
    ];
    // Dwords stand as q0 q1 q2 q3 of words 0-3, then of words 4-7; interleave the halves.
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (b, bytes) in bytes.into_iter().enumerate() {
        let mut bytes = _mm256_permutevar8x32_epi32(bytes, order);
        for bit in (0..8).rev() {
            out[b * 8 + bit] = _mm256_movemask_epi8(bytes) as u32;
            bytes = _mm256_add_epi8(bytes, bytes);
        }
    }
}

/// Runs a job with the compiler's own vectors of this set.
///
/// # Safety
/// The processor has the instructions.
#[target_feature(enable = "avx2,fma,popcnt")]
pub(super) unsafe fn within<J: Job>(job: J) -> J::Output {
    // SAFETY: the caller's promise.
    unsafe { job.run::<Here>() }
}

/// What jobs need of this set.
pub(super) enum Here {}

impl Vectors for Here {
    #[inline]
    #[target_feature(enable = "avx2,fma,popcnt")]
    unsafe fn signs(x: &[f32; PANEL]) -> [u32; 2] {
        let (zero, mut signs) = (_mm256_setzero_ps(), [0; 2]);
        for first in (0..PANEL).step_by(LANES) {
            // SAFETY: 8 of the 32 numbers.
            let x = unsafe { _mm256_loadu_ps(x.as_ptr().add(first)) };
            let masks = [_mm256_cmp_ps::<_CMP_GT_OQ>(x, zero), _mm256_cmp_ps::<_CMP_LT_OQ>(x, zero)];
            signs.iter_mut().zip(masks).for_each(|(word, mask)| *word |= (_mm256_movemask_ps(mask) as u32) << first);
        }
        signs
    }
}
