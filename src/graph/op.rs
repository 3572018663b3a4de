//! The contract of an operation: its output types, its kernels, and its backward as more nodes.

use super::value::Value;
use crate::error::{Error, Result};
use crate::runtime::{BufferId, Recording};
use crate::tensor::TensorType;
use std::{any::Any, fmt, sync::Arc};

/// An operation. Operations from outside the crate implement this and are pushed on a [`Graph`](super::Graph) like the built-in ones.
pub trait Op: Any + fmt::Debug + Send + Sync {
    /// One word, as in profiles and errors.
    fn name(&self) -> &'static str;

    /// Types of the outputs for types of the inputs; an error says what does not fit.
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>>;

    /// Dispatches the kernels.
    fn record(&self, recording: &mut Recording, bound: &Bound<'_>);

    /// Adds the nodes that turn gradients of the outputs into gradients of the inputs (one entry an input; `None` where there is none).
    fn backward(&self, cx: &mut Backward<'_>) -> Result<Vec<Option<Value>>> {
        let _ = cx;
        Err(Error::shape(self.name(), "an operation with a gradient", "one without"))
    }

    /// What it has to do with signs of activations, for diagnostics; `None` for most operations.
    fn signs(&self) -> Option<Signs> {
        None
    }

    /// Whether backward should compute the outputs again instead of keeping them: true for cheap operations with wide outputs.
    fn rematerialise(&self) -> bool {
        false
    }
}

/// An input or an output of a node, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Which input.
    Input(usize),
    /// Which output.
    Output(usize),
}

/// What an operation has to do with signs of activations that are trained through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signs {
    /// Its first output are signs.
    Forward {
        /// What backward reads to know where a gradient passes: the mask of the surrogate, or what the signs are of.
        kept: Port,
    },
    /// It takes a gradient of signs to one of what they are the signs of.
    Backward {
        /// Input with what forward kept.
        kept: usize,
        /// Input with the gradient of the signs.
        gradient: usize,
        /// Output with what the surrogate leaves of it; `None` where that is never stored, and `kept` is a mask.
        masked: Option<usize>,
    },
}

/// The tensors of a node while it is recorded.
pub struct Bound<'a> {
    /// Tensors that the node reads.
    pub inputs: Vec<(BufferId, &'a TensorType)>,
    /// Persistent tensors that the node changes in place.
    pub updates: Vec<(BufferId, &'a TensorType)>,
    /// Tensors that the node makes.
    pub outputs: Vec<(BufferId, &'a TensorType)>,
}

impl Bound<'_> {
    /// Tensor of input `i`.
    pub fn input(&self, i: usize) -> BufferId {
        self.inputs[i].0
    }

    /// Tensor of update `i`.
    pub fn update(&self, i: usize) -> BufferId {
        self.updates[i].0
    }

    /// Tensor of output `i`.
    pub fn output(&self, i: usize) -> BufferId {
        self.outputs[i].0
    }
}

/// What backward needs of the graph that it extends.
pub(super) trait Tape {
    /// Type of a value.
    fn ty(&self, value: Value) -> &TensorType;

    /// A value of the forward pass, computed again where the operation that made it asks for that.
    fn recall(&mut self, value: Value) -> Result<Value>;

    /// Adds a node.
    fn push(&mut self, op: Arc<dyn Op>, inputs: &[Value]) -> Result<Vec<Value>>;
}

/// What an operation sees while it adds its backward nodes.
pub struct Backward<'a> {
    pub(super) tape: &'a mut dyn Tape,
    pub(super) inputs: &'a [Value],
    pub(super) outputs: &'a [Value],
    pub(super) grads: &'a [Option<Value>],
    pub(super) needs: &'a [bool],
}

impl Backward<'_> {
    /// Input `i` of the forward node, computed again if its operation asks for that.
    pub fn input(&mut self, i: usize) -> Result<Value> {
        self.tape.recall(self.inputs[i])
    }

    /// Type of input `i` of the forward node; asking for it alone does not keep the input alive.
    pub fn input_type(&self, i: usize) -> &TensorType {
        self.tape.ty(self.inputs[i])
    }

    /// Output `i` of the forward node.
    pub fn output(&self, i: usize) -> Value {
        self.outputs[i]
    }

    /// Gradient of output `i`; `None` where nothing depends on it.
    pub fn grad(&self, i: usize) -> Option<Value> {
        self.grads[i]
    }

    /// Whether input `i` leads to anything that is trained.
    pub fn needs(&self, i: usize) -> bool {
        self.needs[i]
    }

    /// Type of a value.
    pub fn ty(&self, value: Value) -> &TensorType {
        self.tape.ty(value)
    }

    /// Adds a node in the forward node's scope.
    pub fn push(&mut self, op: impl Op + 'static, inputs: &[Value]) -> Result<Vec<Value>> {
        self.tape.push(Arc::new(op), inputs)
    }
}
