//! Product of floats and bits for AVX-512, four terms at a time: the method of the four Russians (Arlazarov, Dinic, Kronrod and Faradzhev 1970).
//!
//! Four floats with signs have 16 possible sums, and a register holds 16 floats. For every row and every four j, a *table* of these sums is
//! computed once; the four bits of a column then index the table. One permutation looks up 16 columns and one addition replaces four
//! multiply-adds: a quarter of the arithmetic once the cost of the tables is spread over a few panels of columns. The indices come from a
//! tile of 32 j x 32 columns of bits that is transposed in registers.
//!
//! The tables of a *place*, 32 consecutive floats of a row, are stored together. A product that reads a place several times, such as the
//! input gradient of a convolution with its taps, computes the tables of the place once.

use std::arch::x86_64::*;
use std::ops::Range;

use super::tasks::{ABSENT, FloatBits, GatheredFloatBits, PANEL, Panels, panel_mask, words};

/// Terms of a table.
const TERMS: usize = 4;

/// Tables per place.
const GROUPS: usize = PANEL / TERMS;

/// Rows that share a tile of bits: 8 rows x 2 registers are 16 registers of sums.
const ROWS: usize = 8;

/// The tables of 32 floats: entry n of table k is ((s0 x0 + s1 x1) + s2 x2) + s3 x3 of floats from 4 k on, where s_i is +1 if bit i of n is
/// 1, else -1.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Tables([[f32; 16]; GROUPS]);

const NOTHING: Tables = Tables([[0.0; 16]; GROUPS]);

/// Blocks of 32 j that are summed in registers before they are added to y: the tables of 8 rows then fill half of a 32 KiB L1 cache.
const BLOCKS: usize = 4;

/// # Safety
/// The processor has the instructions, `task` passed its check against `y`, its rows and inner are at least 1.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx512vbmi,gfni,popcnt")]
pub(super) unsafe fn float_bits(task: &FloatBits, y: &mut dyn Panels) {
    let mut tables = [[NOTHING; ROWS]; BLOCKS];
    for i in (0..task.rows).step_by(ROWS) {
        let rows = ROWS.min(task.rows - i);
        for start in (0..task.inner).step_by(BLOCKS * PANEL) {
            let end = task.inner.min(start + BLOCKS * PANEL);
            let blocks = || (start..end).step_by(PANEL).map(|first| (first, PANEL.min(end - first)));
            for ((first, count), tables) in blocks().zip(&mut tables) {
                for (r, tables) in tables.iter_mut().enumerate().take(rows) {
                    let x = task.x.as_ptr().wrapping_add(first / PANEL * task.x_block + (i + r) * task.x_row);
                    // SAFETY: row i + r and the j from first on are the task's, whose reach was checked.
                    unsafe { fill(x, task.x_inner, count, tables) };
                }
            }
            let begins = start == 0 && !task.accumulate;
            for at in 0..task.panels() {
                let steps = blocks().zip(&tables).map(|((first, count), tables)| {
                    let bits = task.bits.as_ptr().wrapping_add(first / PANEL * task.bits_block + at * task.bits_panel);
                    (bits, count, std::array::from_fn(|r| &tables[r]))
                });
                let (columns, y) = (task.valid(at), &mut y.panel(at)[i * task.y_row..]);
                let target = Target { rows, columns, begins, y, y_row: task.y_row };
                // SAFETY: count words are readable from bits on, as checked.
                unsafe { multiply_rows(steps, target) };
            }
        }
    }
}

/// Rows of a tile of [`gathered`]. Adjacent rows read overlapping places, so they share tables.
const TILE: usize = 2 * ROWS;

/// Maximum number of places of a tile.
const SLOTS: usize = 160;

/// # Safety
/// The processor has the instructions, `task` passed its check against `y`, its rows, taps and panels of x are at least 1.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx512vbmi,gfni,popcnt")]
pub(super) unsafe fn gathered(task: &GatheredFloatBits, y: &mut dyn Panels) {
    // Entry 0 is the zero table of absent rows.
    let mut tables = [NOTHING; 1 + SLOTS];
    let (mut places, mut slots) = ([ABSENT; 1 + SLOTS], [[0_u8; TILE]; SLOTS / TILE]);
    for i in (0..task.rows).step_by(TILE) {
        let rows = TILE.min(task.rows - i);
        for first_tap in (0..task.taps).step_by(SLOTS / TILE) {
            let taps = first_tap..task.taps.min(first_tap + SLOTS / TILE);
            let count = number(task, i..i + rows, taps.clone(), &mut places, &mut slots);
            for panel in 0..task.panels {
                for (place, tables) in places.iter().zip(&mut tables).take(count).skip(1) {
                    let x = task.x.as_ptr().wrapping_add(panel * task.x_panel + *place as usize * PANEL);
                    // SAFETY: every place was checked.
                    unsafe { fill(x, 1, task.terms, tables) };
                }
                let begins = panel == 0 && first_tap == 0;
                for at in 0..words(task.columns) {
                    for half in (0..rows).step_by(ROWS) {
                        let steps = taps.clone().zip(&slots).map(|(tap, slots)| {
                            let block = (panel * task.taps + tap) * task.bits_block;
                            let bits = task.bits.as_ptr().wrapping_add(block + at * task.bits_panel);
                            (bits, task.terms, std::array::from_fn(|r| &tables[slots[half + r] as usize]))
                        });
                        let (rows, columns) = (ROWS.min(rows - half), task.columns - at * PANEL);
                        let y = &mut y.panel(at)[(i + half) * PANEL..];
                        let target = Target { rows, columns, begins, y, y_row: PANEL };
                        // SAFETY: task.terms words are readable from bits on, as checked.
                        unsafe { multiply_rows(steps, target) };
                    }
                }
            }
        }
    }
}

/// Numbers the distinct places of some rows and taps from 1; 0 marks absent rows. Returns the largest number plus 1. A place whose entry
/// of the hash table was overwritten gets a second number.
fn number(
    task: &GatheredFloatBits,
    rows: Range<usize>,
    taps: Range<usize>,
    places: &mut [u32; 1 + SLOTS],
    slots: &mut [[u8; TILE]; SLOTS / TILE],
) -> usize {
    let (mut seen, mut count) = ([0_u8; 256], 1);
    for (tap, slots) in taps.zip(slots) {
        let row = &task.places[tap * task.rows..][rows.clone()];
        *slots = [0; TILE];
        for (&place, slot) in row.iter().zip(slots).filter(|(place, _)| **place != ABSENT) {
            let seen = &mut seen[place as usize % 256];
            if places[*seen as usize] != place {
                places[count] = place;
                *seen = count as u8;
                count += 1;
            }
            *slot = *seen;
        }
    }
    count
}

/// Fills the tables of `count` floats at stride `step`; floats beyond `count` count as 0.
///
/// # Safety
/// The processor has the instructions, and the floats are readable.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx512vbmi,gfni,popcnt")]
unsafe fn fill(x: *const f32, step: usize, count: usize, tables: &mut Tables) {
    let signs: [__m512; TERMS] = std::array::from_fn(|k| {
        let set = [0xaaaa, 0xcccc, 0xf0f0, 0xff00][k];
        _mm512_mask_mov_ps(_mm512_set1_ps(-1.0), set, _mm512_set1_ps(1.0))
    });
    for (j, table) in (0..count).step_by(TERMS).zip(&mut tables.0) {
        // SAFETY: the caller promises readable floats; only those below count are read.
        let term = |k: usize| unsafe { _mm512_set1_ps(*x.add((j + k) * step)) };
        let mut sum = _mm512_mul_ps(term(0), signs[0]);
        if count - j >= TERMS {
            sum = _mm512_fmadd_ps(term(1), signs[1], sum);
            sum = _mm512_fmadd_ps(term(2), signs[2], sum);
            sum = _mm512_fmadd_ps(term(3), signs[3], sum);
        } else {
            for (k, &signs) in signs.iter().enumerate().take(count - j).skip(1) {
                sum = _mm512_fmadd_ps(term(k), signs, sum);
            }
        }
        // SAFETY: 16 floats.
        unsafe { _mm512_store_ps(table.as_mut_ptr(), sum) };
    }
}

/// One step of a sum: the address of its words of bits, their number, and the tables of every row.
type Step<'a> = (*const u32, usize, [&'a Tables; ROWS]);

/// Output of a tile of rows of a panel.
struct Target<'a> {
    rows: usize,
    columns: usize,
    /// Whether the sums overwrite y instead of being added to it.
    begins: bool,
    y: &'a mut [f32],
    y_row: usize,
}

/// Calls [`multiply`] with the smallest tile that holds the target's rows and columns.
///
/// # Safety
/// As [`multiply`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx512vbmi,gfni,popcnt")]
unsafe fn multiply_rows<'a>(steps: impl Iterator<Item = Step<'a>>, target: Target<'_>) {
    // SAFETY: the caller promises the instructions and readable words.
    unsafe {
        match (target.rows > ROWS / 2, target.columns > PANEL / 2) {
            (true, true) => multiply::<ROWS, 2>(steps, target),
            (true, false) => multiply::<ROWS, 1>(steps, target),
            (false, true) => multiply::<{ ROWS / 2 }, 2>(steps, target),
            (false, false) => multiply::<{ ROWS / 2 }, 1>(steps, target),
        }
    }
}

/// Sums the steps for R rows and writes those of the target.
///
/// # Safety
/// The processor has the instructions, and the words of every step are readable.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx512vbmi,gfni,popcnt")]
unsafe fn multiply<'a, const R: usize, const HALVES: usize>(steps: impl Iterator<Item = Step<'a>>, target: Target<'_>) {
    let Target { rows, columns, begins, y, y_row } = target;
    let mut sums = [[_mm512_setzero_ps(); HALVES]; R];
    for (bits, count, tables) in steps {
        // SAFETY: the caller promises readable words.
        let mut numbers = unsafe { self::columns(bits, count) };
        for group in 0..count.div_ceil(TERMS) {
            for (sums, tables) in sums.iter_mut().zip(tables) {
                // SAFETY: a place has 8 tables of 16 floats, and count is at most 32.
                let table = unsafe { _mm512_load_ps(tables.0.as_ptr().add(group).cast()) };
                for (sum, number) in sums.iter_mut().zip(numbers) {
                    // The permutation uses only the lowest four bits of each index.
                    *sum = _mm512_add_ps(*sum, _mm512_permutexvar_ps(number, table));
                }
            }
            numbers = numbers.map(|number| _mm512_srli_epi32::<{ TERMS as u32 }>(number));
        }
    }
    // Copied to memory for the last loop only: indexing the sums in a loop of unknown length would keep them in memory throughout.
    let mut rows_of_sums = Rows([[0.0; PANEL]; R]);
    for (row, sums) in rows_of_sums.0.iter_mut().zip(sums) {
        for (half, sum) in sums.into_iter().enumerate() {
            // SAFETY: a row has 2 x 16 elements.
            unsafe { _mm512_store_ps(row.as_mut_ptr().add(16 * half), sum) };
        }
    }
    let valid = panel_mask(columns);
    for (r, sums) in rows_of_sums.0.iter().enumerate().take(rows) {
        let y = &mut y[r * y_row..][..PANEL];
        for (half, (y, sum)) in y.chunks_exact_mut(16).zip(sums.chunks_exact(16)).enumerate() {
            // SAFETY: 16 elements.
            unsafe {
                let before = if begins { _mm512_setzero_ps() } else { _mm512_loadu_ps(y.as_ptr()) };
                let sum = _mm512_maskz_add_ps((valid >> (16 * half)) as u16, before, _mm512_load_ps(sum.as_ptr()));
                _mm512_storeu_ps(y.as_mut_ptr(), sum);
            }
        }
    }
}

/// Sums of R rows of a panel.
#[repr(align(64))]
struct Rows<const R: usize>([[f32; PANEL]; R]);

/// Bytes of a register.
#[repr(align(64))]
struct Bytes([u8; 64]);

/// Returns the source of each byte `at % 8` of block `at / 8`. A block is 8 x 8 bits: byte b of words `8 q..8 q + 8`; blocks are ordered by
/// 4 (b % 2) + q. Words are in reverse order within a block, as the affine instruction requires. The bytes of the second register follow those of the
/// first.
const fn gather_order(high: usize) -> Bytes {
    let (mut order, mut at) = ([0; 64], 0);
    while at < 64 {
        let (byte, word) = (2 * high + at / 32, at / 8 % 4 * 8 + 7 - at % 8);
        order[at] = (4 * word + byte) as u8;
        at += 1;
    }
    Bytes(order)
}

/// Returns the source of byte q of each column c.
const fn scatter_order() -> Bytes {
    let (mut order, mut at) = ([0; 64], 0);
    while at < 64 {
        let (column, q) = (at / 4, at % 4);
        order[at] = (column / 8 * 32 + q * 8 + column % 8) as u8;
        at += 1;
    }
    Bytes(order)
}

static GATHER: [Bytes; 2] = [gather_order(0), gather_order(1)];
static SCATTER: Bytes = scatter_order();

/// Transposes up to 32 words: bit j of lane c of the result is bit c of word j. Words beyond `count` count as 0.
///
/// # Safety
/// The processor has the instructions; `count` words are readable, at least 1.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx512vbmi,gfni,popcnt")]
unsafe fn columns(words: *const u32, count: usize) -> [__m512i; 2] {
    let valid = panel_mask(count);
    // SAFETY: the masks admit only the first `count` words; the orders have 64 bytes.
    unsafe {
        let words = [
            _mm512_maskz_loadu_epi32(valid as u16, words.cast()),
            _mm512_maskz_loadu_epi32((valid >> 16) as u16, words.wrapping_add(16).cast()),
        ];
        let scatter = _mm512_load_si512(SCATTER.0.as_ptr().cast());
        // Bit i of byte k of a block becomes bit k of byte i: byte i of the matrix selects column i of the block.
        let diagonal = _mm512_set1_epi64(0x8040_2010_0804_0201_u64.cast_signed());
        GATHER.each_ref().map(|order| {
            let blocks = _mm512_permutex2var_epi8(words[0], _mm512_load_si512(order.0.as_ptr().cast()), words[1]);
            _mm512_permutexvar_epi8(scatter, _mm512_gf2p8affine_epi64_epi8::<0>(diagonal, blocks))
        })
    }
}
