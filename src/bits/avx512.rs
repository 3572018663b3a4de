//! AVX-512 with F, BW, VL, DQ and VPOPCNTDQ. Lanes are columns: two registers hold a panel's 32, a third is never
//! needed.

use std::arch::x86_64::*;

use super::isa::{FloatBits, Isa, PANEL, Set, Xnor, panel_mask, words};
use super::sweep::{Job, Vectors};

pub(super) static ISA: Isa = Isa {
    name: "avx512",
    set: Set::Avx512,
    xnor,
    float_bits,
    sign_pack,
    sign_pack_mask,
    // Moving bits between bytes has no wider form that is faster.
    transpose32: super::avx2::ISA.transpose32,
};

/// The same for processors that split each 512-bit operation in two (Zen 4): they gain nothing from wide floats, and the AVX2 tile
/// mixes additions and FMAs better: 244 against 190 Gop/s there (1024 x 1024 x 1024, 2 threads). On whole 512-bit units the wide
/// form wins.
pub(super) static SPLIT: Isa = Isa { float_bits: super::avx2::ISA.float_bits, ..ISA };

/// Whether this processor splits 512-bit operations: AMD's family 19h, of which only Zen 4 has AVX-512.
pub(super) fn is_split() -> bool {
    use std::arch::x86_64::__cpuid;
    let (vendor, version) = (__cpuid(0), __cpuid(1).eax);
    let amd = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).concat() == *b"AuthenticAMD";
    amd && (version >> 8 & 15) + (version >> 20 & 255) == 0x19
}

/// Height of xnor's register tile: 8 x 2 sums leave registers for the weights and the words in flight.
const ROWS: usize = 8;

/// # Safety
/// The processor has the instructions and `task` passed its check against `y`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,popcnt")]
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
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,popcnt")]
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

/// Values of j whose sums stay in registers; then they join y.
const BLOCK: usize = 256;

/// Height of float_bits' register tile at most: 12 x 2 sums.
const TALL: usize = 12;

/// # Safety
/// The processor has the instructions, `task` passed its check against `y`, its rows and inner are at least 1.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,popcnt")]
unsafe fn float_bits(task: &FloatBits, y: &mut [f32]) {
    // SAFETY: the caller's promise, passed on. Constant strides become offsets inside the instructions.
    unsafe {
        match (task.x_row, task.x_inner) {
            (32, 1) => float_bits_strided::<32, 1>(task, y),
            (1, 32) => float_bits_strided::<1, 32>(task, y),
            _ => float_bits_strided::<0, 0>(task, y),
        }
    }
}

/// Strides of 0 stand for those of the task.
///
/// # Safety
/// As [`float_bits`]; strides that are not 0 are the task's.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,popcnt")]
unsafe fn float_bits_strided<const X_ROW: usize, const X_INNER: usize>(task: &FloatBits, y: &mut [f32]) {
    for start in (0..task.inner).step_by(BLOCK) {
        let mut i = 0;
        while i < task.rows {
            let rows = TALL.min(task.rows - i);
            let y = &mut y[i * task.y_row..];
            macro_rules! tile {
                ($($height:literal)*) => { match rows {
                    // SAFETY: rows i..i + rows and j from start are inside the task, whose reach was checked.
                    $($height => unsafe { float_tile::<$height, X_ROW, X_INNER>(task, start, i, y) },)*
                    _ => unreachable!("a tile has 1 to 12 rows"),
                } };
            }
            tile!(1 2 3 4 5 6 7 8 9 10 11 12);
            i += rows;
        }
    }
}

/// One tile over one block of j. Columns 0 to 15 add x where the bit is 1, `y = 2 * sum - total`; columns 16 to 31
/// multiply by +-1. Where adders stand beside the multipliers (Zen) the two halves run at the same time; elsewhere
/// nothing is lost.
///
/// # Safety
/// As [`float_bits_strided`]; `start` is a multiple of [`BLOCK`] below inner, rows `i..i + R` are the task's and `y`
/// begins at row i.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,popcnt")]
unsafe fn float_tile<const R: usize, const X_ROW: usize, const X_INNER: usize>(
    task: &FloatBits,
    start: usize,
    i: usize,
    y: &mut [f32],
) {
    let x_row = if X_ROW == 0 { task.x_row } else { X_ROW };
    let x_inner = if X_INNER == 0 { task.x_inner } else { X_INNER };
    let end = task.inner.min(start + BLOCK);
    let (plus, minus) = (_mm512_set1_ps(1.0), _mm512_set1_ps(-1.0));
    let mut added = [_mm512_setzero_ps(); R];
    let mut multiplied = [_mm512_setzero_ps(); R];
    for first in (start..end).step_by(PANEL) {
        let x = task.x.as_ptr().wrapping_add(first / PANEL * task.x_block + i * x_row);
        let bits = task.bits.as_ptr().wrapping_add(first / PANEL * task.bits_block);
        for j in 0..PANEL.min(end - first) {
            // SAFETY: the word and the elements of j are inside the slices, as checked.
            unsafe {
                let word = *bits.add(j);
                let signs = _mm512_mask_mov_ps(minus, (word >> 16) as u16, plus);
                for r in 0..R {
                    let x = _mm512_set1_ps(*x.add(j * x_inner + r * x_row));
                    added[r] = _mm512_mask_add_ps(added[r], word as u16, added[r], x);
                    multiplied[r] = _mm512_fmadd_ps(x, signs, multiplied[r]);
                }
            }
        }
    }
    // SAFETY: the same rows and j.
    let totals = unsafe { totals::<R, X_ROW, X_INNER>(task, start, end, i) };
    let valid = panel_mask(task.columns);
    for r in 0..R {
        let y = &mut y[r * task.y_row..][..PANEL];
        let low = _mm512_fmsub_ps(_mm512_set1_ps(2.0), added[r], _mm512_set1_ps(totals[r]));
        let sums = [(low, valid as u16), (multiplied[r], (valid >> 16) as u16)];
        for (y, (sum, valid)) in y.chunks_exact_mut(16).zip(sums) {
            // SAFETY: y has 16 elements.
            unsafe {
                let first = start == 0 && !task.accumulate;
                let before = if first { _mm512_setzero_ps() } else { _mm512_loadu_ps(y.as_ptr()) };
                _mm512_storeu_ps(y.as_mut_ptr(), _mm512_maskz_add_ps(valid, before, sum));
            }
        }
    }
}

/// Sums of x over the block, one a row; the order of summation depends on the strides alone.
///
/// # Safety
/// As [`float_tile`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,popcnt")]
unsafe fn totals<const R: usize, const X_ROW: usize, const X_INNER: usize>(
    task: &FloatBits,
    start: usize,
    end: usize,
    i: usize,
) -> [f32; 16] {
    let mut totals = [0.0; 16];
    let block = |first: usize| task.x.as_ptr().wrapping_add(first / PANEL * task.x_block);
    match (X_ROW, X_INNER) {
        (32, 1) => {
            for (r, total) in totals.iter_mut().enumerate().take(R) {
                let mut sum = _mm512_setzero_ps();
                for first in (start..end).step_by(PANEL) {
                    let x = block(first).wrapping_add((i + r) * 32);
                    let valid = panel_mask(end - first);
                    // SAFETY: only the lanes of valid j are read, which are inside x.
                    let halves = unsafe {
                        let high = _mm512_maskz_loadu_ps((valid >> 16) as u16, x.wrapping_add(16));
                        _mm512_add_ps(_mm512_maskz_loadu_ps(valid as u16, x), high)
                    };
                    sum = _mm512_add_ps(sum, halves);
                }
                *total = _mm512_reduce_add_ps(sum);
            }
        }
        (1, 32) => {
            let rows = ((1u32 << R) - 1) as u16;
            let mut sum = _mm512_setzero_ps();
            for first in (start..end).step_by(PANEL) {
                for j in 0..PANEL.min(end - first) {
                    // SAFETY: only the lanes of the R rows are read, which are inside x.
                    let x = unsafe { _mm512_maskz_loadu_ps(rows, block(first).wrapping_add(j * 32 + i)) };
                    sum = _mm512_add_ps(sum, x);
                }
            }
            // SAFETY: an array of 16.
            unsafe { _mm512_storeu_ps(totals.as_mut_ptr(), sum) };
        }
        _ => {
            for (r, total) in totals.iter_mut().enumerate().take(R) {
                *total = (start..end)
                    .map(|j| task.x[j / PANEL * task.x_block + j % PANEL * task.x_inner + (i + r) * task.x_row])
                    .sum();
            }
        }
    }
    totals
}

/// Which of a panel row's 32 floats lie within `-1..=1` (`NEAR`) or are at least 0.
///
/// # Safety
/// The processor has the instructions.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,popcnt")]
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
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,popcnt")]
unsafe fn sign_pack(x: &[f32], valid: u32, out: &mut [u32]) {
    for (x, out) in x.chunks_exact(PANEL).zip(out) {
        // SAFETY: the instructions are there.
        *out = unsafe { test::<false>(x) } & valid;
    }
}

/// # Safety
/// The processor has the instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,popcnt")]
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
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,popcnt")]
pub(super) unsafe fn within<J: Job>(job: J) -> J::Output {
    // SAFETY: the caller's promise.
    unsafe { job.run::<Here>() }
}

/// What jobs need of this set.
pub(super) enum Here {}

impl Vectors for Here {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,popcnt")]
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
