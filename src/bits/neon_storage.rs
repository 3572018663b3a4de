//! Narrow storage of optimizer states with NEON. F16 uses the scalar definition: the rounding mode of `FCVTN` is not part of the instruction.

use std::arch::aarch64::*;

use super::neon::{Neon, mask_of_bytes, mask_of_halves};
use super::storage::{F16, load_lanes, store_lanes};
use super::vector::StorageVectors;

#[allow(
    unsafe_op_in_unsafe_fn,
    reason = "each method is an instruction or two, whose conditions are those of the trait"
)]
impl StorageVectors for Neon {
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

/// Rounds numbers of 65536ths to integers of 16 bits, after adding the random bits. Magnitudes above `most` saturate; NaN becomes `most`.
#[inline]
#[target_feature(enable = "neon")]
fn rounded(numbers: [float32x4_t; 8], random: [uint32x4_t; 8], most: f32) -> [int16x8_t; 4] {
    let end = 65536.0 * most;
    let mut integers = [vdupq_n_s16(0); 4];
    for (pair, integers) in integers.iter_mut().enumerate() {
        let mut halves = [vdup_n_s16(0); 2];
        for (half, integer) in halves.iter_mut().enumerate() {
            let v = 2 * pair + half;
            // FMINNM returns the operand that is a number if the other is NaN, so NaN becomes `end`.
            let within = vmaxnmq_f32(vminnmq_f32(numbers[v], vdupq_n_f32(end)), vdupq_n_f32(-end));
            let steps = vaddq_s32(vcvtq_s32_f32(within), vreinterpretq_s32_u32(random[v]));
            *integer = vshrn_n_s32::<16>(steps);
        }
        *integers = vcombine_s16(halves[0], halves[1]);
    }
    integers
}
