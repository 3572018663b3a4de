//! The contract of a layer: adds its nodes to a graph, and tells what it costs.

use crate::error::Result;
use crate::graph::{Graph, Init, Role, Value};
use crate::tensor::TensorType;
use std::fmt;

/// What a graph is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Batch statistics; running ones are moved.
    Train,
    /// Running statistics.
    Eval,
}

/// A graph under construction, seen from one layer.
pub struct Builder<'a> {
    /// Where nodes go.
    pub graph: &'a mut Graph,
    /// What for.
    pub mode: Mode,
    /// Name of the layer.
    pub name: &'a str,
}

impl Builder<'_> {
    /// The layer's parameter of that name: `dense1.weight`.
    pub fn parameter(&mut self, name: &str, ty: TensorType, role: Role, init: Init) -> Value {
        self.graph.parameter(&format!("{}.{name}", self.name), ty, role, init)
    }
}

/// What a layer holds and does for one sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Binary weights.
    pub weights_1bit: u64,
    /// Float parameters, statistics included.
    pub weights_32bit: u64,
    /// Multiply-adds of signs by signs.
    pub macs_1bit: u64,
    /// Multiply-adds with a float operand.
    pub macs_32bit: u64,
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.weights_1bit += other.weights_1bit;
        self.weights_32bit += other.weights_32bit;
        self.macs_1bit += other.macs_1bit;
        self.macs_32bit += other.macs_32bit;
    }
}

/// A layer. Layers from outside the crate implement this and are pushed on a [`super::Model`].
pub trait Layer: fmt::Debug + Send + Sync {
    /// One word: `dense`. A model numbers its layers by kind.
    fn kind(&self) -> &'static str;

    /// Adds the layer's nodes behind `x`, `[batch, features]`; gives its output.
    fn build(&self, builder: &mut Builder<'_>, x: Value) -> Result<Value>;

    /// Features of the output for features of the input.
    fn features(&self, input: usize) -> usize;

    /// What it costs for so many input features.
    fn cost(&self, input: usize) -> Cost;

    /// How its input and weights are quantised, for the summary: `sign x sign`.
    fn precision(&self) -> String {
        "float".into()
    }
}
