//! Plain Rust, written so that a compiler can vectorise it: every processor, WebAssembly included.

use super::isa::{Floats, Isa, Set};
use super::sweep::{Job, Vectors};
use super::tasks::{FloatBits, PANEL, Xnor, words};

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

/// Runs a job with what every processor has.
pub(super) fn within<J: Job>(job: J) -> J::Output {
    // SAFETY: no instruction beyond those that the crate is compiled for.
    unsafe { job.run::<Here>() }
}

/// What jobs need of this set.
pub(super) enum Here {}

impl Vectors for Here {
    #[inline]
    unsafe fn signs(x: &[f32; PANEL]) -> [u32; 2] {
        [pack(x, |x| x > 0.0), pack(x, |x| x < 0.0)]
    }
}
