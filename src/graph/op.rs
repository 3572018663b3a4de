//! The contract of an operation: output types, kernels, and backward as additional nodes.

use super::bound::Bound;
use super::producer::{AsEpilogue, Producer};
use super::value::Value;
use crate::error::{Error, Result};
use crate::runtime::Recording;
use crate::tensor::TensorType;
use std::{any::Any, fmt, sync::Arc};

/// An operation. Operations outside the crate implement this trait and are added to a [`Graph`](super::Graph) like the built-in ones.
pub trait Op: Any + fmt::Debug + Send + Sync {
    /// Returns the name for profiles and errors, a single word.
    fn name(&self) -> &'static str;

    /// Returns the types of the outputs for the types of the inputs. The error states the expected and the given types.
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>>;

    /// Records the dispatches of its kernels.
    fn record(&self, recording: &mut Recording, bound: &Bound<'_>);

    /// Adds the nodes that compute the gradients of the inputs from those of the outputs. Returns one entry per input; `None` where there
    /// is no gradient.
    fn backward(&self, cx: &mut Backward<'_>) -> Result<Vec<Option<Value>>> {
        let _ = cx;
        Err(Error::shape(self.name(), "an operation with a gradient", "one without"))
    }

    /// Returns the role of the operation for the signs of activations, for diagnostics; `None` for most operations.
    fn signs(&self) -> Option<Signs> {
        None
    }

    /// Returns the operation as a producer, if its kernel computes tiles that epilogues can consume.
    fn producer(&self) -> Option<&dyn Producer> {
        None
    }

    /// Returns the operation as an epilogue of the operation that computes input `input`; `None` if it cannot be one.
    fn as_epilogue(&self, input: usize) -> Option<AsEpilogue> {
        let _ = input;
        None
    }

    /// Returns whether the backward pass recomputes the outputs instead of keeping them: true for cheap operations with large outputs.
    fn rematerialise(&self) -> bool {
        false
    }
}

/// An input or an output of a node, by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Input of this index.
    Input(usize),
    /// Output of this index.
    Output(usize),
}

/// The role of an operation for the signs of activations, through which gradients pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signs {
    /// Its first output holds signs.
    Forward {
        /// The value from which the backward pass decides where a gradient passes: the mask of the surrogate, or the input of sign.
        kept: Port,
    },
    /// It computes the gradient of the input of sign from the gradient of the signs.
    Backward {
        /// Index of the input with the value that the forward pass kept.
        kept: usize,
        /// Index of the input with the gradient of the signs.
        gradient: usize,
        /// Index of the output with the gradient after the surrogate; `None` if that is never stored, in which case `kept` is a mask.
        masked: Option<usize>,
    },
}

/// Access to the extended graph for the backward pass.
pub(super) trait Tape {
    /// Returns the type of a value.
    fn ty(&self, value: Value) -> &TensorType;

    /// Returns a value of the forward pass, rematerialised if the operation that produced it requests that.
    fn recall(&mut self, value: Value) -> Result<Value>;

    /// Adds a node.
    fn push(&mut self, op: Arc<dyn Op>, inputs: &[Value]) -> Result<Vec<Value>>;
}

/// The context in which an operation adds its backward nodes.
pub struct Backward<'a> {
    pub(super) tape: &'a mut dyn Tape,
    pub(super) inputs: &'a [Value],
    pub(super) outputs: &'a [Value],
    pub(super) grads: &'a [Option<Value>],
    pub(super) needs: &'a [bool],
}

impl Backward<'_> {
    /// Returns input `i` of the forward node, rematerialised if the operation that produced it requests that.
    pub fn input(&mut self, i: usize) -> Result<Value> {
        self.tape.recall(self.inputs[i])
    }

    /// Returns the number of inputs of the forward node.
    pub fn inputs(&self) -> usize {
        self.inputs.len()
    }

    /// Returns the type of input `i` of the forward node. Unlike [`Backward::input`] it does not extend the input's lifetime.
    pub fn input_type(&self, i: usize) -> &TensorType {
        self.tape.ty(self.inputs[i])
    }

    /// Returns output `i` of the forward node.
    pub fn output(&self, i: usize) -> Value {
        self.outputs[i]
    }

    /// Returns the gradient of output `i`; `None` if the loss does not depend on it.
    pub fn grad(&self, i: usize) -> Option<Value> {
        self.grads[i]
    }

    /// Returns whether input `i` depends on a trained parameter.
    pub fn needs(&self, i: usize) -> bool {
        self.needs[i]
    }

    /// Returns the type of a value.
    pub fn ty(&self, value: Value) -> &TensorType {
        self.tape.ty(value)
    }

    /// Adds a node in the forward node's scope and returns its outputs.
    pub fn push(&mut self, op: impl Op + 'static, inputs: &[Value]) -> Result<Vec<Value>> {
        self.tape.push(Arc::new(op), inputs)
    }
}
