//! Narrow storage of optimizer states with AVX2.

use std::arch::x86_64::*;

use super::avx2::{Avx2, in_order};
use super::vector::StorageVectors;
use crate::tensor::HALF_MOST;

#[allow(
    unsafe_op_in_unsafe_fn,
    reason = "each method is an instruction or two, whose conditions are those of the trait"
)]
impl StorageVectors for Avx2 {
    #[inline(always)]
    unsafe fn load_f16(at: *const u16) -> __m256 {
        _mm256_cvtph_ps(_mm_loadu_si128(at.cast()))
    }

    #[inline(always)]
    unsafe fn load_i16(at: *const i16) -> __m256 {
        _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_loadu_si128(at.cast())))
    }

    #[inline(always)]
    unsafe fn load_i8(at: *const i8) -> __m256 {
        _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(at.cast())))
    }

    #[inline(always)]
    unsafe fn store_f16(at: *mut u16, numbers: [__m256; 4], random: [__m256i; 4], sizes: &mut __m256i) -> [u32; 2] {
        let mut places = random;
        for v in 0..4 {
            // An f32 has 13 more mantissa bits than an f16, so rounding uses 13 of the 16 random bits.
            places[v] = _mm256_srli_epi32::<3>(random[v]);
        }
        // Stochastic rounding of normal numbers: add the random bits below the f16's last place, then truncate.
        let mut moved = numbers;
        for v in 0..4 {
            moved[v] = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(numbers[v]), places[v]));
        }
        let mut stored = cut(moved);
        let [one, other] = sizes_of(stored);
        let (mut largest, mut signed) = (_mm256_max_epi16(one, other), stored);
        // Subnormal results have a different last place; overflows, infinities and NaN have none. They take the slow path. They are rare, and they
        // occur together: in columns of inputs that are nearly constant.
        let small = _mm256_cmpgt_epi16(_mm256_set1_epi16(0x0400), _mm256_min_epi16(one, other));
        let large = _mm256_cmpgt_epi16(largest, _mm256_set1_epi16(0x7bff));
        if _mm256_movemask_epi8(_mm256_or_si256(small, large)) != 0 {
            stored = cut(moved_by_shares(numbers, places));
            let [one, other] = sizes_of(stored);
            largest = _mm256_max_epi16(one, other);
            // -0.0 is not negative.
            let zero = _mm256_setzero_si256();
            signed = [
                _mm256_andnot_si256(_mm256_cmpeq_epi16(one, zero), stored[0]),
                _mm256_andnot_si256(_mm256_cmpeq_epi16(other, zero), stored[1]),
            ];
        }
        _mm256_storeu_si256(at.cast(), stored[0]);
        _mm256_storeu_si256(at.add(16).cast(), stored[1]);
        *sizes = _mm256_max_epi16(*sizes, largest);
        signs_of_bytes(bytes(signed))
    }

    #[inline(always)]
    unsafe fn store_i16(at: *mut i16, numbers: [__m256; 4], random: [__m256i; 4], sizes: &mut __m256i) -> [u32; 2] {
        let [a, b, c, d] = steps(numbers, random, f32::INFINITY);
        let mut stored = [packed(a, b), packed(c, d)];
        let magnitudes = |[one, other]: [__m256i; 2]| _mm256_max_epu16(_mm256_abs_epi16(one), _mm256_abs_epi16(other));
        let mut size = magnitudes(stored);
        // A number beyond the range became -32768. That is rare because units adapt to the magnitudes, so the conversion clamps only then.
        if _mm256_movemask_epi8(size).cast_unsigned() & 0xaaaa_aaaa != 0 {
            let [a, b, c, d] = steps(numbers, random, 65536.0 * f32::from(i16::MAX));
            let least = _mm256_set1_epi16(-i16::MAX);
            stored = [_mm256_max_epi16(packed(a, b), least), _mm256_max_epi16(packed(c, d), least)];
            size = magnitudes(stored);
        }
        _mm256_storeu_si256(at.cast(), stored[0]);
        _mm256_storeu_si256(at.add(16).cast(), stored[1]);
        *sizes = _mm256_max_epi16(*sizes, size);
        signs_of_bytes(bytes(stored))
    }

    #[inline(always)]
    unsafe fn store_i8(at: *mut i8, numbers: [__m256; 4], random: [__m256i; 4], sizes: &mut __m256i) -> [u32; 2] {
        let [a, b, c, d] = steps(numbers, random, 65536.0 * f32::from(i8::MAX));
        let all = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
        let all = _mm256_max_epi8(in_order(all), _mm256_set1_epi8(-i8::MAX));
        _mm256_storeu_si256(at.cast(), all);
        *sizes = _mm256_max_epi8(*sizes, _mm256_abs_epi8(all));
        signs_of_bytes(all)
    }
}

/// Rounds numbers of 65536ths to integers: adds the random bits and returns bits 16 and up. Numbers above `most` and NaN become `most`. A number that
/// does not fit 32 bits becomes `i32::MIN`, which the caller clamps after packing.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn steps(numbers: [__m256; 4], random: [__m256i; 4], most: f32) -> [__m256i; 4] {
    let mut steps = random;
    for v in 0..4 {
        let number = if most < f32::INFINITY { _mm256_min_ps(numbers[v], _mm256_set1_ps(most)) } else { numbers[v] };
        steps[v] = _mm256_srai_epi32::<16>(_mm256_add_epi32(_mm256_cvttps_epi32(number), random[v]));
    }
    steps
}

/// Packs 16 integers of 32 bits to 16 bits in order; the permutation undoes that packing works within each half of a register.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn packed(one: __m256i, other: __m256i) -> __m256i {
    _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(one, other))
}

/// Packs 32 integers of 16 bits to bytes with the same signs.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn bytes([one, other]: [__m256i; 2]) -> __m256i {
    _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi16(one, other))
}

/// Returns which bytes are `> 0` and which are `< 0`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn signs_of_bytes(bytes: __m256i) -> [u32; 2] {
    let above = _mm256_movemask_epi8(_mm256_cmpgt_epi8(bytes, _mm256_setzero_si256()));
    [above.cast_unsigned(), _mm256_movemask_epi8(bytes).cast_unsigned()]
}

/// Returns the magnitudes of 32 f16 numbers as bit patterns.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn sizes_of([one, other]: [__m256i; 2]) -> [__m256i; 2] {
    let size = _mm256_set1_epi16(i16::MAX);
    [_mm256_and_si256(one, size), _mm256_and_si256(other, size)]
}

/// Converts 32 numbers to f16, rounding towards zero.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn cut([a, b, c, d]: [__m256; 4]) -> [__m256i; 2] {
    let (a, b) = (_mm256_cvtps_ph::<_MM_FROUND_TO_ZERO>(a), _mm256_cvtps_ph::<_MM_FROUND_TO_ZERO>(b));
    let (c, d) = (_mm256_cvtps_ph::<_MM_FROUND_TO_ZERO>(c), _mm256_cvtps_ph::<_MM_FROUND_TO_ZERO>(d));
    [_mm256_set_m128i(b, a), _mm256_set_m128i(d, c)]
}

/// Adds `places / 2^13` of an f16's last place to numbers of any magnitude. The definition adds it as an integer to the bits of normal numbers: the
/// results differ only in digits that are truncated.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn moved_by_shares(numbers: [__m256; 4], places: [__m256i; 4]) -> [__m256; 4] {
    let (sign_bit, exponent_bits) = (_mm256_set1_ps(-0.0), _mm256_set1_ps(f32::INFINITY));
    let (least_normal, most) = (_mm256_set1_ps(2_f32.powi(-14)), _mm256_set1_ps(HALF_MOST));
    let mut moved = numbers;
    for v in 0..4 {
        // NaN becomes the largest finite number.
        let size = _mm256_min_ps(_mm256_andnot_ps(sign_bit, numbers[v]), most);
        let power = _mm256_and_ps(_mm256_max_ps(size, least_normal), exponent_bits);
        let share = _mm256_mul_ps(_mm256_cvtepi32_ps(places[v]), _mm256_set1_ps(2_f32.powi(-23)));
        moved[v] = _mm256_or_ps(_mm256_fmadd_ps(power, share, size), _mm256_and_ps(sign_bit, numbers[v]));
    }
    moved
}
