//! A producer with the operations that its kernel does as epilogues, and the fusion that composes them.

use crate::error::Result;
use crate::graph::{Bound, Fused, Graph, Node, Op, Producer};
use crate::ops::epilogues::contract::{EpilogueKind, TileUse};
use crate::ops::epilogues::registry::epilogue;
use crate::runtime::Recording;
use crate::tensor::{DType, TensorType};
use std::sync::Arc;

/// Fusion by which the kernel of a producer does what the reader of its output does, as an epilogue, wherever the producer permits the chain.
pub fn producer_and_epilogue(graph: &Graph, i: usize) -> Option<Fused> {
    let node = &graph.nodes()[i];
    let composed = match node.op_as::<Composed>() {
        Some(composed) => composed.clone(),
        None => node.op.producer().map(|_| Composed::new(node.op.clone(), node.inputs.len()))?,
    };
    let tile = *node.outputs.first()?;
    graph.consumers(tile).into_iter().find_map(|j| {
        let reader = &graph.nodes()[j];
        let input = reader.inputs.iter().position(|value| *value == tile)?;
        let fused = composed.clone().then(reader.op.clone(), input, reader.inputs.len())?;
        let kind = fused.readers.last()?.kind;
        let unread = |values: &[_]| values.iter().all(|value| graph.is_unread(*value));
        let stays = kind.tile == TileUse::Reads;
        // An operation may read the tile twice.
        let reads_once = reader.inputs.iter().filter(|value| **value == tile).count() == 1;
        let fits = reads_once
            && (stays || (graph.only_reader(tile) == Some(j) && unread(&node.outputs[1..])))
            && unread(&reader.outputs[kind.outputs..])
            && (!kind.integers || graph.ty(tile).dtype == DType::I32)
            && graph.can_wait(i, j);
        let others = reader.inputs.iter().enumerate().filter(|(at, _)| *at != input).map(|(_, value)| *value);
        let kept = if stays { &node.outputs[..] } else { &[] };
        let node = Node {
            op: Arc::new(fused),
            inputs: node.inputs.iter().copied().chain(others).collect(),
            updates: [&node.updates[..], &reader.updates[..]].concat(),
            outputs: [kept, &reader.outputs[..kind.outputs]].concat(),
            scope: if stays { node.scope.clone() } else { reader.scope.clone() },
        };
        fits.then(|| Fused { name: kind.name, nodes: vec![i, j], node })
    })
}

/// An operation that is done as an epilogue.
#[derive(Clone, Debug)]
struct Reader {
    op: Arc<dyn Op>,
    kind: &'static EpilogueKind,
    params: Vec<u32>,
    /// Which of its inputs is the tile, and the number of the others.
    input: usize,
    others: usize,
}

/// A producer and its epilogues in one kernel. Inputs: those of the producer, then of each other operation without the tile. Outputs: those of
/// the producer unless an epilogue consumes the tile, then those that the epilogues write. Updates: those of all operations. Fusion applies
/// after the gradients are added, so the operation has no backward.
#[derive(Clone, Debug)]
pub struct Composed {
    producer: Arc<dyn Op>,
    inputs: usize,
    readers: Vec<Reader>,
}

impl Composed {
    /// Creates a producer of `inputs` inputs without epilogues.
    pub fn new(producer: Arc<dyn Op>, inputs: usize) -> Self {
        Self { producer, inputs, readers: Vec::new() }
    }

    /// Adds an operation of `inputs` inputs, of which number `input` is the tile; `None` if it is no epilogue or the producer does not
    /// permit the chain.
    pub fn then(mut self, op: Arc<dyn Op>, input: usize, inputs: usize) -> Option<Self> {
        self.producer.producer()?;
        let called = op.as_epilogue(input)?;
        let kind = epilogue(called.name)?;
        self.readers.push(Reader { op, kind, params: called.params, input, others: inputs - 1 });
        self.producer().kernel(&self.chain())?;
        Some(self)
    }

    fn producer(&self) -> &dyn Producer {
        self.producer.producer().expect("checked when it was composed")
    }

    /// Returns the names of the epilogues, joined as in the shader's header.
    fn chain(&self) -> String {
        self.readers.iter().map(|reader| reader.kind.name).collect::<Vec<_>>().join("+")
    }

    fn uses(&self, tile: TileUse) -> bool {
        self.readers.iter().any(|reader| reader.kind.tile == tile)
    }
}

impl Op for Composed {
    fn name(&self) -> &'static str {
        self.readers.last().map_or("composed", |reader| reader.kind.name)
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let (own, mut others) = inputs.split_at(self.inputs);
        let (mut tiles, mut written) = (self.producer.outputs(own)?, Vec::new());
        for reader in &self.readers {
            let (here, rest) = others.split_at(reader.others.min(others.len()));
            others = rest;
            let tile = tiles[0].clone();
            let mut all = here.to_vec();
            all.insert(reader.input, &tile);
            let types = reader.op.outputs(&all)?.into_iter().take(reader.kind.outputs);
            if reader.kind.tile == TileUse::Changes {
                tiles = types.collect();
            } else {
                written.extend(types);
            }
        }
        let tiles = if self.uses(TileUse::Consumes) { Vec::new() } else { tiles };
        Ok(tiles.into_iter().chain(written).collect())
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let producer = self.producer();
        let (own, mut others) = bound.inputs.split_at(self.inputs);
        let own = Bound { inputs: own.to_vec(), ..bound.clone() };
        let rows = producer.rows_per_task(&own);
        // Outputs of the readers are the last.
        let written = self.readers.iter().filter(|reader| reader.kind.tile != TileUse::Changes);
        let mut next = bound.outputs.len() - written.map(|reader| reader.kind.outputs).sum::<usize>();
        let mut buffers = if self.uses(TileUse::Consumes) { Vec::new() } else { producer.stored(&own) };
        let (mut params, mut finishes) = (Vec::new(), Vec::new());
        for reader in &self.readers {
            let (here, rest) = others.split_at(reader.others);
            others = rest;
            let outputs = match reader.kind.tile {
                TileUse::Changes => 0..1,
                _ => next..next + reader.kind.outputs,
            };
            next = next.max(outputs.end);
            let bound = Bound {
                inputs: here.to_vec(),
                updates: bound.updates.clone(),
                outputs: bound.outputs[outputs].to_vec(),
            };
            params.extend_from_slice(&reader.params);
            buffers.extend((reader.kind.bind)(&bound, rows));
            finishes.extend(reader.kind.finish.map(|finish| (finish, bound)));
        }
        let kernel = producer.kernel(&self.chain()).expect("checked when it was composed");
        recording.dispatch_behind(kernel, producer.product(&own), params, buffers);
        for (finish, of) in finishes {
            finish(recording, &of, bound.outputs[0].1);
        }
    }
}
