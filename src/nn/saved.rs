//! What backward keeps of the layers of a model, read off the graph of a training step.

use crate::error::Result;
use crate::graph::{Graph, Init, Purpose, Value, ValueKind, backward};
use crate::ops::{SoftmaxCrossEntropy, join};
use crate::tensor::{DType, TensorType};
use std::collections::{BTreeMap, HashMap};

/// Samples that layouts pack together.
const SAMPLES: usize = 32;

/// Bits of a sample that backward keeps, by the layer that it keeps them for, as they lie in tensors: of rows of fewer than 32 channels
/// the gaps, too. What several layers need counts for the first of them; what is computed again for none. Whether a layer's input has to be
/// kept depends on the layers before it, so no layer can say it.
///
/// `build` adds a model of batches of so many samples to a graph, and gives its logits.
pub(super) fn saved_bits(build: &dyn Fn(&mut Graph, usize) -> Result<Value>) -> Result<BTreeMap<String, u64>> {
    // Two batches, since what has no rows of samples stays as large.
    let (less, mut more) = (kept(build, SAMPLES)?, kept(build, 2 * SAMPLES)?);
    for (layer, bits) in &mut more {
        *bits = bits.saturating_sub(less.get(layer).copied().unwrap_or(0)) / SAMPLES as u64;
    }
    Ok(more)
}

/// Bits of all that forward makes and backward reads, by layer.
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
    // Backward walks from the last layer to the first, whose claim stays.
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

    /// (layer, bits) where any are kept, of a multi-layer perceptron of 64 inputs, 64 and 96 units, and 10 classes.
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
        // Pixels as floats, products for batch norm; of ReLU nothing, since batch norm gives its input again.
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
