//! The processor's bit kernels. Signs stand 32 to a `u32` (bit 1 = +1, least significant bit first, tail bits 0),
//! matrices lie in panels of 32. `isa` holds the contract ([`Isa`] and the tasks it takes), one file an instruction
//! set the inner loops; [`all`] and [`active`] the roll-call. A kernel call is one sequential task; whoever calls spreads tasks over threads. Integers and bits are the same on every instruction set;
//! floats differ in their last bits. Slices need no alignment; buffers that begin on a cache line (64 bytes) run
//! fastest.

#![allow(
    unsafe_code,
    reason = "vector instructions read and write through pointers; isa.rs checks every length before"
)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx2_float;
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
#[cfg(test)]
mod tests;

pub use isa::{ABSENT, Apart, FloatBits, GatheredFloatBits, Isa, PANEL, Panels, Xnor, panel_mask, words};
pub use narrow::{Averages, F16, Format, I8, I16, Swept, Unit};
pub use select::{VARIABLE, active, all, choose, current};
