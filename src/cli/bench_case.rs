//! A kernel benchmark: its operands, the recording of one call, and the check of the result; and helpers for benchmarks.

use crate::optim::Hyperparameters;
use crate::runtime::{BufferId, Recording};
use crate::tensor::{BitMatrix, Stream};

/// Records one call.
pub(super) type Record = Box<dyn Fn(&mut Recording)>;
/// Compares all tensors after one call with the definition. The error names the position of the difference.
pub(super) type Check = Box<dyn Fn(&[Vec<u32>]) -> Result<(), String>>;

/// A kernel benchmark.
pub struct Case {
    /// Name.
    pub name: &'static str,
    /// m, n, k for a product; rows, columns, 1 for a filter.
    pub shape: [usize; 3],
    /// Operations per call: 2 m n k, or the number of weights.
    pub work: f64,
    /// Whether it is a product.
    pub is_product: bool,
    /// Initial contents of its tensors.
    pub operands: Vec<Vec<u32>>,
    /// Hyperparameters of its rule.
    pub hyperparameters: Hyperparameters,
    /// Records one call.
    pub record: Record,
    /// Compares all tensors after one call with the definition, at elements spread over the result.
    pub check: Check,
}

pub(super) const IDS: [BufferId; 5] = [BufferId(0), BufferId(1), BufferId(2), BufferId(3), BufferId(4)];

pub(super) fn floats(count: usize, name: &str) -> Vec<u32> {
    let stream = Stream::new(1, name);
    (0..count as u64).map(|i| (2.0 * stream.unit(i) - 1.0).to_bits()).collect()
}

/// Returns random (row, column) pairs in a square matrix.
pub(super) fn places(size: usize) -> impl Iterator<Item = (usize, usize)> {
    let stream = Stream::new(2, "places");
    (0..2000).map(move |i| (stream.below(2 * i, size as u32) as usize, stream.below(2 * i + 1, size as u32) as usize))
}

pub(super) fn sign(bits: &BitMatrix, row: usize, column: usize) -> f64 {
    if bits.is_positive(row, column) { 1.0 } else { -1.0 }
}

pub(super) fn compare(place: (usize, usize), got: f64, expected: f64, allowed: f64) -> Result<(), String> {
    if (got - expected).abs() <= allowed {
        return Ok(());
    }
    Err(format!("at {place:?}: expected {expected}, got {got}"))
}
