//! Update of a row of binary weights: a rule updates the states of each weight from its gradient and decides its sign. The loop, the packing of
//! signs, the count of flips and the conversion of stored states are implemented here once, generic over rules and storage formats.

use super::isa::{Isa, Set};
use super::storage::Storage;
use super::tasks::PANEL;
use super::vector::{StorageVectors, Vectors, Work};
use crate::tensor::Draws;
use std::array;
use std::mem::MaybeUninit;

/// Distance of prefetches, in columns: hardware prefetching restarts at every page, and rows start pages. Measured on Zen 5 with rows of 4096
/// columns, two 16-bit states and one thread: 0.22 ns per weight at 1024 to 4096 columns, 0.31 at 256, 0.24 without prefetches.
const AHEAD: usize = 1024;

/// Largest number of states that are prefetched: with more, prefetched lines evict lines in use.
const MAX_PREFETCHED: usize = 3;

/// Old and new unit of one state of a row.
#[derive(Clone, Copy, Debug)]
pub struct Unit {
    /// Unit that the state is stored in before the update: a power of two of at least 2^-100, so that a stored number times its unit is exact.
    pub old: f32,
    /// Reciprocal of the unit that the update stores the state in.
    pub inverse: f32,
}

impl Unit {
    /// Units of 1, for formats without units.
    pub const ONE: Self = Self { old: 1.0, inverse: 1.0 };
}

/// Operands of the update of one row of weights.
pub struct UpdateRow<'a, S: Storage, const N: usize> {
    /// Row within the panel of weights, below 32.
    pub row: usize,
    /// Gradients, `[words * 32]`.
    pub g: &'a [f32],
    /// Words of the whole panel of weights, `[words][32]`.
    pub weight: &'a mut [u32],
    /// States, `[words * 32]` each.
    pub states: [&'a mut [S::Stored]; N],
    /// Units of the states.
    pub units: [Unit; N],
    /// Random numbers, and the index `first` of the row's first number. All states of column c are rounded by 16-bit half `c % 32 / 16` of number
    /// `first + c / 32 * 16 + c % 16`. The states of a column share bits, but each is rounded without bias; one number serves two columns.
    pub draws: (Draws, u32),
}

/// Result of the update of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Updated<const N: usize> {
    /// Number of weights that flipped.
    pub flips: u32,
    /// Number of saturated narrow states.
    pub saturated: u32,
    /// Largest stored magnitude of each narrow state, in units; 0 for 32-bit floats.
    pub peaks: [f32; N],
    /// Whether some 32-bit state is infinite or NaN; narrow formats hold neither.
    pub has_failed: bool,
}

impl Isa {
    /// Updates one row: `rule` maps a gradient and the states of its weight to new states and a decision. A positive decision sets the weight to
    /// -1, a negative one to +1; 0 and NaN keep it. In narrow storage the decision is the stored value of state `DECIDES`.
    ///
    /// Each operation of the rule is rounded separately (no fused multiply-add), so the result is identical on every instruction set.
    ///
    /// # Panics
    /// Panics if lengths disagree or `row.row` is not below 32.
    #[inline]
    pub fn update<S: Storage, const N: usize, const DECIDES: usize>(
        &self,
        row: UpdateRow<'_, S, N>,
        rule: impl Fn(f32, [f32; N]) -> ([f32; N], f32),
    ) -> Updated<N> {
        let (words, count) = (row.weight.len(), row.g.len());
        assert!(words == count && row.row < PANEL, "update: {words} words, {count} gradients, row {}", row.row);
        assert!(count.is_multiple_of(PANEL), "update: {count} gradients, expected a multiple of 32");
        assert!(row.states.iter().all(|state| state.len() == count), "update: a state's length is not {count}");
        self.run(Row::<'_, S, N, DECIDES, _> { row, rule })
    }
}

impl Isa {
    /// Runs work compiled for this instruction set.
    #[inline]
    pub(super) fn run<W: Work>(&self, work: W) -> W::Output {
        match self.set {
            // SAFETY: an Isa is listed only where the processor has its instructions.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => unsafe { super::avx512::within(work) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => unsafe { super::avx2::within(work) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Set::Neon => unsafe { super::neon::within(work) },
            Set::Portable => super::portable::within(work),
        }
    }
}

struct Row<'a, S: Storage, const N: usize, const DECIDES: usize, R> {
    row: UpdateRow<'a, S, N>,
    rule: R,
}

impl<S: Storage, const N: usize, const DECIDES: usize, R: Fn(f32, [f32; N]) -> ([f32; N], f32)> Work
    for Row<'_, S, N, DECIDES, R>
{
    type Output = Updated<N>;

    #[inline(always)]
    unsafe fn run<V: StorageVectors>(self) -> Updated<N> {
        let Self { row: UpdateRow { row, g, weight, mut states, units, draws }, rule } = self;
        let (mut flips, pointers) = (0, states.each_mut().map(|state| state.as_mut_ptr()));
        // SAFETY: the caller promises the instructions. Gradients and states have as many numbers as there are columns, a multiple of 32, as
        // `update` checked.
        let (peaks, overflows) = unsafe {
            let mut registers = Registers::<V, N>::new::<S>(units, draws);
            for at in (0..g.len()).step_by(PANEL) {
                let (g, here) = (g.as_ptr().add(at), pointers.map(|state| state.add(at)));
                if N <= MAX_PREFETCHED {
                    prefetch::<V, f32>(g.wrapping_add(AHEAD));
                    here.iter().for_each(|state| prefetch::<V, S::Stored>(state.wrapping_add(AHEAD)));
                }
                let (next, decisions) = registers.apply::<S>(g, here, &rule);
                let signs = registers.store::<S, DECIDES>(here, &next, &decisions);
                flips += commit_word(&mut weight[at + row], signs);
            }
            (registers.peaks::<S>(), !V::is_finite(registers.total))
        };
        let is_at_end = |stored: &S::Stored| S::load(*stored).abs() >= S::MAX || S::load(*stored).is_nan();
        let mut at_end = 0;
        for i in 0..N {
            // The sum of finite states may overflow, so an overflow only means that the states must be checked one by one.
            if peaks[i] >= S::MAX || overflows {
                at_end += states[i].iter().filter(|stored| is_at_end(stored)).count() as u32;
            }
        }
        let saturated = if S::IS_NARROW { at_end } else { 0 };
        Updated { flips, saturated, peaks, has_failed: !S::IS_NARROW && at_end > 0 }
    }
}

/// 32 numbers aligned to a cache line: store-to-load forwarding is slow for a vector that straddles two lines.
#[repr(align(64))]
struct Lanes(MaybeUninit<[f32; PANEL]>);

impl Lanes {
    const fn new() -> Self {
        Self(MaybeUninit::uninit())
    }

    /// # Safety
    /// The processor has V's instructions, and the numbers were written.
    #[inline(always)]
    unsafe fn row<V: Vectors>(&self) -> V::Row {
        // SAFETY: the caller promises the instructions and the numbers.
        unsafe { V::load_row(self.0.as_ptr().cast()) }
    }
}

/// Updates a word of weights by the masks of positive and negative decisions. Returns the number of flips.
#[inline(always)]
fn commit_word(word: &mut u32, [above, below]: [u32; 2]) -> u32 {
    let next = (*word & !above) | below;
    let flips = (*word ^ next).count_ones();
    *word = next;
    flips
}

/// Prefetches the cache lines of 32 elements.
///
/// # Safety
/// The processor has V's instructions.
#[inline(always)]
unsafe fn prefetch<V: Vectors, T>(at: *const T) {
    for byte in (0..PANEL * size_of::<T>()).step_by(64) {
        // SAFETY: the caller promises the instructions.
        unsafe { V::prefetch(at.cast::<u8>().wrapping_add(byte)) };
    }
}

/// Values that the loop over a row keeps in registers.
struct Registers<V: StorageVectors, const N: usize> {
    /// Units of the narrow states before the update.
    old: [V::Floats; N],
    /// Factors from a state to the argument of `Storage::store`.
    fine: [V::Floats; N],
    /// Largest stored magnitudes of the narrow states.
    sizes: [V::Words; N],
    random: Numbers<V>,
    /// Sum of all 32-bit states: it is not finite if any state is infinite or NaN.
    total: V::Floats,
}

impl<V: StorageVectors, const N: usize> Registers<V, N> {
    /// # Safety
    /// The processor has V's instructions.
    #[inline(always)]
    unsafe fn new<S: Storage>(units: [Unit; N], (draws, first): (Draws, u32)) -> Self {
        // SAFETY: the caller promises the instructions.
        unsafe {
            let (mut old, mut fine) = ([V::splat(1.0); N], [V::splat(1.0); N]);
            for i in 0..N {
                old[i] = V::splat(units[i].old);
                fine[i] = V::splat(S::FINE * units[i].inverse);
            }
            Self { old, fine, sizes: [V::splat_word(0); N], random: Numbers::new(draws, first), total: V::splat(0.0) }
        }
    }

    /// Applies the rule to 32 columns. Returns the new states and the decisions.
    ///
    /// The compiler vectorises the loop over lanes because it reads and writes arrays that nothing else points to, whose contents then stay in
    /// registers. One array per register would be shorter code, but the compiler unrolls it to scalars before it vectorises.
    ///
    /// # Safety
    /// The processor has V's instructions; 32 gradients and states are readable.
    #[inline(always)]
    unsafe fn apply<S: Storage>(
        &self,
        g: *const f32,
        states: [*mut S::Stored; N],
        rule: &impl Fn(f32, [f32; N]) -> ([f32; N], f32),
    ) -> ([Lanes; N], Lanes) {
        let (mut lanes, mut decisions) = ([const { Lanes::new() }; N], Lanes::new());
        // SAFETY: the caller promises the instructions and readable numbers. Every lane is written before it is read.
        unsafe {
            if S::IS_NARROW {
                for i in 0..N {
                    for first in (0..PANEL).step_by(V::LANES) {
                        let stored = V::mul(S::load_register::<V>(states[i].add(first)), self.old[i]);
                        V::store(lanes[i].0.as_mut_ptr().cast::<f32>().add(first), stored);
                    }
                }
            }
            let arrays: [*mut f32; N] = lanes.each_mut().map(|lanes| lanes.0.as_mut_ptr().cast());
            let decided: *mut f32 = decisions.0.as_mut_ptr().cast();
            for lane in 0..PANEL {
                let state = |i: usize| {
                    // 32-bit floats need no conversion and are read directly.
                    if S::IS_NARROW { arrays[i].add(lane).read() } else { S::load(states[i].add(lane).read()) }
                };
                let (new, decision) = rule(g.add(lane).read(), array::from_fn(state));
                for i in 0..N {
                    arrays[i].add(lane).write(new[i]);
                }
                decided.add(lane).write(decision);
            }
        }
        (lanes, decisions)
    }

    /// Stores the new states of 32 columns. Returns which decisions are `> 0` and which are `< 0`.
    ///
    /// # Safety
    /// The processor has V's instructions; 32 states are writable.
    #[inline(always)]
    unsafe fn store<S: Storage, const DECIDES: usize>(
        &mut self,
        states: [*mut S::Stored; N],
        next: &[Lanes; N],
        decisions: &Lanes,
    ) -> [u32; 2] {
        // SAFETY: the caller promises the instructions and writable states; all lanes are written.
        unsafe {
            let random = if S::IS_NARROW { self.random.next_halves() } else { V::no_words() };
            let (mut signs, mut sum) = ([0; 2], V::zeros());
            for i in 0..N {
                let mut row = next[i].row::<V>();
                for v in 0..PANEL / V::LANES {
                    let number = row.as_ref()[v];
                    if S::IS_NARROW {
                        row.as_mut()[v] = V::mul(number, self.fine[i]);
                    } else {
                        sum.as_mut()[v] = if i == 0 { number } else { V::add(sum.as_ref()[v], number) };
                    }
                }
                let stored = S::store_row::<V>(states[i], row, random, &mut self.sizes[i]);
                if S::IS_NARROW && i == DECIDES {
                    signs = stored;
                }
            }
            if !S::IS_NARROW {
                let row = decisions.row::<V>();
                signs = [V::positive(row), V::negative(row)];
                let mut total = sum.as_ref()[0];
                for v in 1..PANEL / V::LANES {
                    total = V::add(total, sum.as_ref()[v]);
                }
                self.total = V::add(self.total, total);
            }
            signs
        }
    }

    /// Returns the largest stored magnitude of each narrow state, in units.
    ///
    /// # Safety
    /// The processor has V's instructions.
    #[inline(always)]
    unsafe fn peaks<S: Storage>(&self) -> [f32; N] {
        let mut peaks = [0.0; N];
        for (peak, sizes) in peaks.iter_mut().zip(self.sizes) {
            let mut lanes = [0; 16];
            // SAFETY: the caller promises the instructions; a register has at most 16 lanes.
            unsafe { V::store_words(lanes.as_mut_ptr(), sizes) };
            *peak = S::largest(&lanes);
        }
        peaks
    }
}

/// Vectorised generator of a row's random numbers: those of `Draws::word`.
struct Numbers<V: Vectors> {
    index: V::Words,
    key: [V::Words; 2],
    factors: [V::Words; 2],
}

impl<V: Vectors> Numbers<V> {
    /// Returns the generator positioned at number `first`.
    ///
    /// # Safety
    /// The processor has V's instructions.
    #[inline(always)]
    unsafe fn new(draws: Draws, first: u32) -> Self {
        let ([key, other_key], [factor, other_factor]) = (draws.key(), Draws::FACTORS);
        let counting: [u32; 16] = array::from_fn(|lane| lane as u32);
        // SAFETY: the caller promises the instructions; registers have at most 16 lanes.
        unsafe {
            Self {
                index: V::add_words(V::load_words(counting.as_ptr()), V::splat_word(first)),
                key: [V::splat_word(key), V::splat_word(other_key)],
                factors: [V::splat_word(factor), V::splat_word(other_factor)],
            }
        }
    }

    /// Returns 16 random bits for each of the next 32 columns: the low halves of the next 16 numbers, then their high halves.
    ///
    /// # Safety
    /// The processor has V's instructions.
    #[inline(always)]
    unsafe fn next_halves(&mut self) -> V::WordRow {
        let registers = PANEL / 2 / V::LANES;
        // SAFETY: the caller promises the instructions.
        unsafe {
            let mut halves = V::no_words();
            for v in 0..registers {
                let x = V::xor(self.index, self.key[0]);
                let x = V::mul_words(V::xor(x, V::shift_right::<16>(x)), self.factors[0]);
                let x = V::mul_words(V::xor(V::xor(x, self.key[1]), V::shift_right::<15>(x)), self.factors[1]);
                let number = V::xor(x, V::shift_right::<16>(x));
                halves.as_mut()[v] = V::and(number, V::splat_word(0xffff));
                halves.as_mut()[registers + v] = V::shift_right::<16>(number);
                self.index = V::add_words(self.index, V::splat_word(V::LANES as u32));
            }
            halves
        }
    }
}
