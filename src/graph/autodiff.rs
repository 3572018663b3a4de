//! Reverse-mode differentiation as a graph rewrite: walks the nodes in reverse order, adds their backward nodes and sums the gradients of
//! values that are used more than once.

use super::build::{Graph, Node};
use super::op::{Backward, Op, Tape};
use super::value::Value;
use crate::error::Result;
use crate::tensor::TensorType;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Adds the nodes that compute the gradient of `loss` with respect to every trained parameter. `loss` is a vector with one element per row;
/// its mean is minimised. `join` adds two gradients. Returns the gradients of the trained parameters by value.
pub fn backward(
    graph: &mut Graph,
    loss: Value,
    join: &dyn Fn(&mut Graph, Value, Value) -> Result<Value>,
) -> Result<HashMap<Value, Value>> {
    let forward = graph.nodes().len();
    let mut requires_grad: HashSet<Value> = graph.trained().into_iter().map(|(value, _)| value).collect();
    for node in graph.nodes() {
        if node.inputs.iter().any(|v| requires_grad.contains(v)) {
            requires_grad.extend(&node.outputs);
        }
    }
    let mut grads: HashMap<Value, Value> = HashMap::new();
    let mut tape = Rematerialising { graph, again: HashMap::new() };
    for n in (0..forward).rev() {
        let node = tape.graph.nodes()[n].clone();
        let needs: Vec<bool> = node.inputs.iter().map(|v| requires_grad.contains(v)).collect();
        let upstream: Vec<Option<Value>> = node.outputs.iter().map(|v| grads.get(v).copied()).collect();
        let reached = node.outputs.contains(&loss) || upstream.iter().any(Option::is_some);
        if !reached || !needs.contains(&true) {
            continue;
        }
        tape.graph.set_scope(&node.scope);
        let Node { inputs, outputs, .. } = &node;
        let mut cx = Backward { tape: &mut tape, inputs, outputs, grads: &upstream, needs: &needs };
        let back = node.op.backward(&mut cx)?;
        assert_eq!(back.len(), node.inputs.len(), "{}: one gradient per input", node.op.name());
        for ((input, grad), needed) in node.inputs.iter().zip(back).zip(needs) {
            let Some(grad) = grad.filter(|_| needed) else { continue };
            let sum = match grads.get(input) {
                Some(&other) => join(tape.graph, other, grad)?,
                None => grad,
            };
            grads.insert(*input, sum);
        }
    }
    let trained = tape.graph.trained();
    grads.retain(|value, _| trained.iter().any(|(t, _)| t == value));
    prune(graph, forward, &grads);
    Ok(grads)
}

/// Removes nodes of the backward pass whose outputs no node reads.
fn prune(graph: &mut Graph, forward: usize, grads: &HashMap<Value, Value>) {
    let mut read: HashSet<Value> = grads.values().copied().collect();
    let mut dead = Vec::new();
    for (n, node) in graph.nodes().iter().enumerate().skip(forward).rev() {
        if node.updates.is_empty() && !node.outputs.iter().any(|output| read.contains(output)) {
            dead.push(n);
        } else {
            read.extend(&node.inputs);
        }
    }
    dead.reverse();
    graph.remove(&dead);
}

/// The graph that the backward pass extends, and the values that were rematerialised so far.
struct Rematerialising<'a> {
    graph: &'a mut Graph,
    again: HashMap<Value, Value>,
}

impl Tape for Rematerialising<'_> {
    fn ty(&self, value: Value) -> &TensorType {
        self.graph.ty(value)
    }

    fn push(&mut self, op: Arc<dyn Op>, inputs: &[Value]) -> Result<Vec<Value>> {
        self.graph.push(op, inputs, &[])
    }

    fn recall(&mut self, value: Value) -> Result<Value> {
        if let Some(&again) = self.again.get(&value) {
            return Ok(again);
        }
        let maker = self.graph.nodes().iter().find(|node| node.outputs.contains(&value));
        let Some(node) = maker.filter(|node| node.op.rematerialise()).cloned() else { return Ok(value) };
        let mut inputs = Vec::new();
        for input in &node.inputs {
            inputs.push(self.recall(*input)?);
        }
        let scope = self.graph.scope().to_string();
        self.graph.set_scope(&node.scope);
        let outputs = self.graph.push(node.op.clone(), &inputs, &[])?;
        self.graph.set_scope(&scope);
        self.again.extend(node.outputs.iter().copied().zip(outputs));
        Ok(self.again[&value])
    }
}
