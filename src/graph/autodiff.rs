//! Reverse mode as a rewrite: walks the nodes back, asks each for its backward nodes, joins gradients of values used twice.

use super::build::{Graph, Value};
use super::op::Backward;
use crate::error::Result;
use std::collections::{HashMap, HashSet};

/// Adds the nodes that compute the gradient of `loss` (a vector, one element a row; its mean is what is minimised) for everything
/// that is trained. `join` adds two gradients. Gives the gradients of the trained parameters by value.
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
    let mut again = HashMap::new();
    for n in (0..forward).rev() {
        let node = graph.nodes()[n].clone();
        let needs: Vec<bool> = node.inputs.iter().map(|v| requires_grad.contains(v)).collect();
        let upstream: Vec<Option<Value>> = node.outputs.iter().map(|v| grads.get(v).copied()).collect();
        let reached = node.outputs.contains(&loss) || upstream.iter().any(Option::is_some);
        if !reached || !needs.contains(&true) {
            continue;
        }
        graph.set_scope(&node.scope);
        let mut cx = Backward { graph, node: n, grads: upstream, needs: needs.clone(), again: &mut again };
        let back = node.op.backward(&mut cx)?;
        assert_eq!(back.len(), node.inputs.len(), "{}: one gradient an input", node.op.name());
        for ((input, grad), needed) in node.inputs.iter().zip(back).zip(needs) {
            let Some(grad) = grad.filter(|_| needed) else { continue };
            let sum = match grads.get(input) {
                Some(&other) => join(graph, other, grad)?,
                None => grad,
            };
            grads.insert(*input, sum);
        }
    }
    let trained = graph.trained();
    grads.retain(|value, _| trained.iter().any(|(t, _)| t == value));
    Ok(grads)
}
