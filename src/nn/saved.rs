//! The bits that backward keeps per layer, computed from the graph of a training step.

use crate::error::Result;
use crate::graph::{Graph, Init, Purpose, Value, ValueKind, backward};
use crate::ops::{SoftmaxCrossEntropy, join};
use crate::tensor::{DType, TensorType};
use std::collections::{BTreeMap, HashMap};

/// Samples that layouts pack together.
const SAMPLES: usize = 32;

/// Returns the bits per sample that backward keeps, by layer, as stored in tensors (including the padding of rows of fewer than 32
/// channels). A value that several layers require counts for the first of them; a rematerialised value counts for none. Whether a layer's
/// input is kept depends on the layers before it, so a layer cannot report these bits itself.
///
/// `build` adds a model for batches of the given number of samples to a graph, and returns its logits.
pub(super) fn saved_bits(build: &dyn Fn(&mut Graph, usize) -> Result<Value>) -> Result<BTreeMap<String, u64>> {
    // The difference of two batch sizes excludes tensors without rows of samples, whose size is constant.
    let (less, mut more) = (kept(build, SAMPLES)?, kept(build, 2 * SAMPLES)?);
    for (layer, bits) in &mut more {
        *bits = bits.saturating_sub(less.get(layer).copied().unwrap_or(0)) / SAMPLES as u64;
    }
    Ok(more)
}

/// Returns the bits of all tensors that forward writes and backward reads, by layer.
fn kept(build: &dyn Fn(&mut Graph, usize) -> Result<Value>, batch: usize) -> Result<BTreeMap<String, u64>> {
    let mut graph = Graph::new();
    let logits = build(&mut graph, batch)?;
    let classes = graph.ty(logits).columns();
    graph.set_scope("loss");
    let labels = graph.input("labels", TensorType::plain(DType::U32, &[batch]));
    let correct = graph.state("correct", TensorType::plain(DType::U32, &[classes]), Purpose::Counter, Init::Words(0));
    let loss = graph.add(SoftmaxCrossEntropy { smoothing: 0.0 }, &[logits, labels], &[correct])?;
    let forward = graph.nodes().len();
    backward(&mut graph, loss, &join)?;
    let (before, behind) = graph.nodes().split_at(forward);
    let mut keepers: HashMap<Value, &str> = HashMap::new();
    // Backward visits the layers from the last to the first, so the first layer remains.
    for node in behind {
        keepers.extend(node.inputs.iter().map(|&value| (value, node.scope.as_str())));
    }
    let mut bits = BTreeMap::new();
    for value in before.iter().flat_map(|node| &node.outputs) {
        if let Some(&layer) = keepers.get(value).filter(|_| graph.info(*value).kind == ValueKind::Temporary) {
            *bits.entry(layer.to_string()).or_default() += 32 * graph.ty(*value).words() as u64;
        }
    }
    Ok(bits)
}

#[cfg(test)]
mod tests {
    use super::super::spec::ModelSpec;

    /// Returns (layer, bits) where any bits are kept, for a multi-layer perceptron of 64 inputs, 64 and 96 units, and 10 classes.
    fn rows(float: bool) -> Vec<(String, u64)> {
        let spec =
            ModelSpec { hidden: Some(vec![64, 96]), full_precision: float, ..ModelSpec::new("mlp", [8, 8, 1], 10) };
        let summary = spec.build().expect("it fits").summary();
        assert_eq!(summary.saved_bits, summary.rows.iter().map(|row| row.saved_bits).sum::<u64>());
        let kept = summary.rows.into_iter().map(|row| (row.layer, row.saved_bits));
        kept.filter(|(_, bits)| *bits > 0).collect()
    }

    #[test]
    fn what_is_computed_again_is_not_kept() {
        let named =
            |rows: &[(&str, u64)]| rows.iter().map(|(name, bits)| (name.to_string(), *bits)).collect::<Vec<_>>();
        // Pixels as floats, and products for batch norm. ReLU keeps nothing, since batch norm rematerialises its input.
        let products = [("norm1", 32 * 64), ("norm2", 32 * 96), ("norm3", 32 * 32)];
        let float = [&[("dense1", 32 * 64)], &products[..]].concat();
        // The sign of each input, and the mask of the surrogate.
        let binary = [&float[..], &[("dense2", 2 * 64), ("dense3", 2 * 96)]].concat();
        let mut expected = named(&binary);
        expected.sort();
        let mut got = rows(false);
        got.sort();
        assert_eq!((got, rows(true)), (expected, named(&float)));
    }
}
