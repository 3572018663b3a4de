//! NEON, which every 64-bit ARM has. Lanes are columns: eight registers hold a panel's 32.

use std::arch::aarch64::*;

use super::isa::{Floats, Isa, Set};
use super::storage::{F16, load_lanes, store_lanes};
use super::tasks::{FloatBits, PANEL, Xnor, words};
use super::vector::{Vectors, Work};

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

/// Runs work with the set's instructions.
///
/// # Safety
/// The processor has them.
#[target_feature(enable = "neon")]
pub(super) unsafe fn within<W: Work>(work: W) -> W::Output {
    // SAFETY: the caller promises the instructions.
    unsafe { work.run::<Neon>() }
}

/// NEON.
pub(super) enum Neon {}

#[allow(
    unsafe_op_in_unsafe_fn,
    reason = "the methods are the set's instructions, which the trait's conditions make safe: they are in the processor, and pointers are valid"
)]
impl Vectors for Neon {
    const LANES: usize = 4;
    type Floats = float32x4_t;
    type Words = uint32x4_t;
    type Row = [float32x4_t; 8];
    type WordRow = [uint32x4_t; 8];

    #[inline(always)]
    unsafe fn zeros() -> [float32x4_t; 8] {
        [vdupq_n_f32(0.0); 8]
    }

    #[inline(always)]
    unsafe fn no_words() -> [uint32x4_t; 8] {
        [vdupq_n_u32(0); 8]
    }

    #[inline(always)]
    unsafe fn splat(number: f32) -> float32x4_t {
        vdupq_n_f32(number)
    }

    #[inline(always)]
    unsafe fn splat_word(word: u32) -> uint32x4_t {
        vdupq_n_u32(word)
    }

    #[inline(always)]
    unsafe fn load(at: *const f32) -> float32x4_t {
        vld1q_f32(at)
    }

    #[inline(always)]
    unsafe fn store(at: *mut f32, numbers: float32x4_t) {
        vst1q_f32(at, numbers);
    }

    #[inline(always)]
    unsafe fn load_words(at: *const u32) -> uint32x4_t {
        vld1q_u32(at)
    }

    #[inline(always)]
    unsafe fn store_words(at: *mut u32, words: uint32x4_t) {
        vst1q_u32(at, words);
    }

    #[inline(always)]
    unsafe fn mul(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        vmulq_f32(a, b)
    }

    #[inline(always)]
    unsafe fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        vaddq_f32(a, b)
    }

    #[inline(always)]
    unsafe fn and(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        vandq_u32(a, b)
    }

    #[inline(always)]
    unsafe fn xor(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        veorq_u32(a, b)
    }

    #[inline(always)]
    unsafe fn add_words(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        vaddq_u32(a, b)
    }

    #[inline(always)]
    unsafe fn mul_words(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        vmulq_u32(a, b)
    }

    #[inline(always)]
    unsafe fn shift_right<const BITS: u32>(words: uint32x4_t) -> uint32x4_t {
        vshlq_u32(words, vdupq_n_s32(-BITS.cast_signed()))
    }

    #[inline(always)]
    unsafe fn max_words(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        vmaxq_u32(a, b)
    }

    #[inline(always)]
    unsafe fn positive(numbers: [float32x4_t; 8]) -> u32 {
        let mut lanes = [vdupq_n_u32(0); 8];
        for v in 0..8 {
            lanes[v] = vcgtzq_f32(numbers[v]);
        }
        mask(lanes)
    }

    #[inline(always)]
    unsafe fn negative(numbers: [float32x4_t; 8]) -> u32 {
        let mut lanes = [vdupq_n_u32(0); 8];
        for v in 0..8 {
            lanes[v] = vcltzq_f32(numbers[v]);
        }
        mask(lanes)
    }

    #[inline(always)]
    unsafe fn is_finite(numbers: float32x4_t) -> bool {
        vmaxvq_u32(vreinterpretq_u32_f32(vabsq_f32(numbers))) <= f32::MAX.to_bits()
    }

    #[inline(always)]
    unsafe fn prefetch<T>(_at: *const T) {}

    #[inline(always)]
    unsafe fn load_f16(at: *const u16) -> float32x4_t {
        load_lanes::<F16, Self>(at)
    }

    #[inline(always)]
    unsafe fn load_i16(at: *const i16) -> float32x4_t {
        vcvtq_f32_s32(vmovl_s16(vld1_s16(at)))
    }

    #[inline(always)]
    unsafe fn load_i8(at: *const i8) -> float32x4_t {
        let bytes = vcreate_s8(u64::from(at.cast::<u32>().read_unaligned()));
        vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(bytes))))
    }

    #[inline(always)]
    unsafe fn store_f16(
        at: *mut u16,
        numbers: [float32x4_t; 8],
        random: [uint32x4_t; 8],
        sizes: &mut uint32x4_t,
    ) -> [u32; 2] {
        store_lanes::<F16, Self>(at, numbers, random, sizes)
    }

    #[inline(always)]
    unsafe fn store_i16(
        at: *mut i16,
        numbers: [float32x4_t; 8],
        random: [uint32x4_t; 8],
        sizes: &mut uint32x4_t,
    ) -> [u32; 2] {
        let stored = rounded(numbers, random, f32::from(i16::MAX));
        let mut size = vreinterpretq_s16_u32(*sizes);
        let (mut above, mut below) = ([vdupq_n_u16(0); 4], [vdupq_n_u16(0); 4]);
        for v in 0..4 {
            vst1q_s16(at.add(8 * v), stored[v]);
            size = vmaxq_s16(size, vabsq_s16(stored[v]));
            (above[v], below[v]) = (vcgtzq_s16(stored[v]), vcltzq_s16(stored[v]));
        }
        *sizes = vreinterpretq_u32_s16(size);
        [mask_of_halves(above), mask_of_halves(below)]
    }

    #[inline(always)]
    unsafe fn store_i8(
        at: *mut i8,
        numbers: [float32x4_t; 8],
        random: [uint32x4_t; 8],
        sizes: &mut uint32x4_t,
    ) -> [u32; 2] {
        let [a, b, c, d] = rounded(numbers, random, f32::from(i8::MAX));
        let low = vcombine_s8(vmovn_s16(a), vmovn_s16(b));
        let high = vcombine_s8(vmovn_s16(c), vmovn_s16(d));
        vst1q_s8(at, low);
        vst1q_s8(at.add(16), high);
        let size = vmaxq_s8(vabsq_s8(low), vabsq_s8(high));
        *sizes = vreinterpretq_u32_s8(vmaxq_s8(vreinterpretq_s8_u32(*sizes), size));
        [mask_of_bytes(vcgtzq_s8(low), vcgtzq_s8(high)), mask_of_bytes(vcltzq_s8(low), vcltzq_s8(high))]
    }
}

/// 65536ths rounded to integers of 16 bits, after the random bits were added. Beyond `most` becomes that, as does what is not a number.
#[inline]
#[target_feature(enable = "neon")]
fn rounded(numbers: [float32x4_t; 8], random: [uint32x4_t; 8], most: f32) -> [int16x8_t; 4] {
    let end = 65536.0 * most;
    let mut integers = [vdupq_n_s16(0); 4];
    for (pair, integers) in integers.iter_mut().enumerate() {
        let mut halves = [vdup_n_s16(0); 2];
        for (half, integer) in halves.iter_mut().enumerate() {
            let v = 2 * pair + half;
            // The smaller number of one and none is the one.
            let within = vmaxnmq_f32(vminnmq_f32(numbers[v], vdupq_n_f32(end)), vdupq_n_f32(-end));
            let steps = vaddq_s32(vcvtq_s32_f32(within), vreinterpretq_s32_u32(random[v]));
            *integer = vshrn_n_s32::<16>(steps);
        }
        *integers = vcombine_s16(halves[0], halves[1]);
    }
    integers
}

/// One bit of each of 32 lanes, which are all ones or all zeros.
#[inline]
#[target_feature(enable = "neon")]
fn mask(lanes: [uint32x4_t; 8]) -> u32 {
    let mut halves = [vdupq_n_u16(0); 4];
    for (v, halves) in halves.iter_mut().enumerate() {
        *halves = vcombine_u16(vmovn_u32(lanes[2 * v]), vmovn_u32(lanes[2 * v + 1]));
    }
    mask_of_halves(halves)
}

/// The same of lanes of 16 bits.
#[inline]
#[target_feature(enable = "neon")]
fn mask_of_halves([a, b, c, d]: [uint16x8_t; 4]) -> u32 {
    mask_of_bytes(vcombine_u8(vmovn_u16(a), vmovn_u16(b)), vcombine_u8(vmovn_u16(c), vmovn_u16(d)))
}

/// The same of bytes.
#[inline]
#[target_feature(enable = "neon")]
fn mask_of_bytes(low: uint8x16_t, high: uint8x16_t) -> u32 {
    // One of the 8 bits for each byte; then pairs of bytes are added three times.
    let weights = vreinterpretq_u8_u64(vdupq_n_u64(0x8040_2010_0804_0201));
    let pairs = vpaddq_u8(vandq_u8(low, weights), vandq_u8(high, weights));
    let fours = vpaddq_u8(pairs, pairs);
    vgetq_lane_u32::<0>(vreinterpretq_u32_u8(vpaddq_u8(fours, fours)))
}
