//! AVX-512 as Ice Lake and Zen 4 have it: F, BW, VL, DQ, VPOPCNTDQ, VBMI and GFNI. Lanes are columns: two registers hold a panel's 32.

use std::arch::x86_64::*;

use super::avx512_float::{float_bits, gathered};
use super::isa::{Floats, Isa, Set};
use super::sweep::{Job, Vectors};
use super::tasks::{PANEL, Xnor, panel_mask, words};

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

/// Runs a job with the compiler's own vectors of this set.
///
/// # Safety
/// The processor has the instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx512vbmi,gfni,popcnt")]
pub(super) unsafe fn within<J: Job>(job: J) -> J::Output {
    // SAFETY: the caller's promise.
    unsafe { job.run::<Here>() }
}

/// What jobs need of this set.
pub(super) enum Here {}

impl Vectors for Here {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx512vbmi,gfni,popcnt")]
    unsafe fn signs(x: &[f32; PANEL]) -> [u32; 2] {
        let zero = _mm512_setzero_ps();
        let half = |first: usize| {
            // SAFETY: 16 of the 32 numbers.
            let x = unsafe { _mm512_loadu_ps(x.as_ptr().add(first)) };
            [_mm512_cmp_ps_mask::<_CMP_GT_OQ>(x, zero), _mm512_cmp_ps_mask::<_CMP_LT_OQ>(x, zero)].map(u32::from)
        };
        let ([above, below], [above_high, below_high]) = (half(0), half(16));
        [above | above_high << 16, below | below_high << 16]
    }
}
