//! A pass over the states of a panel of weights, for any rule: the loop is compiled once an instruction set, with the rule inside.
//!
//! A rule is a closure, so there is no function of it to put into the table of an [`Isa`]. Instead each instruction set has one generic
//! function, `within`, that runs a whole [`Job`] under its `#[target_feature]`: the job is always inlined there, and the compiler's own
//! vectors are as wide as the set's. Only what it does not find by itself, a word of signs, is a function of the set ([`Vectors`]).

use super::isa::{Isa, Set};
use super::tasks::PANEL;

/// What a job needs of an instruction set.
pub(super) trait Vectors {
    /// Which of 32 numbers are above 0, and which below. (Not-a-number is neither.)
    ///
    /// # Safety
    /// The processor has the set's instructions.
    unsafe fn signs(x: &[f32; PANEL]) -> [u32; 2];
}

/// Work that is compiled for each instruction set.
pub(super) trait Job {
    /// What it gives.
    type Output;

    /// Does it. Implementations are `#[inline(always)]`, else they would be compiled without the set's instructions.
    ///
    /// # Safety
    /// The processor has the set's instructions.
    unsafe fn run<V: Vectors>(self) -> Self::Output;
}

impl Isa {
    /// Some rows of a panel of weights, from row `row` of it on: `rule` turns a gradient and the states of its weight into new states and a
    /// decision, whose sign the weight becomes the opposite of (0 and not-a-number leave it). Gradients and states are `[rows][words * 32]`,
    /// `weight` is the whole panel `[words][32]`. Gives the number of flips.
    ///
    /// Each operation of the rule is rounded by itself, so the result is the same on every instruction set.
    ///
    /// # Panics
    /// Where the lengths do not fit each other.
    #[inline]
    pub fn sweep<const STATES: usize>(
        &self,
        row: usize,
        g: &[f32],
        weight: &mut [u32],
        states: [&mut [f32]; STATES],
        rule: impl Fn(f32, [f32; STATES]) -> ([f32; STATES], f32),
    ) -> u32 {
        let (bits, count) = (weight.len(), g.len());
        assert!(bits > 0 && bits.is_multiple_of(PANEL), "sweep: weight has {bits} words, expected a multiple of 32");
        assert!(count.is_multiple_of(bits), "sweep: g has {count} elements, expected rows of {bits}");
        assert!(row + count / bits <= PANEL, "sweep: rows {row} to {}, expected at most 32", row + count / bits);
        for state in &states {
            assert!(state.len() == count, "sweep: a state has {} elements, g has {count}", state.len());
        }
        self.run(Sweep { row, g, weight, states, rule })
    }

    #[inline]
    pub(super) fn run<J: Job>(&self, job: J) -> J::Output {
        // SAFETY: an Isa is listed only where the processor has its instructions.
        unsafe {
            match self.set {
                #[cfg(target_arch = "x86_64")]
                Set::Avx512 => super::avx512::within(job),
                #[cfg(target_arch = "x86_64")]
                Set::Avx2 => super::avx2::within(job),
                #[cfg(target_arch = "aarch64")]
                Set::Neon => super::neon::within(job),
                Set::Portable => super::portable::within(job),
            }
        }
    }
}

/// Writes a word of weights by its decisions; gives the number of flips.
#[inline(always)]
pub(super) fn commit_word(word: &mut u32, [above, below]: [u32; 2]) -> u32 {
    let next = (*word & !above) | below;
    let flips = (*word ^ next).count_ones();
    *word = next;
    flips
}

struct Sweep<'a, const STATES: usize, R> {
    row: usize,
    g: &'a [f32],
    weight: &'a mut [u32],
    states: [&'a mut [f32]; STATES],
    rule: R,
}

impl<const STATES: usize, R: Fn(f32, [f32; STATES]) -> ([f32; STATES], f32)> Job for Sweep<'_, STATES, R> {
    type Output = u32;

    #[inline(always)]
    unsafe fn run<V: Vectors>(self) -> u32 {
        let Self { row, g, weight, mut states, rule } = self;
        let (mut flips, pitch) = (0, weight.len());
        for (lane, g) in (row..).zip(g.chunks_exact(pitch)) {
            for (word, g) in g.chunks_exact(PANEL).enumerate() {
                let at = ((lane - row) * pitch + word * PANEL)..((lane - row) * pitch + (word + 1) * PANEL);
                let g: &[f32; PANEL] = g.try_into().expect("32 columns");
                // Copies that nothing else points to: the loop over lanes becomes vector instructions.
                let mut here: [[f32; PANEL]; STATES] =
                    std::array::from_fn(|i| states[i][at.clone()].try_into().expect("32 columns"));
                let mut decisions = [0.0; PANEL];
                for lane in 0..PANEL {
                    let (next, decision) = rule(g[lane], std::array::from_fn(|i| here[i][lane]));
                    (0..STATES).for_each(|i| here[i][lane] = next[i]);
                    decisions[lane] = decision;
                }
                states.iter_mut().zip(&here).for_each(|(state, here)| state[at.clone()].copy_from_slice(here));
                // SAFETY: the caller's promise.
                flips += commit_word(&mut weight[word * PANEL + lane], unsafe { V::signs(&decisions) });
            }
        }
        flips
    }
}
