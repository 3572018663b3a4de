//! Values of a graph: their names and types, where their memory comes from, and what persistent ones are for.

use super::initial::Init;
use crate::tensor::TensorType;

/// A value of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(pub(super) u32);

/// Who changes a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Packed signs, trained by a binary optimizer.
    Binary,
    /// Floats, trained by a float optimizer.
    Float,
}

/// What a parameter is: a persistent value that an optimizer trains, part of a saved model.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Who changes it.
    pub role: Role,
    /// First content.
    pub init: Init,
}

/// What a state is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// What an optimizer keeps beside a parameter: filters, moments, units. Numbers in it must stay finite.
    Optimizer,
    /// What the forward pass itself measures or holds, such as running means; part of a saved model.
    Statistic,
    /// What steps count and sum until it is read back.
    Counter,
    /// Weights of a network that is not trained.
    Teacher,
    /// What is computed from weights alone, when they change ([`hoist`](super::hoist)).
    Prepared,
    /// A temporary value that is kept to be looked at.
    Kept,
    /// What diagnostics measure.
    Diagnostic,
}

/// What a state is: a persistent value that no optimizer trains.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// What it is for.
    pub purpose: Purpose,
    /// First content.
    pub init: Init,
    /// Name of the parameter that it belongs to.
    pub parameter: Option<String>,
    /// Whether it starts anew when other weights are loaded into its parameter.
    pub restarts: bool,
}

/// Where a value's memory comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum ValueKind {
    /// Made by a node, gone after its last use.
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
    /// Path: `dense1.weight`.
    pub name: String,
    /// Type.
    pub ty: TensorType,
    /// Kind.
    pub kind: ValueKind,
}

impl ValueInfo {
    /// What it is for, where it is a state.
    pub fn purpose(&self) -> Option<Purpose> {
        match &self.kind {
            ValueKind::State(state) => Some(state.purpose),
            _ => None,
        }
    }

    /// Whether it is part of a saved model: parameters and statistics.
    pub fn is_saved(&self) -> bool {
        matches!(self.kind, ValueKind::Parameter(_)) || self.purpose() == Some(Purpose::Statistic)
    }

    /// First content, where it is persistent.
    pub fn init(&self) -> Option<&Init> {
        match &self.kind {
            ValueKind::Parameter(parameter) => Some(&parameter.init),
            ValueKind::State(state) => Some(&state.init),
            ValueKind::Temporary | ValueKind::Input => None,
        }
    }
}
