//! Values of a graph: name, type, kind of memory, and the purpose of persistent values.

use super::initial::Init;
use crate::tensor::TensorType;

/// Index of a value in its graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(pub(super) u32);

/// The kind of optimizer that trains a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Packed signs, trained by a binary optimizer.
    Binary,
    /// Floats, trained by a float optimizer.
    Float,
}

/// A persistent value that an optimizer trains; part of a saved model.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// The kind of optimizer that trains the parameter.
    pub role: Role,
    /// Initial content.
    pub init: Init,
}

/// The purpose of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A state that an optimizer keeps for a parameter: filters, moments, units. Its numbers must stay finite.
    Optimizer,
    /// A value that the forward pass measures, such as a running mean; part of a saved model.
    Statistic,
    /// A counter or sum over the steps since the last read-back.
    Counter,
    /// Weights of a network that is not trained.
    Teacher,
    /// A value that depends only on persistent values, computed when these change ([`hoist`](super::hoist)).
    Prepared,
    /// A temporary value that is kept for inspection.
    Kept,
    /// A measurement of diagnostics.
    Diagnostic,
    /// Numbers that never change.
    Constant,
}

/// A persistent value that no optimizer trains.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Purpose of the state.
    pub purpose: Purpose,
    /// Initial content.
    pub init: Init,
    /// Name of the parameter that the state belongs to.
    pub parameter: Option<String>,
    /// Whether the state is reinitialised when other weights are loaded into its parameter.
    pub restarts: bool,
}

/// The kind of memory that holds a value.
#[derive(Clone, Debug, PartialEq)]
pub enum ValueKind {
    /// Produced by a node, freed after its last use.
    Temporary,
    /// Uploaded before each step.
    Input,
    /// Persistent, trained.
    Parameter(Parameter),
    /// Persistent, not trained.
    State(State),
}

/// Name, type and kind of a value.
#[derive(Clone, Debug)]
pub struct ValueInfo {
    /// Name, such as `dense1.weight`.
    pub name: String,
    /// Type.
    pub ty: TensorType,
    /// Kind.
    pub kind: ValueKind,
}

impl ValueInfo {
    /// Returns the purpose of a state; `None` for other values.
    pub fn purpose(&self) -> Option<Purpose> {
        match &self.kind {
            ValueKind::State(state) => Some(state.purpose),
            _ => None,
        }
    }

    /// Returns whether the value is part of a saved model: parameters and statistics are.
    pub fn is_saved(&self) -> bool {
        matches!(self.kind, ValueKind::Parameter(_)) || self.purpose() == Some(Purpose::Statistic)
    }

    /// Returns the initial content of a persistent value; `None` for other values.
    pub fn init(&self) -> Option<&Init> {
        match &self.kind {
            ValueKind::Parameter(parameter) => Some(&parameter.init),
            ValueKind::State(state) => Some(&state.init),
            ValueKind::Temporary | ValueKind::Input => None,
        }
    }
}
