//! AVX2 with FMA. Lanes are columns: four registers hold a panel's 32.

use std::arch::x86_64::*;

use super::avx2_float::{LANES, float_bits, gathered, lanes_below};
use super::isa::{Floats, Isa, Set};
use super::tasks::{PANEL, Xnor, words};
use super::vector::{Vectors, Work};
use crate::tensor::HALF_MOST;

pub(super) static ISA: Isa = Isa {
    name: "avx2",
    set: Set::Avx2,
    xnor,
    floats: Floats::Panels { float_bits, gathered },
    sign_pack,
    sign_pack_mask,
    transpose32,
};

/// Words a row that are compared before the counts join y: a chunk of weights and one of activations fit the first
/// cache (16 KiB each at 128), and a byte holds at most `128 / 8 * 8` counts of eights and `8 + 2 * 8 + 4 * 8 + 7 *
/// 8` of others.
const CHUNK: usize = 128;

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

/// Runs work with the set's instructions.
///
/// # Safety
/// The processor has them.
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
pub(super) unsafe fn within<W: Work>(work: W) -> W::Output {
    // SAFETY: the caller promises the instructions.
    unsafe { work.run::<Avx2>() }
}

/// AVX2 with FMA and F16C.
pub(super) enum Avx2 {}

#[allow(
    unsafe_op_in_unsafe_fn,
    reason = "the methods are the set's instructions, which the trait's conditions make safe: they are in the processor, and pointers are valid"
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
    unsafe fn is_finite(numbers: __m256) -> bool {
        let size = _mm256_and_si256(_mm256_castps_si256(numbers), _mm256_set1_epi32(i32::MAX));
        let largest = _mm256_set1_epi32(f32::MAX.to_bits().cast_signed());
        _mm256_movemask_epi8(_mm256_cmpgt_epi32(size, largest)) == 0
    }

    #[inline(always)]
    unsafe fn max_words(a: __m256i, b: __m256i) -> __m256i {
        _mm256_max_epu32(a, b)
    }

    #[inline(always)]
    unsafe fn prefetch<T>(at: *const T) {
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    }

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

/// One bit of each of 32 lanes, which are all ones or all zeros.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn mask(lanes: [__m256; 4]) -> u32 {
    let [a, b, c, d] = [0, 1, 2, 3].map(|v| _mm256_castps_si256(lanes[v]));
    let bytes = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    _mm256_movemask_epi8(in_order(bytes)).cast_unsigned()
}

/// Bytes that were packed twice, which works within each half of a register, in the order of their columns.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn in_order(bytes: __m256i) -> __m256i {
    _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
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
