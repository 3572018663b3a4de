//! Passes over states.

use super::super::isa::Isa;
use super::super::select::all;
use super::super::tasks::PANEL;
use super::{Random, SPECIAL, panics};

/// Not-a-number is one value here; everything else by its bits.
fn plain(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }).collect()
}

/// One step of the cascaded filter, as a rule with two states.
#[derive(Clone, Copy)]
struct Cascade<'a> {
    g: &'a [f32],
    rows: usize,
    alpha: f32,
    gamma: f32,
}

impl Cascade<'_> {
    fn sweep(&self, isa: &Isa, m: &mut [f32], h: &mut [f32], bits: &mut [u32]) -> u32 {
        let Self { g, alpha, gamma, .. } = *self;
        isa.sweep(0, g, bits, [m, h], |g, [m, h]| {
            let m = m + gamma * (g - m);
            let h = h + alpha * (m - h);
            ([m, h], h)
        })
    }
}

/// What one instruction set, or the definition, does with m, h and bits; returns the flips.
type Step<'a> = &'a dyn Fn(&Cascade, &mut [f32], &mut [f32], &mut [u32]) -> u32;

/// The definition, one weight at a time.
fn filter(task: &Cascade, m: &mut [f32], h: &mut [f32], bits: &mut [u32]) -> u32 {
    let mut flips = 0;
    for at in 0..task.rows * bits.len() {
        let (row, j) = (at / bits.len(), at % bits.len());
        m[at] += task.gamma * (task.g[at] - m[at]);
        h[at] += task.alpha * (m[at] - h[at]);
        let word = &mut bits[j / PANEL * PANEL + row];
        let old = *word >> (j % PANEL) & 1;
        let new = if h[at] > 0.0 {
            0
        } else if h[at] < 0.0 {
            1
        } else {
            old
        };
        flips += u32::from(new != old);
        *word ^= (old ^ new) << (j % PANEL);
    }
    flips
}

#[test]
fn sweeps_are_the_definition_bit_for_bit() {
    let mut random = Random(4);
    for rows in 0..=32 {
        let k_words = 1 + random.below(5);
        let n = rows * k_words * PANEL;
        let bits: Vec<u32> = (0..k_words * PANEL).map(|_| random.bits() as u32).collect();
        let state = |random: &mut Random| -> Vec<f32> {
            let special = |random: &mut Random| SPECIAL[random.below(SPECIAL.len())];
            (0..n).map(|_| if random.below(4) == 0 { special(random) } else { random.float() * 1e-3 }).collect()
        };
        let (m, h) = (state(&mut random), state(&mut random));
        let gradients: Vec<Vec<f32>> = (0..3).map(|_| state(&mut random)).collect();
        let (alpha, gamma) = ([1e-3, 1.0, 0.0][rows % 3], [0.3, 1e-40, 1.0, 0.0][rows % 4]);
        let play = |step: Step| {
            let (mut m, mut h, mut bits) = (m.clone(), h.clone(), bits.clone());
            let steps = gradients.iter().map(|g| step(&Cascade { g, rows, alpha, gamma }, &mut m, &mut h, &mut bits));
            let flips: Vec<u32> = steps.collect();
            (flips, plain(&m), plain(&h), bits)
        };
        let expected = play(&filter);
        for isa in all() {
            assert_eq!(play(&|task, m, h, bits| task.sweep(isa, m, h, bits)), expected, "{isa:?}, rows {rows}");
        }
    }
}

#[test]
fn wrong_arguments_panic() {
    let isa = all()[0];
    let zeros = vec![0.0; 64 * 3];
    let run = |rows: usize, m: usize, bits: usize| {
        let task = Cascade { g: &zeros[..rows * 64], rows, alpha: 0.1, gamma: 0.1 };
        panics(|| _ = task.sweep(isa, &mut vec![0.0; m], &mut zeros.clone(), &mut vec![0; bits]))
    };
    assert!(!run(3, 192, 64), "a good task");
    assert!(run(2, 192, 64) && run(3, 191, 64) && run(3, 192, 65) && run(3, 192, 0), "lengths");
    let mut state = vec![0.0; 33 * 32];
    assert!(panics(|| _ = isa.sweep(0, &state.clone(), &mut [0; 32], [&mut state], |g, _| ([g], g))), "33 rows");
}
