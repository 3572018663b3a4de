//! Plain Rust that the compiler can vectorise, for every processor and WebAssembly.

use super::float_bits::{gathered_panel, panel};
use super::isa::{Isa, Set};
use super::sign_pack::{sign_pack as pack_signs, sign_pack_mask as pack_mask};
use super::storage::{F16, I8, I16, load_lanes, store_lanes};
use super::tasks::{FloatBits, GatheredFloatBits, PANEL, Panels, Xnor, words};
use super::vector::{BitCounts, SignedSums, StorageVectors, Vectors, Work};
use super::xnor::by_carry_save;

pub(super) static ISA: Isa =
    Isa { name: "portable", set: Set::Portable, xnor, float_bits, gathered, sign_pack, sign_pack_mask, transpose32 };

/// # Safety
/// `task` passed its check against `y`.
unsafe fn xnor(task: &Xnor, y: &mut [i32]) {
    // SAFETY: the caller promises the check. Carry-save adders, because a popcount is expensive without an instruction for it.
    unsafe { by_carry_save::<Portable, 1>(task, y) }
}

/// Terms that are summed in registers before they are added to y.
const ROOM: usize = 64;

/// # Safety
/// `task` passed its check against `y`, its rows and inner are at least 1.
unsafe fn float_bits(task: &FloatBits, y: &mut dyn Panels) {
    for at in 0..task.panels() {
        // SAFETY: the caller promises a checked task; a panel of a checked task is also checked.
        unsafe { panel::<Portable, 4, 2, 2, ROOM>(&task.panel(at), y.panel(at)) }
    }
}

/// # Safety
/// `task` passed its check against `y`, its rows are at least 1.
unsafe fn gathered(task: &GatheredFloatBits, y: &mut dyn Panels) {
    let most = if task.terms == PANEL { ROOM / PANEL } else { 1 };
    for at in 0..words(task.columns) {
        // SAFETY: the caller promises a checked task; `most` blocks have at most `ROOM` terms.
        unsafe { gathered_panel::<Portable, 4, 2, 2, ROOM>(task, at, most, y.panel(at)) }
    }
}

fn sign_pack(x: &[f32], valid: u32, out: &mut [u32]) {
    // SAFETY: uses only instructions that the crate is compiled for.
    unsafe { pack_signs::<Portable>(x, valid, out) }
}

fn sign_pack_mask(x: &[f32], valid: u32, out: &mut [u32], mask: &mut [u32]) {
    // SAFETY: uses only instructions that the crate is compiled for.
    unsafe { pack_mask::<Portable>(x, valid, out, mask) }
}

/// Transposes a tile by swapping the off-diagonal quarters of squares of 32 x 32, 16 x 16, down to 2 x 2 bits.
fn transpose32(tile: &[u32; PANEL], out: &mut [u32; PANEL]) {
    *out = *tile;
    let (mut size, mut low) = (16, 0x0000_ffffu32);
    while size > 0 {
        for i in (0..PANEL).filter(|i| i & size == 0) {
            let swap = ((out[i] >> size) ^ out[i + size]) & low;
            out[i] ^= swap << size;
            out[i + size] ^= swap;
        }
        size /= 2;
        low ^= low << size;
    }
}

/// Runs work compiled for the crate's baseline instructions.
pub(super) fn within<W: Work>(work: W) -> W::Output {
    // SAFETY: uses only instructions that the crate is compiled for.
    unsafe { work.run::<Portable>() }
}

/// Columns processed together: a multiple of the vector length on every target.
const LANES: usize = 8;
type Lanes = [u32; LANES];

#[inline(always)]
fn map2(a: Lanes, b: Lanes, f: impl Fn(u32, u32) -> u32) -> Lanes {
    std::array::from_fn(|lane| f(a[lane], b[lane]))
}

#[inline(always)]
fn pack(x: &[f32], test: impl Fn(f32) -> bool) -> u32 {
    x.iter().enumerate().fold(0, |word, (c, &x)| word | u32::from(test(x)) << c)
}

/// Registers as plain arrays, which the compiler vectorises on every target.
pub(super) enum Portable {}

#[allow(unsafe_op_in_unsafe_fn, reason = "pointers are read and written under the conditions of the trait")]
impl Vectors for Portable {
    const LANES: usize = LANES;
    type Floats = [f32; LANES];
    type Words = Lanes;
    type Row = [[f32; LANES]; PANEL / LANES];
    type WordRow = [Lanes; PANEL / LANES];

    #[inline(always)]
    unsafe fn zeros() -> Self::Row {
        [[0.0; LANES]; PANEL / LANES]
    }

    #[inline(always)]
    unsafe fn no_words() -> Self::WordRow {
        [[0; LANES]; PANEL / LANES]
    }

    #[inline(always)]
    unsafe fn splat(number: f32) -> Self::Floats {
        [number; LANES]
    }

    #[inline(always)]
    unsafe fn splat_word(word: u32) -> Lanes {
        [word; LANES]
    }

    #[inline(always)]
    unsafe fn load(at: *const f32) -> Self::Floats {
        at.cast::<Self::Floats>().read_unaligned()
    }

    #[inline(always)]
    unsafe fn store(at: *mut f32, numbers: Self::Floats) {
        at.cast::<Self::Floats>().write_unaligned(numbers);
    }

    #[inline(always)]
    unsafe fn load_words(at: *const u32) -> Lanes {
        at.cast::<Lanes>().read_unaligned()
    }

    #[inline(always)]
    unsafe fn store_words(at: *mut u32, words: Lanes) {
        at.cast::<Lanes>().write_unaligned(words);
    }

    #[inline(always)]
    unsafe fn mul(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        std::array::from_fn(|lane| a[lane] * b[lane])
    }

    #[inline(always)]
    unsafe fn add(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        std::array::from_fn(|lane| a[lane] + b[lane])
    }

    #[inline(always)]
    unsafe fn and(a: Lanes, b: Lanes) -> Lanes {
        map2(a, b, |a, b| a & b)
    }

    #[inline(always)]
    unsafe fn xor(a: Lanes, b: Lanes) -> Lanes {
        map2(a, b, |a, b| a ^ b)
    }

    #[inline(always)]
    unsafe fn add_words(a: Lanes, b: Lanes) -> Lanes {
        map2(a, b, u32::wrapping_add)
    }

    #[inline(always)]
    unsafe fn mul_words(a: Lanes, b: Lanes) -> Lanes {
        map2(a, b, u32::wrapping_mul)
    }

    #[inline(always)]
    unsafe fn shift_right<const BITS: u32>(words: Lanes) -> Lanes {
        words.map(|word| word >> BITS)
    }

    #[inline(always)]
    unsafe fn positive(numbers: Self::Row) -> u32 {
        pack(numbers.as_flattened(), |x| x > 0.0)
    }

    #[inline(always)]
    unsafe fn negative(numbers: Self::Row) -> u32 {
        pack(numbers.as_flattened(), |x| x < 0.0)
    }

    #[inline(always)]
    unsafe fn not_negative(numbers: Self::Row) -> u32 {
        pack(numbers.as_flattened(), |x| x >= 0.0)
    }

    #[inline(always)]
    unsafe fn within_one(numbers: Self::Row) -> u32 {
        pack(numbers.as_flattened(), |x| x.abs() <= 1.0)
    }

    #[inline(always)]
    unsafe fn is_finite(numbers: Self::Floats) -> bool {
        numbers.iter().fold(true, |all, number| all & number.is_finite())
    }

    #[inline(always)]
    unsafe fn prefetch<T>(_at: *const T) {}
}

#[allow(unsafe_op_in_unsafe_fn, reason = "pointers are read and written under the conditions of the trait")]
impl StorageVectors for Portable {
    #[inline(always)]
    unsafe fn load_f16(at: *const u16) -> Self::Floats {
        load_lanes::<F16, Self>(at)
    }

    #[inline(always)]
    unsafe fn load_i16(at: *const i16) -> Self::Floats {
        load_lanes::<I16, Self>(at)
    }

    #[inline(always)]
    unsafe fn load_i8(at: *const i8) -> Self::Floats {
        load_lanes::<I8, Self>(at)
    }

    #[inline(always)]
    unsafe fn store_f16(at: *mut u16, numbers: Self::Row, random: Self::WordRow, sizes: &mut Lanes) -> [u32; 2] {
        store_lanes::<F16, Self>(at, numbers, random, sizes)
    }

    #[inline(always)]
    unsafe fn store_i16(at: *mut i16, numbers: Self::Row, random: Self::WordRow, sizes: &mut Lanes) -> [u32; 2] {
        store_lanes::<I16, Self>(at, numbers, random, sizes)
    }

    #[inline(always)]
    unsafe fn store_i8(at: *mut i8, numbers: Self::Row, random: Self::WordRow, sizes: &mut Lanes) -> [u32; 2] {
        store_lanes::<I8, Self>(at, numbers, random, sizes)
    }
}

impl BitCounts for Portable {
    /// A byte holds the sum of the popcounts of 31 bytes.
    const COUNTED: usize = 31;

    /// Counts by adding neighbours: single bits, then pairs, then fours.
    #[inline(always)]
    unsafe fn count<const SHIFT: u32>(words: Lanes) -> Lanes {
        words.map(|x| {
            let x = x - (x >> 1 & 0x5555_5555);
            let x = (x & 0x3333_3333) + (x >> 2 & 0x3333_3333);
            ((x + (x >> 4)) & 0x0f0f_0f0f) << SHIFT
        })
    }

    #[inline(always)]
    unsafe fn add_counts(a: Lanes, b: Lanes) -> Lanes {
        map2(a, b, u32::wrapping_add)
    }

    #[inline(always)]
    unsafe fn total(counts: Lanes) -> Lanes {
        counts.map(|x| {
            let x = (x & 0x00ff_00ff) + (x >> 8 & 0x00ff_00ff);
            (x & 0xffff) + (x >> 16)
        })
    }

    #[inline(always)]
    unsafe fn or(a: Lanes, b: Lanes) -> Lanes {
        map2(a, b, |a, b| a | b)
    }

    #[inline(always)]
    unsafe fn sub_words(a: Lanes, b: Lanes) -> Lanes {
        map2(a, b, u32::wrapping_sub)
    }

    #[inline(always)]
    unsafe fn shift_left<const BITS: u32>(words: Lanes) -> Lanes {
        words.map(|word| word << BITS)
    }

    #[inline(always)]
    unsafe fn lanes_below(columns: usize, first: usize) -> Lanes {
        std::array::from_fn(|lane| if first + lane < columns { u32::MAX } else { 0 })
    }
}

impl SignedSums for Portable {
    #[inline(always)]
    unsafe fn spread(word: u32, first: usize, _is_last: bool) -> Self::Floats {
        std::array::from_fn(|lane| f32::from_bits((!word >> (first + lane) << 31) | 1.0_f32.to_bits()))
    }

    #[inline(always)]
    unsafe fn add_signed(sum: Self::Floats, x: Self::Floats, signs: Self::Floats, _is_last: bool) -> Self::Floats {
        std::array::from_fn(|lane| sum[lane] + x[lane] * signs[lane])
    }

    #[inline(always)]
    unsafe fn keep(numbers: Self::Floats, lanes: Lanes) -> Self::Floats {
        std::array::from_fn(|lane| f32::from_bits(numbers[lane].to_bits() & lanes[lane]))
    }
}
