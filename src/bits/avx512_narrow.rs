//! The cascade with 16-bit integers for AVX-512, by hand: 12 bytes a weight are so little that operations, not memory, are what it waits for.
//! The compiler's loop writes its arrays to the stack between its steps, this one keeps all in registers.

use std::arch::x86_64::*;

use super::narrow::{Averages, Format, I16};
use super::sweep::commit_word;
use super::tasks::PANEL;
use crate::tensor::Draws;

/// Columns from what is worked on to what is asked for: rows lie in pages of their own, where the processor's own prefetching starts anew.
const AHEAD: usize = 256;

/// A row; gives the flips, and by lanes the largest sizes.
///
/// The numbers are those of `Isa::sweep_narrow`. An integer times its unit, a power of two, is exact, so that a fused operation with this
/// product rounds once, as the rule's addition or subtraction does.
///
/// # Safety
/// The processor has the instructions; gradients, states and words are of one length, a multiple of 32; row is below 32.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx512vbmi,gfni,popcnt")]
pub(super) unsafe fn cascade_i16(task: &mut Averages<'_, I16, 2>, peaks: &mut [[i16; PANEL]; 2]) -> u32 {
    let [m, h] = &mut task.states;
    let (draws, first) = task.draws;
    // Word by word: what `map` takes of an array stays a call in every turn of the loop, and doubles its time.
    let [[key0, key1], [factor0, factor1]] = [draws.key(), Draws::FACTORS];
    let key = [_mm512_set1_epi32(key0.cast_signed()), _mm512_set1_epi32(key1.cast_signed())];
    let factor = [_mm512_set1_epi32(factor0.cast_signed()), _mm512_set1_epi32(factor1.cast_signed())];
    let [gamma, alpha] = task.rates.map(|rate| _mm512_set1_ps(rate));
    let old = task.units.map(|unit| _mm512_set1_ps(unit.old));
    let inverse = task.units.map(|unit| _mm512_set1_ps(I16::FINE * unit.inverse));
    let counting = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let mut index = _mm512_add_epi32(_mm512_set1_epi32(first as i32), counting);
    let (end, least) = (_mm512_set1_ps(I16::FINE * I16::MAX), _mm512_set1_epi16(-i16::MAX));
    // Upper halves of the lanes of two vectors.
    let upper: [i16; PANEL] = std::array::from_fn(|i| 2 * i as i16 + 1);
    // SAFETY: an array of 64 bytes.
    let upper = unsafe { _mm512_loadu_si512(upper.as_ptr().cast()) };
    let (mut flips, mut tops) = (0, [_mm512_setzero_si512(); 2]);
    for at in (0..task.g.len()).step_by(PANEL) {
        let (g, m, h) =
            (task.g.as_ptr().wrapping_add(at), m.as_mut_ptr().wrapping_add(at), h.as_mut_ptr().wrapping_add(at));
        _mm_prefetch::<_MM_HINT_T0>(g.wrapping_add(AHEAD).cast());
        _mm_prefetch::<_MM_HINT_T0>(g.wrapping_add(AHEAD + 16).cast());
        _mm_prefetch::<_MM_HINT_T0>(m.wrapping_add(AHEAD).cast());
        _mm_prefetch::<_MM_HINT_T0>(h.wrapping_add(AHEAD).cast());
        let numbers = numbers(index, key, factor);
        index = _mm512_add_epi32(index, _mm512_set1_epi32(16));
        let random = [_mm512_and_si512(numbers, _mm512_set1_epi32(0xffff)), _mm512_srli_epi32::<16>(numbers)];
        let mut steps = [[_mm512_setzero_si512(); 2]; 2];
        for half in 0..2 {
            // SAFETY: 16 of the 32 columns from `at` on.
            let (g, integers) = unsafe {
                let of = |state: *mut i16| _mm256_loadu_si256(state.wrapping_add(16 * half).cast());
                (_mm512_loadu_ps(g.wrapping_add(16 * half)), [of(m), of(h)])
            };
            let [m, h] = integers.map(|state| _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(state)));
            let m = _mm512_fmadd_ps(m, old[0], _mm512_mul_ps(gamma, _mm512_fnmadd_ps(m, old[0], g)));
            let h = _mm512_fmadd_ps(h, old[1], _mm512_mul_ps(alpha, _mm512_fnmadd_ps(h, old[1], m)));
            for (i, state) in [m, h].into_iter().enumerate() {
                // Not-a-number becomes the largest. What is too small becomes the least number of 32 bits, and is mended below.
                let fine = _mm512_min_ps(_mm512_mul_ps(state, inverse[i]), end);
                steps[i][half] = _mm512_add_epi32(_mm512_cvttps_epi32(fine), random[half]);
            }
        }
        let stored = steps.map(|[low, high]| _mm512_max_epi16(_mm512_permutex2var_epi16(low, upper, high), least));
        // SAFETY: the 32 columns from `at` on.
        unsafe {
            _mm512_storeu_si512(m.cast(), stored[0]);
            _mm512_storeu_si512(h.cast(), stored[1]);
        }
        tops = std::array::from_fn(|i| _mm512_max_epi16(tops[i], _mm512_abs_epi16(stored[i])));
        let above = _mm512_cmpgt_epi16_mask(stored[1], _mm512_setzero_si512());
        // SAFETY: `at` is a multiple of 32 below the number of words, row is below 32.
        let word = unsafe { task.weight.get_unchecked_mut(at + task.row) };
        flips += commit_word(word, [above, _mm512_movepi16_mask(stored[1])]);
    }
    for (peaks, top) in peaks.iter_mut().zip(tops) {
        // SAFETY: 32 numbers of 16 bits.
        unsafe { _mm512_storeu_si512(peaks.as_mut_ptr().cast(), top) };
    }
    flips
}

/// `Draws::word` of 16 indices, by its key and its factors.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx512vbmi,gfni,popcnt")]
fn numbers(index: __m512i, key: [__m512i; 2], factor: [__m512i; 2]) -> __m512i {
    let x = _mm512_xor_si512(index, key[0]);
    let x = _mm512_mullo_epi32(_mm512_xor_si512(x, _mm512_srli_epi32::<16>(x)), factor[0]);
    // Exclusive or of three.
    let x = _mm512_ternarylogic_epi32::<0x96>(x, _mm512_srli_epi32::<15>(x), key[1]);
    let x = _mm512_mullo_epi32(x, factor[1]);
    _mm512_xor_si512(x, _mm512_srli_epi32::<16>(x))
}
