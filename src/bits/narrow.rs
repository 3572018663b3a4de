//! A pass over one row of weights whose states are narrow: 16-bit floats, or integers in units of a power of two that the row shares.

#[cfg(target_arch = "x86_64")]
use super::avx2_lanes::Lanes;
#[cfg(target_arch = "x86_64")]
use super::avx2_narrow;
use super::isa::Isa;
#[cfg(target_arch = "x86_64")]
use super::isa::Set;
use super::sweep::{Job, Vectors, commit_word};
use super::tasks::PANEL;
use crate::tensor::{Draws, HALF_MOST, half_rounded, half_value};
use std::array;

/// What loops by hand need of a format: nothing here.
#[cfg(not(target_arch = "x86_64"))]
pub trait Lanes {}
#[cfg(not(target_arch = "x86_64"))]
impl<F> Lanes for F {}

/// How a state is stored.
pub trait Format: Lanes + Sized {
    /// One state.
    type Stored: Copy + Default;
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

/// 16-bit floats.
#[derive(Debug)]
pub enum F16 {}

impl Format for F16 {
    type Stored = u16;
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

        impl Format for $name {
            type Stored = $stored;
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
    /// That it is stored in.
    pub old: f32,
    /// 1 / the unit that it will be stored in.
    pub inverse: f32,
}

/// What happened in a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Swept<const STATES: usize> {
    /// Weights that flipped.
    pub flips: u32,
    /// States at the end of what the format holds.
    pub saturated: u32,
    /// Largest size of each state as it is stored, in its unit.
    pub peaks: [f32; STATES],
}

impl Isa {
    /// Row `row` of a panel of weights, as [`Isa::sweep`]: `rule` turns a gradient and its states into new ones, and the last one, as it is
    /// stored, is the decision. All states of column c are rounded by half
    /// `c % 32 / 16` of number `first + c / 32 * 16 + c % 16` of the draws: each is right on average, and one number serves two columns.
    ///
    /// # Panics
    /// Where the lengths do not fit each other.
    #[inline]
    #[allow(clippy::too_many_arguments, reason = "a row, its tensors, how they are stored, and what to do")]
    pub fn sweep_narrow<F: Format, const STATES: usize>(
        &self,
        row: usize,
        g: &[f32],
        weight: &mut [u32],
        states: [&mut [F::Stored]; STATES],
        units: [Unit; STATES],
        (draws, first): (Draws, u32),
        rule: impl Fn(f32, [f32; STATES]) -> [f32; STATES],
    ) -> Swept<STATES> {
        assert!(weight.len() == g.len() && row < PANEL, "sweep_narrow: {} words, {} gradients", weight.len(), g.len());
        assert!(g.len().is_multiple_of(PANEL), "sweep_narrow: {} gradients, expected a multiple of 32", g.len());
        assert!(states.iter().all(|state| state.len() == g.len()), "sweep_narrow: states as long as gradients");
        self.run(Row::<'_, F, STATES, _> { row, g, weight, states, units, draws, first, rule })
    }

    /// [`Isa::sweep_narrow`] with moving averages in a row, each of the one before: s += rate (u - s), where u is the gradient, then the s of
    /// the one before. The same numbers, from a loop by hand where the compiler's own is slower than memory.
    ///
    /// # Panics
    /// Where the lengths do not fit each other.
    pub fn averages<F: Format, const STATES: usize>(&self, task: Averages<'_, F, STATES>) -> Swept<STATES> {
        #[cfg(target_arch = "x86_64")]
        if matches!(self.set, Set::Avx512 | Set::Avx2) {
            task.check();
            let (mut task, mut peaks) = (task, [[F::Stored::default(); PANEL]; STATES]);
            // SAFETY: lengths are checked; an Isa is listed only where the processor has its instructions, and one that has AVX-512's has AVX2's.
            let flips = unsafe { avx2_narrow::averages(&mut task, &mut peaks) };
            return swept::<F, STATES>(flips, &peaks, task.states);
        }
        let Averages { row, g, weight, states, units, draws, rates } = task;
        self.sweep_narrow::<F, STATES>(row, g, weight, states, units, draws, move |g, mut s| {
            let mut u = g;
            for (s, rate) in s.iter_mut().zip(rates) {
                *s += rate * (u - *s);
                u = *s;
            }
            s
        })
    }

    /// [`Isa::averages`] of two with 16-bit integers, which AVX-512 has a loop of its own for.
    ///
    /// # Panics
    /// Where the lengths do not fit each other.
    pub fn cascade_i16(&self, task: Averages<'_, I16, 2>) -> Swept<2> {
        #[cfg(target_arch = "x86_64")]
        if matches!(self.set, Set::Avx512) {
            task.check();
            let (mut task, mut peaks) = (task, [[0; PANEL]; 2]);
            // SAFETY: lengths are checked; an Isa is listed only where the processor has its instructions.
            let flips = unsafe { super::avx512_narrow::cascade_i16(&mut task, &mut peaks) };
            return swept::<I16, 2>(flips, &peaks, task.states);
        }
        self.averages(task)
    }
}

/// What [`Isa::averages`] takes: the arguments of [`Isa::sweep_narrow`], with the rates in the place of a rule.
pub struct Averages<'a, F: Format, const STATES: usize> {
    /// Row of the panel.
    pub row: usize,
    /// Gradients.
    pub g: &'a [f32],
    /// The panel's words.
    pub weight: &'a mut [u32],
    /// The averages.
    pub states: [&'a mut [F::Stored]; STATES],
    /// Their units: powers of two of at least 2^-100, so that a stored number times its unit is exact.
    pub units: [Unit; STATES],
    /// The draws, and the row's first number of them.
    pub draws: (Draws, u32),
    /// A rate each.
    pub rates: [f32; STATES],
}

#[cfg(target_arch = "x86_64")]
impl<F: Format, const STATES: usize> Averages<'_, F, STATES> {
    fn check(&self) {
        let (words, g) = (self.weight.len(), self.g.len());
        assert!(words == g && self.row < PANEL, "averages: {words} words, {g} gradients, row {}", self.row);
        assert!(g.is_multiple_of(PANEL), "averages: {g} gradients, expected a multiple of 32");
        assert!(self.states.iter().all(|state| state.len() == g), "averages: states as long as gradients");
    }
}

/// On the beginning of a cache line: a vector that lies across two is slow to read where it was just written.
#[repr(align(64))]
struct Lines<T>(T);

struct Row<'a, F: Format, const STATES: usize, R> {
    row: usize,
    g: &'a [f32],
    weight: &'a mut [u32],
    states: [&'a mut [F::Stored]; STATES],
    units: [Unit; STATES],
    draws: Draws,
    first: u32,
    rule: R,
}

impl<F: Format, const STATES: usize, R: Fn(f32, [f32; STATES]) -> [f32; STATES]> Job for Row<'_, F, STATES, R> {
    type Output = Swept<STATES>;

    #[inline(always)]
    unsafe fn run<V: Vectors>(self) -> Swept<STATES> {
        let Self { row, g, weight, states, units, draws, first, rule } = self;
        let (mut flips, Lines(peaks)) = (0, &mut Lines([[F::Stored::default(); PANEL]; STATES]));
        let inverses: [f32; STATES] = array::from_fn(|i| F::FINE * units[i].inverse);
        for (word, g) in g.chunks_exact(PANEL).enumerate() {
            let at = word * PANEL..(word + 1) * PANEL;
            let g: &[f32; PANEL] = g.try_into().expect("32 columns");
            let first = first.wrapping_add((at.start / 2) as u32);
            // Each step makes arrays from arrays: so the compiler makes vector instructions of it.
            let random: [u32; PANEL / 2] = array::from_fn(|lane| draws.word(first.wrapping_add(lane as u32)));
            let Lines(values) = &mut Lines([[0.0_f32; PANEL]; STATES]);
            for i in 0..STATES {
                let stored: [F::Stored; PANEL] = states[i][at.clone()].try_into().expect("32 columns");
                values[i] = array::from_fn(|lane| F::load(stored[lane]) * units[i].old);
            }
            for lane in 0..PANEL {
                let next = rule(g[lane], array::from_fn(|i| values[i][lane]));
                (0..STATES).for_each(|i| values[i][lane] = next[i] * inverses[i]);
            }
            let Lines(decisions) = &mut Lines([0.0; PANEL]);
            let halves: [u32; PANEL] = array::from_fn(|lane| random[lane % 16] >> (lane / 16 * 16) & 0xffff);
            for i in 0..STATES {
                let stored: [F::Stored; PANEL] = array::from_fn(|lane| F::store(values[i][lane], halves[lane]));
                states[i][at.clone()].copy_from_slice(&stored);
                peaks[i] = array::from_fn(|lane| F::larger(peaks[i][lane], stored[lane]));
                if i == STATES - 1 {
                    *decisions = array::from_fn(|lane| F::load(stored[lane]));
                }
            }
            // SAFETY: the caller's promise.
            flips += commit_word(&mut weight[word * PANEL + row], unsafe { V::signs(decisions) });
        }
        swept::<F, STATES>(flips, peaks, states)
    }
}

/// A row's result, from the largest sizes of 32 lanes and the states as they are stored now.
#[inline(always)]
fn swept<F: Format, const STATES: usize>(
    flips: u32,
    peaks: &[[F::Stored; PANEL]; STATES],
    states: [&mut [F::Stored]; STATES],
) -> Swept<STATES> {
    let (mut sizes, mut saturated) = ([0.0; STATES], 0);
    for i in 0..STATES {
        sizes[i] = F::load(peaks[i].iter().fold(F::Stored::default(), |peak, &lane| F::larger(peak, lane)));
        if sizes[i] >= F::MAX {
            saturated += states[i].iter().filter(|stored| F::load(**stored).abs() >= F::MAX).count() as u32;
        }
    }
    Swept { flips, saturated, peaks: sizes }
}
