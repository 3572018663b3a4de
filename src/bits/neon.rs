//! NEON, which every 64-bit ARM has. Lanes are columns: eight registers hold a panel's 32.

use std::arch::aarch64::*;

use super::isa::{Floats, Isa, Set};
use super::sweep::{Job, Vectors};
use super::tasks::{FloatBits, PANEL, Xnor, words};

pub(super) static ISA: Isa = Isa {
    name: "neon",
    set: Set::Neon,
    xnor,
    floats: Floats::Panel(float_bits),
    sign_pack,
    sign_pack_mask,
    // Shifts and xors of whole rows, which the compiler vectorises.
    transpose32: super::portable::ISA.transpose32,
};

/// Columns in a register.
const LANES: usize = 4;

/// xnor's register tile: 4 rows x 16 columns are 16 registers of sums.
const ROWS: usize = 4;

/// Words whose counts fit a byte: `31 * 8 = 248`.
const BYTES: usize = 31;

/// All ones in the first `columns` of the 4 lanes from column `first` on.
#[inline]
#[target_feature(enable = "neon")]
fn lanes_below(columns: usize, first: usize) -> uint32x4_t {
    let lanes: [u32; LANES] = std::array::from_fn(|lane| if first + lane < columns { u32::MAX } else { 0 });
    // SAFETY: an array of 4.
    unsafe { vld1q_u32(lanes.as_ptr()) }
}

/// # Safety
/// `task` passed its check against `y`.
#[target_feature(enable = "neon")]
unsafe fn xnor(task: &Xnor, y: &mut [i32]) {
    let words = words(task.k);
    for row in (task.row_begin..task.row_end).step_by(ROWS) {
        let a = &task.a[row / PANEL * words * PANEL + row % PANEL..];
        let y = &mut y[(row - task.row_begin) * PANEL..];
        for half in [0, 16] {
            // SAFETY: row is a multiple of 4, so its 4 rows lie in one panel, and a holds whole panels; w holds words
            // x 32.
            let sums = unsafe { xnor_tile(a.as_ptr(), task.w.as_ptr().add(half), words) };
            for (y, sums) in y.chunks_exact_mut(PANEL).zip(sums) {
                for (v, sum) in sums.into_iter().enumerate() {
                    let first = half + v * LANES;
                    let dot = vsubq_s32(vdupq_n_s32(task.k as i32), vshlq_n_s32::<1>(vreinterpretq_s32_u32(sum)));
                    let dot = vandq_s32(dot, vreinterpretq_s32_u32(lanes_below(task.columns, first)));
                    // SAFETY: four elements.
                    unsafe { vst1q_s32(y[first..first + LANES].as_mut_ptr(), dot) };
                }
            }
        }
    }
}

/// Popcounts of 4 rows against 16 columns.
///
/// # Safety
/// Readable: 4 words at every `a + 32 i` and 16 words at every `w + 32 i`, for i below `words`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn xnor_tile(a: *const u32, w: *const u32, words: usize) -> [[uint32x4_t; 4]; ROWS] {
    let mut sums = [[vdupq_n_u32(0); 4]; ROWS];
    for start in (0..words).step_by(BYTES) {
        let mut bytes = [[vdupq_n_u8(0); 4]; ROWS];
        for i in start..words.min(start + BYTES) {
            // SAFETY: the caller's promise.
            unsafe {
                let w: [uint32x4_t; 4] = std::array::from_fn(|v| vld1q_u32(w.add(i * PANEL + v * LANES)));
                for (r, bytes) in bytes.iter_mut().enumerate() {
                    let a = vdupq_n_u32(*a.add(i * PANEL + r));
                    for (bytes, w) in bytes.iter_mut().zip(w) {
                        *bytes = vaddq_u8(*bytes, vcntq_u8(vreinterpretq_u8_u32(veorq_u32(a, w))));
                    }
                }
            }
        }
        for (sum, bytes) in sums.as_flattened_mut().iter_mut().zip(bytes.as_flattened()) {
            *sum = vpadalq_u16(*sum, vpaddlq_u8(*bytes));
        }
    }
    sums
}

/// Values of j that are worked on together: their signs as 32-bit lanes fill 16 KiB.
const BLOCK: usize = 128;

/// One row of +-1.0 a j.
#[repr(align(64))]
struct Signs([[f32; PANEL]; BLOCK]);

/// # Safety
/// `task` passed its check against `y`, its rows and inner are at least 1, its columns at most 32.
#[target_feature(enable = "neon")]
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
#[target_feature(enable = "neon")]
unsafe fn float_bits_strided<const X_ROW: usize, const X_INNER: usize>(task: &FloatBits, y: &mut [f32]) {
    let mut signs = Signs([[0.0; PANEL]; BLOCK]);
    for start in (0..task.inner).step_by(BLOCK) {
        for (j, signs) in (start..task.inner).zip(signs.0.iter_mut()) {
            spread(task.bits[j / PANEL * task.bits_block + j % PANEL], signs);
        }
        let mut i = 0;
        while i < task.rows {
            let y = &mut y[i * task.y_row..];
            // SAFETY: rows from i and j from start are inside the task, whose reach was checked.
            i += unsafe {
                match task.rows - i {
                    1 => float_tile::<1, X_ROW, X_INNER>(task, &signs, start, i, y),
                    2 => float_tile::<2, X_ROW, X_INNER>(task, &signs, start, i, y),
                    3 => float_tile::<3, X_ROW, X_INNER>(task, &signs, start, i, y),
                    4 => float_tile::<4, X_ROW, X_INNER>(task, &signs, start, i, y),
                    5 => float_tile::<5, X_ROW, X_INNER>(task, &signs, start, i, y),
                    _ => float_tile::<6, X_ROW, X_INNER>(task, &signs, start, i, y),
                }
            };
        }
    }
}

/// The 32 signs of a word as +-1.0.
#[inline]
#[target_feature(enable = "neon")]
fn spread(word: u32, signs: &mut [f32; PANEL]) {
    let (minus, one) = (vdupq_n_u32(1 << 31), vreinterpretq_u32_f32(vdupq_n_f32(1.0)));
    for (v, signs) in signs.chunks_exact_mut(LANES).enumerate() {
        let lanes: [i32; LANES] = std::array::from_fn(|lane| (31 - v * LANES - lane) as i32);
        // SAFETY: arrays of 4.
        unsafe {
            let top = vshlq_u32(vdupq_n_u32(word), vld1q_s32(lanes.as_ptr()));
            let value = vorrq_u32(vbicq_u32(minus, top), one);
            vst1q_f32(signs.as_mut_ptr(), vreinterpretq_f32_u32(value));
        }
    }
}

/// R rows x 32 columns over one block of j, as two register tiles of 16 columns. Returns R.
///
/// # Safety
/// As [`float_bits_strided`]; `start` is a multiple of [`BLOCK`] below inner, whose signs are in `signs`; rows `i..i
/// + R` are the task's, and `y` begins at row i.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn float_tile<const R: usize, const X_ROW: usize, const X_INNER: usize>(
    task: &FloatBits,
    signs: &Signs,
    start: usize,
    i: usize,
    y: &mut [f32],
) -> usize {
    let x_row = if X_ROW == 0 { task.x_row } else { X_ROW };
    let x_inner = if X_INNER == 0 { task.x_inner } else { X_INNER };
    let end = task.inner.min(start + BLOCK);
    for half in [0, 16] {
        let mut sums = [[vdupq_n_f32(0.0); 4]; R];
        for first in (start..end).step_by(PANEL) {
            let x = task.x.as_ptr().wrapping_add(first / PANEL * task.x_block + i * x_row);
            for (j, signs) in signs.0[first - start..].iter().take(PANEL.min(end - first)).enumerate() {
                // SAFETY: the elements of j are inside x, as checked; signs has 32 elements.
                unsafe {
                    let signs: [float32x4_t; 4] =
                        std::array::from_fn(|v| vld1q_f32(signs.as_ptr().add(half + v * LANES)));
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let x = vdupq_n_f32(*x.add(j * x_inner + r * x_row));
                        for (sum, signs) in sums.iter_mut().zip(signs) {
                            *sum = vfmaq_f32(*sum, x, signs);
                        }
                    }
                }
            }
        }
        for (r, sums) in sums.into_iter().enumerate() {
            let y = &mut y[r * task.y_row + half..][..PANEL / 2];
            for ((v, y), sum) in y.chunks_exact_mut(LANES).enumerate().zip(sums) {
                let valid = lanes_below(task.columns, half + v * LANES);
                // SAFETY: y has 4 elements.
                unsafe {
                    let sum = if start == 0 && !task.accumulate { sum } else { vaddq_f32(vld1q_f32(y.as_ptr()), sum) };
                    let sum = vandq_u32(vreinterpretq_u32_f32(sum), valid);
                    vst1q_f32(y.as_mut_ptr(), vreinterpretq_f32_u32(sum));
                }
            }
        }
    }
    R
}

/// One bit of each lane's truth, lane 0 lowest.
#[inline]
#[target_feature(enable = "neon")]
fn gather(lanes: uint32x4_t) -> u32 {
    // SAFETY: an array of 4.
    let weights = unsafe { vld1q_u32([1, 2, 4, 8].as_ptr()) };
    vaddvq_u32(vandq_u32(lanes, weights))
}

/// Which of a panel row's 32 floats lie within `-1..=1` (`NEAR`) or are at least 0.
#[inline]
#[target_feature(enable = "neon")]
fn test<const NEAR: bool>(x: &[f32]) -> u32 {
    x.chunks_exact(LANES).enumerate().fold(0, |word, (v, x)| {
        // SAFETY: x has 4 elements.
        let x = unsafe { vld1q_f32(x.as_ptr()) };
        let lanes = if NEAR { vcleq_f32(vabsq_f32(x), vdupq_n_f32(1.0)) } else { vcgezq_f32(x) };
        word | gather(lanes) << (v * LANES)
    })
}

#[target_feature(enable = "neon")]
fn sign_pack(x: &[f32], valid: u32, out: &mut [u32]) {
    for (x, out) in x.chunks_exact(PANEL).zip(out) {
        *out = test::<false>(x) & valid;
    }
}

#[target_feature(enable = "neon")]
fn sign_pack_mask(x: &[f32], valid: u32, out: &mut [u32], mask: &mut [u32]) {
    for ((x, out), mask) in x.chunks_exact(PANEL).zip(out).zip(mask) {
        *out = test::<false>(x) & valid;
        *mask = test::<true>(x) & valid;
    }
}

/// Runs a job with the compiler's own vectors of this set.
///
/// # Safety
/// The processor has the instructions.
#[target_feature(enable = "neon")]
pub(super) unsafe fn within<J: Job>(job: J) -> J::Output {
    // SAFETY: the caller's promise.
    unsafe { job.run::<Here>() }
}

/// What jobs need of this set.
pub(super) enum Here {}

impl Vectors for Here {
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn signs(x: &[f32; PANEL]) -> [u32; 2] {
        let mut signs = [0; 2];
        for first in (0..PANEL).step_by(LANES) {
            // SAFETY: 4 of the 32 numbers.
            let x = unsafe { vld1q_f32(x.as_ptr().add(first)) };
            signs
                .iter_mut()
                .zip([vcgtzq_f32(x), vcltzq_f32(x)])
                .for_each(|(word, mask)| *word |= gather(mask) << first);
        }
        signs
    }
}
