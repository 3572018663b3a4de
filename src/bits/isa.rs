//! The kernel table of an instruction set.
//!
//! The functions of the table are `unsafe` and private to this folder: they read through pointers and do not validate
//! their arguments. They are reachable only through the methods of [`Isa`], which check every length and panic on
//! invalid arguments. An [`Isa`] comes only from `select`, which lists the sets that this processor can run. Safe
//! callers therefore cannot cause undefined behaviour.

use super::tasks::{FloatBits, GatheredFloatBits, PANEL, Panels, Xnor, panel_mask};

/// Signature of the function behind [`Isa::xnor`]; the aliases below are those of the other kernels.
pub(super) type XnorFn = unsafe fn(&Xnor, &mut [i32]);
pub(super) type FloatBitsFn = unsafe fn(&FloatBits, &mut dyn Panels);
pub(super) type GatheredFn = unsafe fn(&GatheredFloatBits, &mut dyn Panels);
pub(super) type SignPackFn = unsafe fn(&[f32], u32, &mut [u32]);
pub(super) type SignPackMaskFn = unsafe fn(&[f32], u32, &mut [u32], &mut [u32]);
pub(super) type TransposeFn = unsafe fn(&[u32; PANEL], &mut [u32; PANEL]);

/// The instruction set that [`Isa::run`] compiles generic work for.
#[derive(Clone, Copy)]
pub(super) enum Set {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    Neon,
    Portable,
}

/// The kernels of one instruction set, as returned by `all` and `active`.
pub struct Isa {
    /// Name of the set, as accepted by `PLUSMINUS_ISA`: `portable`, `avx2`, `avx512` or `neon`.
    pub name: &'static str,
    pub(super) set: Set,
    pub(super) xnor: XnorFn,
    pub(super) float_bits: FloatBitsFn,
    pub(super) gathered: GatheredFn,
    pub(super) sign_pack: SignPackFn,
    pub(super) sign_pack_mask: SignPackMaskFn,
    pub(super) transpose32: TransposeFn,
}

impl std::fmt::Debug for Isa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Isa({})", self.name)
    }
}

impl Isa {
    /// Multiplies bits by bits for one output panel: see [`Xnor`]. `y` is `[row_end - row_begin][32]`; every element is
    /// written.
    ///
    /// # Panics
    /// Panics if a slice is too short, `y` has a different length, or a field of the task is out of range.
    pub fn xnor(&self, task: &Xnor, y: &mut [i32]) {
        task.check(y.len());
        // SAFETY: lengths are checked; an Isa is listed only where the processor has its instructions.
        unsafe { (self.xnor)(task, y) }
    }

    /// Returns whether [`Isa::float_bits`] is faster on tiles of many rows than on tiles of many panels. It is where the kernel
    /// expands the signs of one panel and reuses them for all rows; AVX-512 instead tabulates x and reuses the tables for all panels.
    pub fn prefers_row_tiles(&self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return !matches!(self.set, Set::Avx512);
        #[cfg(not(target_arch = "x86_64"))]
        true
    }

    /// Multiplies floats by bits: see [`FloatBits`].
    ///
    /// # Panics
    /// Panics if a slice is too short or a field of the task is out of range.
    pub fn float_bits(&self, task: &FloatBits, y: &mut dyn Panels) {
        task.check(y);
        if task.inner == 0 && task.accumulate {
            // An empty sum adds nothing to y.
        } else if task.inner == 0 {
            for at in 0..task.panels() {
                let y = y.panel(at);
                (0..task.rows).for_each(|i| y[i * task.y_row..][..PANEL].fill(0.0));
            }
        } else if task.rows > 0 {
            // SAFETY: lengths are checked, inner and rows are at least 1; the processor has the instructions.
            unsafe { (self.float_bits)(task, y) }
        }
    }

    /// Multiplies floats by bits with rows gathered by index: see [`GatheredFloatBits`].
    ///
    /// # Panics
    /// Panics if a slice is too short or a field of the task is out of range.
    pub fn gathered_float_bits(&self, task: &GatheredFloatBits, y: &mut dyn Panels) {
        task.check(y);
        if task.rows > 0 {
            // SAFETY: lengths and places are checked, no dimension is 0; the processor has the instructions.
            unsafe { (self.gathered)(task, y) }
        }
    }

    /// Packs the signs of a float panel `x` `[rows][32]`: bit c of `out[r]` is `x[r][c] >= 0.0` (so -0.0 is +1 and NaN
    /// is -1); bits `c >= columns` are 0. `out` has `rows` words: with up to 32 rows it is one tile of a bit matrix.
    ///
    /// # Panics
    /// Panics if `x` is not 32 times as long as `out`, or `columns` is not 1 to 32.
    pub fn sign_pack(&self, x: &[f32], columns: usize, out: &mut [u32]) {
        check_sign_pack(x, columns, out.len());
        // SAFETY: x has 32 elements for each word of out; the processor has the instructions.
        unsafe { (self.sign_pack)(x, panel_mask(columns), out) }
    }

    /// Packs signs as [`Isa::sign_pack`] and writes the clip mask of the straight-through estimator: bit c of `mask[r]`
    /// is `|x[r][c]| <= 1.0` (0 for NaN).
    ///
    /// # Panics
    /// Panics as [`Isa::sign_pack`] does, and if `mask` and `out` differ in length.
    pub fn sign_pack_mask(&self, x: &[f32], columns: usize, out: &mut [u32], mask: &mut [u32]) {
        check_sign_pack(x, columns, out.len());
        assert!(mask.len() == out.len(), "sign_pack_mask: mask has {} words, expected {}", mask.len(), out.len());
        // SAFETY: x has 32 elements for each word of out and of mask; the processor has the instructions.
        unsafe { (self.sign_pack_mask)(x, panel_mask(columns), out, mask) }
    }

    /// Transposes a 32 x 32 tile of bits: bit j of `out[i]` is bit i of `tile[j]`. Converts a matrix packed along one
    /// axis to one packed along the other.
    pub fn transpose32(&self, tile: &[u32; PANEL], out: &mut [u32; PANEL]) {
        // SAFETY: both arrays have their length by type; the processor has the instructions.
        unsafe { (self.transpose32)(tile, out) }
    }
}

fn check_sign_pack(x: &[f32], columns: usize, out: usize) {
    assert!((1..=PANEL).contains(&columns), "sign_pack: columns is {columns}, expected 1 to 32");
    assert!(x.len() == out.saturating_mul(PANEL), "sign_pack: x has {} elements, expected {out} x 32", x.len());
}
