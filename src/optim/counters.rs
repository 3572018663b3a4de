//! Counters of the updates of a step: one buffer that every update shares.

use crate::tensor::TensorType;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Words of the counters of a step that updates the binary weights of `layers` layers: by layer the weights that flipped, the states that were at the end
/// of what their storage holds, and the factor of the rule's rate (f32, 1 without a controller); last the first step that made a parameter or state which
/// is NaN or infinite (`u32::MAX`: none).
pub fn first_counters(layers: usize) -> Vec<u32> {
    [vec![0; 2 * layers], vec![1.0_f32.to_bits(); layers], vec![u32::MAX]].concat()
}

/// Layers that counters of this type belong to.
pub(super) fn layers_of(counters: &TensorType) -> usize {
    (counters.elements() - 1) / 3
}

/// Keeps the first step that failed.
pub(super) fn raise_failed(counters: &[AtomicU32], layers: u32, step: u32) {
    counters[3 * layers as usize].fetch_min(step, Relaxed);
}
