//! Moving averages with narrow states for AVX2, by hand: they move so few bytes that operations, not memory, are what they wait for. The
//! compiler's loop writes its arrays to the stack between its steps, this one keeps all in registers.

use std::arch::x86_64::*;

use super::narrow::{Averages, Format, Unit};
use super::sweep::commit_word;
use super::tasks::PANEL;
use crate::tensor::Draws;

/// Columns from what is worked on to what is asked for: rows lie in pages of their own, where the processor's own prefetching starts anew.
const AHEAD: usize = 256;

/// A row; gives the flips, and by lanes the largest sizes.
///
/// # Safety
/// The processor has the instructions; gradients, states and words are of one length, a multiple of 32; row is below 32.
pub(super) unsafe fn averages<F: Format, const STATES: usize>(
    task: &mut Averages<'_, F, STATES>,
    peaks: &mut [[F::Stored; PANEL]; STATES],
) -> u32 {
    // A gradient that overflows in such units is too large for the state in any case: at such rates all states end at the largest number.
    let stays = |unit: &Unit| unit.old * unit.inverse == 1.0 && (1e-12..1e12).contains(&unit.old);
    let near = |pair: &[Unit]| (1e-9..1e9).contains(&(pair[0].old / pair[1].old));
    let usual = F::IN_UNITS
        && task.units.iter().all(stays)
        && task.units.windows(2).all(near)
        && task.rates.iter().all(|rate| (1e-9..=1.0).contains(rate));
    // SAFETY: the caller's promise, passed on.
    unsafe { if usual { row::<F, STATES, true>(task, peaks) } else { row::<F, STATES, false>(task, peaks) } }
}

/// The same for units that all stay as they are (`STAYS`) or any.
///
/// The numbers are those of `Isa::sweep_narrow`. A stored number times its unit, a power of two, is exact, so that a fused operation with this
/// product rounds once, as the rule's addition or subtraction does. Where units stay, all is reckoned in them, which rounds the same and
/// saves the way back.
///
/// # Safety
/// As [`averages`].
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
unsafe fn row<F: Format, const STATES: usize, const STAYS: bool>(
    task: &mut Averages<'_, F, STATES>,
    peaks: &mut [[F::Stored; PANEL]; STATES],
) -> u32 {
    let (draws, first) = task.draws;
    // Word by word: what `map` takes of an array stays a call, in every turn of the loop.
    let [[key0, key1], [factor0, factor1]] = [draws.key(), Draws::FACTORS];
    let key = [_mm256_set1_epi32(key0.cast_signed()), _mm256_set1_epi32(key1.cast_signed())];
    let factor = [_mm256_set1_epi32(factor0.cast_signed()), _mm256_set1_epi32(factor1.cast_signed())];
    let zero = _mm256_setzero_ps();
    // From what enters a state to its numbers, from these to the rule's, and from the rule's to steps.
    let (mut rate, mut enter, mut old, mut leave) = ([zero; STATES], [zero; STATES], [zero; STATES], [zero; STATES]);
    for i in 0..STATES {
        let Unit { old: unit, inverse } = task.units[i];
        rate[i] = _mm256_set1_ps(task.rates[i]);
        enter[i] = _mm256_set1_ps(if i == 0 { F::UP / unit } else { task.units[i - 1].old / unit });
        old[i] = _mm256_set1_ps(unit / F::UP);
        leave[i] = _mm256_set1_ps(F::FINE * inverse);
    }
    let mut index = _mm256_add_epi32(_mm256_set1_epi32(first as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    let (mut flips, mut tops) = (0, [_mm256_setzero_si256(); STATES]);
    for at in (0..task.g.len()).step_by(PANEL) {
        let g = task.g.as_ptr().wrapping_add(at);
        _mm_prefetch::<_MM_HINT_T0>(g.wrapping_add(AHEAD).cast());
        _mm_prefetch::<_MM_HINT_T0>(g.wrapping_add(AHEAD + 16).cast());
        _mm_prefetch::<_MM_HINT_T0>(task.weight.as_ptr().wrapping_add(at + task.row + AHEAD).cast());
        let next = _mm256_add_epi32(index, _mm256_set1_epi32(8));
        // SAFETY: the instructions are there, and 32 columns from `at` on.
        let (random, mut u) =
            unsafe { (F::random([numbers(index, key, factor), numbers(next, key, factor)]), F::gradients(g)) };
        index = _mm256_add_epi32(next, _mm256_set1_epi32(8));
        let mut signs = _mm256_setzero_si256();
        for i in 0..STATES {
            let state = task.states[i].as_mut_ptr().wrapping_add(at);
            _mm_prefetch::<_MM_HINT_T0>(state.wrapping_add(AHEAD).cast());
            // SAFETY: as above.
            let stored = unsafe { F::load_all(state.cast()) };
            let mut fine = [zero; 4];
            for v in 0..4 {
                u[v] = if STAYS {
                    let apart = _mm256_fmsub_ps(u[v], enter[i], stored[v]);
                    _mm256_add_ps(stored[v], _mm256_mul_ps(rate[i], apart))
                } else {
                    let apart = _mm256_fnmadd_ps(stored[v], old[i], u[v]);
                    _mm256_fmadd_ps(stored[v], old[i], _mm256_mul_ps(rate[i], apart))
                };
                fine[v] = if STAYS { u[v] } else { _mm256_mul_ps(u[v], leave[i]) };
            }
            // SAFETY: as above.
            unsafe {
                let kept = F::store_all(fine, random, state.cast());
                tops[i] = F::larger_of_all(tops[i], kept.sizes);
                signs = kept.signs;
            }
        }
        let above = _mm256_movemask_epi8(_mm256_cmpgt_epi8(signs, _mm256_setzero_si256()));
        // SAFETY: `at` is a multiple of 32 below the number of words, row is below 32.
        let word = unsafe { task.weight.get_unchecked_mut(at + task.row) };
        flips += commit_word(word, [above as u32, _mm256_movemask_epi8(signs) as u32]);
    }
    for i in 0..STATES {
        // SAFETY: 32 numbers of at least 8 bits; the rest stays 0.
        unsafe { _mm256_storeu_si256(peaks[i].as_mut_ptr().cast(), tops[i]) };
    }
    flips
}

/// `Draws::word` of 8 indices, by its key and its factors.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn numbers(index: __m256i, key: [__m256i; 2], factor: [__m256i; 2]) -> __m256i {
    let x = _mm256_xor_si256(index, key[0]);
    let x = _mm256_mullo_epi32(_mm256_xor_si256(x, _mm256_srli_epi32::<16>(x)), factor[0]);
    let x = _mm256_xor_si256(_mm256_xor_si256(x, key[1]), _mm256_srli_epi32::<15>(x));
    let x = _mm256_mullo_epi32(x, factor[1]);
    _mm256_xor_si256(x, _mm256_srli_epi32::<16>(x))
}
