//! The graph: nodes in execution order, and values by name.

use super::initial::Init;
use super::op::Op;
use super::value::{Parameter, Purpose, Role, State, Value, ValueInfo, ValueKind};
use crate::error::{Error, Result};
use crate::tensor::TensorType;
use std::any::Any;
use std::sync::Arc;

/// A node: an operation applied to values.
#[derive(Clone, Debug)]
pub struct Node {
    /// The operation.
    pub op: Arc<dyn Op>,
    /// Values that the node reads.
    pub inputs: Vec<Value>,
    /// Persistent values that the node changes in place.
    pub updates: Vec<Value>,
    /// Values that the node produces.
    pub outputs: Vec<Value>,
    /// Path of the layer that the node belongs to.
    pub scope: String,
}

impl Node {
    /// Returns the operation if it has type `T`.
    pub fn op_as<T: Op>(&self) -> Option<&T> {
        (self.op.as_ref() as &dyn Any).downcast_ref()
    }
}

/// The nodes and values of one recording, in execution order.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    values: Vec<ValueInfo>,
    nodes: Vec<Node>,
    scope: String,
}

impl Graph {
    /// Creates an empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the layer of the nodes and temporary values that are added afterwards.
    pub fn set_scope(&mut self, scope: &str) {
        self.scope = scope.to_string();
    }

    /// Returns the layer that was set last.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// Adds a value that is uploaded before each step.
    pub fn input(&mut self, name: &str, ty: TensorType) -> Value {
        self.named(name, ty, ValueKind::Input)
    }

    /// Adds a persistent value that is trained.
    pub fn parameter(&mut self, name: &str, ty: TensorType, role: Role, init: Init) -> Value {
        self.named(name, ty, ValueKind::Parameter(Parameter { role, init }))
    }

    /// Adds a persistent value that is not trained.
    pub fn state(&mut self, name: &str, ty: TensorType, purpose: Purpose, init: Init) -> Value {
        self.named(name, ty, ValueKind::State(State { purpose, init, parameter: None, restarts: false }))
    }

    /// Adds a state that an optimizer keeps for a parameter, named `PARAMETER.NAME`. With `restarts` it is reinitialised when the parameter
    /// is loaded.
    pub fn optimizer_state(
        &mut self,
        parameter: Value,
        name: &str,
        ty: TensorType,
        init: Init,
        restarts: bool,
    ) -> Value {
        let parameter = self.info(parameter).name.clone();
        let (name, purpose) = (format!("{parameter}.{name}"), Purpose::Optimizer);
        self.named(&name, ty, ValueKind::State(State { purpose, init, parameter: Some(parameter), restarts }))
    }

    /// Makes a temporary value, such as a gradient or logits, persistent under the given name, so that it can be read after a play of the
    /// recording. Its memory is no longer shared with other values.
    pub fn keep(&mut self, value: Value, name: &str) {
        self.persist(value, name, Purpose::Kept);
    }

    /// Makes a temporary value persistent under a name, with a purpose.
    pub(super) fn persist(&mut self, value: Value, name: &str, purpose: Purpose) {
        assert!(self.find(name).is_none(), "a value named `{name}` exists");
        let info = &mut self.values[value.0 as usize];
        assert_eq!(info.kind, ValueKind::Temporary, "`{}` is not temporary", info.name);
        info.name = name.to_string();
        let init = Init::Words(0);
        info.kind = ValueKind::State(State { purpose, init, parameter: None, restarts: false });
    }

    /// Replaces value `old` by `new`, of the same type, in the inputs of all nodes.
    pub(super) fn substitute(&mut self, old: Value, new: Value) {
        assert_eq!(
            self.ty(old),
            self.ty(new),
            "types of `{}` and of `{}`, which it replaces",
            self.info(new).name,
            self.info(old).name
        );
        let inputs = self.nodes.iter_mut().flat_map(|node| &mut node.inputs);
        inputs.filter(|input| **input == old).for_each(|input| *input = new);
    }

    /// Returns this graph's value with the name of another graph's value; adds it if there is none.
    pub(super) fn adopt(&mut self, info: &ValueInfo) -> Value {
        self.named(&info.name, info.ty.clone(), info.kind.clone())
    }

    /// Returns the value of that name; adds it if there is none. Names are unique.
    fn named(&mut self, name: &str, ty: TensorType, kind: ValueKind) -> Value {
        if let Some(found) = self.find(name) {
            assert_eq!(
                (&ty, &kind),
                (self.ty(found), &self.info(found).kind),
                "`{name}` exists with another type or kind"
            );
            return found;
        }
        self.values.push(ValueInfo { name: name.to_string(), ty, kind });
        Value(self.values.len() as u32 - 1)
    }

    /// Returns the persistent or input value of that name.
    pub fn find(&self, name: &str) -> Option<Value> {
        let found = |v: &ValueInfo| v.kind != ValueKind::Temporary && v.name == name;
        self.values.iter().position(found).map(|i| Value(i as u32))
    }

    /// Adds a node and returns its outputs.
    pub fn push(&mut self, op: Arc<dyn Op>, inputs: &[Value], updates: &[Value]) -> Result<Vec<Value>> {
        let types: Vec<&TensorType> = inputs.iter().map(|&v| self.ty(v)).collect();
        let types = op.outputs(&types).map_err(|error| match error {
            Error::Shape { op, expected, got } if !self.scope.is_empty() => {
                Error::Shape { op: format!("{op} of layer `{}`", self.scope), expected, got }
            }
            other => other,
        })?;
        for &update in updates {
            assert!(self.info(update).init().is_some(), "only persistent values are updated in place");
        }
        let mut outputs = Vec::new();
        for (i, ty) in types.into_iter().enumerate() {
            let name = format!("{}/{}.{i}#{}", self.scope, op.name(), self.nodes.len());
            self.values.push(ValueInfo { name, ty, kind: ValueKind::Temporary });
            outputs.push(Value(self.values.len() as u32 - 1));
        }
        let scope = self.scope.clone();
        self.nodes.push(Node {
            op,
            inputs: inputs.to_vec(),
            updates: updates.to_vec(),
            outputs: outputs.clone(),
            scope,
        });
        Ok(outputs)
    }

    /// Adds a node directly after node `node`, in the same layer, so that the lifetimes of its inputs need not be extended. Returns its
    /// outputs.
    pub fn push_behind(
        &mut self,
        node: usize,
        op: Arc<dyn Op>,
        inputs: &[Value],
        updates: &[Value],
    ) -> Result<Vec<Value>> {
        let scope = std::mem::replace(&mut self.scope, self.nodes[node].scope.clone());
        let outputs = self.push(op, inputs, updates);
        self.scope = scope;
        let outputs = outputs?;
        let last = self.nodes.pop().expect("push added a node");
        self.nodes.insert(node + 1, last);
        Ok(outputs)
    }

    /// Adds a node with one output and returns the output.
    pub fn add(&mut self, op: impl Op + 'static, inputs: &[Value], updates: &[Value]) -> Result<Value> {
        Ok(self.push(Arc::new(op), inputs, updates)?[0])
    }

    /// Returns the type of a value.
    pub fn ty(&self, value: Value) -> &TensorType {
        &self.values[value.0 as usize].ty
    }

    /// Returns name, type and kind of a value.
    pub fn info(&self, value: Value) -> &ValueInfo {
        &self.values[value.0 as usize]
    }

    /// Returns all values.
    pub fn values(&self) -> impl Iterator<Item = (Value, &ValueInfo)> {
        self.values.iter().enumerate().map(|(i, info)| (Value(i as u32), info))
    }

    /// Returns the parameters that an optimizer trains, in order of creation.
    pub fn trained(&self) -> Vec<(Value, Role)> {
        let role = |(value, info): (Value, &ValueInfo)| match &info.kind {
            ValueKind::Parameter(parameter) => Some((value, parameter.role)),
            _ => None,
        };
        self.values().filter_map(role).collect()
    }

    /// Returns whether two values have equal content: they are the same value, or the same operations compute both.
    pub fn is_same(&self, a: Value, b: Value) -> bool {
        let maker = |value: Value| {
            let at = |node: &Node| node.outputs.iter().position(|&output| output == value);
            self.nodes.iter().find_map(|node| at(node).map(|i| (node, i)))
        };
        let alike = |(a, i): (&Node, usize), (b, j): (&Node, usize)| {
            let same_op = i == j && a.inputs.len() == b.inputs.len() && format!("{:?}", a.op) == format!("{:?}", b.op);
            same_op && a.inputs.iter().zip(&b.inputs).all(|(&a, &b)| self.is_same(a, b))
        };
        a == b || maker(a).zip(maker(b)).is_some_and(|(a, b)| alike(a, b))
    }

    /// Returns the numbers of the nodes that read or update a value.
    pub fn consumers(&self, value: Value) -> Vec<usize> {
        let reads = |node: &Node| node.inputs.contains(&value) || node.updates.contains(&value);
        self.nodes.iter().enumerate().filter(|(_, node)| reads(node)).map(|(i, _)| i).collect()
    }

    /// Returns the only node that reads a temporary value; `None` if several nodes or none read it, or if it is not temporary.
    pub fn only_reader(&self, value: Value) -> Option<usize> {
        let [reader] = self.consumers(value)[..] else { return None };
        (self.info(value).kind == ValueKind::Temporary).then_some(reader)
    }

    /// Returns whether a value is temporary and no node reads it.
    pub fn is_unread(&self, value: Value) -> bool {
        self.info(value).kind == ValueKind::Temporary && self.consumers(value).is_empty()
    }

    /// Returns whether node `from` may be moved to the position of node `to`: no node between them reads the values that it produces or
    /// updates, or updates the values that it reads or updates.
    pub fn can_wait(&self, from: usize, to: usize) -> bool {
        let node = &self.nodes[from];
        self.nodes[from + 1..to].iter().all(|between| {
            !between.inputs.iter().any(|v| node.outputs.contains(v) || node.updates.contains(v))
                && !between.updates.iter().any(|v| node.inputs.contains(v) || node.updates.contains(v))
        })
    }

    /// Removes nodes, given in ascending order.
    pub(super) fn remove(&mut self, nodes: &[usize]) {
        for i in nodes.iter().rev() {
            self.nodes.remove(*i);
        }
    }

    /// Replaces several nodes by one, at the position of the last of them.
    pub(super) fn replace(&mut self, nodes: &[usize], node: Node) {
        let (last, others) = nodes.split_last().expect("a fusion replaces at least one node");
        self.nodes[*last] = node;
        self.remove(others);
    }

    /// Returns the nodes in order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }
}
