//! Plain Rust, written so that a compiler can vectorise it: every processor, WebAssembly included.

use super::isa::{Floats, Isa, Set};
use super::storage::{F16, I8, I16, load_lanes, store_lanes};
use super::tasks::{FloatBits, PANEL, Xnor, words};
use super::vector::{Vectors, Work};

pub(super) static ISA: Isa = Isa {
    name: "portable",
    set: Set::Portable,
    xnor,
    floats: Floats::Panel(float_bits),
    sign_pack,
    sign_pack_mask,
    transpose32,
};

/// Columns that are worked on together: a multiple of every vector's length.
const LANES: usize = 8;
type Lanes = [u32; LANES];

#[inline(always)]
fn map2(a: Lanes, b: Lanes, f: impl Fn(u32, u32) -> u32) -> Lanes {
    std::array::from_fn(|lane| f(a[lane], b[lane]))
}

/// Carry-save adder: `sum + a + b = sum' + 2 * carry` in every bit. Eight words become one to count, since counting
/// bits is dear without an instruction for it.
#[inline(always)]
fn add(sum: &mut Lanes, a: Lanes, b: Lanes) -> Lanes {
    let half = map2(a, b, |a, b| a ^ b);
    let carry = map2(map2(a, b, |a, b| a & b), map2(half, *sum, |a, b| a & b), |a, b| a | b);
    *sum = map2(half, *sum, |a, b| a ^ b);
    carry
}

#[inline(always)]
fn count(total: &mut Lanes, x: Lanes, shift: u32) {
    *total = map2(*total, x, |total, x| total + (x.count_ones() << shift));
}

/// Popcounts of `a ^ w` over all words, for one row and [`LANES`] columns. Both slices step by 32 words.
#[inline(always)]
fn distance(a: &[u32], w: &[u32], words: usize) -> Lanes {
    let differ = |i: usize| -> Lanes {
        let a = a[i * PANEL];
        let w: &Lanes = w[i * PANEL..][..LANES].try_into().expect("a slice of that length");
        w.map(|w| w ^ a)
    };
    let [mut total, mut ones, mut twos, mut fours] = [[0; LANES]; 4];
    let eights = words / 8 * 8;
    for i in (0..eights).step_by(8) {
        let two_a = add(&mut ones, differ(i), differ(i + 1));
        let two_b = add(&mut ones, differ(i + 2), differ(i + 3));
        let four_a = add(&mut twos, two_a, two_b);
        let two_a = add(&mut ones, differ(i + 4), differ(i + 5));
        let two_b = add(&mut ones, differ(i + 6), differ(i + 7));
        let four_b = add(&mut twos, two_a, two_b);
        let eight = add(&mut fours, four_a, four_b);
        count(&mut total, eight, 3);
    }
    (eights..words).for_each(|i| count(&mut total, differ(i), 0));
    if eights > 0 {
        count(&mut total, ones, 0);
        count(&mut total, twos, 1);
        count(&mut total, fours, 2);
    }
    total
}

fn xnor(task: &Xnor, y: &mut [i32]) {
    let words = words(task.k);
    for (r, y) in (task.row_begin..task.row_end).zip(y.chunks_exact_mut(PANEL)) {
        let a = &task.a[r / PANEL * words * PANEL + r % PANEL..];
        for c in (0..PANEL).step_by(LANES) {
            let distance = distance(a, &task.w[c..], words);
            (0..LANES).for_each(|lane| y[c + lane] = task.k as i32 - 2 * distance[lane] as i32);
        }
        y[task.columns..].fill(0);
    }
}

/// Values of j summed at once before they join y.
const BLOCK: usize = 64;

fn float_bits(task: &FloatBits, y: &mut [f32]) {
    let mut signs = [[0.0f32; PANEL]; BLOCK];
    for start in (0..task.inner).step_by(BLOCK) {
        let signs = &mut signs[..BLOCK.min(task.inner - start)];
        for (j, signs) in (start..).zip(signs.iter_mut()) {
            let word = task.bits[j / PANEL * task.bits_block + j % PANEL];
            *signs = std::array::from_fn(|c| f32::from_bits((!word >> c << 31) | 1.0f32.to_bits()));
        }
        for i in 0..task.rows {
            let mut sums = [0.0f32; PANEL];
            for (j, signs) in (start..).zip(signs.iter()) {
                let x = task.x[j / PANEL * task.x_block + j % PANEL * task.x_inner + i * task.x_row];
                (0..PANEL).for_each(|c| sums[c] += x * signs[c]);
            }
            let y = &mut y[i * task.y_row..][..PANEL];
            if start == 0 && !task.accumulate {
                y.copy_from_slice(&sums);
            } else {
                y.iter_mut().zip(&sums).for_each(|(y, sum)| *y += sum);
            }
            y[task.columns..].fill(0.0);
        }
    }
}

fn pack(x: &[f32], test: impl Fn(f32) -> bool) -> u32 {
    x.iter().enumerate().fold(0, |word, (c, &x)| word | u32::from(test(x)) << c)
}

fn sign_pack(x: &[f32], valid: u32, out: &mut [u32]) {
    x.chunks_exact(PANEL).zip(out).for_each(|(x, out)| *out = pack(x, |x| x >= 0.0) & valid);
}

fn sign_pack_mask(x: &[f32], valid: u32, out: &mut [u32], mask: &mut [u32]) {
    sign_pack(x, valid, out);
    x.chunks_exact(PANEL).zip(mask).for_each(|(x, mask)| *mask = pack(x, |x| x.abs() <= 1.0) & valid);
}

/// Swaps the off-diagonal quarters of ever smaller squares: 16 x 16, 8 x 8, down to single bits.
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

/// Runs work with what every processor has.
pub(super) fn within<W: Work>(work: W) -> W::Output {
    // SAFETY: no instruction beyond those that the crate is compiled for.
    unsafe { work.run::<Portable>() }
}

/// What every processor has: arrays, of which the compiler makes vectors.
pub(super) enum Portable {}

#[allow(
    unsafe_op_in_unsafe_fn,
    reason = "pointers are read and written under the trait's conditions, which make that safe"
)]
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
    unsafe fn is_finite(numbers: Self::Floats) -> bool {
        numbers.iter().fold(true, |all, number| all & number.is_finite())
    }

    #[inline(always)]
    unsafe fn max_words(a: Lanes, b: Lanes) -> Lanes {
        map2(a, b, u32::max)
    }

    #[inline(always)]
    unsafe fn prefetch<T>(_at: *const T) {}

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
