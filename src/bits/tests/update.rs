//! Tests of row updates of binary weights: every storage format on every instruction set against a scalar loop.

use super::super::isa::Isa;
use super::super::select::all;
use super::super::storage::{F16, F32, I8, I16, Storage};
use super::super::tasks::PANEL;
use super::super::update::{Unit, UpdateRow, Updated};
use super::{Random, SPECIAL, panics};
use crate::tensor::{Draws, half_rounded, half_value};

/// Operands of the update of a row.
#[derive(Clone)]
struct Case<S: Storage, const N: usize> {
    row: usize,
    g: Vec<f32>,
    weight: Vec<u32>,
    states: [Vec<S::Stored>; N],
    units: [Unit; N],
    draws: (Draws, u32),
}

/// A rule as [`Isa::update`] takes it.
trait Rule<const N: usize>: Fn(f32, [f32; N]) -> ([f32; N], f32) + Copy {}
impl<const N: usize, R: Fn(f32, [f32; N]) -> ([f32; N], f32) + Copy> Rule<N> for R {}

impl<S: Storage, const N: usize> Case<S, N> {
    fn update<const DECIDES: usize>(&mut self, isa: &Isa, rule: impl Rule<N>) -> Updated<N> {
        let row = UpdateRow::<S, N> {
            row: self.row,
            g: &self.g,
            weight: &mut self.weight,
            states: self.states.each_mut().map(|state| &mut state[..]),
            units: self.units,
            draws: self.draws,
        };
        isa.update::<S, N, DECIDES>(row, rule)
    }

    /// Updates the row with the scalar definition.
    fn define<const DECIDES: usize>(&mut self, rule: impl Rule<N>) -> Updated<N> {
        let mut updated = Updated { flips: 0, saturated: 0, peaks: [0.0; N], has_failed: false };
        let (draws, first) = self.draws;
        for (c, g) in self.g.iter().enumerate() {
            let unit = |i: usize| if S::IS_NARROW { self.units[i].old } else { 1.0 };
            let (next, mut decision) = rule(*g, std::array::from_fn(|i| S::load(self.states[i][c]) * unit(i)));
            let number = draws.word(first.wrapping_add((c / PANEL * 16 + c % 16) as u32));
            let random = if c % PANEL < 16 { number & 0xffff } else { number >> 16 };
            for (i, next) in next.into_iter().enumerate() {
                let value = if S::IS_NARROW { next * (S::FINE * self.units[i].inverse) } else { next };
                self.states[i][c] = S::store(value, random);
                let stored = S::load(self.states[i][c]);
                if S::IS_NARROW {
                    updated.peaks[i] = updated.peaks[i].max(stored.abs());
                    updated.saturated += u32::from(stored.abs() >= S::MAX);
                }
                updated.has_failed |= !stored.is_finite();
                if S::IS_NARROW && i == DECIDES {
                    decision = stored;
                }
            }
            let word = &mut self.weight[c / PANEL * PANEL + self.row];
            let old = *word >> (c % PANEL) & 1;
            let new = if decision > 0.0 { 0 } else { u32::from(decision < 0.0 || old == 1) };
            updated.flips += old ^ new;
            *word ^= (old ^ new) << (c % PANEL);
        }
        updated
    }
}

/// Returns the bits of a float, with one pattern for every NaN.
fn plain(x: f32) -> u32 {
    if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }
}

/// Compares a few steps of a rule on rows of many lengths. `usual` and `any` make states from random bits: of typical values, and of any value.
fn compare<S: Storage + Clone, const N: usize, const DECIDES: usize>(
    [usual, any]: [fn(u32) -> S::Stored; 2],
    unit: impl Fn(i32) -> Unit,
    rule: impl Rule<N>,
) {
    let mut random = Random(12);
    for words in 1..60 {
        let n = words * PANEL;
        // Special values are frequent, rare or absent, because implementations may have a fast path for columns without them.
        let odds = [6, 99, usize::MAX][words / 3 % 3];
        let state = |random: &mut Random| if random.below(odds) == 0 { any } else { usual }(random.bits() as u32);
        let scale = [1.0, 1e-3, 1e-8][words / 9 % 3];
        let gradient = |random: &mut Random| match random.below(odds) {
            0 => SPECIAL[random.below(SPECIAL.len())],
            _ => scale * random.float(),
        };
        let mut first = Case::<S, N> {
            row: 3 * words % PANEL,
            g: (0..n).map(|_| gradient(&mut random)).collect(),
            weight: (0..n).map(|_| random.bits() as u32).collect(),
            states: std::array::from_fn(|_| (0..n).map(|_| state(&mut random)).collect()),
            // The units change except in every third row.
            units: std::array::from_fn(|i| {
                unit(if words % 3 == 0 { 0 } else { (words as i32 / 3_i32.pow(i as u32)) % 3 - 1 })
            }),
            draws: (Draws::new(1, 0, 3), u32::MAX - 20),
        };
        for step in 0..3 {
            first.draws.0 = Draws::new(1, step, 3);
            let mut expected = first.clone();
            let updated = expected.define::<DECIDES>(rule);
            let stored = |case: &Case<S, N>| -> Vec<u32> {
                case.states.iter().flatten().map(|stored| plain(S::load(*stored))).collect()
            };
            for isa in all() {
                let mut case = first.clone();
                let what = || format!("{isa:?}, {N} states, {words} words, step {step}");
                assert_eq!(case.update::<DECIDES>(isa, rule), updated, "{}", what());
                assert!(stored(&case) == stored(&expected), "{}: states", what());
                assert!(case.weight == expected.weight, "{}: weights", what());
            }
            first = expected;
        }
    }
}

/// f16 states: typical magnitudes; any finite value, often the smallest and the largest.
const HALF: [fn(u32) -> u16; 2] = [
    |bits| (bits & 0x9fff) as u16 + 0x1000,
    |bits| {
        let half = if bits & 0x7c00 == 0x7c00 { 0 } else { bits as u16 };
        [half, half, 0x7bff, 0xfbff, 0x8000][(bits >> 16) as usize % 5]
    },
];

/// 16-bit states: at most half of the range; any value, often the limits and zero.
const LONG: [fn(u32) -> i16; 2] = [
    |bits| bits as i16 / 2,
    |bits| [bits as i16, bits as i16, i16::MAX, -i16::MAX, 0][(bits >> 16) as usize % 5].max(-i16::MAX),
];

const SHORT: [fn(u32) -> i8; 2] = [
    |bits| bits as i8 / 2,
    |bits| [bits as i8, bits as i8, i8::MAX, -i8::MAX, 0][(bits >> 16) as usize % 5].max(-i8::MAX),
];

/// f32 states: typical magnitudes; any value, NaN and infinities included.
const FULL: [fn(u32) -> f32; 2] = [
    |bits| (bits as f32 / 2_f32.powi(31) - 1.0) * 1e-3,
    |bits| if bits % 4 == 0 { f32::from_bits(bits) } else { SPECIAL[bits as usize % SPECIAL.len()] },
];

/// Returns the rule of two cascaded moving averages.
fn cascade(alpha: f32, gamma: f32) -> impl Rule<2> {
    move |g, [m, h]| {
        let m = m + gamma * (g - m);
        let h = h + alpha * (m - h);
        ([m, h], h)
    }
}

/// Returns the rule of one moving average.
fn average(alpha: f32) -> impl Rule<1> {
    move |g, [h]| {
        let h = h + alpha * (g - h);
        ([h], h)
    }
}

/// Updates a latent weight with two moments: a square root, a quotient, clipping, and a decision that is not a state.
fn moments(g: f32, [x, m, v]: [f32; 3]) -> ([f32; 3], f32) {
    let (m, v) = (m + 0.1 * (g - m), v + 0.01 * (g * g - v));
    let x = x - 0.01 * m / (v.sqrt() + 1e-8);
    let x = if x > 1.0 { 1.0 } else { x };
    ([x, m, v], if m.abs() > 1e-6 { -x } else { 0.0 })
}

/// Updates eight states, each from the previous one.
fn line(g: f32, mut s: [f32; 8]) -> ([f32; 8], f32) {
    let mut u = g;
    for s in &mut s {
        *s += 0.5 * (u - *s);
        u = *s;
    }
    (s, u - g)
}

#[test]
fn updates_are_the_definition_bit_for_bit() {
    let fixed = |_| Unit { old: 2_f32.powi(-16), inverse: 2_f32.powi(16) };
    let of = |bits: i32| move |moved: i32| Unit { old: 2_f32.powi(-bits), inverse: 2_f32.powi(bits - moved) };
    for (alpha, gamma) in [(0.3, 1e-3), (1e-5, 1.0), (1.0, 0.0), (0.0, 0.3), (1e-3, 1e-40)] {
        compare::<F32, 1, 0>(FULL, |_| Unit::ONE, average(alpha));
        compare::<F16, 1, 0>(HALF, fixed, average(alpha));
        compare::<I16, 1, 0>(LONG, of(15), average(alpha));
        compare::<I8, 1, 0>(SHORT, of(7), average(alpha));
        compare::<F32, 2, 1>(FULL, |_| Unit::ONE, cascade(alpha, gamma));
        compare::<F16, 2, 1>(HALF, fixed, cascade(alpha, gamma));
        compare::<I16, 2, 1>(LONG, of(15), cascade(alpha, gamma));
        compare::<I8, 2, 1>(SHORT, of(7), cascade(alpha, gamma));
    }
    compare::<F32, 3, 0>(FULL, |_| Unit::ONE, moments);
    compare::<F16, 3, 0>(HALF, fixed, moments);
    compare::<I16, 3, 0>(LONG, of(15), moments);
    compare::<I8, 3, 0>(SHORT, of(7), moments);
    compare::<F32, 8, 7>(FULL, |_| Unit::ONE, line);
    compare::<I16, 8, 7>(LONG, of(15), line);
}

/// Returns a row with one f16 state in units of 1.
fn halves(g: Vec<f32>, states: Vec<u16>, step: u32) -> Case<F16, 1> {
    let (weight, draws) = (vec![0; g.len()], (Draws::new(1, step, 3), 0));
    Case { row: 0, g, weight, states: [states], units: [Unit::ONE], draws }
}

#[test]
fn halves_are_the_definition_bit_for_bit() {
    let is_number = |half: &u16| half & 0x7c00 != 0x7c00;
    // At a rate of 0 every f16 is read and written back unchanged.
    let numbers: Vec<u16> = (0..=u16::MAX).filter(is_number).collect();
    assert!(numbers.len().is_multiple_of(PANEL));
    for isa in all() {
        let mut case = halves(vec![1.0; numbers.len()], numbers.clone(), 0);
        case.update::<0>(isa, average(0.0));
        // -0.0 + 0.0 is 0.0, so the sign of zero may change.
        let same = |(half, state): (&u16, &u16)| half == state || half & 0x7fff == 0 && state & 0x7fff == 0;
        assert!(numbers.iter().zip(&case.states[0]).all(same), "{isa:?}");
    }
    // At a rate of 1 a state of 0 becomes the gradient. Gradients have every magnitude, lie around the smallest normal and the largest f16, and next
    // to every f16; in every other turn such gradients are rare among typical ones.
    let mut random = Random(11);
    for turn in 0..200 {
        let number = |random: &mut Random| match random.below(if turn % 2 == 0 { 8 } else { 800 }) {
            0 => SPECIAL[random.below(SPECIAL.len())],
            1 => f32::from_bits(random.bits() as u32),
            2 => f32::from_bits((113 << 23) - (1 << 14) + random.below(1 << 15) as u32),
            3 => f32::from_bits(65504_f32.to_bits() - (1 << 14) + random.below(1 << 15) as u32),
            4 => random.float() * 2_f32.powi(-14 - random.below(30) as i32),
            5..8 => half_value(numbers[random.below(numbers.len())]) * (1.0 + random.float() * 2_f32.powi(-12)),
            _ => (1.0 + random.float().abs()) * 2_f32.powi(random.below(24) as i32 - 12) * random.float().signum(),
        };
        let g: Vec<f32> = (0..32 * PANEL).map(|_| number(&mut random)).collect();
        for isa in all() {
            let mut case = halves(g.clone(), vec![0; g.len()], turn);
            case.update::<0>(isa, average(1.0));
            for (c, (&g, &state)) in g.iter().zip(&case.states[0]).enumerate() {
                let word = case.draws.0.word((c / 32 * 16 + c % 16) as u32);
                let value = 0.0 + 1.0 * (g - 0.0);
                let expected = half_rounded(value, (word >> (c % 32 / 16 * 16) & 0xffff) >> 3);
                assert_eq!(state, expected, "{isa:?}: {g:e} = {:x}", g.to_bits());
            }
        }
    }
}

/// A row fails if any state is infinite or NaN, but not if finite states have an infinite sum.
#[test]
fn a_state_that_is_not_finite_is_noticed() {
    let keep = |_, states: [f32; 2]| (states, 0.0);
    let of = |value: f32, at: Option<usize>| {
        let states = [0, 1].map(|i| {
            let mut state = vec![f32::MAX; 2 * PANEL];
            if let Some(at) = at.filter(|at| at % 2 == i) {
                state[at / 2] = value;
            }
            state
        });
        let (g, weight, units) = (vec![0.0; 2 * PANEL], vec![0; 2 * PANEL], [Unit::ONE; 2]);
        Case::<F32, 2> { row: 0, g, weight, states, units, draws: (Draws::new(1, 2, 3), 0) }
    };
    for isa in all() {
        let has_failed = |value, at| of(value, at).update::<0>(isa, keep).has_failed;
        assert!(!has_failed(0.0, None), "{isa:?}: finite states");
        for (at, value) in (0..4 * PANEL).flat_map(|at| [f32::NAN, f32::INFINITY, -f32::INFINITY].map(|v| (at, v))) {
            assert!(has_failed(value, Some(at)), "{isa:?}: {value} at {at}");
        }
    }
}

#[test]
fn wrong_lengths_panic() {
    for isa in all() {
        let run = |g: usize, m: usize, h: usize, row: usize| {
            let states = [vec![0; m], vec![0; h]];
            let (g, weight, units) = (vec![0.0; g], vec![0; PANEL], [Unit::ONE; 2]);
            let mut case = Case::<I16, 2> { row, g, weight, states, units, draws: (Draws::new(1, 2, 3), 0) };
            panics(|| _ = case.update::<1>(isa, cascade(0.1, 0.1)))
        };
        assert!(!run(32, 32, 32, 31), "{isa:?}: a good task");
        assert!(run(64, 32, 32, 0) && run(32, 31, 32, 0) && run(32, 32, 31, 0) && run(32, 32, 32, 32), "{isa:?}");
    }
}
