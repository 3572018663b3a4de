//! The contract of an optimizer: states are tensors of the graph, hyperparameters depend on the step, and one node reads the gradient once.

use crate::error::Result;
use crate::graph::{Graph, Init, Role, Value};
use crate::tensor::TensorType;
use std::fmt;

/// The hyperparameters of a rule's kernels at a step, after their schedules: four vec4 of the step's hyperparameters.
pub type Hyperparameters = [[f32; 4]; 4];

/// The values that a parameter's update reads and writes.
#[derive(Clone, Copy, Debug)]
pub struct UpdateTarget {
    /// The parameter.
    pub parameter: Value,
    /// Its gradient.
    pub gradient: Value,
    /// Index of the first of the rule's four vec4 in the step's hyperparameters.
    pub hyper_offset: u32,
    /// Counters of the step's updates ([`first_counters`](super::first_counters)).
    pub counters: Value,
    /// Index of the layer in these counters; `None` for a float parameter.
    pub layer: Option<u32>,
}

/// The values whose signs are the weights, for diagnostics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A state, after the update.
    State {
        /// Suffix of its name after the parameter's.
        name: &'static str,
        /// Index among the rule's states, for the units of narrow ones. 16-bit floats count in 2^-16. Integers count in powers of two,
        /// whose exponents are at the start of the parameter's tensor `row_state` (`[states][rows][2]`, by step mod 2, 127 for 1).
        place: usize,
    },
    /// The output of second-order sections, which no tensor stores.
    Output {
        /// Name of the tensor of their states.
        sections: &'static str,
    },
}

/// A rule that updates parameters from gradients.
pub trait Optimizer: fmt::Debug + Send + Sync {
    /// Returns the name in flags and files.
    fn name(&self) -> &'static str;

    /// Returns the kind of parameters that it trains.
    fn role(&self) -> Role;

    /// Returns the hyperparameters of step `step` (from 0) of `total`.
    fn hyperparameters(&self, step: u64, total: u64) -> Hyperparameters;

    /// Fails for schedules that leave the ranges of their hyperparameters in a run of `total` steps.
    fn check_steps(&self, _total: u64) -> Result<()> {
        Ok(())
    }

    /// Describes schedules whose pieces do not fit into a run of `total` steps, so that they never act or are cut.
    fn misfits(&self, _total: u64) -> Vec<String> {
        Vec::new()
    }

    /// Adds the states and the update node of one parameter.
    fn update(&self, graph: &mut Graph, target: UpdateTarget) -> Result<()>;

    /// Returns the states of a parameter of this type that start in units of the first update, by suffix of their names, for the root mean
    /// square of the parameter's first gradient. Training sets them before its first step.
    fn start(&self, _parameter: &TensorType, _gradient_rms: f32) -> Vec<(&'static str, Init)> {
        Vec::new()
    }

    /// Returns the bytes of all tensors that it keeps for a parameter of this type, including padding.
    fn state_bytes(&self, parameter: &TensorType) -> u64;

    /// Returns the largest rate that a [`FlipControl`](super::FlipControl) may set. The rate is the first of its hyperparameters, which its
    /// kernel multiplies by the layer's factor in the counters. `None` if its kernel has no such rate.
    fn rate_limit(&self) -> Option<f32> {
        None
    }

    /// Returns the value whose sign is the weight; `None` if it is unknown.
    fn decision(&self) -> Option<Decision> {
        None
    }
}
