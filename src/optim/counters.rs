//! Counters of the updates of a step: one buffer that every update shares.

use crate::tensor::TensorType;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Returns the initial counters of a step that updates the binary weights of `layers` layers. Each layer has three words: the number of
/// weights that flipped, the number of states at the limit of their storage, and the factor of the rule's rate (f32, 1 without a
/// controller). The last word is the first step that made a parameter or state NaN or infinite (`u32::MAX`: none).
pub fn first_counters(layers: usize) -> Vec<u32> {
    [vec![0; 2 * layers], vec![1.0_f32.to_bits(); layers], vec![u32::MAX]].concat()
}

/// Returns the number of layers of counters of this type.
pub(super) fn layers_of(counters: &TensorType) -> usize {
    (counters.elements() - 1) / 3
}

/// Records a failed step, if no earlier one has failed.
pub(super) fn raise_failed(counters: &[AtomicU32], layers: u32, step: u32) {
    counters[3 * layers as usize].fetch_min(step, Relaxed);
}
