//! The tensors that a node is recorded with.

use crate::runtime::BufferId;
use crate::tensor::TensorType;

/// The tensors that a node is recorded with, with their types.
#[derive(Clone)]
pub struct Bound<'a> {
    /// Tensors that the node reads.
    pub inputs: Vec<(BufferId, &'a TensorType)>,
    /// Persistent tensors that the node changes in place.
    pub updates: Vec<(BufferId, &'a TensorType)>,
    /// Tensors that the node produces.
    pub outputs: Vec<(BufferId, &'a TensorType)>,
}

impl Bound<'_> {
    /// Returns the tensor of input `i`.
    pub fn input(&self, i: usize) -> BufferId {
        self.inputs[i].0
    }

    /// Returns the tensor of update `i`.
    pub fn update(&self, i: usize) -> BufferId {
        self.updates[i].0
    }

    /// Returns the tensor of output `i`.
    pub fn output(&self, i: usize) -> BufferId {
        self.outputs[i].0
    }
}
