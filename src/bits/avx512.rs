//! AVX-512 of Ice Lake and Zen 4: F, BW, VL, DQ, VPOPCNTDQ, VBMI and GFNI. Lanes are columns: two registers hold the 32 columns of a panel.

use std::arch::x86_64::*;

use super::avx512_float::{float_bits, gathered};
use super::isa::{Isa, Set};
use super::sign_pack::{sign_pack as pack, sign_pack_mask as pack_mask};
use super::tasks::Xnor;
use super::vector::{BitCounts, Vectors, Work};
use super::xnor::by_counting;

pub(super) static ISA: Isa = Isa {
    name: "avx512",
    set: Set::Avx512,
    xnor,
    float_bits,
    gathered,
    sign_pack,
    sign_pack_mask,
    // A 512-bit version of the bit transpose is not faster.
    transpose32: super::avx2::ISA.transpose32,
};

/// # Safety
/// The processor has the instructions and `task` passed its check against `y`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx512vbmi,gfni,popcnt")]
unsafe fn xnor(task: &Xnor, y: &mut [i32]) {
    // SAFETY: the caller promises the instructions and the check. A tile of 8 x 2 sums leaves registers for weights and activations.
    unsafe { by_counting::<Avx512, 8, 2>(task, y) }
}

/// # Safety
/// The processor has the instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx512vbmi,gfni,popcnt")]
unsafe fn sign_pack(x: &[f32], valid: u32, out: &mut [u32]) {
    // SAFETY: the caller promises the instructions.
    unsafe { pack::<Avx512>(x, valid, out) }
}

/// # Safety
/// The processor has the instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx512vbmi,gfni,popcnt")]
unsafe fn sign_pack_mask(x: &[f32], valid: u32, out: &mut [u32], mask: &mut [u32]) {
    // SAFETY: the caller promises the instructions.
    unsafe { pack_mask::<Avx512>(x, valid, out, mask) }
}

/// Runs work compiled for the set's instructions.
///
/// # Safety
/// The processor has the instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx512vbmi,gfni,popcnt")]
pub(super) unsafe fn within<W: Work>(work: W) -> W::Output {
    // SAFETY: the caller promises the instructions.
    unsafe { work.run::<Avx512>() }
}

/// The registers of AVX-512.
pub(super) enum Avx512 {}

#[allow(
    unsafe_op_in_unsafe_fn,
    reason = "each method is an instruction or two, whose conditions are those of the trait"
)]
impl Vectors for Avx512 {
    const LANES: usize = 16;
    type Floats = __m512;
    type Words = __m512i;
    type Row = [__m512; 2];
    type WordRow = [__m512i; 2];

    #[inline(always)]
    unsafe fn zeros() -> [__m512; 2] {
        [_mm512_setzero_ps(); 2]
    }

    #[inline(always)]
    unsafe fn no_words() -> [__m512i; 2] {
        [_mm512_setzero_si512(); 2]
    }

    #[inline(always)]
    unsafe fn splat(number: f32) -> __m512 {
        _mm512_set1_ps(number)
    }

    #[inline(always)]
    unsafe fn splat_word(word: u32) -> __m512i {
        _mm512_set1_epi32(word.cast_signed())
    }

    #[inline(always)]
    unsafe fn load(at: *const f32) -> __m512 {
        _mm512_loadu_ps(at)
    }

    #[inline(always)]
    unsafe fn store(at: *mut f32, numbers: __m512) {
        _mm512_storeu_ps(at, numbers);
    }

    #[inline(always)]
    unsafe fn load_words(at: *const u32) -> __m512i {
        _mm512_loadu_si512(at.cast())
    }

    #[inline(always)]
    unsafe fn store_words(at: *mut u32, words: __m512i) {
        _mm512_storeu_si512(at.cast(), words);
    }

    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        _mm512_mul_ps(a, b)
    }

    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        _mm512_add_ps(a, b)
    }

    #[inline(always)]
    unsafe fn and(a: __m512i, b: __m512i) -> __m512i {
        _mm512_and_si512(a, b)
    }

    #[inline(always)]
    unsafe fn xor(a: __m512i, b: __m512i) -> __m512i {
        _mm512_xor_si512(a, b)
    }

    #[inline(always)]
    unsafe fn add_words(a: __m512i, b: __m512i) -> __m512i {
        _mm512_add_epi32(a, b)
    }

    #[inline(always)]
    unsafe fn mul_words(a: __m512i, b: __m512i) -> __m512i {
        _mm512_mullo_epi32(a, b)
    }

    #[inline(always)]
    unsafe fn shift_right<const BITS: u32>(words: __m512i) -> __m512i {
        _mm512_srli_epi32::<BITS>(words)
    }

    #[inline(always)]
    unsafe fn positive([low, high]: [__m512; 2]) -> u32 {
        let zero = _mm512_setzero_ps();
        mask(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(low, zero), _mm512_cmp_ps_mask::<_CMP_GT_OQ>(high, zero))
    }

    #[inline(always)]
    unsafe fn negative([low, high]: [__m512; 2]) -> u32 {
        let zero = _mm512_setzero_ps();
        mask(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(low, zero), _mm512_cmp_ps_mask::<_CMP_LT_OQ>(high, zero))
    }

    #[inline(always)]
    unsafe fn not_negative([low, high]: [__m512; 2]) -> u32 {
        let zero = _mm512_setzero_ps();
        mask(_mm512_cmp_ps_mask::<_CMP_GE_OQ>(low, zero), _mm512_cmp_ps_mask::<_CMP_GE_OQ>(high, zero))
    }

    #[inline(always)]
    unsafe fn within_one([low, high]: [__m512; 2]) -> u32 {
        let (low, high, one) = (_mm512_abs_ps(low), _mm512_abs_ps(high), _mm512_set1_ps(1.0));
        mask(_mm512_cmp_ps_mask::<_CMP_LE_OQ>(low, one), _mm512_cmp_ps_mask::<_CMP_LE_OQ>(high, one))
    }

    #[inline(always)]
    unsafe fn is_finite(numbers: __m512) -> bool {
        // Classes of the immediate: quiet and signalling NaN, and both infinities.
        _mm512_fpclass_ps_mask::<0b1001_1001>(numbers) == 0
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
impl BitCounts for Avx512 {
    /// The popcount instruction counts whole 32-bit lanes, so counts cannot overflow.
    const COUNTED: usize = usize::MAX;

    #[inline(always)]
    unsafe fn count<const SHIFT: u32>(words: __m512i) -> __m512i {
        _mm512_slli_epi32::<SHIFT>(_mm512_popcnt_epi32(words))
    }

    #[inline(always)]
    unsafe fn add_counts(a: __m512i, b: __m512i) -> __m512i {
        _mm512_add_epi32(a, b)
    }

    #[inline(always)]
    unsafe fn total(counts: __m512i) -> __m512i {
        counts
    }

    #[inline(always)]
    unsafe fn or(a: __m512i, b: __m512i) -> __m512i {
        _mm512_or_si512(a, b)
    }

    #[inline(always)]
    unsafe fn sub_words(a: __m512i, b: __m512i) -> __m512i {
        _mm512_sub_epi32(a, b)
    }

    #[inline(always)]
    unsafe fn shift_left<const BITS: u32>(words: __m512i) -> __m512i {
        _mm512_slli_epi32::<BITS>(words)
    }

    #[inline(always)]
    unsafe fn lanes_below(columns: usize, first: usize) -> __m512i {
        let lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        let valid = _mm512_cmplt_epi32_mask(lane, _mm512_set1_epi32(columns as i32 - first as i32));
        _mm512_maskz_set1_epi32(valid, -1)
    }
}

/// Concatenates the masks of two registers.
fn mask(low: u16, high: u16) -> u32 {
    u32::from(low) | u32::from(high) << 16
}
