//! Tests of every instruction set of this processor against scalar loops.

mod floats;
mod update;

use super::select::{VARIABLE, active, all, choose};
use super::tasks::{PANEL, Xnor, panel_mask, words};

/// SplitMix64: pseudorandom numbers that are the same on every run.
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

    /// Returns a uniform number from -1 to 1.
    fn float(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.float()).collect()
    }

    /// Returns panels `[ceil(rows / 32)][words][32]` of random bits, tail bits 0.
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

/// Returns bit `bit` of row r.
fn bit(panels: &[u32], k: usize, r: usize, bit: usize) -> bool {
    panels[word_at(k, r, bit / PANEL)] >> (bit % PANEL) & 1 == 1
}

const SPECIAL: [f32; 12] =
    [0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-40, -1e-45, 1e-45, f32::MIN_POSITIVE, -3e38, 1.0, -1.0];

const KS: [usize; 11] = [1, 31, 32, 33, 63, 64, 65, 100, 784, 1024, 5000];

/// Returns shapes (rows, k, columns): each k with a few rows and columns, and every number of rows and columns at least once.
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

/// All bits differ, also in the tail columns, which must still be written as 0.
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

/// Returns whether `f` panics; the panic message goes to the test's captured output.
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

    let zeros = vec![0.0; 64 * 3];
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
