//! Producers of tiles with epilogues, and the fusions that compose them. No composed kernel is written by hand: a producer defines how it
//! computes its tiles, an epilogue how a tile is consumed.

use crate::error::Result;
use crate::graph::{Bound, Fused, Fusion, Graph, Node, Op};
use crate::ops::activation::join_dropped::JoinDropped;
use crate::ops::activation::sign::SignBackward;
use crate::ops::epilogue::Epilogues;
use crate::ops::layout::add::Add;
use crate::ops::norm::norm_sign::{NormSign, threshold};
use crate::ops::norm::statistics::{BatchNormStatistics, record_join, statistics_types};
use crate::ops::pool::pool::MaxPool;
use crate::ops::producer::{Producer, share};
use crate::ops::products::conv_bits::ConvBits;
use crate::ops::products::conv_bits_input::ConvBitsInput;
use crate::ops::products::float_bits::FloatBits;
use crate::ops::products::xnor_matmul::XnorMatmul;
use crate::runtime::Recording;
use crate::runtime::interface::epilogues::join_dropped::JoinParams;
use crate::tensor::{DType, PANEL, TensorType, words_of};
use std::sync::Arc;

/// Returns the producer of a node, if its operation is one.
fn producer(node: &Node) -> Option<Arc<dyn Producer>> {
    fn of<P: Producer + Copy>(node: &Node) -> Option<Arc<dyn Producer>> {
        node.op_as::<P>().map(|op| Arc::new(*op) as Arc<dyn Producer>)
    }
    of::<ConvBits>(node)
        .or(of::<XnorMatmul>(node))
        .or(of::<MaxPool>(node))
        .or(of::<ConvBitsInput>(node))
        .or(of::<FloatBits>(node))
}

/// Computes the statistics of a product's integers in its own epilogue, so that no kernel reads the integers again for them.
pub const PRODUCT_STATISTICS: Fusion = Fusion {
    name: "product-statistics",
    at: |graph, i| graph.nodes()[i].op_as::<MaxPool>().is_none().then(|| with_statistics(graph, i)).flatten(),
};

/// Like [`PRODUCT_STATISTICS`], with a max pool between product and batch norm.
pub const POOL_STATISTICS: Fusion = Fusion {
    name: "pool-statistics",
    at: |graph, i| graph.nodes()[i].op_as::<MaxPool>().and_then(|_| with_statistics(graph, i)),
};

/// Applies the mask of a sign's clip surrogate in the kernel of the product that writes the gradient.
pub const MASK: Fusion = Fusion { name: "mask", at: product_and_mask };

/// Adds the gradient from another reader of the sign's input in the same kernel.
pub const MASK_ADD: Fusion = Fusion { name: "mask-add", at: mask_and_add };

fn with_statistics(graph: &Graph, i: usize) -> Option<Fused> {
    let node = &graph.nodes()[i];
    let producer = producer(node)?;
    producer.kernel(Epilogues::Statistics)?;
    let is_statistics = |j: &usize| graph.nodes()[*j].op_as::<BatchNormStatistics>().is_some();
    let j = graph.consumers(node.outputs[0]).into_iter().find(is_statistics)?;
    let statistics = &graph.nodes()[j];
    let fused = Node {
        op: composed(producer, Epilogues::Statistics, node.inputs.len()),
        inputs: node.inputs.clone(),
        updates: statistics.updates.clone(),
        outputs: [&node.outputs[..], &statistics.outputs[..]].concat(),
        scope: node.scope.clone(),
    };
    let integers = graph.ty(node.outputs[0]).dtype == DType::I32;
    (integers && graph.can_wait(i, j)).then(|| Fused { nodes: vec![i, j], node: fused })
}

fn product_and_mask(graph: &Graph, i: usize) -> Option<Fused> {
    let node = &graph.nodes()[i];
    let producer = producer(node)?;
    producer.kernel(Epilogues::Mask)?;
    let j = graph.only_reader(node.outputs[0])?;
    let back = &graph.nodes()[j];
    let is_mask = back.op_as::<SignBackward>()?.0.surrogate.is_mask();
    let fused = Node {
        op: composed(producer, Epilogues::Mask, node.inputs.len()),
        inputs: [&node.inputs[..], &back.inputs[..1]].concat(),
        outputs: back.outputs.clone(),
        ..back.clone()
    };
    (is_mask && graph.can_wait(i, j)).then(|| Fused { nodes: vec![i, j], node: fused })
}

fn mask_and_add(graph: &Graph, i: usize) -> Option<Fused> {
    let node = &graph.nodes()[i];
    let masked = node.op_as::<Composed>().filter(|op| op.epilogues == Epilogues::Mask)?;
    masked.producer.kernel(Epilogues::MaskAdd)?;
    let j = graph.only_reader(node.outputs[0])?;
    let add = &graph.nodes()[j];
    add.op_as::<Add>()?;
    let other = *add.inputs.iter().find(|v| **v != node.outputs[0])?;
    let fused = Node {
        op: Arc::new(Composed { epilogues: Epilogues::MaskAdd, ..masked.clone() }),
        inputs: [&node.inputs[..], &[other]].concat(),
        outputs: add.outputs.clone(),
        ..node.clone()
    };
    graph.can_wait(i, j).then(|| Fused { nodes: vec![i, j], node: fused })
}

/// Sign and batch norm in the kernel of a product or pool whose integers nothing else reads: in evaluation, with running statistics. Training
/// keeps the integers for the batch's statistics and the gradient.
pub const THRESHOLD: Fusion = Fusion { name: "threshold", at: with_threshold };

/// Joins the two products of dropped signs in the kernel of the first.
pub const JOIN_DROPPED: Fusion = Fusion { name: "join-dropped", at: with_join };

fn with_threshold(graph: &Graph, i: usize) -> Option<Fused> {
    let node = &graph.nodes()[i];
    let producer = producer(node)?;
    producer.kernel(Epilogues::Threshold)?;
    let j = graph.only_reader(node.outputs[0])?;
    let sign = &graph.nodes()[j];
    sign.op_as::<NormSign>()?;
    // Only gradients read the tap of a maximum and the mask.
    let unread = node.outputs[1..].iter().chain(&sign.outputs[1..]).all(|value| graph.consumers(*value).is_empty());
    let fused = Node {
        op: composed(producer, Epilogues::Threshold, node.inputs.len()),
        inputs: [&node.inputs[..], &sign.inputs[1..]].concat(),
        outputs: sign.outputs[..1].to_vec(),
        ..sign.clone()
    };
    let integers = graph.ty(node.outputs[0]).dtype == DType::I32;
    (unread && integers && graph.can_wait(i, j)).then(|| Fused { nodes: vec![i, j], node: fused })
}

fn with_join(graph: &Graph, i: usize) -> Option<Fused> {
    let node = &graph.nodes()[i];
    let producer = producer(node)?;
    producer.kernel(Epilogues::JoinDropped)?;
    let j = graph.only_reader(node.outputs[0])?;
    let join = &graph.nodes()[j];
    let params = join_params(*join.op_as::<JoinDropped>()?);
    let other = *join.inputs.iter().find(|value| **value != node.outputs[0])?;
    let inputs = node.inputs.len();
    let fused = Node {
        op: Arc::new(Composed { producer, epilogues: Epilogues::JoinDropped, inputs, params }),
        inputs: [&node.inputs[..], &[other]].concat(),
        ..join.clone()
    };
    let integers = graph.ty(node.outputs[0]).dtype == DType::I32;
    (integers && graph.can_wait(i, j)).then(|| Fused { nodes: vec![i, j], node: fused })
}

fn join_params(join: JoinDropped) -> Vec<u32> {
    bytemuck::pod_collect_to_vec(&[JoinParams { scale: join.scale() }])
}

fn composed(producer: Arc<dyn Producer>, epilogues: Epilogues, inputs: usize) -> Arc<dyn Op> {
    Arc::new(Composed { producer, epilogues, inputs, params: Vec::new() })
}

/// A producer and its epilogues in one kernel. Inputs: those of the producer, then of the epilogues (mask, other gradient; mean, variance,
/// scale, bias; other product). Outputs and updates: those of the producer, then of [`BatchNormStatistics`] if statistics are computed; signs of
/// a threshold or floats of a join take the place of the producer's outputs. The fusion applies after the gradients are
/// added, so the operation has no backward.
#[derive(Clone, Debug)]
pub struct Composed {
    /// Computes the tiles.
    pub producer: Arc<dyn Producer>,
    /// Consumes the tiles.
    pub epilogues: Epilogues,
    /// Number of inputs of the producer.
    pub inputs: usize,
    /// Words of the parameters of `JoinDropped`; those of other epilogues follow from the tensors.
    pub params: Vec<u32>,
}

impl Composed {
    /// Creates a producer of `inputs` inputs with epilogues.
    pub fn new(producer: impl Producer, epilogues: Epilogues, inputs: usize) -> Self {
        Self { producer: Arc::new(producer), epilogues, inputs, params: Vec::new() }
    }

    /// Creates a producer of `inputs` inputs whose product is joined with that of the other copy of dropped signs.
    pub fn joined(producer: impl Producer, join: JoinDropped, inputs: usize) -> Self {
        let params = join_params(join);
        Self { producer: Arc::new(producer), epilogues: Epilogues::JoinDropped, inputs, params }
    }

    fn record_statistics(&self, recording: &mut Recording, bound: &Bound<'_>, rows: Option<usize>) {
        let (count, y) = (bound.outputs.len(), bound.outputs[0].1);
        let [mean, variance, partial] = [3, 2, 1].map(|i| bound.output(count - i));
        let share = match rows {
            Some(rows) => partial.per_task_in_each_panel(words_of(y.columns()), rows / PANEL * 2 * PANEL),
            None => partial.per_task(y.rows().div_ceil(PANEL) * 2 * PANEL),
        };
        self.producer.record_chain(recording, bound, self.epilogues, Vec::new(), vec![("partial", share)]);
        record_join(recording, [mean, variance, partial], [bound.update(0), bound.update(1)], y);
    }
}

impl Op for Composed {
    fn name(&self) -> &'static str {
        self.epilogues.op_name()
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let mut types = self.producer.outputs(&inputs[..self.inputs])?;
        match self.epilogues {
            Epilogues::Statistics => types.extend(statistics_types(&types[0])),
            Epilogues::Threshold => types = vec![TensorType { dtype: DType::Bits, ..types[0].clone() }],
            Epilogues::JoinDropped => types = vec![TensorType { dtype: DType::F32, ..types[0].clone() }],
            _ => {}
        }
        Ok(types)
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let rows = self.producer.rows_per_task(bound);
        let extra = |i: usize| bound.input(self.inputs + i).into();
        let (params, buffers) = match self.epilogues {
            Epilogues::Store => (Vec::new(), Vec::new()),
            Epilogues::Mask => (Vec::new(), vec![("mask_bits", extra(0))]),
            Epilogues::MaskAdd => (Vec::new(), vec![("mask_bits", extra(0)), ("other", extra(1))]),
            Epilogues::Threshold | Epilogues::ThresholdMask => threshold(bound, self.inputs, rows),
            Epilogues::JoinDropped => {
                (self.params.clone(), vec![("other_product", extra(0)), ("joined", share(bound.outputs[0], rows))])
            }
            Epilogues::Statistics => return self.record_statistics(recording, bound, rows),
        };
        self.producer.record_chain(recording, bound, self.epilogues, params, buffers);
    }
}
