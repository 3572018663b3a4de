//! AVX-512 as Ice Lake and Zen 4 have it: F, BW, VL, DQ, VPOPCNTDQ, VBMI and GFNI. Lanes are columns: two registers hold a panel's 32.

use std::arch::x86_64::*;

use super::avx512_float::{float_bits, gathered};
use super::isa::{Floats, Isa, Set};
use super::tasks::{PANEL, Xnor, panel_mask, words};
use super::vector::{Vectors, Work};
use crate::tensor::HALF_MOST;

pub(super) static ISA: Isa = Isa {
    name: "avx512",
    set: Set::Avx512,
    xnor,
    floats: Floats::Panels { float_bits, gathered },
    sign_pack,
    sign_pack_mask,
    // Moving bits between bytes has no wider form that is faster.
    transpose32: super::avx2::ISA.transpose32,
};

/// Height of xnor's register tile: 8 x 2 sums leave registers for the weights and the words in flight.
const ROWS: usize = 8;

/// # Safety
/// The processor has the instructions and `task` passed its check against `y`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx512vbmi,gfni,popcnt")]
unsafe fn xnor(task: &Xnor, y: &mut [i32]) {
    let words = words(task.k);
    let valid = panel_mask(task.columns);
    let k = _mm512_set1_epi32(task.k as i32);
    for row in (task.row_begin..task.row_end).step_by(ROWS) {
        let a = &task.a[row / PANEL * words * PANEL + row % PANEL..];
        // SAFETY: row is a multiple of 8, so its 8 rows lie in one panel, and a holds whole panels; w holds words x 32.
        let sums = unsafe { xnor_tile(a.as_ptr(), task.w.as_ptr(), words) };
        let y = &mut y[(row - task.row_begin) * PANEL..];
        for (y, sums) in y.chunks_exact_mut(PANEL).zip(sums) {
            let dot = sums.map(|sum| _mm512_sub_epi32(k, _mm512_slli_epi32::<1>(sum)));
            // SAFETY: y has 32 elements.
            unsafe {
                _mm512_storeu_si512(y.as_mut_ptr().cast(), _mm512_maskz_mov_epi32(valid as u16, dot[0]));
                let high = _mm512_maskz_mov_epi32((valid >> 16) as u16, dot[1]);
                _mm512_storeu_si512(y.as_mut_ptr().add(16).cast(), high);
            }
        }
    }
}

/// Popcounts of 8 rows against 32 columns.
///
/// # Safety
/// Readable: 8 words at every `a + 32 i` and 32 words at every `w + 32 i`, for i below `words`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx512vbmi,gfni,popcnt")]
unsafe fn xnor_tile(mut a: *const u32, mut w: *const u32, words: usize) -> [[__m512i; 2]; ROWS] {
    let mut sums = [[_mm512_setzero_si512(); 2]; ROWS];
    for _ in 0..words {
        // SAFETY: the caller's promise; the pointers step past the end at most by wrapping arithmetic, unread.
        unsafe {
            let weights = [_mm512_loadu_si512(w.cast()), _mm512_loadu_si512(w.add(16).cast())];
            for (r, sums) in sums.iter_mut().enumerate() {
                let word = _mm512_set1_epi32(*a.add(r) as i32);
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = _mm512_add_epi32(*sum, _mm512_popcnt_epi32(_mm512_xor_si512(word, weights)));
                }
            }
        }
        a = a.wrapping_add(PANEL);
        w = w.wrapping_add(PANEL);
    }
    sums
}

/// Which of a panel row's 32 floats lie within `-1..=1` (`NEAR`) or are at least 0.
///
/// # Safety
/// The processor has the instructions.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx512vbmi,gfni,popcnt")]
unsafe fn test<const NEAR: bool>(x: &[f32]) -> u32 {
    let half = |x: &[f32]| {
        // SAFETY: x has 16 elements.
        let x = unsafe { _mm512_loadu_ps(x[..16].as_ptr()) };
        if NEAR {
            _mm512_cmp_ps_mask::<_CMP_LE_OQ>(_mm512_abs_ps(x), _mm512_set1_ps(1.0))
        } else {
            _mm512_cmp_ps_mask::<_CMP_GE_OQ>(x, _mm512_setzero_ps())
        }
    };
    u32::from(half(&x[..16])) | u32::from(half(&x[16..])) << 16
}

/// # Safety
/// The processor has the instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx512vbmi,gfni,popcnt")]
unsafe fn sign_pack(x: &[f32], valid: u32, out: &mut [u32]) {
    for (x, out) in x.chunks_exact(PANEL).zip(out) {
        // SAFETY: the instructions are there.
        *out = unsafe { test::<false>(x) } & valid;
    }
}

/// # Safety
/// The processor has the instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx512vbmi,gfni,popcnt")]
unsafe fn sign_pack_mask(x: &[f32], valid: u32, out: &mut [u32], mask: &mut [u32]) {
    for ((x, out), mask) in x.chunks_exact(PANEL).zip(out).zip(mask) {
        // SAFETY: the instructions are there.
        unsafe {
            *out = test::<false>(x) & valid;
            *mask = test::<true>(x) & valid;
        }
    }
}

/// Runs work with the set's instructions.
///
/// # Safety
/// The processor has them.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx512vbmi,gfni,popcnt")]
pub(super) unsafe fn within<W: Work>(work: W) -> W::Output {
    // SAFETY: the caller promises the instructions.
    unsafe { work.run::<Avx512>() }
}

/// AVX-512.
pub(super) enum Avx512 {}

#[allow(
    unsafe_op_in_unsafe_fn,
    reason = "the methods are the set's instructions, which the trait's conditions make safe: they are in the processor, and pointers are valid"
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
    unsafe fn is_finite(numbers: __m512) -> bool {
        // Quiet and signalling not-a-number, and both infinities.
        _mm512_fpclass_ps_mask::<0b1001_1001>(numbers) == 0
    }

    #[inline(always)]
    unsafe fn max_words(a: __m512i, b: __m512i) -> __m512i {
        _mm512_max_epu32(a, b)
    }

    #[inline(always)]
    unsafe fn prefetch<T>(at: *const T) {
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    }

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
            // The 13 bits of 16 that a half takes.
            places[v] = _mm512_srli_epi32::<3>(random[v]);
            // To the bits of normal sizes a share of the last place is added; then what a half does not hold is cut off.
            moved[v] = _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(numbers[v]), places[v]));
        }
        let size_bits = _mm512_set1_epi16(i16::MAX);
        let mut stored = cut(moved);
        let mut size = _mm512_and_si512(stored, size_bits);
        // A last place has another size below the least normal half, and what is no finite number has none. Few columns are so, but they come
        // together: those of inputs that are nearly always the same.
        let least = _mm512_set1_epi16(0x0400);
        if _mm512_cmpgt_epu16_mask(_mm512_sub_epi16(size, least), _mm512_set1_epi16(0x7bff - 0x0400)) != 0 {
            stored = cut(moved_by_shares(numbers, places));
            size = _mm512_and_si512(stored, size_bits);
        }
        _mm512_storeu_si512(at.cast(), stored);
        *sizes = _mm512_max_epi16(*sizes, size);
        let above = _mm512_cmpgt_epi16_mask(stored, _mm512_setzero_si512());
        // Neither zero has a sign.
        [above, _mm512_mask_test_epi16_mask(_mm512_movepi16_mask(stored), stored, size_bits)]
    }

    #[inline(always)]
    unsafe fn store_i16(at: *mut i16, numbers: [__m512; 2], random: [__m512i; 2], sizes: &mut __m512i) -> [u32; 2] {
        let mut steps = random;
        for v in 0..2 {
            // Not-a-number becomes the largest. What is too small becomes the least number of 32 bits, and is mended below.
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
            // Not-a-number becomes the largest.
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

/// The masks of two registers in one.
fn mask(low: u16, high: u16) -> u32 {
    u32::from(low) | u32::from(high) << 16
}

/// Bytes of a register.
#[repr(align(64))]
struct Register<T>(T);

/// The upper halves of the lanes of two registers.
static UPPER_WORDS: Register<[i16; 32]> = {
    let (mut order, mut at) = ([0; 32], 0);
    while at < 32 {
        order[at] = 2 * at as i16 + 1;
        at += 1;
    }
    Register(order)
};

/// Bits 16 to 23 of the lanes of two registers.
static THIRD_BYTES: Register<[u8; 64]> = {
    let (mut order, mut at) = ([0; 64], 0);
    while at < 64 {
        order[at] = (4 * at as u8 + 2) % 128;
        at += 1;
    }
    Register(order)
};

/// Halves of 32 numbers, towards zero.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx512vbmi,gfni,popcnt")]
fn cut([one, other]: [__m512; 2]) -> __m512i {
    let one = _mm512_cvtps_ph::<_MM_FROUND_TO_ZERO>(one);
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(one), _mm512_cvtps_ph::<_MM_FROUND_TO_ZERO>(other))
}

/// A share of a half's last place, of 2^13, added to numbers of any size. The definition adds it as an integer to normal sizes: the same but for
/// digits that are cut off.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx512vbmi,gfni,popcnt")]
fn moved_by_shares(numbers: [__m512; 2], places: [__m512i; 2]) -> [__m512; 2] {
    let (sign_bit, exponent_bits) = (_mm512_set1_ps(-0.0), _mm512_set1_ps(f32::INFINITY));
    let (least_normal, most) = (_mm512_set1_ps(2_f32.powi(-14)), _mm512_set1_ps(HALF_MOST));
    let mut moved = numbers;
    for v in 0..2 {
        // Not-a-number becomes the largest.
        let size = _mm512_min_ps(_mm512_andnot_ps(sign_bit, numbers[v]), most);
        let power = _mm512_and_ps(_mm512_max_ps(size, least_normal), exponent_bits);
        let share = _mm512_mul_ps(_mm512_cvtepi32_ps(places[v]), _mm512_set1_ps(2_f32.powi(-23)));
        moved[v] = _mm512_or_ps(_mm512_fmadd_ps(power, share, size), _mm512_and_ps(sign_bit, numbers[v]));
    }
    moved
}
