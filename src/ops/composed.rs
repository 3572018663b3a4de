//! Producers of tiles with epilogues behind them, and the fusions that put them together. What is composed is never written out: a producer says how it
//! makes its tiles, an epilogue what it does to one.

use crate::error::Result;
use crate::graph::{Bound, Fused, Fusion, Graph, Node, Op};
use crate::ops::activation::sign::SignBackward;
use crate::ops::epilogue::Epilogues;
use crate::ops::layout::add::Add;
use crate::ops::norm::statistics::{BatchNormStatistics, record_join, statistics_types};
use crate::ops::pool::pool::MaxPool;
use crate::ops::producer::{Chain, Producer};
use crate::ops::products::conv_bits::ConvBits;
use crate::ops::products::conv_bits_input::ConvBitsInput;
use crate::ops::products::float_bits::FloatBits;
use crate::ops::products::xnor_matmul::XnorMatmul;
use crate::runtime::Recording;
use crate::tensor::{DType, PANEL, TensorType, words_of};
use std::sync::Arc;

/// A producer of a node, where it is one.
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

/// The statistics of a product's integers in its own epilogue: they are not read again for them.
pub const PRODUCT_STATISTICS: Fusion = Fusion {
    name: "product-statistics",
    at: |graph, i| graph.nodes()[i].op_as::<MaxPool>().is_none().then(|| with_statistics(graph, i)).flatten(),
};

/// The same where a max pool stands between product and batch norm.
pub const POOL_STATISTICS: Fusion = Fusion {
    name: "pool-statistics",
    at: |graph, i| graph.nodes()[i].op_as::<MaxPool>().and_then(|_| with_statistics(graph, i)),
};

/// The mask of a sign's clip surrogate where the product behind it writes the gradient.
pub const MASK: Fusion = Fusion { name: "mask", at: product_and_mask };

/// The gradient that another reader of the sign's input gives it, added there, too.
pub const MASK_ADD: Fusion = Fusion { name: "mask-add", at: mask_and_add };

fn with_statistics(graph: &Graph, i: usize) -> Option<Fused> {
    let node = &graph.nodes()[i];
    let producer = producer(node)?;
    producer.kernel(Epilogues::Statistics)?;
    let is_statistics = |j: &usize| graph.nodes()[*j].op_as::<BatchNormStatistics>().is_some();
    let j = graph.consumers(node.outputs[0]).into_iter().find(is_statistics)?;
    let statistics = &graph.nodes()[j];
    let fused = Node {
        op: Arc::new(Composed { producer, epilogues: Epilogues::Statistics, inputs: node.inputs.len() }),
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
        op: Arc::new(Composed { producer, epilogues: Epilogues::Mask, inputs: node.inputs.len() }),
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

/// A producer and its epilogues in one kernel. Inputs: those of the producer, then of the epilogues (mask; other gradient). Outputs and updates: those of
/// the producer, then of [`BatchNormStatistics`] where statistics are computed. It takes its place when the gradients are there, so it needs none.
#[derive(Clone, Debug)]
pub struct Composed {
    /// What makes the tiles.
    pub producer: Arc<dyn Producer>,
    /// What consumes them.
    pub epilogues: Epilogues,
    /// Inputs of the producer.
    pub inputs: usize,
}

impl Composed {
    /// A producer of so many inputs with epilogues behind it.
    pub fn new(producer: impl Producer, epilogues: Epilogues, inputs: usize) -> Self {
        Self { producer: Arc::new(producer), epilogues, inputs }
    }
}

impl Op for Composed {
    fn name(&self) -> &'static str {
        self.epilogues.op_name()
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let mut types = self.producer.outputs(&inputs[..self.inputs])?;
        if self.epilogues == Epilogues::Statistics {
            types.extend(statistics_types(&types[0]));
        }
        Ok(types)
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let kernel = self.producer.kernel(self.epilogues).expect("a fusion asked for it");
        if self.epilogues != Epilogues::Statistics {
            let extra = (self.inputs..bound.inputs.len()).map(|i| bound.input(i).into()).collect();
            return self.producer.record_chain(recording, bound, Chain { kernel, buffers: extra });
        }
        let (count, y) = (bound.outputs.len(), bound.outputs[0].1);
        let [mean, variance, partial] = [3, 2, 1].map(|i| bound.output(count - i));
        let share = match self.producer.rows_per_task(bound) {
            Some(rows) => partial.per_task_in_each_panel(words_of(y.columns()), rows / PANEL * 2 * PANEL),
            None => partial.per_task(y.rows().div_ceil(PANEL) * 2 * PANEL),
        };
        self.producer.record_chain(recording, bound, Chain { kernel, buffers: vec![share] });
        record_join(recording, [mean, variance, partial], [bound.update(0), bound.update(1)], y);
    }
}
