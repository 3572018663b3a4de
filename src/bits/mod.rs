//! The processor's bit kernels. Signs stand 32 to a `u32` (bit 1 = +1, least significant bit first, tail bits 0), matrices lie in panels of 32.
//! `tasks` says what a task is, `isa` checks it ([`Isa`]), a file or two an instruction set hold the inner loops; [`all`] and [`active`] are the
//! roll-call. A kernel call is one sequential task; whoever calls spreads tasks over threads. Integers and bits are the same on every
//! instruction set; floats differ in their last bits. Slices need no alignment; buffers that begin on a cache line (64 bytes) run fastest.

#![allow(
    unsafe_code,
    reason = "vector instructions read and write through pointers; tasks are checked before, every length"
)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx2_float;
#[cfg(target_arch = "x86_64")]
mod avx2_lanes;
#[cfg(target_arch = "x86_64")]
mod avx2_narrow;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_float;
#[cfg(target_arch = "x86_64")]
mod avx512_narrow;
mod isa;
mod narrow;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod select;
mod sweep;
mod tasks;
#[cfg(test)]
mod tests;
mod update;

pub use isa::Isa;
pub use select::{VARIABLE, active, all, choose, current};
pub use tasks::{ABSENT, FloatBits, GatheredFloatBits, PANEL, Panels, StridedPanels, Xnor, panel_mask, words};
pub use update::{F16, F32, I8, I16, Storage, Unit, UpdateRow, Updated};
