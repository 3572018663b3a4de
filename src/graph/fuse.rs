//! Fusions: named rewrites of a graph, applied before or after its gradients are added. Fusions are defined next to the operations that
//! they replace.

use super::build::{Graph, Node};
use std::collections::BTreeMap;

/// The replacement of a group of nodes.
pub struct Fused {
    /// Name in profiles.
    pub name: &'static str,
    /// The replaced nodes, in order. The new node produces those of their outputs that other nodes read.
    pub nodes: Vec<usize>,
    /// The new node, at the position of the last of them.
    pub node: Node,
}

/// Function of a rewrite that leaves the result of the graph unchanged: returns the replacement if node `i` is the first node of a match.
pub type Fusion = fn(graph: &Graph, i: usize) -> Option<Fused>;

/// Applies every fusion wherever it matches. Returns the number of applications by name.
pub fn fuse(graph: &mut Graph, fusions: &[Fusion]) -> BTreeMap<&'static str, usize> {
    let mut fired = BTreeMap::new();
    for fusion in fusions {
        let mut i = 0;
        while i < graph.nodes().len() {
            match fusion(graph, i) {
                Some(fused) => {
                    graph.replace(&fused.nodes, fused.node);
                    *fired.entry(fused.name).or_insert(0) += 1;
                }
                None => i += 1,
            }
        }
    }
    fired
}
