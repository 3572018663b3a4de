//! Hoists nodes that depend only on persistent values, such as the packing of weights, out of a graph: they run once when these values
//! change, not in every play.

use super::bound::Bound;
use super::build::{Graph, Node};
use super::value::{Purpose, Value, ValueKind};
use crate::error::Result;
use crate::runtime::{BufferId, Dispatch, Recording};
use std::collections::HashSet;

/// Moves to the graph `prepare` the nodes that depend only on persistent values which the graph does not change, and not on values of the
/// step. Their outputs become persistent. A node that `prepare` already has is shared. Returns whether any node was moved.
pub fn hoist(graph: &mut Graph, prepare: &mut Graph) -> Result<bool> {
    // Values that the graph changes or produces. Outputs of moved nodes are removed below.
    let nodes = graph.nodes().iter();
    let mut moving: HashSet<Value> = nodes.flat_map(|node| node.updates.iter().chain(&node.outputs).copied()).collect();
    let mut moved = Vec::new();
    for n in 0..graph.nodes().len() {
        let node = graph.nodes()[n].clone();
        let is_fixed = |value: &Value| graph.info(*value).init().is_some() && !moving.contains(value);
        // A node whose outputs no node reads stays in the graph.
        let is_read = node.outputs.iter().any(|output| !graph.consumers(*output).is_empty());
        let fits = node.updates.is_empty() && is_read && node.inputs.iter().all(is_fixed);
        if !fits
            || node.inputs.is_empty()
            || node.outputs.iter().any(|&out| graph.info(out).kind != ValueKind::Temporary)
        {
            continue;
        }
        let dispatches = recorded(graph, &node);
        if dispatches.iter().any(|dispatch| dispatch.kernel.interface.step) {
            continue;
        }
        let mut inputs = Vec::new();
        for input in &node.inputs {
            inputs.push(prepare.adopt(graph.info(*input)));
        }
        let types = |graph: &Graph, node: &Node| node.outputs.iter().map(|v| graph.ty(*v).clone()).collect::<Vec<_>>();
        let own_types = types(graph, &node);
        let does_the_same = |other: &&Node| {
            other.inputs == inputs
                && types(prepare, other) == own_types
                && is_same(&recorded(prepare, other), &dispatches)
        };
        let same = prepare.nodes().iter().find(does_the_same);
        let outputs = match same {
            Some(other) => other.outputs.clone(),
            None => {
                prepare.set_scope(&node.scope);
                let (outputs, number) = (prepare.push(node.op.clone(), &inputs, &[])?, prepare.nodes().len());
                for (i, output) in outputs.iter().enumerate() {
                    let name = format!("prepared{number}.{}.{}.{i}", node.scope, node.op.name());
                    prepare.persist(*output, &name, Purpose::Prepared);
                }
                outputs
            }
        };
        for (old, new) in node.outputs.iter().zip(outputs) {
            let name = &prepare.info(new).name;
            match graph.find(name) {
                // An earlier node of this graph computes the same value.
                Some(earlier) => graph.substitute(*old, earlier),
                None => graph.persist(*old, name, Purpose::Prepared),
            }
            moving.remove(old);
        }
        moved.push(n);
    }
    graph.remove(&moved);
    Ok(!moved.is_empty())
}

/// Returns the dispatches of a node, over tensors that are numbered by their position in the node.
fn recorded(graph: &Graph, node: &Node) -> Vec<Dispatch> {
    let mut ids = (0..).map(BufferId);
    let mut bind = |values: &[Value]| values.iter().zip(&mut ids).map(|(v, id)| (id, graph.ty(*v))).collect();
    let bound = Bound { inputs: bind(&node.inputs), updates: bind(&node.updates), outputs: bind(&node.outputs) };
    let mut recording = Recording::new(node.op.name());
    node.op.record(&mut recording, &bound);
    recording.dispatches().cloned().collect()
}

/// Returns whether two nodes dispatch the same kernels with the same parameters over tensors at the same positions.
fn is_same(a: &[Dispatch], b: &[Dispatch]) -> bool {
    let is_equal = |(a, b): (&Dispatch, &Dispatch)| {
        std::ptr::eq(a.kernel, b.kernel)
            && (&a.params, &a.epilogue) == (&b.params, &b.epilogue)
            && (a.tasks, a.grid) == (b.tasks, b.grid)
            && a.buffers == b.buffers
    };
    a.len() == b.len() && a.iter().zip(b).all(is_equal)
}

#[cfg(test)]
mod tests {
    use super::super::bound::Bound;
    use super::super::initial::Init;
    use super::super::op::Op;
    use super::super::value::Role;
    use super::*;
    use crate::runtime::Recording;
    use crate::tensor::{DType, TensorType};
    use std::sync::Arc;

    /// An operation whose output has the type of its first input.
    #[derive(Clone, Copy, Debug)]
    struct Like;

    impl Op for Like {
        fn name(&self) -> &'static str {
            "like"
        }

        fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
            Ok(vec![inputs[0].clone()])
        }

        fn record(&self, _recording: &mut Recording, _bound: &Bound<'_>) {}
    }

    /// Two operations on weights that a training graph changes and an evaluation graph does not, a product with an input, and a product
    /// that is kept.
    fn graph(is_updated: bool) -> Graph {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorType::plain(DType::F32, &[3]));
        let w = graph.parameter("w", TensorType::plain(DType::F32, &[3]), Role::Float, Init::Fill(0.0));
        graph.set_scope("dense1");
        let packed = graph.add(Like, &[w], &[]).expect("it fits");
        let again = graph.add(Like, &[packed], &[]).expect("it fits");
        let updates = if is_updated { vec![w] } else { vec![] };
        let y = graph.push(Arc::new(Like), &[x, again], &updates).expect("it fits")[0];
        graph.keep(y, "y");
        let z = graph.add(Like, &[y], &[]).expect("it fits");
        graph.keep(z, "z");
        graph
    }

    #[test]
    fn what_depends_on_weights_alone_is_taken_out_once() {
        let (mut eval, mut train, mut prepare) = (graph(false), graph(true), Graph::new());
        assert!(!hoist(&mut train, &mut prepare).expect("nothing to do"), "the graph updates the weights");
        assert!(hoist(&mut eval, &mut prepare).expect("it fits"));
        assert_eq!([&eval, &train, &prepare].map(|graph| graph.nodes().len()), [2, 4, 2]);
        let read = eval.info(eval.nodes()[0].inputs[1]);
        assert_eq!((read.name.as_str(), read.purpose()), ("prepared2.dense1.like.0", Some(Purpose::Prepared)));
        // Another graph with the same weights shares the prepared values.
        let mut other = graph(false);
        assert!(hoist(&mut other, &mut prepare).expect("it fits"));
        assert_eq!(prepare.nodes().len(), 2);
        assert_eq!(other.info(other.nodes()[0].inputs[1]).name, read.name);
    }
}
