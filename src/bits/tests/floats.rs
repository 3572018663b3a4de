//! Tests of products of floats and bits against sums in f64.

use super::super::isa::Isa;
use super::super::select::all;
use super::super::tasks::{ABSENT, FloatBits, GatheredFloatBits, PANEL, StridedPanels, words};
use super::{Random, panics, shapes};

/// Shape of a task of float_bits: strides (block, inner, row) of x, (block, panel) of bits, (row, panel) of y.
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

    /// Returns the number of lanes of all panels.
    fn width(&self) -> usize {
        words(self.columns) * PANEL * self.sets
    }

    fn word_at(&self, j: usize, c: usize) -> usize {
        j / PANEL * self.bits.0 + j % PANEL + c / PANEL * self.bits.1
    }

    fn y_at(&self, i: usize, c: usize) -> usize {
        i * self.y.0 + c / PANEL * self.y.1 + c % PANEL
    }

    /// Returns the minimum lengths of x, bits and y that the checks accept.
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
        isa.float_bits(&self.task(x, bits), &mut StridedPanels(y, self.y.1));
    }

    /// Computes the sum and the sum of magnitudes in f64 for each element of y. Lanes beyond the columns are 0; elements between rows are `None`.
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

/// Returns shapes with the two sets of strides that training uses, and with an unusual one.
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

/// Results are bit-identical for every split of the rows.
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

/// Uses shapes of convolution gradients: places close together, many taps, absent rows.
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
            isa.gathered_float_bits(&task, &mut StridedPanels(&mut y, rows * PANEL));
            assert!(y == expected, "{isa:?}, {rows} rows, {taps} taps, {panels} panels of {terms}, {columns} columns");
            let run = |task: GatheredFloatBits, y: usize| {
                panics(|| isa.gathered_float_bits(&task, &mut StridedPanels(&mut vec![0.0; y], rows * PANEL)))
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

#[test]
fn wrong_arguments_panic() {
    let isa = all()[0];
    let shape = Shape { rows: 5, inner: 33, columns: 32, sets: 1, x: (160, 1, 32), bits: (32, 32), y: (32, 32) };
    let (x, bits) = (vec![0.0; 289], vec![0; 33]);
    let run = |task: FloatBits, y: usize| panics(|| isa.float_bits(&task, &mut StridedPanels(&mut vec![0.0; y], 32)));
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
}
