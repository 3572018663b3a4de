//! The update of a row of binary weights: a rule moves the states of each weight by its gradient, and decides its sign. The loop, the packing of signs, the
//! count of flips and the conversion of stored states are here, once for every rule and storage.

use super::isa::Isa;
use super::sweep::{Job, Vectors, commit_word};
use super::tasks::PANEL;
use crate::tensor::{Draws, HALF_MOST, half_rounded, half_value};
use std::array;

/// How a state is stored.
pub trait Storage: Sized {
    /// One state.
    type Stored: Copy + Default + 'static;
    /// Whether states are rounded, and their stored sign is the weight.
    const IS_NARROW: bool;
    /// Whether rows have units of their own.
    const HAS_UNITS: bool;
    /// The largest number, in its unit.
    const MAX: f32;
    /// What numbers are multiplied by before they are stored: a rounding's steps of a unit.
    const FINE: f32;
    /// The number, in its unit.
    fn load(stored: Self::Stored) -> f32;
    /// The larger size of two.
    fn larger(one: Self::Stored, other: Self::Stored) -> Self::Stored;
    /// One of the two neighbours of a number, given in its unit times `FINE`, the nearer the likelier, by 16 random bits. What is too large
    /// becomes the largest.
    fn store(value: f32, random: u32) -> Self::Stored;
}

/// 32-bit floats.
#[derive(Debug)]
pub enum F32 {}

impl Storage for F32 {
    type Stored = f32;
    const IS_NARROW: bool = false;
    const HAS_UNITS: bool = false;
    const MAX: f32 = f32::INFINITY;
    const FINE: f32 = 1.0;
    #[inline(always)]
    fn load(stored: f32) -> f32 {
        stored
    }
    #[inline(always)]
    fn larger(one: f32, other: f32) -> f32 {
        // By bits, so that not-a-number is larger than any number.
        f32::from_bits((one.to_bits() & 0x7fff_ffff).max(other.to_bits() & 0x7fff_ffff))
    }
    #[inline(always)]
    fn store(value: f32, _random: u32) -> f32 {
        value
    }
}

/// 16-bit floats.
#[derive(Debug)]
pub enum F16 {}

impl Storage for F16 {
    type Stored = u16;
    const IS_NARROW: bool = true;
    const HAS_UNITS: bool = false;
    const MAX: f32 = HALF_MOST;
    const FINE: f32 = 1.0;
    #[inline(always)]
    fn load(stored: u16) -> f32 {
        half_value(stored)
    }
    #[inline(always)]
    fn larger(one: u16, other: u16) -> u16 {
        (one & 0x7fff).max(other & 0x7fff)
    }
    #[inline(always)]
    fn store(value: f32, random: u32) -> u16 {
        half_rounded(value, random >> 3)
    }
}

macro_rules! integers {
    ($(#[$meta:meta])* $name:ident, $stored:ident) => {
        $(#[$meta])*
        #[derive(Debug)]
        pub enum $name {}

        impl Storage for $name {
            type Stored = $stored;
            const IS_NARROW: bool = true;
            const HAS_UNITS: bool = true;
            const MAX: f32 = $stored::MAX as f32;
            const FINE: f32 = 65536.0;
            #[inline(always)]
            fn load(stored: $stored) -> f32 {
                f32::from(stored)
            }
            #[inline(always)]
            fn larger(one: $stored, other: $stored) -> $stored {
                one.wrapping_abs().max(other.wrapping_abs())
            }
            #[inline(always)]
            fn store(value: f32, random: u32) -> $stored {
                const END: f32 = 65536.0 * $stored::MAX as f32;
                // Comparisons that send not-a-number to an end.
                let below = if value < END { value } else { END };
                let within = if below > -END { below } else { -END };
                // SAFETY: within +-END, which i32 holds with any 16 bits added.
                let steps = unsafe { within.to_int_unchecked::<i32>() };
                ((steps + random as i32) >> 16) as $stored
            }
        }
    };
}

integers!(
    /// 16-bit integers.
    I16, i16
);
integers!(
    /// 8-bit integers.
    I8, i8
);

/// Units of one state of a row.
#[derive(Clone, Copy, Debug)]
pub struct Unit {
    /// That it is stored in: a power of two of at least 2^-100, so that a stored number times its unit is exact.
    pub old: f32,
    /// 1 / the unit that it will be stored in.
    pub inverse: f32,
}

impl Unit {
    /// States that are stored as they are.
    pub const ONE: Self = Self { old: 1.0, inverse: 1.0 };
}

/// One row of weights.
pub struct UpdateRow<'a, S: Storage, const N: usize> {
    /// Row of the panel of weights, below 32.
    pub row: usize,
    /// Gradients, `[words * 32]`.
    pub g: &'a [f32],
    /// The whole panel's words, `[words][32]`.
    pub weight: &'a mut [u32],
    /// States, `[words * 32]` each.
    pub states: [&'a mut [S::Stored]; N],
    /// Their units.
    pub units: [Unit; N],
    /// Random numbers and the row's first of them: all states of column c are rounded by half `c % 32 / 16` of number `first + c / 32 * 16 + c % 16`.
    /// Each is right on average, and one number serves two columns.
    pub draws: (Draws, u32),
}

/// What happened in a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Updated<const N: usize> {
    /// Weights that flipped.
    pub flips: u32,
    /// States at the end of what narrow storage holds.
    pub saturated: u32,
    /// Largest size of each state as it is stored, in its unit.
    pub peaks: [f32; N],
}

impl<const N: usize> Updated<N> {
    /// Whether some state is not finite.
    pub fn has_failed(&self) -> bool {
        self.peaks.iter().any(|peak| !peak.is_finite())
    }
}

impl Isa {
    /// Updates one row: `rule` turns a gradient and the states of its weight into new states and a decision, whose sign the weight becomes the opposite of
    /// (0 and not-a-number leave it). Where storage is narrow, the decision is state `DECIDES` as it is stored.
    ///
    /// Each operation of the rule is rounded by itself, so the result is the same on every instruction set.
    ///
    /// # Panics
    /// Where the lengths do not fit each other.
    #[inline]
    pub fn update<S: Storage, const N: usize, const DECIDES: usize>(
        &self,
        row: UpdateRow<'_, S, N>,
        rule: impl Fn(f32, [f32; N]) -> ([f32; N], f32),
    ) -> Updated<N> {
        let (words, count) = (row.weight.len(), row.g.len());
        assert!(words == count && row.row < PANEL, "update: {words} words, {count} gradients, row {}", row.row);
        assert!(count.is_multiple_of(PANEL), "update: {count} gradients, expected a multiple of 32");
        assert!(row.states.iter().all(|state| state.len() == count), "update: states as long as gradients");
        self.run(Row::<'_, S, N, DECIDES, _> { row, rule })
    }
}

/// On the beginning of a cache line: a vector that lies across two is slow to read where it was just written.
#[repr(align(64))]
struct Lines<T>(T);

struct Row<'a, S: Storage, const N: usize, const DECIDES: usize, R> {
    row: UpdateRow<'a, S, N>,
    rule: R,
}

impl<S: Storage, const N: usize, const DECIDES: usize, R: Fn(f32, [f32; N]) -> ([f32; N], f32)> Job
    for Row<'_, S, N, DECIDES, R>
{
    type Output = Updated<N>;

    #[inline(always)]
    unsafe fn run<V: Vectors>(self) -> Updated<N> {
        let Self { row: UpdateRow { row, g, weight, states, units, draws: (draws, first) }, rule } = self;
        let (mut flips, Lines(peaks)) = (0, &mut Lines([[S::Stored::default(); PANEL]; N]));
        let inverses: [f32; N] = array::from_fn(|i| S::FINE * units[i].inverse);
        for (word, g) in g.chunks_exact(PANEL).enumerate() {
            let at = word * PANEL..(word + 1) * PANEL;
            let g: &[f32; PANEL] = g.try_into().expect("32 columns");
            // Each step makes arrays from arrays: so the compiler makes vector instructions of it.
            let Lines(values) = &mut Lines([[0.0_f32; PANEL]; N]);
            for i in 0..N {
                let stored: [S::Stored; PANEL] = states[i][at.clone()].try_into().expect("32 columns");
                values[i] = array::from_fn(|lane| {
                    let value = S::load(stored[lane]);
                    if S::IS_NARROW { value * units[i].old } else { value }
                });
            }
            let Lines(decisions) = &mut Lines([0.0; PANEL]);
            for lane in 0..PANEL {
                let (next, decision) = rule(g[lane], array::from_fn(|i| values[i][lane]));
                (0..N).for_each(|i| values[i][lane] = if S::IS_NARROW { next[i] * inverses[i] } else { next[i] });
                decisions[lane] = decision;
            }
            let mut halves = [0_u32; PANEL];
            if S::IS_NARROW {
                let first = first.wrapping_add((at.start / 2) as u32);
                let random: [u32; PANEL / 2] = array::from_fn(|lane| draws.word(first.wrapping_add(lane as u32)));
                halves = array::from_fn(|lane| random[lane % 16] >> (lane / 16 * 16) & 0xffff);
            }
            for i in 0..N {
                let stored: [S::Stored; PANEL] = array::from_fn(|lane| S::store(values[i][lane], halves[lane]));
                states[i][at.clone()].copy_from_slice(&stored);
                peaks[i] = array::from_fn(|lane| S::larger(peaks[i][lane], stored[lane]));
                if S::IS_NARROW && i == DECIDES {
                    *decisions = array::from_fn(|lane| S::load(stored[lane]));
                }
            }
            // SAFETY: the caller promises that the processor has the set's instructions.
            flips += commit_word(&mut weight[word * PANEL + row], unsafe { V::signs(decisions) });
        }
        let (mut sizes, mut saturated) = ([0.0; N], 0);
        for i in 0..N {
            sizes[i] = S::load(peaks[i].iter().fold(S::Stored::default(), |peak, &lane| S::larger(peak, lane)));
            if S::IS_NARROW && sizes[i] >= S::MAX {
                saturated += states[i].iter().filter(|stored| S::load(**stored).abs() >= S::MAX).count() as u32;
            }
        }
        Updated { flips, saturated, peaks: sizes }
    }
}
