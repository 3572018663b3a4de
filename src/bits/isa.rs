//! One table of functions an instruction set.
//!
//! The table's functions are `unsafe` and private to this folder: they read through pointers and believe their
//! arguments. The only way to them is a method of [`Isa`], which checks every length once and panics where a caller
//! erred, and the only way to an [`Isa`] is `select`, which lists what this processor can run. So no safe caller can
//! cause undefined behaviour.

use super::tasks::{FloatBits, GatheredFloatBits, PANEL, Panels, Xnor, panel_mask};

/// Signature of [`Isa::xnor`]'s inner function; the others follow.
pub(super) type XnorFn = unsafe fn(&Xnor, &mut [i32]);
pub(super) type FloatBitsFn = unsafe fn(&FloatBits, &mut dyn Panels);
pub(super) type GatheredFn = unsafe fn(&GatheredFloatBits, &mut dyn Panels);
pub(super) type SignPackFn = unsafe fn(&[f32], u32, &mut [u32]);
pub(super) type SignPackMaskFn = unsafe fn(&[f32], u32, &mut [u32], &mut [u32]);
pub(super) type TransposeFn = unsafe fn(&[u32; PANEL], &mut [u32; PANEL]);

/// Which instructions work is compiled for.
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

/// One instruction set's kernels. Get one from `all` or `active`.
pub struct Isa {
    /// Its name, as `PLUSMINUS_ISA` takes it: `portable`, `avx2`, `avx512` or `neon`.
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
    /// Bits x bits, one output panel: see [`Xnor`]. `y` is `[row_end - row_begin][32]`, wholly written.
    ///
    /// # Panics
    /// Where a slice is too short, `y` has another length, or a number is out of its range.
    pub fn xnor(&self, task: &Xnor, y: &mut [i32]) {
        task.check(y.len());
        // SAFETY: lengths are checked; an Isa is listed only where the processor has its instructions.
        unsafe { (self.xnor)(task, y) }
    }

    /// Whether floats x bits make the signs of one panel ready and use them for all rows, so that many rows are worth more than many
    /// panels; else what is made of x serves all panels.
    pub fn prefers_row_tiles(&self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return !matches!(self.set, Set::Avx512);
        #[cfg(not(target_arch = "x86_64"))]
        true
    }

    /// Floats x bits: see [`FloatBits`].
    ///
    /// # Panics
    /// Where a slice is too short or a number is out of its range.
    pub fn float_bits(&self, task: &FloatBits, y: &mut dyn Panels) {
        task.check(y);
        if task.inner == 0 && task.accumulate {
            // Nothing joins.
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

    /// Floats x bits with rows from a list: see [`GatheredFloatBits`].
    ///
    /// # Panics
    /// Where a slice is too short or a number is out of its range.
    pub fn gathered_float_bits(&self, task: &GatheredFloatBits, y: &mut dyn Panels) {
        task.check(y);
        if task.rows > 0 {
            // SAFETY: lengths and places are checked, nothing is 0; the processor has the instructions.
            unsafe { (self.gathered)(task, y) }
        }
    }

    /// Signs of a float panel `x` `[rows][32]`: bit c of `out[r]` is `x[r][c] >= 0.0` (so -0.0 is +1 and a
    /// not-a-number is -1), lanes `c >= columns` are 0. `out` has `rows` words: with up to 32 rows it is one tile of
    /// a bit matrix.
    ///
    /// # Panics
    /// Where `x` is not 32 times as long as `out`, or `columns` is not 1 to 32.
    pub fn sign_pack(&self, x: &[f32], columns: usize, out: &mut [u32]) {
        check_sign_pack(x, columns, out.len());
        // SAFETY: x has 32 elements for each word of out; the processor has the instructions.
        unsafe { (self.sign_pack)(x, panel_mask(columns), out) }
    }

    /// [`Isa::sign_pack`], and beside it the clip mask: bit c of `mask[r]` is `|x[r][c]| <= 1.0` (not-a-number is 0),
    /// the places where the straight-through gradient passes.
    ///
    /// # Panics
    /// As [`Isa::sign_pack`], and where `mask` and `out` differ in length.
    pub fn sign_pack_mask(&self, x: &[f32], columns: usize, out: &mut [u32], mask: &mut [u32]) {
        check_sign_pack(x, columns, out.len());
        assert!(mask.len() == out.len(), "sign_pack_mask: mask has {} words, expected {}", mask.len(), out.len());
        // SAFETY: x has 32 elements for each word of out and of mask; the processor has the instructions.
        unsafe { (self.sign_pack_mask)(x, panel_mask(columns), out, mask) }
    }

    /// Transpose of a 32 x 32 tile of bits: bit j of `out[i]` is bit i of `tile[j]`. Turns rows packed along one axis
    /// into rows packed along the other.
    pub fn transpose32(&self, tile: &[u32; PANEL], out: &mut [u32; PANEL]) {
        // SAFETY: both arrays have their length by type; the processor has the instructions.
        unsafe { (self.transpose32)(tile, out) }
    }
}

fn check_sign_pack(x: &[f32], columns: usize, out: usize) {
    assert!((1..=PANEL).contains(&columns), "sign_pack: columns is {columns}, expected 1 to 32");
    assert!(x.len() == out.saturating_mul(PANEL), "sign_pack: x has {} elements, expected {out} x 32", x.len());
}
