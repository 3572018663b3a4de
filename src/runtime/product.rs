//! Products of floats by floats on the processor: a safe interface to the `gemm` crate. Each product runs on the thread of its task.
#![allow(unsafe_code, reason = "the gemm crate takes pointers and strides")]

/// A matrix in memory: element (r, c) is `data[r * row + c * column]`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    /// Elements.
    pub data: &'a [f32],
    /// Stride between rows.
    pub row: usize,
    /// Stride between columns.
    pub column: usize,
}

impl Matrix<'_> {
    /// Returns whether every element of a matrix of `rows` x `columns` (both at least 1) lies in the slice.
    fn holds(&self, rows: usize, columns: usize) -> bool {
        last(rows, self.row, columns, self.column).is_some_and(|last| last < self.data.len())
    }
}

/// Returns the index of the last element of a matrix of `rows` x `columns` with these strides; `None` if the index overflows, or a stride
/// does not fit the `isize` that `gemm` takes.
fn last(rows: usize, row: usize, columns: usize, column: usize) -> Option<usize> {
    isize::try_from(row).ok()?;
    isize::try_from(column).ok()?;
    (rows - 1).checked_mul(row)?.checked_add((columns - 1).checked_mul(column)?)
}

/// Computes y += a b for a `[m, k]`, b `[k, n]` and y `[m, n]`, whose rows are `pitch` apart. Does nothing if an extent is 0.
///
/// # Panics
/// Panics if a matrix is too short for its extents, or if rows of y overlap.
pub fn product(a: Matrix<'_>, b: Matrix<'_>, y: &mut [f32], pitch: usize, [m, n, k]: [usize; 3]) {
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    assert!(a.holds(m, k), "product: a has {} elements, too few for {m} x {k}", a.data.len());
    assert!(b.holds(k, n), "product: b has {} elements, too few for {k} x {n}", b.data.len());
    let holds_y = pitch >= n && last(m, pitch, n, 1).is_some_and(|last| last < y.len());
    assert!(holds_y, "product: y has {} elements, too few for {m} x {n}", y.len());
    let gemm = gemm_f32::gemm::f32::get_gemm_fn();
    let serial = gemm_common::Parallelism::None;
    let [a_row, a_column, b_row, b_column, pitch] = [a.row, a.column, b.row, b.column, pitch].map(usize::cast_signed);
    // SAFETY: the three asserts, in arithmetic that does not wrap, ensure that every accessed element is inside its slice and that every
    // stride is non-negative as an isize; y is borrowed mutably, so it overlaps neither a nor b.
    unsafe {
        gemm(
            m,
            n,
            k,
            y.as_mut_ptr(),
            1,
            pitch,
            true,
            a.data.as_ptr(),
            a_column,
            a_row,
            b.data.as_ptr(),
            b_column,
            b_row,
            1.0,
            1.0,
            false,
            false,
            false,
            serial,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strides_and_accumulation() {
        let (m, n, k) = (3, 5, 7);
        let a: Vec<f32> = (0..m * k).map(|i| i as f32).collect();
        let b: Vec<f32> = (0..n * k).map(|i| (i % 4) as f32).collect();
        let mut y = vec![1.0; m * 8];
        // b transposed: element (k, n) at n * k + k.
        product(Matrix { data: &a, row: k, column: 1 }, Matrix { data: &b, row: 1, column: k }, &mut y, 8, [m, n, k]);
        for r in 0..m {
            for c in 0..8 {
                let sum: f32 = if c < n { (0..k).map(|i| a[r * k + i] * b[c * k + i]).sum() } else { 0.0 };
                assert_eq!(y[r * 8 + c], 1.0 + sum);
            }
        }
    }

    /// Strides whose multiples wrap around into the slice are refused before `gemm` accesses memory with them.
    #[test]
    fn steps_that_wrap_are_refused() {
        let [a, b] = [[1.0; 16]; 2];
        let refuses = |a: Matrix<'_>, b: Matrix<'_>, pitch: usize, extents: [usize; 3]| {
            let mut y = [0.0; 16];
            let run = std::panic::AssertUnwindSafe(|| product(a, b, &mut y, pitch, extents));
            std::panic::catch_unwind(run).is_err()
        };
        let plain = |data| Matrix { data, row: 4, column: 1 };
        assert!(!refuses(plain(&a), plain(&b), 4, [3, 3, 3]));
        for step in [1 << (usize::BITS - 1), 1 << (usize::BITS - 2), usize::MAX, usize::MAX / 2 + 1, 17] {
            assert!(refuses(Matrix { row: step, ..plain(&a) }, plain(&b), 4, [3, 3, 3]), "rows of a, {step} apart");
            assert!(
                refuses(Matrix { column: step, ..plain(&a) }, plain(&b), 4, [3, 3, 3]),
                "columns of a, {step} apart"
            );
            assert!(refuses(plain(&a), Matrix { row: step, ..plain(&b) }, 4, [3, 3, 3]), "rows of b, {step} apart");
            assert!(refuses(plain(&a), plain(&b), step, [3, 3, 3]), "rows of y, {step} apart");
        }
        // A single row never uses the stride, but the stride must still fit an isize.
        assert!(refuses(Matrix { row: 1 << (usize::BITS - 1), ..plain(&a) }, plain(&b), 4, [1, 3, 3]));
    }
}
