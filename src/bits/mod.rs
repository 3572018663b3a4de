//! CPU kernels on packed bits. A `u32` word holds 32 signs (bit 1 = +1, least significant bit first, tail bits 0); matrices are stored in panels of
//! 32 rows or columns.
//!
//! `tasks` defines and validates the arguments of a kernel. [`Isa`] is the table of one instruction set's kernels; [`all`] lists the sets that this
//! processor can run and [`active`] returns the one in use. Each algorithm is written once, generic over the vector registers of an instruction set
//! (`vector`): `xnor`, `float_bits`, `sign_pack`, and `update` with the formats of `storage`. Each instruction set has one to three files with its
//! registers and tile sizes. Only AVX-512 multiplies floats by bits with a different algorithm (`avx512_float`): a permutation looks up one of the 16
//! signed sums of four terms, which needs a register of 16 floats.
//!
//! A kernel call is one sequential task; the caller distributes tasks over threads. Integers, bits and updates are identical on every instruction
//! set; products of floats differ in rounding. Slices need no alignment; buffers aligned to a cache line (64 bytes) are fastest.

#![allow(
    unsafe_code,
    reason = "vector instructions read and write through pointers; every length of a task is checked beforehand"
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
