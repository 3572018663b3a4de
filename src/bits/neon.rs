//! NEON, which every 64-bit ARM processor has. Lanes are columns: eight registers hold the 32 columns of a panel.

use std::arch::aarch64::*;

use super::float_bits::{gathered_panel, panel};
use super::isa::{Isa, Set};
use super::sign_pack::{sign_pack as pack, sign_pack_mask as pack_mask};
use super::tasks::{FloatBits, GatheredFloatBits, PANEL, Panels, Xnor, words};
use super::vector::{BitCounts, SignedSums, Vectors, Work};
use super::xnor::by_counting;

pub(super) static ISA: Isa = Isa {
    name: "neon",
    set: Set::Neon,
    xnor,
    float_bits,
    gathered,
    sign_pack,
    sign_pack_mask,
    // The compiler vectorises the shifts and xors of the portable version.
    transpose32: super::portable::ISA.transpose32,
};

/// # Safety
/// `task` passed its check against `y`.
#[target_feature(enable = "neon")]
unsafe fn xnor(task: &Xnor, y: &mut [i32]) {
    // SAFETY: the caller promises the check. 4 rows x 16 columns are 16 registers of sums.
    unsafe { by_counting::<Neon, 4, 4>(task, y) }
}

/// Terms whose signs fill 16 KiB.
const ROOM: usize = 128;

/// # Safety
/// `task` passed its check against `y`, its rows and inner are at least 1.
#[target_feature(enable = "neon")]
unsafe fn float_bits(task: &FloatBits, y: &mut dyn Panels) {
    for at in 0..task.panels() {
        // SAFETY: the caller promises a checked task; a panel of a checked task is also checked. 6 rows x 16 columns are 24 registers of sums.
        unsafe { panel::<Neon, 8, 4, 6, ROOM>(&task.panel(at), y.panel(at)) }
    }
}

/// # Safety
/// `task` passed its check against `y`, its rows are at least 1.
#[target_feature(enable = "neon")]
unsafe fn gathered(task: &GatheredFloatBits, y: &mut dyn Panels) {
    let most = if task.terms == PANEL { ROOM / PANEL } else { 1 };
    for at in 0..words(task.columns) {
        // SAFETY: the caller promises a checked task; `most` blocks have at most `ROOM` terms.
        unsafe { gathered_panel::<Neon, 8, 4, 6, ROOM>(task, at, most, y.panel(at)) }
    }
}

/// # Safety
/// The processor has the instructions.
#[target_feature(enable = "neon")]
unsafe fn sign_pack(x: &[f32], valid: u32, out: &mut [u32]) {
    // SAFETY: the caller promises the instructions.
    unsafe { pack::<Neon>(x, valid, out) }
}

/// # Safety
/// The processor has the instructions.
#[target_feature(enable = "neon")]
unsafe fn sign_pack_mask(x: &[f32], valid: u32, out: &mut [u32], mask: &mut [u32]) {
    // SAFETY: the caller promises the instructions.
    unsafe { pack_mask::<Neon>(x, valid, out, mask) }
}

/// Runs work compiled for the set's instructions.
///
/// # Safety
/// The processor has the instructions.
#[target_feature(enable = "neon")]
pub(super) unsafe fn within<W: Work>(work: W) -> W::Output {
    // SAFETY: the caller promises the instructions.
    unsafe { work.run::<Neon>() }
}

/// The registers of NEON.
pub(super) enum Neon {}

#[allow(
    unsafe_op_in_unsafe_fn,
    reason = "each method is an instruction or two, whose conditions are those of the trait"
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
    unsafe fn not_negative(numbers: [float32x4_t; 8]) -> u32 {
        let mut lanes = [vdupq_n_u32(0); 8];
        for v in 0..8 {
            lanes[v] = vcgezq_f32(numbers[v]);
        }
        mask(lanes)
    }

    #[inline(always)]
    unsafe fn within_one(numbers: [float32x4_t; 8]) -> u32 {
        let mut lanes = [vdupq_n_u32(0); 8];
        for v in 0..8 {
            lanes[v] = vcleq_f32(vabsq_f32(numbers[v]), vdupq_n_f32(1.0));
        }
        mask(lanes)
    }

    #[inline(always)]
    unsafe fn is_finite(numbers: float32x4_t) -> bool {
        vmaxvq_u32(vreinterpretq_u32_f32(vabsq_f32(numbers))) <= f32::MAX.to_bits()
    }

    #[inline(always)]
    unsafe fn prefetch<T>(_at: *const T) {}
}

#[allow(
    unsafe_op_in_unsafe_fn,
    reason = "each method is an instruction or two, whose conditions are those of the trait"
)]
impl BitCounts for Neon {
    /// A byte holds the sum of the popcounts of 31 bytes.
    const COUNTED: usize = 31;

    #[inline(always)]
    unsafe fn count<const SHIFT: u32>(words: uint32x4_t) -> uint32x4_t {
        Self::shift_left::<SHIFT>(vreinterpretq_u32_u8(vcntq_u8(vreinterpretq_u8_u32(words))))
    }

    #[inline(always)]
    unsafe fn add_counts(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        vreinterpretq_u32_u8(vaddq_u8(vreinterpretq_u8_u32(a), vreinterpretq_u8_u32(b)))
    }

    #[inline(always)]
    unsafe fn total(counts: uint32x4_t) -> uint32x4_t {
        vpaddlq_u16(vpaddlq_u8(vreinterpretq_u8_u32(counts)))
    }

    #[inline(always)]
    unsafe fn or(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        vorrq_u32(a, b)
    }

    #[inline(always)]
    unsafe fn sub_words(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        vsubq_u32(a, b)
    }

    #[inline(always)]
    unsafe fn shift_left<const BITS: u32>(words: uint32x4_t) -> uint32x4_t {
        vshlq_u32(words, vdupq_n_s32(BITS.cast_signed()))
    }

    #[inline(always)]
    unsafe fn lanes_below(columns: usize, first: usize) -> uint32x4_t {
        let lanes = vld1q_s32([0, 1, 2, 3].as_ptr());
        vcltq_s32(lanes, vdupq_n_s32(columns as i32 - first as i32))
    }
}

#[allow(
    unsafe_op_in_unsafe_fn,
    reason = "each method is an instruction or two, whose conditions are those of the trait"
)]
impl SignedSums for Neon {
    #[inline(always)]
    unsafe fn spread(word: u32, first: usize, _is_last: bool) -> float32x4_t {
        let (minus, one) = (vdupq_n_u32(1 << 31), vreinterpretq_u32_f32(vdupq_n_f32(1.0)));
        let lanes = vsubq_s32(vld1q_s32([31, 30, 29, 28].as_ptr()), vdupq_n_s32(first as i32));
        let top = vshlq_u32(vdupq_n_u32(word), lanes);
        vreinterpretq_f32_u32(vorrq_u32(vbicq_u32(minus, top), one))
    }

    #[inline(always)]
    unsafe fn add_signed(sum: float32x4_t, x: float32x4_t, signs: float32x4_t, _is_last: bool) -> float32x4_t {
        vfmaq_f32(sum, x, signs)
    }

    #[inline(always)]
    unsafe fn keep(numbers: float32x4_t, lanes: uint32x4_t) -> float32x4_t {
        vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(numbers), lanes))
    }
}

/// Returns one bit per lane of 32 lanes that are all ones or all zeros.
#[inline]
#[target_feature(enable = "neon")]
fn mask(lanes: [uint32x4_t; 8]) -> u32 {
    let mut halves = [vdupq_n_u16(0); 4];
    for (v, halves) in halves.iter_mut().enumerate() {
        *halves = vcombine_u16(vmovn_u32(lanes[2 * v]), vmovn_u32(lanes[2 * v + 1]));
    }
    mask_of_halves(halves)
}

/// Returns one bit per lane of 32 lanes of 16 bits that are all ones or all zeros.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn mask_of_halves([a, b, c, d]: [uint16x8_t; 4]) -> u32 {
    mask_of_bytes(vcombine_u8(vmovn_u16(a), vmovn_u16(b)), vcombine_u8(vmovn_u16(c), vmovn_u16(d)))
}

/// Returns one bit per byte of 32 bytes that are all ones or all zeros.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn mask_of_bytes(low: uint8x16_t, high: uint8x16_t) -> u32 {
    // Each byte keeps one of its 8 bits, by its position; three pairwise additions then collect 8 bytes in one.
    let weights = vreinterpretq_u8_u64(vdupq_n_u64(0x8040_2010_0804_0201));
    let pairs = vpaddq_u8(vandq_u8(low, weights), vandq_u8(high, weights));
    let fours = vpaddq_u8(pairs, pairs);
    vgetq_lane_u32::<0>(vreinterpretq_u32_u8(vpaddq_u8(fours, fours)))
}
