//! How narrow states become floats in the registers of AVX2, and floats become narrow states.

use std::arch::x86_64::*;

use super::narrow::{F16, Format, I8, I16};
use crate::tensor::HALF_MOST;

/// What was stored of 32 columns.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// Their sizes, two halves of the columns in one where they take two registers.
    pub sizes: __m256i,
    /// A byte for each column, of its sign.
    pub signs: __m256i,
}

/// How a format's 32 columns lie in four registers of 8 numbers, in an order of its own: the one that is cheapest to pack again.
pub trait Lanes {
    /// [`Format::Stored`].
    type Narrow;
    /// Numbers come times this, a power of two.
    const UP: f32;
    /// Whether rows whose units stay are reckoned in units. Halves keep the sign of what is too small for them, which depends on where it is
    /// lost; bytes save nothing.
    const IN_UNITS: bool;
    /// The stored numbers.
    ///
    /// # Safety
    /// The processor has the instructions; 32 numbers are readable.
    unsafe fn load_all(at: *const Self::Narrow) -> [__m256; 4];
    /// 32 floats in the same order.
    ///
    /// # Safety
    /// The processor has the instructions; 32 numbers are readable.
    unsafe fn gradients(at: *const f32) -> [__m256; 4];
    /// Random bits of each column, in the same order, from numbers 0 to 15: 16, or as many as the format takes.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn random(numbers: [__m256i; 2]) -> [__m256i; 4];
    /// [`Format::store`] of all.
    ///
    /// # Safety
    /// The processor has the instructions; 32 numbers are writable.
    unsafe fn store_all(values: [__m256; 4], random: [__m256i; 4], at: *mut Self::Narrow) -> Kept;
    /// The larger of each size.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn larger_of_all(one: __m256i, other: __m256i) -> __m256i;
}

/// Lower and upper halves of numbers 0 to 15: of columns 0 to 7, 8 to 15, and so on.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn in_order(numbers: [__m256i; 2]) -> [__m256i; 4] {
    let low = _mm256_set1_epi32(0xffff);
    let [one, other] = numbers;
    [
        _mm256_and_si256(one, low),
        _mm256_and_si256(other, low),
        _mm256_srli_epi32::<16>(one),
        _mm256_srli_epi32::<16>(other),
    ]
}

/// 32 numbers as they lie.
///
/// # Safety
/// They are readable.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
unsafe fn eights(at: *const f32) -> [__m256; 4] {
    let mut values = [_mm256_setzero_ps(); 4];
    for (v, value) in values.iter_mut().enumerate() {
        // SAFETY: 8 of the 32 numbers.
        *value = unsafe { _mm256_loadu_ps(at.add(8 * v)) };
    }
    values
}

/// Numbers `first` to `first + 3` and `second` to `second + 3`.
///
/// # Safety
/// They are readable.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
unsafe fn quarters(at: *const f32, first: usize, second: usize) -> __m256 {
    // SAFETY: the caller's promise.
    unsafe { _mm256_set_m128(_mm_loadu_ps(at.add(second)), _mm_loadu_ps(at.add(first))) }
}

/// Steps of a 65536th, rounded: bits 16 and up. What 32 bits do not hold becomes their least number.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn rounded(fine: [__m256; 4], random: [__m256i; 4]) -> [__m256i; 4] {
    let mut out = [_mm256_setzero_si256(); 4];
    for v in 0..4 {
        out[v] = _mm256_srai_epi32::<16>(_mm256_add_epi32(_mm256_cvttps_epi32(fine[v]), random[v]));
    }
    out
}

/// The same for numbers of any size. What is too small becomes the least number of 32 bits, and is mended where it is packed.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn steps(mut fine: [__m256; 4], random: [__m256i; 4], most: f32) -> [__m256i; 4] {
    let end = _mm256_set1_ps(65536.0 * most);
    for fine in &mut fine {
        // Not-a-number becomes the largest.
        *fine = _mm256_min_ps(*fine, end);
    }
    rounded(fine, random)
}

/// Columns of a register of 16 each as bytes of the same sign.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn bytes(one: __m256i, other: __m256i) -> __m256i {
    _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi16(one, other))
}

impl Lanes for F16 {
    type Narrow = u16;
    const UP: f32 = 1.0;
    const IN_UNITS: bool = false;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,popcnt")]
    unsafe fn load_all(at: *const u16) -> [__m256; 4] {
        let mut values = [_mm256_setzero_ps(); 4];
        for (v, value) in values.iter_mut().enumerate() {
            // SAFETY: 8 of the 32 numbers.
            *value = unsafe { _mm256_cvtph_ps(_mm_loadu_si128(at.add(8 * v).cast())) };
        }
        values
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,popcnt")]
    unsafe fn gradients(at: *const f32) -> [__m256; 4] {
        // SAFETY: the caller's promise.
        unsafe { eights(at) }
    }

    /// The 13 bits that a half takes of 16.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,popcnt")]
    unsafe fn random([one, other]: [__m256i; 2]) -> [__m256i; 4] {
        let low = |numbers| _mm256_and_si256(_mm256_srli_epi32::<3>(numbers), _mm256_set1_epi32(0x1fff));
        [low(one), low(other), _mm256_srli_epi32::<19>(one), _mm256_srli_epi32::<19>(other)]
    }

    /// Cuts off what a half does not hold, after a share of its last place was added: to the bits of normal sizes.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,popcnt")]
    unsafe fn store_all(values: [__m256; 4], random: [__m256i; 4], at: *mut u16) -> Kept {
        let mut moved = [_mm256_setzero_ps(); 4];
        for v in 0..4 {
            moved[v] = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(values[v]), random[v]));
        }
        let mut stored = cut(moved);
        let sizes = |stored: [__m256i; 2]| {
            let size_bits = _mm256_set1_epi16(i16::MAX);
            [_mm256_and_si256(stored[0], size_bits), _mm256_and_si256(stored[1], size_bits)]
        };
        let [one, other] = sizes(stored);
        let (mut largest, mut signed) = (_mm256_max_epi16(one, other), stored);
        // A last place has another size below the least normal half, and what is no finite number has none. Few columns are so, but they come
        // together: those of inputs that are nearly always the same.
        let small = _mm256_cmpgt_epi16(_mm256_set1_epi16(0x0400), _mm256_min_epi16(one, other));
        let large = _mm256_cmpgt_epi16(largest, _mm256_set1_epi16(0x7bff));
        if _mm256_movemask_epi8(_mm256_or_si256(small, large)) != 0 {
            stored = cut(moved_by_shares(values, random));
            let [one, other] = sizes(stored);
            largest = _mm256_max_epi16(one, other);
            // Neither zero has a sign.
            let zero = _mm256_setzero_si256();
            signed = [
                _mm256_andnot_si256(_mm256_cmpeq_epi16(one, zero), stored[0]),
                _mm256_andnot_si256(_mm256_cmpeq_epi16(other, zero), stored[1]),
            ];
        }
        // SAFETY: 32 numbers.
        unsafe {
            _mm256_storeu_si256(at.cast(), stored[0]);
            _mm256_storeu_si256(at.add(16).cast(), stored[1]);
        }
        Kept { sizes: largest, signs: bytes(signed[0], signed[1]) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,popcnt")]
    unsafe fn larger_of_all(one: __m256i, other: __m256i) -> __m256i {
        _mm256_max_epi16(one, other)
    }
}

/// Halves of 32 numbers, towards zero.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn cut([a, b, c, d]: [__m256; 4]) -> [__m256i; 2] {
    let half = |values| _mm256_cvtps_ph::<_MM_FROUND_TO_ZERO>(values);
    [_mm256_set_m128i(half(b), half(a)), _mm256_set_m128i(half(d), half(c))]
}

/// A share of a half's last place added to numbers of any size. The definition adds it as an integer to normal sizes: the same but for digits
/// that are cut off.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn moved_by_shares(values: [__m256; 4], random: [__m256i; 4]) -> [__m256; 4] {
    let (sign_bit, exponent_bits) = (_mm256_set1_ps(-0.0), _mm256_set1_ps(f32::INFINITY));
    let (least_normal, most) = (_mm256_set1_ps(2_f32.powi(-14)), _mm256_set1_ps(HALF_MOST));
    let mut moved = values;
    for v in 0..4 {
        // Not-a-number becomes the largest.
        let size = _mm256_min_ps(_mm256_andnot_ps(sign_bit, values[v]), most);
        let power = _mm256_and_ps(_mm256_max_ps(size, least_normal), exponent_bits);
        let share = _mm256_mul_ps(_mm256_cvtepi32_ps(random[v]), _mm256_set1_ps(2_f32.powi(-23)));
        moved[v] = _mm256_or_ps(_mm256_fmadd_ps(power, share, size), _mm256_and_ps(sign_bit, values[v]));
    }
    moved
}

/// Columns 0 to 3 and 8 to 11, 4 to 7 and 12 to 15, and so on; integers in the upper 16 bits.
impl Lanes for I16 {
    type Narrow = i16;
    const UP: f32 = 65536.0;
    const IN_UNITS: bool = true;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,popcnt")]
    unsafe fn load_all(at: *const i16) -> [__m256; 4] {
        let zero = _mm256_setzero_si256();
        // SAFETY: 32 numbers.
        let [one, other] = unsafe { [_mm256_loadu_si256(at.cast()), _mm256_loadu_si256(at.add(16).cast())] };
        [
            _mm256_cvtepi32_ps(_mm256_unpacklo_epi16(zero, one)),
            _mm256_cvtepi32_ps(_mm256_unpackhi_epi16(zero, one)),
            _mm256_cvtepi32_ps(_mm256_unpacklo_epi16(zero, other)),
            _mm256_cvtepi32_ps(_mm256_unpackhi_epi16(zero, other)),
        ]
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,popcnt")]
    unsafe fn gradients(at: *const f32) -> [__m256; 4] {
        // SAFETY: 32 numbers.
        unsafe { [quarters(at, 0, 8), quarters(at, 4, 12), quarters(at, 16, 24), quarters(at, 20, 28)] }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,popcnt")]
    unsafe fn random(numbers: [__m256i; 2]) -> [__m256i; 4] {
        let [one, other] = numbers;
        in_order([_mm256_permute2x128_si256::<0x20>(one, other), _mm256_permute2x128_si256::<0x31>(one, other)])
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,popcnt")]
    unsafe fn store_all(values: [__m256; 4], random: [__m256i; 4], at: *mut i16) -> Kept {
        let packed = |[a, b, c, d]: [__m256i; 4]| [_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d)];
        let sizes = |[one, other]: [__m256i; 2]| _mm256_max_epu16(_mm256_abs_epi16(one), _mm256_abs_epi16(other));
        let mut stored = packed(rounded(values, random));
        let mut size = sizes(stored);
        // -32768 is what anything beyond the range became: rare, as units follow the numbers, so only then are the ends seen to.
        if _mm256_movemask_epi8(size).cast_unsigned() & 0xaaaa_aaaa != 0 {
            let [one, other] = packed(steps(values, random, Self::MAX));
            let least = _mm256_set1_epi16(-i16::MAX);
            stored = [_mm256_max_epi16(one, least), _mm256_max_epi16(other, least)];
            size = sizes(stored);
        }
        let [one, other] = stored;
        // SAFETY: 32 numbers.
        unsafe {
            _mm256_storeu_si256(at.cast(), one);
            _mm256_storeu_si256(at.add(16).cast(), other);
        }
        Kept { sizes: size, signs: bytes(one, other) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,popcnt")]
    unsafe fn larger_of_all(one: __m256i, other: __m256i) -> __m256i {
        _mm256_max_epi16(one, other)
    }
}

impl Lanes for I8 {
    type Narrow = i8;
    const UP: f32 = 1.0;
    const IN_UNITS: bool = false;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,popcnt")]
    unsafe fn load_all(at: *const i8) -> [__m256; 4] {
        let mut values = [_mm256_setzero_ps(); 4];
        for (v, value) in values.iter_mut().enumerate() {
            // SAFETY: 8 of the 32 numbers.
            *value = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(unsafe { _mm_loadl_epi64(at.add(8 * v).cast()) }));
        }
        values
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,popcnt")]
    unsafe fn gradients(at: *const f32) -> [__m256; 4] {
        // SAFETY: the caller's promise.
        unsafe { eights(at) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,popcnt")]
    unsafe fn random(numbers: [__m256i; 2]) -> [__m256i; 4] {
        in_order(numbers)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,popcnt")]
    unsafe fn store_all(values: [__m256; 4], random: [__m256i; 4], at: *mut i8) -> Kept {
        let [a, b, c, d] = steps(values, random, Self::MAX);
        let all = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
        // Packing works within each half of a register.
        let all = _mm256_permutevar8x32_epi32(all, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        let all = _mm256_max_epi8(all, _mm256_set1_epi8(-i8::MAX));
        // SAFETY: 32 numbers.
        unsafe { _mm256_storeu_si256(at.cast(), all) };
        Kept { sizes: _mm256_abs_epi8(all), signs: all }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,popcnt")]
    unsafe fn larger_of_all(one: __m256i, other: __m256i) -> __m256i {
        _mm256_max_epi8(one, other)
    }
}
