//! Narrow storage of optimizer states with AVX-512.

use std::arch::x86_64::*;

use super::avx512::Avx512;
use super::vector::StorageVectors;
use crate::tensor::HALF_MOST;

#[allow(
    unsafe_op_in_unsafe_fn,
    reason = "each method is an instruction or two, whose conditions are those of the trait"
)]
impl StorageVectors for Avx512 {
    #[inline(always)]
    unsafe fn load_f16(at: *const u16) -> __m512 {
        _mm512_cvtph_ps(_mm256_loadu_si256(at.cast()))
    }

    #[inline(always)]
    unsafe fn load_i16(at: *const i16) -> __m512 {
        _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm256_loadu_si256(at.cast())))
    }

    #[inline(always)]
    unsafe fn load_i8(at: *const i8) -> __m512 {
        _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(at.cast())))
    }

    #[inline(always)]
    unsafe fn store_f16(at: *mut u16, numbers: [__m512; 2], random: [__m512i; 2], sizes: &mut __m512i) -> [u32; 2] {
        let (mut places, mut moved) = (random, numbers);
        for v in 0..2 {
            // An f32 has 13 more mantissa bits than an f16, so rounding uses 13 of the 16 random bits.
            places[v] = _mm512_srli_epi32::<3>(random[v]);
            // Stochastic rounding of normal numbers: add the random bits below the f16's last place, then truncate.
            moved[v] = _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(numbers[v]), places[v]));
        }
        let size_bits = _mm512_set1_epi16(i16::MAX);
        let mut stored = cut(moved);
        let mut size = _mm512_and_si512(stored, size_bits);
        // Subnormal results have a different last place; overflows, infinities and NaN have none. They take the slow path. They are rare, and they
        // occur together: in columns of inputs that are nearly constant.
        let least = _mm512_set1_epi16(0x0400);
        if _mm512_cmpgt_epu16_mask(_mm512_sub_epi16(size, least), _mm512_set1_epi16(0x7bff - 0x0400)) != 0 {
            stored = cut(moved_by_shares(numbers, places));
            size = _mm512_and_si512(stored, size_bits);
        }
        _mm512_storeu_si512(at.cast(), stored);
        *sizes = _mm512_max_epi16(*sizes, size);
        let above = _mm512_cmpgt_epi16_mask(stored, _mm512_setzero_si512());
        // -0.0 is not negative.
        [above, _mm512_mask_test_epi16_mask(_mm512_movepi16_mask(stored), stored, size_bits)]
    }

    #[inline(always)]
    unsafe fn store_i16(at: *mut i16, numbers: [__m512; 2], random: [__m512i; 2], sizes: &mut __m512i) -> [u32; 2] {
        let mut steps = random;
        for v in 0..2 {
            // NaN becomes the maximum. Numbers below the range of 32 bits become `i32::MIN` and are clamped below.
            let number = _mm512_min_ps(numbers[v], _mm512_set1_ps(65536.0 * f32::from(i16::MAX)));
            steps[v] = _mm512_add_epi32(_mm512_cvttps_epi32(number), random[v]);
        }
        let upper = _mm512_load_si512(UPPER_WORDS.0.as_ptr().cast());
        let stored = _mm512_permutex2var_epi16(steps[0], upper, steps[1]);
        let stored = _mm512_max_epi16(stored, _mm512_set1_epi16(-i16::MAX));
        _mm512_storeu_si512(at.cast(), stored);
        *sizes = _mm512_max_epi16(*sizes, _mm512_abs_epi16(stored));
        [_mm512_cmpgt_epi16_mask(stored, _mm512_setzero_si512()), _mm512_movepi16_mask(stored)]
    }

    #[inline(always)]
    unsafe fn store_i8(at: *mut i8, numbers: [__m512; 2], random: [__m512i; 2], sizes: &mut __m512i) -> [u32; 2] {
        let end = _mm512_set1_ps(65536.0 * f32::from(i8::MAX));
        let mut steps = random;
        for v in 0..2 {
            // NaN becomes the maximum.
            let number = _mm512_max_ps(_mm512_min_ps(numbers[v], end), _mm512_set1_ps(-65536.0 * f32::from(i8::MAX)));
            steps[v] = _mm512_add_epi32(_mm512_cvttps_epi32(number), random[v]);
        }
        let third = _mm512_load_si512(THIRD_BYTES.0.as_ptr().cast());
        let stored = _mm512_castsi512_si256(_mm512_permutex2var_epi8(steps[0], third, steps[1]));
        _mm256_storeu_si256(at.cast(), stored);
        *sizes = _mm512_max_epi8(*sizes, _mm512_zextsi256_si512(_mm256_abs_epi8(stored)));
        [_mm256_cmpgt_epi8_mask(stored, _mm256_setzero_si256()), _mm256_movepi8_mask(stored)]
    }
}

/// A constant for one register, aligned to 64 bytes.
#[repr(align(64))]
struct Register<T>(T);

/// Permutation that selects the upper halves of the lanes of two registers.
static UPPER_WORDS: Register<[i16; 32]> = {
    let (mut order, mut at) = ([0; 32], 0);
    while at < 32 {
        order[at] = 2 * at as i16 + 1;
        at += 1;
    }
    Register(order)
};

/// Permutation that selects bits 16 to 23 of the lanes of two registers.
static THIRD_BYTES: Register<[u8; 64]> = {
    let (mut order, mut at) = ([0; 64], 0);
    while at < 64 {
        order[at] = (4 * at as u8 + 2) % 128;
        at += 1;
    }
    Register(order)
};

/// Converts 32 numbers to f16, rounding towards zero.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx512vbmi,gfni,popcnt")]
fn cut([one, other]: [__m512; 2]) -> __m512i {
    let one = _mm512_cvtps_ph::<_MM_FROUND_TO_ZERO>(one);
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(one), _mm512_cvtps_ph::<_MM_FROUND_TO_ZERO>(other))
}

/// Adds `places / 2^13` of an f16's last place to numbers of any magnitude. The definition adds it as an integer to the bits of normal numbers: the
/// results differ only in digits that are truncated.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx512vbmi,gfni,popcnt")]
fn moved_by_shares(numbers: [__m512; 2], places: [__m512i; 2]) -> [__m512; 2] {
    let (sign_bit, exponent_bits) = (_mm512_set1_ps(-0.0), _mm512_set1_ps(f32::INFINITY));
    let (least_normal, most) = (_mm512_set1_ps(2_f32.powi(-14)), _mm512_set1_ps(HALF_MOST));
    let mut moved = numbers;
    for v in 0..2 {
        // NaN becomes the largest finite number.
        let size = _mm512_min_ps(_mm512_andnot_ps(sign_bit, numbers[v]), most);
        let power = _mm512_and_ps(_mm512_max_ps(size, least_normal), exponent_bits);
        let share = _mm512_mul_ps(_mm512_cvtepi32_ps(places[v]), _mm512_set1_ps(2_f32.powi(-23)));
        moved[v] = _mm512_or_ps(_mm512_fmadd_ps(power, share, size), _mm512_and_ps(sign_bit, numbers[v]));
    }
    moved
}
