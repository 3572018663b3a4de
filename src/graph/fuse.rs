//! Fusions: named rewrites of a graph, some before its gradients are added, some after. The rules live beside the operations that they replace.

use super::build::{Graph, Node};
use std::collections::BTreeMap;

/// What takes the place of some nodes.
pub struct Fused {
    /// The nodes that go, in order; what others read of them the new node makes.
    pub nodes: Vec<usize>,
    /// The new node, in the place of the last of them.
    pub node: Node,
}

/// A rewrite: where it applies at a node, and what then takes its place. The result of the graph is the same.
pub struct Fusion {
    /// Name in profiles.
    pub name: &'static str,
    /// Looks at node `i` as the first of those that it would replace.
    pub at: fn(graph: &Graph, i: usize) -> Option<Fused>,
}

/// Applies every fusion wherever it fits; gives the number of times by name.
pub fn fuse(graph: &mut Graph, fusions: &[Fusion]) -> BTreeMap<&'static str, usize> {
    let mut fired = BTreeMap::new();
    for fusion in fusions {
        let mut i = 0;
        while i < graph.nodes().len() {
            match (fusion.at)(graph, i) {
                Some(fused) => {
                    graph.replace(&fused.nodes, fused.node);
                    *fired.entry(fusion.name).or_insert(0) += 1;
                }
                None => i += 1,
            }
        }
    }
    fired
}
