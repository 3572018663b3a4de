//! Floats by floats on the processor: a safe door to the `gemm` crate. One task calls it, so it stays on its thread.
#![allow(unsafe_code, reason = "the gemm crate takes pointers and strides")]

/// A matrix in memory: element (r, c) is `data[r * row + c * column]`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    /// Elements.
    pub data: &'a [f32],
    /// Step between rows.
    pub row: usize,
    /// Step between columns.
    pub column: usize,
}

impl Matrix<'_> {
    fn holds(&self, rows: usize, columns: usize) -> bool {
        (rows - 1) * self.row + (columns - 1) * self.column < self.data.len()
    }
}

/// y += a b for a `[m, k]`, b `[k, n]`, and y `[m, n]` in rows `pitch` apart. Nothing to do where an extent is 0.
pub fn product(a: Matrix<'_>, b: Matrix<'_>, y: &mut [f32], pitch: usize, [m, n, k]: [usize; 3]) {
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    assert!(a.holds(m, k), "product: a has {} elements, too few for {m} x {k}", a.data.len());
    assert!(b.holds(k, n), "product: b has {} elements, too few for {k} x {n}", b.data.len());
    assert!(pitch >= n && (m - 1) * pitch + n <= y.len(), "product: y has {} elements, too few for {m} x {n}", y.len());
    let gemm = gemm_f32::gemm::f32::get_gemm_fn();
    let serial = gemm_common::Parallelism::None;
    let [a_row, a_column, b_row, b_column, pitch] = [a.row, a.column, b.row, b.column, pitch].map(usize::cast_signed);
    // SAFETY: the three asserts hold every element that is touched inside its slice; y is borrowed mutably, so it overlaps neither.
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
}
