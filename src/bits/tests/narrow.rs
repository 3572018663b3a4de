//! Moving averages with narrow states.

use super::super::isa::Isa;
use super::super::narrow::{Averages, F16, Format, I8, I16, Swept, Unit};
use super::super::tasks::PANEL;
use super::super::{portable, select::all};
use super::{Random, SPECIAL, panics};
use crate::tensor::{Draws, half_rounded, half_value};

/// A step of one average of halves in units of 1.
fn step(isa: &Isa, g: &[f32], states: &mut [u16], rate: f32, step: u32) {
    let (mut bits, unit) = (vec![0; g.len()], Unit { old: 1.0, inverse: 1.0 });
    let draws = (Draws::new(1, step, 3), 0);
    let states = [states];
    isa.averages::<F16, 1>(Averages { row: 0, g, weight: &mut bits, states, units: [unit], draws, rates: [rate] });
}

#[test]
fn halves_are_the_definition_bit_for_bit() {
    let is_number = |half: &u16| half & 0x7c00 != 0x7c00;
    // At a rate of 0 every half stays what it is: it is read and written as its definition says.
    let halves: Vec<u16> = (0..=u16::MAX).filter(is_number).collect();
    assert!(halves.len().is_multiple_of(PANEL));
    for isa in all() {
        let mut states = halves.clone();
        step(isa, &vec![1.0; halves.len()], &mut states, 0.0, 0);
        // Minus zero and zero is zero.
        let same = |(half, state): (&u16, &u16)| half == state || half & 0x7fff == 0 && state & 0x7fff == 0;
        assert!(halves.iter().zip(&states).all(same), "{isa:?}");
    }
    // At a rate of 1 a state of 0 becomes the gradient: of every size, around the least normal half and the largest, and beside each half;
    // in every other turn such are few among usual ones.
    let mut random = Random(11);
    for turn in 0..200 {
        let number = |random: &mut Random| match random.below(if turn % 2 == 0 { 8 } else { 800 }) {
            0 => SPECIAL[random.below(SPECIAL.len())],
            1 => f32::from_bits(random.bits() as u32),
            2 => f32::from_bits((113 << 23) - (1 << 14) + random.below(1 << 15) as u32),
            3 => f32::from_bits(65504_f32.to_bits() - (1 << 14) + random.below(1 << 15) as u32),
            4 => random.float() * 2_f32.powi(-14 - random.below(30) as i32),
            5..8 => half_value(halves[random.below(halves.len())]) * (1.0 + random.float() * 2_f32.powi(-12)),
            _ => (1.0 + random.float().abs()) * 2_f32.powi(random.below(24) as i32 - 12) * random.float().signum(),
        };
        let g: Vec<f32> = (0..32 * PANEL).map(|_| number(&mut random)).collect();
        let draws = Draws::new(1, turn, 3);
        for isa in all() {
            let mut states = vec![0; g.len()];
            step(isa, &g, &mut states, 1.0, turn);
            for (c, (&g, &state)) in g.iter().zip(&states).enumerate() {
                let word = draws.word((c / 32 * 16 + c % 16) as u32);
                let value = 0.0 + 1.0 * (g - 0.0);
                let expected = half_rounded(value, (word >> (c % 32 / 16 * 16) & 0xffff) >> 3);
                assert_eq!(state, expected, "{isa:?}: {g:e} = {:x}", g.to_bits());
            }
        }
    }
}

/// Some steps of moving averages in a row, whose states are made of random bits: usual ones and any.
fn compare<F: Format<Stored: PartialEq>, const STATES: usize>(
    [usual, any]: [fn(u32) -> F::Stored; 2],
    unit: impl Fn(i32) -> Unit,
    averages: impl Fn(&Isa, Averages<'_, F, STATES>) -> Swept<STATES>,
) {
    let mut random = Random(12);
    for words in 1..60 {
        let (n, row) = (words * PANEL, 3 * words % PANEL);
        // What is special comes often, seldom and never: loops by hand may treat columns without it apart.
        let odds = [6, 99, usize::MAX][words / 3 % 3];
        let states: [Vec<_>; STATES] = std::array::from_fn(|_| {
            (0..n).map(|_| if random.below(odds) == 0 { any } else { usual }(random.bits() as u32)).collect()
        });
        // Every third row in units that stay.
        let units = std::array::from_fn(|i| {
            unit(if words % 3 == 0 { 0 } else { (words as i32 / 3_i32.pow(i as u32)) % 3 - 1 })
        });
        let special = |random: &mut Random| SPECIAL[random.below(SPECIAL.len())];
        let scale = [1.0, 1e-3, 1e-8][words / 9 % 3];
        let g: Vec<f32> = (0..n)
            .map(|_| if random.below(odds) == 0 { special(&mut random) } else { scale * random.float() })
            .collect();
        let bits: Vec<u32> = (0..n).map(|_| random.bits() as u32).collect();
        let rates = std::array::from_fn(|i| [0.3, 1e-3, 1.0, 1e-5, 0.0][(words + i) % 5]);
        let play = |isa: &Isa| {
            let (mut states, mut bits) = (states.clone(), bits.clone());
            let step = |step| {
                let states = states.each_mut().map(|state| &mut state[..]);
                let draws = (Draws::new(1, step, 3), u32::MAX - 20);
                averages(isa, Averages { row, g: &g, weight: &mut bits, states, units, draws, rates })
            };
            ((0..3).map(step).collect::<Vec<_>>(), states, bits)
        };
        let expected = play(&portable::ISA);
        for isa in all() {
            assert!(play(isa) == expected, "{isa:?}, {STATES} states, {words} words");
        }
    }
}

/// Halves of usual sizes; any, often the least and the largest, never an infinity or no number.
const HALF: [fn(u32) -> u16; 2] = [
    |bits| (bits & 0x9fff) as u16 + 0x1000,
    |bits| {
        let half = if bits & 0x7c00 == 0x7c00 { 0 } else { bits as u16 };
        [half, half, 0x7bff, 0xfbff, 0x8000][(bits >> 16) as usize % 5]
    },
];

/// Integers that may grow twofold; any, often the ends and zero.
const LONG: [fn(u32) -> i16; 2] = [
    |bits| bits as i16 / 2,
    |bits| [bits as i16, bits as i16, i16::MAX, -i16::MAX, 0][(bits >> 16) as usize % 5].max(-i16::MAX),
];

const SHORT: [fn(u32) -> i8; 2] = [
    |bits| bits as i8 / 2,
    |bits| [bits as i8, bits as i8, i8::MAX, -i8::MAX, 0][(bits >> 16) as usize % 5].max(-i8::MAX),
];

#[test]
fn averages_are_the_same_everywhere() {
    let fixed = |_| Unit { old: 2_f32.powi(-16), inverse: 2_f32.powi(16) };
    let of = |bits: i32| move |moved: i32| Unit { old: 2_f32.powi(-bits), inverse: 2_f32.powi(bits - moved) };
    compare::<F16, 1>(HALF, fixed, Isa::averages);
    compare::<F16, 2>(HALF, fixed, Isa::averages);
    compare::<I16, 1>(LONG, of(15), Isa::averages);
    compare::<I16, 2>(LONG, of(15), Isa::averages);
    compare::<I16, 2>(LONG, of(15), Isa::cascade_i16);
    compare::<I8, 1>(SHORT, of(7), Isa::averages);
    compare::<I8, 2>(SHORT, of(7), Isa::averages);
}

#[test]
fn wrong_lengths_panic() {
    let unit = Unit { old: 1.0, inverse: 1.0 };
    for isa in all() {
        let run = |g: usize, m: usize, h: usize, row: usize| {
            let (g, mut weight, mut m, mut h) = (vec![0.0; g], vec![0; PANEL], vec![0; m], vec![0; h]);
            let states = [&mut m[..], &mut h];
            let draws = (Draws::new(1, 2, 3), 0);
            let task = Averages { row, g: &g, weight: &mut weight, states, units: [unit; 2], draws, rates: [0.1; 2] };
            panics(|| _ = isa.cascade_i16(task))
        };
        assert!(!run(32, 32, 32, 31), "{isa:?}: a good task");
        assert!(run(64, 32, 32, 0) && run(32, 31, 32, 0) && run(32, 32, 31, 0) && run(32, 32, 32, 32), "{isa:?}");
    }
}
