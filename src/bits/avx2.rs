//! AVX2 with FMA and F16C. Lanes are columns: four registers hold the 32 columns of a panel.

use std::arch::x86_64::*;

use super::float_bits::{gathered_panel, panel};
use super::isa::{Isa, Set};
use super::sign_pack::{sign_pack as pack, sign_pack_mask as pack_mask};
use super::tasks::{FloatBits, GatheredFloatBits, PANEL, Panels, Xnor, words};
use super::vector::{BitCounts, SignedSums, Vectors, Work};
use super::xnor::by_carry_save;

pub(super) static ISA: Isa =
    Isa { name: "avx2", set: Set::Avx2, xnor, float_bits, gathered, sign_pack, sign_pack_mask, transpose32 };

/// # Safety
/// The processor has the instructions and `task` passed its check against `y`.
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
unsafe fn xnor(task: &Xnor, y: &mut [i32]) {
    // SAFETY: the caller promises the instructions and the check. Carry-save adders, because AVX2 has no vector popcount.
    unsafe { by_carry_save::<Avx2, 2>(task, y) }
}

/// Columns that fit two registers: a panel with no more columns takes half the work.
const NARROW: usize = 16;

/// # Safety
/// The processor has the instructions, `task` passed its check against `y`, its rows and inner are at least 1.
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
unsafe fn float_bits(task: &FloatBits, y: &mut dyn Panels) {
    for at in 0..task.panels() {
        let (part, y) = (task.panel(at), y.panel(at));
        // SAFETY: the caller promises the instructions and a checked task; a panel of a checked task is also checked. 12 registers of sums, with the
        // signs, an x and an intermediate, fill the 16 registers of AVX2.
        unsafe {
            if part.columns <= NARROW {
                panel::<Avx2, 2, 2, 6, 256>(&part, y);
            } else {
                panel::<Avx2, 4, 4, 3, 128>(&part, y);
            }
        }
    }
}

/// # Safety
/// The processor has the instructions, `task` passed its check against `y`, its rows are at least 1.
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
unsafe fn gathered(task: &GatheredFloatBits, y: &mut dyn Panels) {
    let blocks = task.panels * task.taps;
    // Blocks of terms per group, in groups of equal size where possible.
    let most = |room: usize| blocks.div_ceil(blocks.div_ceil(room / task.terms));
    for at in 0..words(task.columns) {
        // SAFETY: the caller promises the instructions and a checked task; `most` blocks have at most `ROOM` terms.
        unsafe {
            if task.columns - at * PANEL <= NARROW {
                gathered_panel::<Avx2, 2, 2, 6, 256>(task, at, most(256), y.panel(at));
            } else {
                gathered_panel::<Avx2, 4, 4, 3, 128>(task, at, most(128), y.panel(at));
            }
        }
    }
}

/// # Safety
/// The processor has the instructions.
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
unsafe fn sign_pack(x: &[f32], valid: u32, out: &mut [u32]) {
    // SAFETY: the caller promises the instructions.
    unsafe { pack::<Avx2>(x, valid, out) }
}

/// # Safety
/// The processor has the instructions.
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
unsafe fn sign_pack_mask(x: &[f32], valid: u32, out: &mut [u32], mask: &mut [u32]) {
    // SAFETY: the caller promises the instructions.
    unsafe { pack_mask::<Avx2>(x, valid, out, mask) }
}

/// Transposes a tile by gathering one byte of each of the 32 words into a register. The top bits of its bytes are one
/// word of the result; seven doublings shift the other bits to the top.
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn transpose32(tile: &[u32; PANEL], out: &mut [u32; PANEL]) {
    let group = _mm256_setr_epi8(
        0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15,
    );
    let mut rows = [_mm256_setzero_si256(); 4];
    for (rows, tile) in rows.iter_mut().zip(tile.chunks_exact(8)) {
        // SAFETY: tile has 8 words.
        *rows = _mm256_shuffle_epi8(unsafe { _mm256_loadu_si256(tile.as_ptr().cast()) }, group);
    }
    // rows[q] holds bytes of words 8q to 8q + 7: bytes 0 of the first four words, then their bytes 1, 2 and 3, then the
    // same of the last four. A transpose of 4 x 4 dwords in each half collects byte b of all words, ordered by half, then q.
    let low = [_mm256_unpacklo_epi32(rows[0], rows[1]), _mm256_unpacklo_epi32(rows[2], rows[3])];
    let high = [_mm256_unpackhi_epi32(rows[0], rows[1]), _mm256_unpackhi_epi32(rows[2], rows[3])];
    let bytes = [
        _mm256_unpacklo_epi64(low[0], low[1]),
        _mm256_unpackhi_epi64(low[0], low[1]),
        _mm256_unpacklo_epi64(high[0], high[1]),
        _mm256_unpackhi_epi64(high[0], high[1]),
    ];
    // The dwords are q0 q1 q2 q3 of words 0-3, then of words 4-7; interleave the halves.
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (b, bytes) in bytes.into_iter().enumerate() {
        let mut bytes = _mm256_permutevar8x32_epi32(bytes, order);
        for bit in (0..8).rev() {
            out[b * 8 + bit] = _mm256_movemask_epi8(bytes) as u32;
            bytes = _mm256_add_epi8(bytes, bytes);
        }
    }
}

/// Runs work compiled for the set's instructions.
///
/// # Safety
/// The processor has the instructions.
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
pub(super) unsafe fn within<W: Work>(work: W) -> W::Output {
    // SAFETY: the caller promises the instructions.
    unsafe { work.run::<Avx2>() }
}

/// The registers of AVX2.
pub(super) enum Avx2 {}

#[allow(
    unsafe_op_in_unsafe_fn,
    reason = "each method is an instruction or two, whose conditions are those of the trait"
)]
impl Vectors for Avx2 {
    const LANES: usize = 8;
    type Floats = __m256;
    type Words = __m256i;
    type Row = [__m256; 4];
    type WordRow = [__m256i; 4];

    #[inline(always)]
    unsafe fn zeros() -> [__m256; 4] {
        [_mm256_setzero_ps(); 4]
    }

    #[inline(always)]
    unsafe fn no_words() -> [__m256i; 4] {
        [_mm256_setzero_si256(); 4]
    }

    #[inline(always)]
    unsafe fn splat(number: f32) -> __m256 {
        _mm256_set1_ps(number)
    }

    #[inline(always)]
    unsafe fn splat_word(word: u32) -> __m256i {
        _mm256_set1_epi32(word.cast_signed())
    }

    #[inline(always)]
    unsafe fn load(at: *const f32) -> __m256 {
        _mm256_loadu_ps(at)
    }

    #[inline(always)]
    unsafe fn store(at: *mut f32, numbers: __m256) {
        _mm256_storeu_ps(at, numbers);
    }

    #[inline(always)]
    unsafe fn load_words(at: *const u32) -> __m256i {
        _mm256_loadu_si256(at.cast())
    }

    #[inline(always)]
    unsafe fn store_words(at: *mut u32, words: __m256i) {
        _mm256_storeu_si256(at.cast(), words);
    }

    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        _mm256_mul_ps(a, b)
    }

    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        _mm256_add_ps(a, b)
    }

    #[inline(always)]
    unsafe fn and(a: __m256i, b: __m256i) -> __m256i {
        _mm256_and_si256(a, b)
    }

    #[inline(always)]
    unsafe fn xor(a: __m256i, b: __m256i) -> __m256i {
        _mm256_xor_si256(a, b)
    }

    #[inline(always)]
    unsafe fn add_words(a: __m256i, b: __m256i) -> __m256i {
        _mm256_add_epi32(a, b)
    }

    #[inline(always)]
    unsafe fn mul_words(a: __m256i, b: __m256i) -> __m256i {
        _mm256_mullo_epi32(a, b)
    }

    #[inline(always)]
    unsafe fn shift_right<const BITS: u32>(words: __m256i) -> __m256i {
        _mm256_srl_epi32(words, _mm_cvtsi32_si128(BITS.cast_signed()))
    }

    #[inline(always)]
    unsafe fn positive([a, b, c, d]: [__m256; 4]) -> u32 {
        let zero = _mm256_setzero_ps();
        mask([
            _mm256_cmp_ps::<_CMP_GT_OQ>(a, zero),
            _mm256_cmp_ps::<_CMP_GT_OQ>(b, zero),
            _mm256_cmp_ps::<_CMP_GT_OQ>(c, zero),
            _mm256_cmp_ps::<_CMP_GT_OQ>(d, zero),
        ])
    }

    #[inline(always)]
    unsafe fn negative([a, b, c, d]: [__m256; 4]) -> u32 {
        let zero = _mm256_setzero_ps();
        mask([
            _mm256_cmp_ps::<_CMP_LT_OQ>(a, zero),
            _mm256_cmp_ps::<_CMP_LT_OQ>(b, zero),
            _mm256_cmp_ps::<_CMP_LT_OQ>(c, zero),
            _mm256_cmp_ps::<_CMP_LT_OQ>(d, zero),
        ])
    }

    #[inline(always)]
    unsafe fn not_negative([a, b, c, d]: [__m256; 4]) -> u32 {
        let zero = _mm256_setzero_ps();
        mask([
            _mm256_cmp_ps::<_CMP_GE_OQ>(a, zero),
            _mm256_cmp_ps::<_CMP_GE_OQ>(b, zero),
            _mm256_cmp_ps::<_CMP_GE_OQ>(c, zero),
            _mm256_cmp_ps::<_CMP_GE_OQ>(d, zero),
        ])
    }

    #[inline(always)]
    unsafe fn within_one(mut numbers: [__m256; 4]) -> u32 {
        for numbers in &mut numbers {
            let size = _mm256_andnot_ps(_mm256_set1_ps(-0.0), *numbers);
            *numbers = _mm256_cmp_ps::<_CMP_LE_OQ>(size, _mm256_set1_ps(1.0));
        }
        mask(numbers)
    }

    #[inline(always)]
    unsafe fn is_finite(numbers: __m256) -> bool {
        let size = _mm256_and_si256(_mm256_castps_si256(numbers), _mm256_set1_epi32(i32::MAX));
        let largest = _mm256_set1_epi32(f32::MAX.to_bits().cast_signed());
        _mm256_movemask_epi8(_mm256_cmpgt_epi32(size, largest)) == 0
    }

    #[inline(always)]
    unsafe fn prefetch<T>(at: *const T) {
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    }
}

#[allow(
    unsafe_op_in_unsafe_fn,
    reason = "each method is an instruction or two, whose conditions are those of the trait"
)]
impl BitCounts for Avx2 {
    /// A byte holds the sum of the popcounts of 31 bytes.
    const COUNTED: usize = 31;

    /// Counts by table look-up of the two nibbles of each byte.
    #[inline(always)]
    unsafe fn count<const SHIFT: u32>(words: __m256i) -> __m256i {
        let table = _mm256_setr_epi8(
            0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
        );
        let table = _mm256_sll_epi16(table, _mm_cvtsi32_si128(SHIFT.cast_signed()));
        let nibble = _mm256_set1_epi8(15);
        let low = _mm256_shuffle_epi8(table, _mm256_and_si256(words, nibble));
        let high = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16::<4>(words), nibble));
        _mm256_add_epi8(low, high)
    }

    #[inline(always)]
    unsafe fn add_counts(a: __m256i, b: __m256i) -> __m256i {
        _mm256_add_epi8(a, b)
    }

    #[inline(always)]
    unsafe fn total(counts: __m256i) -> __m256i {
        let pairs = _mm256_maddubs_epi16(counts, _mm256_set1_epi8(1));
        _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))
    }

    #[inline(always)]
    unsafe fn or(a: __m256i, b: __m256i) -> __m256i {
        _mm256_or_si256(a, b)
    }

    #[inline(always)]
    unsafe fn sub_words(a: __m256i, b: __m256i) -> __m256i {
        _mm256_sub_epi32(a, b)
    }

    #[inline(always)]
    unsafe fn shift_left<const BITS: u32>(words: __m256i) -> __m256i {
        _mm256_sll_epi32(words, _mm_cvtsi32_si128(BITS.cast_signed()))
    }

    #[inline(always)]
    unsafe fn lanes_below(columns: usize, first: usize) -> __m256i {
        let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        _mm256_cmpgt_epi32(_mm256_set1_epi32(columns as i32 - first as i32), lane)
    }
}

#[allow(
    unsafe_op_in_unsafe_fn,
    reason = "each method is an instruction or two, whose conditions are those of the trait"
)]
impl SignedSums for Avx2 {
    /// Returns sign bits to flip before an addition in the last register of a term, otherwise factors of +-1.0 for a fused multiply-add. On
    /// processors with separate adders and multipliers (Zen), the additions and the multiply-adds run in parallel.
    #[inline(always)]
    unsafe fn spread(word: u32, first: usize, is_last: bool) -> __m256 {
        let word = _mm256_set1_epi32(word.cast_signed());
        let lane = _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24);
        let top = _mm256_sllv_epi32(word, _mm256_sub_epi32(lane, _mm256_set1_epi32(first as i32)));
        let minus = _mm256_andnot_si256(top, _mm256_set1_epi32(i32::MIN));
        let one = if is_last { _mm256_setzero_si256() } else { _mm256_castps_si256(_mm256_set1_ps(1.0)) };
        _mm256_castsi256_ps(_mm256_or_si256(minus, one))
    }

    #[inline(always)]
    unsafe fn add_signed(sum: __m256, x: __m256, signs: __m256, is_last: bool) -> __m256 {
        if is_last { _mm256_add_ps(sum, _mm256_xor_ps(x, signs)) } else { _mm256_fmadd_ps(x, signs, sum) }
    }

    #[inline(always)]
    unsafe fn keep(numbers: __m256, lanes: __m256i) -> __m256 {
        _mm256_and_ps(numbers, _mm256_castsi256_ps(lanes))
    }
}

/// Returns one bit per lane of 32 lanes that are all ones or all zeros.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn mask(lanes: [__m256; 4]) -> u32 {
    let [a, b, c, d] = [0, 1, 2, 3].map(|v| _mm256_castps_si256(lanes[v]));
    let bytes = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    _mm256_movemask_epi8(in_order(bytes)).cast_unsigned()
}

/// Restores the column order of bytes that were packed twice: packing works within each half of a register.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
pub(super) fn in_order(bytes: __m256i) -> __m256i {
    _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
}
