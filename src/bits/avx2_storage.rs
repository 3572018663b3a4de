//! Narrow storage of states in the registers of AVX2.

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
            // The 13 bits of 16 that a half takes.
            places[v] = _mm256_srli_epi32::<3>(random[v]);
        }
        // To the bits of normal sizes a share of the last place is added; then what a half does not hold is cut off.
        let mut moved = numbers;
        for v in 0..4 {
            moved[v] = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(numbers[v]), places[v]));
        }
        let mut stored = cut(moved);
        let [one, other] = sizes_of(stored);
        let (mut largest, mut signed) = (_mm256_max_epi16(one, other), stored);
        // A last place has another size below the least normal half, and what is no finite number has none. Few columns are so, but they come
        // together: those of inputs that are nearly always the same.
        let small = _mm256_cmpgt_epi16(_mm256_set1_epi16(0x0400), _mm256_min_epi16(one, other));
        let large = _mm256_cmpgt_epi16(largest, _mm256_set1_epi16(0x7bff));
        if _mm256_movemask_epi8(_mm256_or_si256(small, large)) != 0 {
            stored = cut(moved_by_shares(numbers, places));
            let [one, other] = sizes_of(stored);
            largest = _mm256_max_epi16(one, other);
            // Neither zero has a sign.
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
        // -32768 is what anything beyond the range became: rare, as units follow the numbers, so only then are the ends seen to.
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

/// 65536ths rounded to integers: bits 16 and up, after the random bits were added. Larger than `most` becomes that, as does what is not a number.
/// Where 32 bits do not hold a number it becomes their least one, which the caller mends where it packs.
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

/// 16 integers of 32 bits as 16-bit ones, in order: packing works within each half of a register.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn packed(one: __m256i, other: __m256i) -> __m256i {
    _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(one, other))
}

/// 32 integers of 16 bits as bytes of the same sign.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn bytes([one, other]: [__m256i; 2]) -> __m256i {
    _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi16(one, other))
}

/// Which bytes are above 0 and which below.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn signs_of_bytes(bytes: __m256i) -> [u32; 2] {
    let above = _mm256_movemask_epi8(_mm256_cmpgt_epi8(bytes, _mm256_setzero_si256()));
    [above.cast_unsigned(), _mm256_movemask_epi8(bytes).cast_unsigned()]
}

/// 32 halves without their signs.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn sizes_of([one, other]: [__m256i; 2]) -> [__m256i; 2] {
    let size = _mm256_set1_epi16(i16::MAX);
    [_mm256_and_si256(one, size), _mm256_and_si256(other, size)]
}

/// Halves of 32 numbers, towards zero.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn cut([a, b, c, d]: [__m256; 4]) -> [__m256i; 2] {
    let (a, b) = (_mm256_cvtps_ph::<_MM_FROUND_TO_ZERO>(a), _mm256_cvtps_ph::<_MM_FROUND_TO_ZERO>(b));
    let (c, d) = (_mm256_cvtps_ph::<_MM_FROUND_TO_ZERO>(c), _mm256_cvtps_ph::<_MM_FROUND_TO_ZERO>(d));
    [_mm256_set_m128i(b, a), _mm256_set_m128i(d, c)]
}

/// A share of a half's last place, of 2^13, added to numbers of any size. The definition adds it as an integer to normal sizes: the same but for
/// digits that are cut off.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn moved_by_shares(numbers: [__m256; 4], places: [__m256i; 4]) -> [__m256; 4] {
    let (sign_bit, exponent_bits) = (_mm256_set1_ps(-0.0), _mm256_set1_ps(f32::INFINITY));
    let (least_normal, most) = (_mm256_set1_ps(2_f32.powi(-14)), _mm256_set1_ps(HALF_MOST));
    let mut moved = numbers;
    for v in 0..4 {
        // Not-a-number becomes the largest.
        let size = _mm256_min_ps(_mm256_andnot_ps(sign_bit, numbers[v]), most);
        let power = _mm256_and_ps(_mm256_max_ps(size, least_normal), exponent_bits);
        let share = _mm256_mul_ps(_mm256_cvtepi32_ps(places[v]), _mm256_set1_ps(2_f32.powi(-23)));
        moved[v] = _mm256_or_ps(_mm256_fmadd_ps(power, share, size), _mm256_and_ps(sign_bit, numbers[v]));
    }
    moved
}
