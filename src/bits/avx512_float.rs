//! Floats x bits for AVX-512, four terms at a time: the method of the four Russians (Arlazarov, Dinic, Kronrod and Faradzhev 1970).
//!
//! Four floats with signs have 16 sums, and 16 floats fill a register. So for every row and every four j a *table* of these sums is made
//! once; then four bits of a column, as a number, pick the column's sum. One permutation picks for 16 columns, one addition takes what four
//! multiplications would have: a quarter of the arithmetic, whatever the number of columns beyond a few panels. For the numbers, a tile of 32
//! j x 32 columns of bits is turned around in registers, on its way.

use std::arch::x86_64::*;

use super::isa::{FloatBits, PANEL, Panels, panel_mask};

/// Values of j whose sums stay in registers, then they join y: tables of 8 rows fill half of a first-level cache.
const BLOCK: usize = 128;

/// Terms of a table.
const TERMS: usize = 4;

/// Rows that share a tile of bits: 8 x 2 sums.
const TALL: usize = 8;

/// Tables by group of four j and row.
#[repr(align(64))]
struct Tables([[[f32; 16]; TALL]; BLOCK / TERMS]);

/// # Safety
/// The processor has the instructions, `task` passed its check against `y`, its rows and inner are at least 1.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx512vbmi,gfni,popcnt")]
pub(super) unsafe fn float_bits(task: &FloatBits, y: &mut dyn Panels) {
    // SAFETY: the caller's promise, passed on. Constant strides become offsets inside the instructions.
    unsafe {
        match (task.x_row, task.x_inner) {
            (32, 1) => strided::<32, 1>(task, y),
            (1, 32) => strided::<1, 32>(task, y),
            _ => strided::<0, 0>(task, y),
        }
    }
}

/// Strides of 0 stand for those of the task.
///
/// # Safety
/// As [`float_bits`]; strides that are not 0 are the task's.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx512vbmi,gfni,popcnt")]
unsafe fn strided<const X_ROW: usize, const X_INNER: usize>(task: &FloatBits, y: &mut dyn Panels) {
    let mut tables = Tables([[[0.0; 16]; TALL]; BLOCK / TERMS]);
    for i in (0..task.rows).step_by(TALL) {
        for start in (0..task.inner).step_by(BLOCK) {
            macro_rules! rows {
                ($($rows:literal)*) => { match TALL.min(task.rows - i) {
                    // SAFETY: the rows from i on and the j from start on are the task's, whose reach was checked.
                    $($rows => unsafe {
                        fill::<$rows, X_ROW, X_INNER>(task, start, i, &mut tables);
                        for at in 0..task.panels() {
                            multiply::<$rows>(task, start, at, &tables, &mut y.panel(at)[i * task.y_row..]);
                        }
                    },)*
                    _ => unreachable!("a tile has 1 to 8 rows"),
                } };
            }
            rows!(1 2 3 4 5 6 7 8);
        }
    }
}

/// Makes the tables of rows `i..i + R` for the block of j from `start` on: entry n is ((s0 x0 + s1 x1) + s2 x2) + s3 x3, where s_k is +1 if
/// bit k of n is 1, else -1. Terms beyond the last j are 0.
///
/// # Safety
/// As [`strided`]; `start` is a multiple of [`BLOCK`] below inner, and the rows are the task's.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx512vbmi,gfni,popcnt")]
unsafe fn fill<const R: usize, const X_ROW: usize, const X_INNER: usize>(
    task: &FloatBits,
    start: usize,
    i: usize,
    tables: &mut Tables,
) {
    let x_row = if X_ROW == 0 { task.x_row } else { X_ROW };
    let x_inner = if X_INNER == 0 { task.x_inner } else { X_INNER };
    let signs: [__m512; TERMS] = std::array::from_fn(|k| {
        let set = [0xaaaa, 0xcccc, 0xf0f0, 0xff00][k];
        _mm512_mask_mov_ps(_mm512_set1_ps(-1.0), set, _mm512_set1_ps(1.0))
    });
    let end = task.inner.min(start + BLOCK);
    for (j, tables) in (start..end).step_by(TERMS).zip(&mut tables.0) {
        let x = task.x.as_ptr().wrapping_add(j / PANEL * task.x_block + j % PANEL * x_inner + i * x_row);
        for (r, table) in tables.iter_mut().enumerate().take(R) {
            // SAFETY: four j lie in one block of 32; those read are below inner, so inside x, as checked.
            let term = |k: usize| unsafe { _mm512_set1_ps(*x.add(k * x_inner + r * x_row)) };
            let mut sum = _mm512_mul_ps(term(0), signs[0]);
            if end - j >= TERMS {
                sum = _mm512_fmadd_ps(term(1), signs[1], sum);
                sum = _mm512_fmadd_ps(term(2), signs[2], sum);
                sum = _mm512_fmadd_ps(term(3), signs[3], sum);
            } else {
                for (k, &signs) in signs.iter().enumerate().take(end - j).skip(1) {
                    sum = _mm512_fmadd_ps(term(k), signs, sum);
                }
            }
            // SAFETY: 16 floats.
            unsafe { _mm512_store_ps(table.as_mut_ptr(), sum) };
        }
    }
}

/// Adds the block of j from `start` on to R rows of panel `at`, or begins them with it.
///
/// # Safety
/// As [`strided`]; the tables are those of this block, and `y` begins at their first row.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx512vbmi,gfni,popcnt")]
unsafe fn multiply<const R: usize>(task: &FloatBits, start: usize, at: usize, tables: &Tables, y: &mut [f32]) {
    let end = task.inner.min(start + BLOCK);
    let mut sums = [[_mm512_setzero_ps(); 2]; R];
    for first in (start..end).step_by(PANEL) {
        let left = PANEL.min(end - first);
        let bits = task.bits.as_ptr().wrapping_add(first / PANEL * task.bits_block + at * task.bits_panel);
        // SAFETY: as many words as there are j, inside the bits, as checked.
        let mut numbers = unsafe { columns(bits, left) };
        for tables in &tables.0[(first - start) / TERMS..][..left.div_ceil(TERMS)] {
            for (sums, table) in sums.iter_mut().zip(tables) {
                // SAFETY: 16 floats.
                let table = unsafe { _mm512_load_ps(table.as_ptr()) };
                // The lowest four bits of a number count.
                sums[0] = _mm512_add_ps(sums[0], _mm512_permutexvar_ps(numbers[0], table));
                sums[1] = _mm512_add_ps(sums[1], _mm512_permutexvar_ps(numbers[1], table));
            }
            numbers = numbers.map(|number| _mm512_srli_epi32::<{ TERMS as u32 }>(number));
        }
    }
    let valid = panel_mask(task.columns - at * PANEL);
    let begins = start == 0 && !task.accumulate;
    for (r, sums) in sums.into_iter().enumerate() {
        let y = &mut y[r * task.y_row..][..PANEL];
        for (half, (y, sum)) in y.chunks_exact_mut(16).zip(sums).enumerate() {
            // SAFETY: y has 16 elements.
            unsafe {
                let before = if begins { _mm512_setzero_ps() } else { _mm512_loadu_ps(y.as_ptr()) };
                _mm512_storeu_ps(y.as_mut_ptr(), _mm512_maskz_add_ps((valid >> (16 * half)) as u16, before, sum));
            }
        }
    }
}

/// Bytes of a register.
#[repr(align(64))]
struct Bytes([u8; 64]);

/// Where byte `at % 8` of block `at / 8` comes from. Blocks are 8 x 8 bits, of words `8 q..` and their byte b, in the order 4 (b % 2) + q; words
/// run backwards in them, as the instruction that turns them around wants it. The second register's bytes follow the first's.
const fn gathered(high: usize) -> Bytes {
    let (mut order, mut at) = ([0; 64], 0);
    while at < 64 {
        let (byte, word) = (2 * high + at / 32, at / 8 % 4 * 8 + 7 - at % 8);
        order[at] = (4 * word + byte) as u8;
        at += 1;
    }
    Bytes(order)
}

/// Where byte q of column c comes from.
const fn scattered() -> Bytes {
    let (mut order, mut at) = ([0; 64], 0);
    while at < 64 {
        let (column, q) = (at / 4, at % 4);
        order[at] = (column / 8 * 32 + q * 8 + column % 8) as u8;
        at += 1;
    }
    Bytes(order)
}

static GATHER: [Bytes; 2] = [gathered(0), gathered(1)];
static SCATTER: Bytes = scattered();

/// The transpose of up to 32 words: bit j of number c is bit c of word j. Words that are not there count as 0.
///
/// # Safety
/// The processor has the instructions; `count` words are readable, at least 1.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx512vbmi,gfni,popcnt")]
unsafe fn columns(words: *const u32, count: usize) -> [__m512i; 2] {
    let valid = panel_mask(count);
    // SAFETY: only words that are there are read; the orders have 64 bytes.
    unsafe {
        let words = [
            _mm512_maskz_loadu_epi32(valid as u16, words.cast()),
            _mm512_maskz_loadu_epi32((valid >> 16) as u16, words.wrapping_add(16).cast()),
        ];
        let scatter = _mm512_load_si512(SCATTER.0.as_ptr().cast());
        // Bit i of byte k of a block becomes bit k of byte i: byte i picks column i out of the block.
        let diagonal = _mm512_set1_epi64(0x8040_2010_0804_0201_u64.cast_signed());
        GATHER.each_ref().map(|order| {
            let blocks = _mm512_permutex2var_epi8(words[0], _mm512_load_si512(order.0.as_ptr().cast()), words[1]);
            _mm512_permutexvar_epi8(scatter, _mm512_gf2p8affine_epi64_epi8::<0>(diagonal, blocks))
        })
    }
}
