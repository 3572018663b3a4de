//! The processor's bit kernels. Signs stand 32 to a `u32` (bit 1 = +1, least significant bit first, tail bits 0), matrices lie in panels of 32.
//!
//! `tasks` says what a task is and checks it, [`Isa`] is the table of an instruction set's kernels, [`all`] and [`active`] list the sets of this
//! processor. Each algorithm is written once over the registers of an instruction set (`vector`): `xnor`, `float_bits`, `sign_pack`, and `update`
//! with the formats of `storage`. A file or two for each set hold its registers and its choices. Only AVX-512 multiplies floats by bits in another
//! way (`avx512_float`): a permutation picks one of the 16 sums of four terms, which takes a register of 16 floats.
//!
//! A kernel call is one sequential task; the caller spreads tasks over threads. Integers, bits and updates are the same on every instruction set;
//! products of floats differ in their last bits. Slices need no alignment; buffers that begin on a cache line (64 bytes) run fastest.

#![allow(
    unsafe_code,
    reason = "vector instructions read and write through pointers; every length of a task is checked before"
)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx2_storage;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_float;
#[cfg(target_arch = "x86_64")]
mod avx512_storage;
mod float_bits;
mod isa;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_storage;
mod portable;
mod select;
mod sign_pack;
mod storage;
mod tasks;
#[cfg(test)]
mod tests;
mod update;
mod vector;
mod xnor;

pub use isa::Isa;
pub use select::{VARIABLE, active, all, choose, current};
pub use storage::{F16, F32, I8, I16, Storage};
pub use tasks::{ABSENT, FloatBits, GatheredFloatBits, PANEL, Panels, StridedPanels, Xnor, panel_mask, words};
pub use update::{Unit, UpdateRow, Updated};
