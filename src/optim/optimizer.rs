//! The contract: states in the open, hyperparameters by step, one node that reads the gradient once.

use crate::error::Result;
use crate::graph::{Graph, Role, Value};
use crate::tensor::TensorType;
use std::fmt;

/// The numbers that a rule's kernels get at a step, after their schedules: four vec4 of the step's hyperparameters.
pub type Hyperparameters = [[f32; 4]; 4];

/// Where a parameter's update finds and leaves things.
#[derive(Clone, Copy, Debug)]
pub struct UpdateTarget {
    /// The parameter.
    pub parameter: Value,
    /// Its gradient.
    pub gradient: Value,
    /// The first of the four vec4 of the step's hyperparameters that belong to the rule.
    pub hyper_offset: u32,
    /// Counters of the step's updates ([`first_counters`](super::first_counters)).
    pub counters: Value,
    /// Which layer of them is this parameter's, where it is binary.
    pub layer: Option<u32>,
}

/// What the weights are the signs of, for diagnostics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A state, as the update leaves it.
    State {
        /// The name that follows the parameter's.
        name: &'static str,
        /// Its place among the rule's states, for the units of narrow ones: halves count in 2^-16, integers in powers of two that the tensor
        /// `row_state` of the parameter begins with (`[states][rows][2]`, by step mod 2, 127 for 1).
        place: usize,
    },
    /// What sections of second order put out, which no tensor keeps.
    Output {
        /// Name of the tensor of their states.
        sections: &'static str,
    },
}

/// A rule that turns gradients into parameters.
pub trait Optimizer: fmt::Debug + Send + Sync {
    /// Name in flags and files.
    fn name(&self) -> &'static str;

    /// Which parameters it trains.
    fn role(&self) -> Role;

    /// Hyperparameters of step `step` (from 0) of `total`.
    fn hyperparameters(&self, step: u64, total: u64) -> Hyperparameters;

    /// Refuses schedules that leave the ranges of their hyperparameters in a run of `total` steps.
    fn check_steps(&self, _total: u64) -> Result<()> {
        Ok(())
    }

    /// Adds the states and the update node of one parameter.
    fn update(&self, graph: &mut Graph, target: UpdateTarget) -> Result<()>;

    /// Bytes of all tensors that it keeps beside a parameter of this type, padded as they lie.
    fn state_bytes(&self, parameter: &TensorType) -> u64;

    /// Largest value of the rate that a [`FlipControl`](super::FlipControl) may set: the first of its hyperparameters, which its kernel multiplies by the
    /// layer's factor of the counters. `None` where its kernel has no such rate.
    fn rate_limit(&self) -> Option<f32> {
        None
    }

    /// What the weights are the signs of; `None` where nothing is known.
    fn decision(&self) -> Option<Decision> {
        None
    }
}
