//! Packing of the signs of floats into words of bits.

use super::tasks::PANEL;
use super::vector::Vectors;

/// Implements `Isa::sign_pack`; bits outside of `valid` are 0.
///
/// # Safety
/// The processor has V's instructions.
#[inline(always)]
pub(super) unsafe fn sign_pack<V: Vectors>(x: &[f32], valid: u32, out: &mut [u32]) {
    for (x, out) in x.chunks_exact(PANEL).zip(out) {
        // SAFETY: the caller promises the instructions; x has 32 numbers.
        *out = unsafe { V::not_negative(V::load_row(x.as_ptr())) } & valid;
    }
}

/// Implements `Isa::sign_pack_mask`; bits outside of `valid` are 0.
///
/// # Safety
/// The processor has V's instructions.
#[inline(always)]
pub(super) unsafe fn sign_pack_mask<V: Vectors>(x: &[f32], valid: u32, out: &mut [u32], mask: &mut [u32]) {
    for ((x, out), mask) in x.chunks_exact(PANEL).zip(out).zip(mask) {
        // SAFETY: the caller promises the instructions; x has 32 numbers.
        unsafe {
            let x = V::load_row(x.as_ptr());
            *out = V::not_negative(x) & valid;
            *mask = V::within_one(x) & valid;
        }
    }
}
