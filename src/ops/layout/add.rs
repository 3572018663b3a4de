//! Adds two tensors element by element: joins branches, and gradients of a value that is used twice.

use crate::error::{Error, Result};
use crate::graph::{AsEpilogue, Backward, Bound, Graph, Op, Value};
use crate::runtime::interface::ops::add::add;
use crate::runtime::{Grid, Recording, kernel::kernel};
use crate::tensor::TensorType;

kernel!(
    /// y = a + b.
    ADD = ops::add::{ add }, twin = twin
);

/// Words per task: 16 KiB of each operand.
const CHUNK: usize = 4096;

/// y = a + b.
#[derive(Clone, Copy, Debug)]
pub struct Add;

impl Op for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        if inputs[0] != inputs[1] {
            return Err(Error::shape("add", format!("two of {}", inputs[0]), inputs[1]));
        }
        Ok(vec![inputs[0].clone()])
    }

    fn as_epilogue(&self, _input: usize) -> Option<AsEpilogue> {
        Some(AsEpilogue { name: "add", params: Vec::new() })
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let words = bound.outputs[0].1.words();
        let buffers = add::Buffers { a: bound.input(0), b: bound.input(1), y: bound.output(0).per_task(CHUNK) };
        recording.dispatch(&ADD, (), buffers, Grid::Linear(words as u64), words.div_ceil(CHUNK));
    }

    fn backward(&self, cx: &mut Backward<'_>) -> Result<Vec<Option<Value>>> {
        Ok(vec![cx.grad(0), cx.grad(0)])
    }
}

/// Adds two gradients, for [`crate::graph::backward`].
pub fn join(graph: &mut Graph, a: Value, b: Value) -> Result<Value> {
    graph.add(Add, &[a, b], &[])
}

fn twin(args: add::Args<'_>) {
    let first = args.index * CHUNK;
    let y = args.y;
    for ((y, a), b) in y.iter_mut().zip(&args.a[first..]).zip(&args.b[first..]) {
        *y = a + b;
    }
}
