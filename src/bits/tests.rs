//! Every instruction set of this processor against the plainest loops.

use super::isa::{ABSENT, Apart, FloatBits, GatheredFloatBits, Isa, PANEL, Xnor, panel_mask, words};
use super::narrow::{CascadeI16, Unit};
use super::select::{VARIABLE, active, all, choose};
use crate::tensor::Draws;

/// SplitMix64: numbers that look random and are the same on every run.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// -1 to 1.
    fn float(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.float()).collect()
    }

    /// Panels `[ceil(rows / 32)][words][32]` with random bits, tails 0.
    fn matrix(&mut self, rows: usize, k: usize) -> Vec<u32> {
        let mut panels = vec![0; rows.div_ceil(PANEL) * words(k) * PANEL];
        for (r, w) in (0..rows).flat_map(|r| (0..words(k)).map(move |w| (r, w))) {
            panels[word_at(k, r, w)] = self.bits() as u32 & panel_mask(k - w * PANEL);
        }
        panels
    }
}

fn word_at(k: usize, r: usize, w: usize) -> usize {
    (r / PANEL * words(k) + w) * PANEL + r % PANEL
}

/// Bit `bit` of row r.
fn bit(panels: &[u32], k: usize, r: usize, bit: usize) -> bool {
    panels[word_at(k, r, bit / PANEL)] >> (bit % PANEL) & 1 == 1
}

const KS: [usize; 11] = [1, 31, 32, 33, 63, 64, 65, 100, 784, 1024, 5000];

/// Shapes (rows, k, columns): each k with a few rows and columns, and every number of rows and columns somewhere.
fn shapes(random: &mut Random) -> Vec<(usize, usize, usize)> {
    let mut shapes: Vec<_> = (1..=70).map(|rows| (rows, KS[random.below(9)], 1 + random.below(32))).collect();
    shapes.extend((1..=32).map(|columns| (1 + random.below(70), KS[random.below(9)], columns)));
    shapes.extend(KS.iter().flat_map(|&k| [(9, k, 32), (33, k, 7)]));
    shapes
}

#[test]
fn xnor_is_the_definition() {
    let mut random = Random(1);
    for (rows, k, columns) in shapes(&mut random) {
        let (a, w) = (random.matrix(rows, k), random.matrix(columns, k));
        let dot = |r, c| (0..k).map(|j| if bit(&a, k, r, j) == bit(&w, k, c, j) { 1 } else { -1 }).sum::<i32>();
        let mut expected = vec![0; rows * PANEL];
        for (r, c) in (0..rows).flat_map(|r| (0..columns).map(move |c| (r, c))) {
            expected[r * PANEL + c] = dot(r, c);
        }
        let cut = rows / 2 / 8 * 8;
        for isa in all() {
            for (row_begin, row_end) in [(0, rows), (0, cut), (cut, rows)] {
                let mut y = vec![-9; (row_end - row_begin) * PANEL];
                isa.xnor(&Xnor { a: &a, w: &w, k, columns, row_begin, row_end }, &mut y);
                let part = &expected[row_begin * PANEL..row_end * PANEL];
                assert_eq!(y, part, "{isa:?}, rows {row_begin}..{row_end} of {rows}, k {k}, columns {columns}");
            }
        }
    }
}

/// Every word differs in every bit, also in the tail columns, which are written as 0 all the same.
#[test]
fn xnor_counts_all_ones_and_clears_tail_lanes() {
    for k in [32 * 7, 32 * 8, 32 * 31, 32 * 128, 32 * 129, 32 * 300] {
        let (a, w) = (vec![u32::MAX; k], vec![0; k]);
        for isa in all() {
            let mut y = vec![1; 32 * PANEL];
            isa.xnor(&Xnor { a: &a, w: &w, k, columns: 5, row_begin: 0, row_end: 32 }, &mut y);
            let right =
                y.chunks(PANEL).all(|y| y[..5].iter().all(|&y| y == -(k as i32)) && y[5..].iter().all(|&y| y == 0));
            assert!(right, "{isa:?}, k {k}");
        }
    }
}

/// One task of float_bits: strides (block, inner, row) of x, (block, panel) of bits, (row, panel) of y.
#[derive(Clone, Copy, Debug)]
struct Shape {
    rows: usize,
    inner: usize,
    columns: usize,
    x: (usize, usize, usize),
    sets: usize,
    bits: (usize, usize),
    y: (usize, usize),
}

impl Shape {
    fn x_at(&self, i: usize, j: usize) -> usize {
        j / PANEL * self.x.0 + j % PANEL * self.x.1 + i * self.x.2
    }

    /// Lanes of all panels.
    fn width(&self) -> usize {
        words(self.columns) * PANEL * self.sets
    }

    fn word_at(&self, j: usize, c: usize) -> usize {
        j / PANEL * self.bits.0 + j % PANEL + c / PANEL * self.bits.1
    }

    fn y_at(&self, i: usize, c: usize) -> usize {
        i * self.y.0 + c / PANEL * self.y.1 + c % PANEL
    }

    /// The shortest slices that hold the task, and y: all that the checks allow.
    fn lengths(&self) -> (usize, usize, usize) {
        let last = |at: &dyn Fn(usize) -> usize| (0..self.inner).map(at).max().map_or(0, |at| at + 1);
        let x = last(&|j| self.x_at(self.rows - 1, j));
        let end = (self.width() - 1) / PANEL * PANEL;
        (x, last(&|j| self.word_at(j, end)), self.y_at(self.rows - 1, end) + PANEL)
    }

    fn task<'a>(&self, x: &'a [f32], bits: &'a [u32]) -> FloatBits<'a> {
        let Shape { rows, inner, columns, sets, .. } = *self;
        let ((x_block, x_inner, x_row), (bits_block, bits_panel)) = (self.x, self.bits);
        let y_row = self.y.0;
        FloatBits {
            x,
            x_block,
            x_inner,
            x_row,
            bits,
            bits_block,
            bits_panel,
            inner,
            rows,
            columns,
            sets,
            y_row,
            accumulate: false,
        }
    }

    fn run(&self, isa: &Isa, x: &[f32], bits: &[u32], y: &mut [f32]) {
        isa.float_bits(&self.task(x, bits), &mut Apart(y, self.y.1));
    }

    /// Definition in f64 where y has it: sums, and sums of magnitudes; lanes beyond the columns are 0, and what lies between is not there.
    fn definition(&self, x: &[f32], bits: &[u32]) -> Vec<Option<(f64, f64)>> {
        let mut y = vec![None; self.lengths().2];
        for (i, c) in (0..self.rows).flat_map(|i| (0..self.width()).map(move |c| (i, c))) {
            let mut sums = (0.0, 0.0);
            for j in 0..if c % (words(self.columns) * PANEL) < self.columns { self.inner } else { 0 } {
                let x = f64::from(x[self.x_at(i, j)]);
                let plus = bits[self.word_at(j, c)] >> (c % PANEL) & 1 == 1;
                sums = (sums.0 + if plus { x } else { -x }, sums.1 + x.abs());
            }
            y[self.y_at(i, c)] = Some(sums);
        }
        y
    }
}

/// The two sets of strides that training uses, and an odd one.
fn float_shapes(random: &mut Random) -> Vec<Shape> {
    let mut all = Vec::new();
    for (rows, inner, columns) in shapes(random) {
        let columns = if inner < 500 { columns + random.below(3) * PANEL } else { columns };
        let (sets, channels) = (1 + random.below(3) / 2, rows.min(32));
        let panels = words(columns) * sets;
        let bits = (PANEL * (panels + random.below(3)), PANEL);
        all.push(Shape { rows, inner, columns, sets, x: (rows * 32, 1, 32), bits, y: (32, rows * 32) });
        all.push(Shape {
            rows: channels,
            inner,
            columns,
            sets,
            x: (1024, 32, 1),
            bits,
            y: (PANEL * (panels + random.below(2)), 32),
        });
        let bits = (37, 37 * words(inner) + 1);
        all.push(Shape { rows, inner, columns, sets, x: (3, 7, 5), bits, y: (37, 38 * rows) });
    }
    all
}

#[test]
fn float_bits_is_the_definition() {
    let mut random = Random(2);
    for shape in float_shapes(&mut random) {
        let (x_length, bits_length, y_length) = shape.lengths();
        let bits: Vec<u32> = (0..bits_length).map(|_| random.bits() as u32).collect();
        let x = random.floats(x_length);
        let whole: Vec<f32> = (0..x_length).map(|_| random.below(201) as f32 - 100.0).collect();
        let (expected, exact) = (shape.definition(&x, &bits), shape.definition(&whole, &bits));
        for isa in all() {
            let (mut y, mut y_whole) = (vec![7.5; y_length], vec![7.5; y_length]);
            shape.run(isa, &x, &bits, &mut y);
            shape.run(isa, &whole, &bits, &mut y_whole);
            for (at, (&y, &y_whole)) in y.iter().zip(&y_whole).enumerate() {
                let Some(((sum, magnitude), (exact, _))) = expected[at].zip(exact[at]) else {
                    assert_eq!((y, y_whole), (7.5, 7.5), "{isa:?} wrote between rows, {shape:?}");
                    continue;
                };
                assert_eq!(f64::from(y_whole), exact, "{isa:?}, {at}, {shape:?}");
                let error = (f64::from(y) - sum).abs();
                assert!(error <= 1e-6 * magnitude, "{isa:?}, {at}, off by {error} of {magnitude}, {shape:?}");
            }
        }
    }
}

/// Any split over rows gives the same bits.
#[test]
fn float_bits_does_not_depend_on_tiles() {
    let mut random = Random(3);
    for shape in float_shapes(&mut random) {
        let (x_length, bits_length, y_length) = shape.lengths();
        let bits: Vec<u32> = (0..bits_length).map(|_| random.bits() as u32).collect();
        let x = random.floats(x_length);
        for isa in all() {
            let (mut y, mut split) = (vec![0.0; y_length], vec![0.0; y_length]);
            shape.run(isa, &x, &bits, &mut y);
            let mut i = 0;
            while i < shape.rows {
                let rows = (1 + random.below(17)).min(shape.rows - i);
                let part = Shape { rows, ..shape };
                part.run(isa, &x[i * shape.x.2..], &bits, &mut split[i * shape.y.0..]);
                i += rows;
            }
            let same = y.iter().zip(&split).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "{isa:?}, {shape:?}");
        }
    }
}

#[test]
fn float_bits_keeps_what_is_not_finite_not_finite() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for isa in all() {
            let mut x = vec![1.0; 64 * PANEL];
            x[5 * PANEL + 3] = bad;
            let shape =
                Shape { rows: 32, inner: 40, columns: 32, sets: 1, x: (1024, 32, 1), bits: (32, 32), y: (32, 32) };
            let mut y = vec![0.0; 32 * PANEL];
            shape.run(isa, &x, &[0x5555_5555; 64], &mut y);
            for (i, y) in y.chunks(PANEL).enumerate() {
                assert!(y.iter().all(|y| y.is_finite() == (i != 3)), "{isa:?}, {bad}, row {i}");
            }
        }
    }
}

#[test]
fn float_bits_without_terms_is_zero() {
    for isa in all() {
        let shape = Shape { rows: 3, inner: 0, columns: 4, sets: 1, x: (96, 1, 32), bits: (32, 32), y: (33, 33) };
        let mut y = vec![1.0; 98];
        shape.run(isa, &[], &[], &mut y);
        assert!(y.iter().enumerate().all(|(at, &y)| y == f32::from(at % 33 == 32)), "{isa:?}");
    }
}

/// The shapes of convolutions' gradients: places near each other, many taps, rows that are absent.
#[test]
fn gathered_float_bits_is_the_definition() {
    let mut random = Random(8);
    for case in 0..60 {
        let (rows, taps) = (1 + random.below(70), [1, 2, 9, 25, 49][case % 5]);
        let (panels, columns) = (1 + random.below(3), 1 + random.below(100));
        let (terms, spread) = (if panels == 1 { 1 + random.below(32) } else { PANEL }, 1 + random.below(400));
        let (x_panel, bits_panel) = (spread * PANEL + 5, [PANEL, PANEL * taps * panels][case % 2]);
        let bits_block = if case % 2 == 0 { PANEL * words(columns) } else { PANEL };
        let places: Vec<u32> =
            (0..taps * rows).map(|_| if random.below(5) == 0 { ABSENT } else { random.below(spread) as u32 }).collect();
        let x: Vec<f32> = (0..panels * x_panel).map(|_| random.below(201) as f32 - 100.0).collect();
        let bits: Vec<u32> = (0..panels * taps * words(columns) * PANEL).map(|_| random.bits() as u32).collect();
        let (places, bits, columns_panels) = (&places[..], &bits[..], words(columns));
        let task = GatheredFloatBits {
            x: &x,
            x_panel,
            panels,
            terms,
            places,
            taps,
            bits,
            bits_block,
            bits_panel,
            rows,
            columns,
        };
        let mut expected = vec![7.5; columns_panels * rows * PANEL];
        for (i, c) in (0..rows).flat_map(|i| (0..columns_panels * PANEL).map(move |c| (i, c))) {
            let mut sum = 0.0;
            for (q, t) in (0..panels).flat_map(|q| (0..taps).map(move |t| (q, t))) {
                let place = places[t * rows + i];
                for j in 0..if place == ABSENT || c >= columns { 0 } else { terms } {
                    let word = bits[(q * taps + t) * bits_block + c / PANEL * bits_panel + j];
                    let x = x[q * x_panel + place as usize * PANEL + j];
                    sum += if word >> (c % PANEL) & 1 == 1 { x } else { -x };
                }
            }
            expected[(c / PANEL * rows + i) * PANEL + c % PANEL] = sum;
        }
        for isa in all() {
            let mut y = vec![7.5; expected.len()];
            isa.gathered_float_bits(&task, &mut Apart(&mut y, rows * PANEL));
            assert!(y == expected, "{isa:?}, {rows} rows, {taps} taps, {panels} panels of {terms}, {columns} columns");
            let run = |task: GatheredFloatBits, y: usize| {
                panics(|| isa.gathered_float_bits(&task, &mut Apart(&mut vec![0.0; y], rows * PANEL)))
            };
            assert!(!run(task, expected.len()) && run(task, expected.len() - 1), "{isa:?}: y");
            assert!(run(GatheredFloatBits { places: &places[1..], ..task }, expected.len()), "{isa:?}: places");
            assert!(run(GatheredFloatBits { terms: 33, ..task }, expected.len()), "{isa:?}: terms");
            let last = (panels * taps - 1) * bits_block + (columns_panels - 1) * bits_panel + terms;
            assert!(run(GatheredFloatBits { bits: &bits[..last - 1], ..task }, expected.len()), "{isa:?}: bits");
            if let Some(last) = places.iter().filter(|place| **place != ABSENT).max() {
                let end = (panels - 1) * x_panel + *last as usize * PANEL + terms;
                assert!(run(GatheredFloatBits { x: &x[..end - 1], ..task }, expected.len()), "{isa:?}: x");
            }
        }
    }
}

/// Not-a-number is one value here; everything else by its bits.
fn plain(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }).collect()
}

const SPECIAL: [f32; 12] =
    [0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-40, -1e-45, 1e-45, f32::MIN_POSITIVE, -3e38, 1.0, -1.0];

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
fn signs_and_clip_masks_are_the_definition() {
    let mut random = Random(5);
    for rows in 0..=70 {
        let columns = 1 + rows % 32;
        let pick = |random: &mut Random| match random.below(3) {
            0 => SPECIAL[random.below(SPECIAL.len())],
            _ => random.float() * 2.0,
        };
        let x: Vec<f32> = (0..rows * PANEL).map(|_| pick(&mut random)).collect();
        let words = |test: &dyn Fn(f32) -> bool| -> Vec<u32> {
            x.chunks(PANEL).map(|x| (0..columns).map(|c| u32::from(test(x[c])) << c).sum()).collect()
        };
        let (signs, near) = (words(&|x| x >= 0.0), words(&|x| x.abs() <= 1.0));
        for isa in all() {
            let [mut out, mut both, mut mask] = [(); 3].map(|()| vec![1; rows]);
            isa.sign_pack(&x, columns, &mut out);
            isa.sign_pack_mask(&x, columns, &mut both, &mut mask);
            assert_eq!((&out, &both, &mask), (&signs, &signs, &near), "{isa:?}, rows {rows}, columns {columns}");
        }
    }
}

#[test]
fn transpose_moves_every_bit() {
    let mut random = Random(6);
    for _ in 0..50 {
        let tile: [u32; PANEL] = std::array::from_fn(|_| random.bits() as u32);
        let expected: [u32; PANEL] = std::array::from_fn(|i| (0..PANEL).map(|j| (tile[j] >> i & 1) << j).sum());
        for isa in all() {
            let mut out = [0; PANEL];
            isa.transpose32(&tile, &mut out);
            assert_eq!(out, expected, "{isa:?}");
        }
    }
}

/// Whether `f` panics; what it says goes to the test's captured output.
fn panics(f: impl FnOnce()) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_err()
}

#[test]
fn wrong_arguments_panic() {
    let isa = all()[0];
    let a = [0; 64];
    let good = Xnor { a: &a, w: &a, k: 40, columns: 3, row_begin: 0, row_end: 20 };
    let run = |task: Xnor, y: usize| panics(|| isa.xnor(&task, &mut vec![0; y]));
    assert!(!run(good, 640), "a good task");
    assert!(run(good, 639) && run(Xnor { row_end: 33, ..good }, 33 * 32), "lengths of y and a");
    assert!(run(Xnor { w: &a[1..], ..good }, 640) && run(Xnor { row_begin: 4, ..good }, 512), "w, first row");
    assert!(run(Xnor { columns: 33, ..good }, 640) && run(Xnor { columns: 0, ..good }, 640), "columns");
    assert!(run(Xnor { row_end: usize::MAX, ..good }, 640) && run(Xnor { k: usize::MAX, ..good }, 640), "overflow");

    let shape = Shape { rows: 5, inner: 33, columns: 32, sets: 1, x: (160, 1, 32), bits: (32, 32), y: (32, 32) };
    let (x, bits) = (vec![0.0; 289], vec![0; 33]);
    let run = |task: FloatBits, y: usize| panics(|| isa.float_bits(&task, &mut Apart(&mut vec![0.0; y], 32)));
    let good = shape.task(&x, &bits);
    assert!(!run(good, 160), "a good task");
    assert!(run(good, 159) && run(FloatBits { y_row: 31, ..good }, 160), "y");
    assert!(run(FloatBits { x: &x[1..], ..good }, 160) && run(FloatBits { bits: &bits[1..], ..good }, 160), "x, bits");
    assert!(run(FloatBits { x_row: usize::MAX, ..good }, 160), "overflow");
    assert!(
        run(FloatBits { columns: 0, ..good }, 160)
            && run(FloatBits { sets: 0, ..good }, 160)
            && run(FloatBits { columns: 33, ..good }, 160),
        "columns"
    );
    assert!(run(FloatBits { columns: 64, bits_panel: 0, ..good }, 160), "the second panel of y");
    assert!(!run(FloatBits { columns: 64, bits_panel: 0, ..good }, 192), "two panels of one");

    let zeros = vec![0.0; 64 * 3];
    let run = |rows: usize, m: usize, bits: usize| {
        let task = Cascade { g: &zeros[..rows * 64], rows, alpha: 0.1, gamma: 0.1 };
        panics(|| _ = task.sweep(isa, &mut vec![0.0; m], &mut zeros.clone(), &mut vec![0; bits]))
    };
    assert!(!run(3, 192, 64), "a good task");
    assert!(run(2, 192, 64) && run(3, 191, 64) && run(3, 192, 65) && run(3, 192, 0), "lengths");
    let mut state = vec![0.0; 33 * 32];
    assert!(panics(|| _ = isa.sweep(0, &state.clone(), &mut [0; 32], [&mut state], |g, _| ([g], g))), "33 rows");
    assert!(panics(|| isa.sign_pack(&zeros, 32, &mut [0; 5])) && panics(|| isa.sign_pack(&zeros, 0, &mut [0; 6])));
    assert!(panics(|| isa.sign_pack_mask(&zeros, 32, &mut [0; 6], &mut [0; 5])), "mask");
}

#[test]
fn the_choice_is_by_name() {
    for isa in all() {
        assert_eq!(choose(Some(isa.name)).map(|isa| isa.name), Ok(isa.name));
    }
    assert_eq!(choose(None).map(|isa| isa.name), Ok(all()[0].name));
    assert_eq!(all().last().map(|isa| isa.name), Some("portable"));
    let elsewhere = if cfg!(target_arch = "aarch64") { "avx2" } else { "neon" };
    for name in ["sse9", "AVX2", elsewhere] {
        let error = choose(Some(name)).expect_err("no such set here");
        assert!(error.contains(VARIABLE) && error.contains(name) && error.contains("portable"), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    if std::env::var_os(VARIABLE).is_none() {
        assert_eq!(active().map(|isa| isa.name), Ok(all()[0].name));
    }
}

#[test]
fn cascades_of_integers_are_the_same_everywhere() {
    let mut random = Random(7);
    for words in 1..20 {
        let (n, row) = (words * PANEL, words % PANEL);
        let state = |random: &mut Random| -> Vec<i16> {
            (0..n).map(|_| [random.bits() as i16, 0, i16::MAX, -i16::MAX][random.below(8) % 4].max(-i16::MAX)).collect()
        };
        let (m, h) = (state(&mut random), state(&mut random));
        let special = |random: &mut Random| SPECIAL[random.below(SPECIAL.len())];
        let g: Vec<f32> =
            (0..n).map(|_| if random.below(4) == 0 { special(&mut random) } else { random.float() }).collect();
        let bits: Vec<u32> = (0..n).map(|_| random.bits() as u32).collect();
        let unit = |moved: i32| Unit { old: 2_f32.powi(-15), inverse: 2_f32.powi(15 - moved) };
        let units = [unit(words as i32 % 3 - 1), unit(words as i32 / 3 % 3 - 1)];
        let knobs = [[1e-3, 0.3], [1.0, 1.0], [0.1, 1e-5], [0.0, 0.5]][words % 4];
        let play = |isa: &Isa| {
            let (mut m, mut h, mut bits) = (m.clone(), h.clone(), bits.clone());
            let draws = (Draws::new(1, words as u32, 3), u32::MAX - 20);
            let states = [&mut m[..], &mut h];
            let swept = isa.cascade_i16(CascadeI16 { row, g: &g, weight: &mut bits, states, units, draws, knobs });
            (swept, m, h, bits)
        };
        let expected = play(&super::portable::ISA);
        for isa in all() {
            assert!(play(isa) == expected, "{isa:?}, {words} words");
        }
    }
    let mut bits = [0; PANEL];
    let unit = Unit { old: 1.0, inverse: 1.0 };
    for isa in all() {
        let (mut m, mut h) = ([0; PANEL], [0; PANEL - 1]);
        let task = CascadeI16 {
            row: 0,
            g: &[0.0; PANEL],
            weight: &mut bits,
            states: [&mut m, &mut h],
            units: [unit; 2],
            draws: (Draws::new(1, 2, 3), 0),
            knobs: [0.1; 2],
        };
        assert!(panics(|| _ = isa.cascade_i16(task)), "{isa:?}: a short state");
    }
}
