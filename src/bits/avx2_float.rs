//! Floats times bits for AVX2. Lanes are columns; a panel of at most 16 has half the work.

use std::arch::x86_64::*;
use std::array;
use std::mem::MaybeUninit;

use super::tasks::{ABSENT, FloatBits, GatheredFloatBits, PANEL, Panels, words};

/// Columns in a register.
pub(super) const LANES: usize = 8;

/// Registers of columns of a whole panel, and of one of at most 16 columns.
const WIDE: usize = 4;
const NARROW: usize = 2;

/// Registers of sums: with the signs, an x and what is between they fill the sixteen there are.
const SUMS: usize = 12;

/// Numbers that fill half of the first-level cache.
const SIGNS: usize = 4096;

/// All ones in the first `columns` of the 8 lanes from column `first` on.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
pub(super) fn lanes_below(columns: usize, first: usize) -> __m256i {
    let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_cmpgt_epi32(_mm256_set1_epi32(columns as i32 - first as i32), lane)
}

/// Signs of several terms, [`WIDE`] or [`NARROW`] registers each. The last of a term's registers holds the sign to flip before adding,
/// those before it +-1.0 to multiply by: where adders stand beside the multipliers (Zen), both run at the same time.
#[repr(align(64))]
struct Signs<const V: usize>(MaybeUninit<[f32; SIGNS]>);

impl<const V: usize> Signs<V> {
    /// Terms that fit.
    const ROOM: usize = SIGNS / (V * LANES);

    /// None yet.
    const fn new() -> Self {
        Self(MaybeUninit::uninit())
    }

    /// Those of term `j`, which is below `ROOM`.
    fn at(&self, j: usize) -> *const f32 {
        self.0.as_ptr().cast::<f32>().wrapping_add(j * V * LANES)
    }

    /// Writes the first `8 V` signs of a word as term `j`.
    #[inline]
    #[target_feature(enable = "avx2,fma,popcnt")]
    fn spread(&mut self, j: usize, word: u32) {
        assert!(j < Self::ROOM, "room for the terms");
        let signs = self.0.as_mut_ptr().cast::<f32>().wrapping_add(j * V * LANES);
        let word = _mm256_set1_epi32(word.cast_signed());
        for v in 0..V {
            let lane = _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24);
            let top = _mm256_sllv_epi32(word, _mm256_sub_epi32(lane, _mm256_set1_epi32((v * LANES) as i32)));
            let minus = _mm256_andnot_si256(top, _mm256_set1_epi32(i32::MIN));
            let one = if v + 1 < V { _mm256_castps_si256(_mm256_set1_ps(1.0)) } else { _mm256_setzero_si256() };
            // SAFETY: j is below the terms that there is room for.
            unsafe { _mm256_storeu_si256(signs.add(v * LANES).cast(), _mm256_or_si256(minus, one)) };
        }
    }
}

/// [`super::Isa::float_bits`].
///
/// # Safety
/// The processor has the instructions, `task` passed its check against `y`, its rows and inner are at least 1.
#[target_feature(enable = "avx2,fma,popcnt")]
pub(super) unsafe fn float_bits(task: &FloatBits, y: &mut dyn Panels) {
    for at in 0..task.panels() {
        let (panel, y) = (task.panel(at), y.panel(at));
        // SAFETY: the caller's promise, passed on. Constant strides become offsets inside the instructions.
        unsafe {
            match (task.x_row, task.x_inner, panel.columns <= NARROW * LANES) {
                (32, 1, true) => float_bits_panel::<NARROW, 32, 1>(&panel, y),
                (32, 1, false) => float_bits_panel::<WIDE, 32, 1>(&panel, y),
                (1, 32, true) => float_bits_panel::<NARROW, 1, 32>(&panel, y),
                (1, 32, false) => float_bits_panel::<WIDE, 1, 32>(&panel, y),
                _ => float_bits_panel::<WIDE, 0, 0>(&panel, y),
            }
        }
    }
}

/// One panel of V registers; strides of 0 stand for those of the task.
///
/// # Safety
/// As [`float_bits`]; the panel has at most `8 V` columns, and strides that are not 0 are the task's.
#[target_feature(enable = "avx2,fma,popcnt")]
unsafe fn float_bits_panel<const V: usize, const X_ROW: usize, const X_INNER: usize>(task: &FloatBits, y: &mut [f32]) {
    let x_row = if X_ROW == 0 { task.x_row } else { X_ROW };
    let x_inner = if X_INNER == 0 { task.x_inner } else { X_INNER };
    let mut signs = Signs::<V>::new();
    for start in (0..task.inner).step_by(Signs::<V>::ROOM) {
        let end = task.inner.min(start + Signs::<V>::ROOM);
        for j in start..end {
            signs.spread(j - start, task.bits[j / PANEL * task.bits_block + j % PANEL]);
        }
        let mut i = 0;
        while i < task.rows {
            let x = task.x.as_ptr().wrapping_add(i * x_row);
            let stretches = (start..end).step_by(PANEL).map(|first| Stretch {
                terms: PANEL.min(end - first),
                signs: signs.at(first - start),
                row: move |r| x.wrapping_add(first / PANEL * task.x_block + r * x_row),
            });
            let joins = start > 0 || task.accumulate;
            let target = Target { y: &mut y[i * task.y_row..], y_row: task.y_row, columns: task.columns, joins };
            // SAFETY: rows from i and j from start are inside the task, whose reach was checked; all their signs are written.
            i += unsafe { tile::<V, _>(task.rows - i, x_inner, stretches, target) };
        }
    }
}

/// [`super::Isa::gathered_float_bits`]: rows are read where they lie.
///
/// # Safety
/// The processor has the instructions, `task` passed its check against `y`, its rows are at least 1.
#[target_feature(enable = "avx2,fma,popcnt")]
pub(super) unsafe fn gathered(task: &GatheredFloatBits, y: &mut dyn Panels) {
    for at in 0..words(task.columns) {
        // SAFETY: the caller's promise, passed on.
        unsafe {
            if task.columns - at * PANEL <= NARROW * LANES {
                gathered_panel::<NARROW>(task, at, y.panel(at));
            } else {
                gathered_panel::<WIDE>(task, at, y.panel(at));
            }
        }
    }
}

/// Panel `at`.
///
/// # Safety
/// As [`gathered`]; the panel has at most `8 V` columns.
#[target_feature(enable = "avx2,fma,popcnt")]
unsafe fn gathered_panel<const V: usize>(task: &GatheredFloatBits, at: usize, y: &mut [f32]) {
    /// For what is absent.
    static NOTHING: [f32; PANEL] = [0.0; PANEL];
    let (terms, blocks) = (task.terms, task.panels * task.taps);
    let columns = PANEL.min(task.columns - at * PANEL);
    // Blocks of terms that are worked on together, as even as they come.
    let most = blocks.div_ceil(blocks.div_ceil(Signs::<V>::ROOM / terms));
    let mut signs = Signs::<V>::new();
    let mut sources = [(task.x.as_ptr(), &task.places[..0]); Signs::<NARROW>::ROOM];
    for start in (0..blocks).step_by(most) {
        let count = most.min(blocks - start);
        for (slot, source) in sources[..count].iter_mut().enumerate() {
            let block = start + slot;
            let bits = &task.bits[block * task.bits_block + at * task.bits_panel..][..terms];
            bits.iter().enumerate().for_each(|(j, word)| signs.spread(slot * terms + j, *word));
            let x = task.x.as_ptr().wrapping_add(block / task.taps * task.x_panel);
            *source = (x, &task.places[block % task.taps * task.rows..][..task.rows]);
        }
        let mut i = 0;
        while i < task.rows {
            let stretches = sources[..count].iter().enumerate().map(|(slot, (x, places))| Stretch {
                terms,
                signs: signs.at(slot * terms),
                row: move |r| match places[i + r] {
                    ABSENT => NOTHING.as_ptr(),
                    place => x.wrapping_add(place as usize * PANEL),
                },
            });
            let target = Target { y: &mut y[i * PANEL..], y_row: PANEL, columns, joins: start > 0 };
            // SAFETY: places that are not absent were checked, with all terms, of which all signs are written.
            i += unsafe { tile::<V, _>(task.rows - i, 1, stretches, target) };
        }
    }
}

/// Some terms of a sum.
struct Stretch<F> {
    terms: usize,
    /// Their signs.
    signs: *const f32,
    /// Where a row's first x lies.
    row: F,
}

/// Where a tile's sums go.
struct Target<'a> {
    /// From the tile's first row on.
    y: &'a mut [f32],
    y_row: usize,
    columns: usize,
    /// Whether they join what is there.
    joins: bool,
}

/// Sums of as many rows as fit registers, at most `rows`; gives their number.
///
/// # Safety
/// The processor has the instructions; every stretch's x, `x_inner` apart, are readable in this number of rows, and its signs.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
unsafe fn tile<const V: usize, F: Fn(usize) -> *const f32>(
    rows: usize,
    x_inner: usize,
    stretches: impl Iterator<Item = Stretch<F>>,
    target: Target<'_>,
) -> usize {
    // As even as they come.
    let count = rows.div_ceil(rows.div_ceil(SUMS / V));
    // SAFETY: the caller's promise, passed on.
    unsafe {
        match count {
            1 => tile_of::<V, 1, F>(x_inner, stretches, target),
            2 => tile_of::<V, 2, F>(x_inner, stretches, target),
            3 => tile_of::<V, 3, F>(x_inner, stretches, target),
            4 if V == NARROW => tile_of::<V, 4, F>(x_inner, stretches, target),
            5 if V == NARROW => tile_of::<V, 5, F>(x_inner, stretches, target),
            _ => tile_of::<V, 6, F>(x_inner, stretches, target),
        }
    }
    count
}

/// A sum and one more term: x with the signs of register v.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn with<const V: usize>(sum: __m256, x: __m256, signs: __m256, v: usize) -> __m256 {
    if v + 1 < V { _mm256_fmadd_ps(x, signs, sum) } else { _mm256_add_ps(sum, _mm256_xor_ps(x, signs)) }
}

/// The sums of R rows.
///
/// # Safety
/// As [`tile`].
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
unsafe fn tile_of<const V: usize, const R: usize, F: Fn(usize) -> *const f32>(
    x_inner: usize,
    stretches: impl Iterator<Item = Stretch<F>>,
    target: Target<'_>,
) {
    let mut sums = [[_mm256_setzero_ps(); V]; R];
    for Stretch { terms, signs, row } in stretches {
        let x: [*const f32; R] = array::from_fn(row);
        for j in 0..terms {
            // SAFETY: the caller's promise.
            let (x, signs) = unsafe {
                (
                    |r: usize| _mm256_set1_ps(*x[r].add(j * x_inner)),
                    |v: usize| _mm256_loadu_ps(signs.add((j * V + v) * LANES)),
                )
            };
            // The fewer of the two stay in registers.
            if V == NARROW {
                let signs: [__m256; V] = array::from_fn(signs);
                for (r, sums) in sums.iter_mut().enumerate() {
                    let x = x(r);
                    (0..V).for_each(|v| sums[v] = with::<V>(sums[v], x, signs[v], v));
                }
            } else {
                let x: [__m256; R] = array::from_fn(x);
                for v in 0..V {
                    let signs = signs(v);
                    sums.iter_mut().zip(x).for_each(|(sums, x)| sums[v] = with::<V>(sums[v], x, signs, v));
                }
            }
        }
    }
    for (r, sums) in sums.into_iter().enumerate() {
        let y = &mut target.y[r * target.y_row..][..PANEL];
        for (v, y) in y.chunks_exact_mut(LANES).enumerate() {
            let sum = if v < V { sums[v] } else { _mm256_setzero_ps() };
            // SAFETY: y has 8 elements.
            unsafe {
                let sum = if target.joins { _mm256_add_ps(_mm256_loadu_ps(y.as_ptr()), sum) } else { sum };
                let valid = _mm256_castsi256_ps(lanes_below(target.columns, v * LANES));
                _mm256_storeu_ps(y.as_mut_ptr(), _mm256_and_ps(sum, valid));
            }
        }
    }
}
