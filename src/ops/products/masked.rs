//! Fusions of the clip surrogate's mask with the product before it: a gradient is masked, and joins another, as it is written.

use crate::error::Result;
use crate::graph::{Bound, Fused, Fusion, Graph, Node, Op};
use crate::ops::activation::sign::{SignBackward, keep};
use crate::ops::layout::add::Add;
use crate::ops::products::conv_bits_input::{self, ConvBitsInput};
use crate::ops::products::float_bits::{self, FloatBits};
use crate::ops::products::patches::TILE;
use crate::runtime::interface::ops::conv_bits_input::{conv_bits_input_joined, conv_bits_input_masked};
use crate::runtime::interface::ops::float_bits::float_bits_masked;
use crate::runtime::{
    Recording,
    kernel::{Pieces, kernel},
};
use crate::tensor::{PANEL, TensorType};
use std::sync::Arc;

kernel!(
    /// `CONV_BITS_INPUT` where a mask is set, 0 elsewhere.
    CONV_BITS_INPUT_MASKED = ops::conv_bits_input::{ conv_bits_input_masked }, twin = conv_twin
);
kernel!(
    /// The same, and another gradient.
    CONV_BITS_INPUT_JOINED = ops::conv_bits_input::{ conv_bits_input_joined }, twin = joined_twin
);
kernel!(
    /// `FLOAT_BITS` where a mask is set, 0 elsewhere.
    FLOAT_BITS_MASKED = ops::float_bits::{ float_bits_masked }, twin = dense_twin
);

/// The mask of a sign's clip surrogate where the product behind it writes the gradient.
pub const MASK: Fusion = Fusion { name: "mask", at: product_and_mask };

/// The gradient that another reader of the sign's input gives it, added there, too.
pub const MASK_JOIN: Fusion = Fusion { name: "mask-join", at: mask_and_join };

fn product_and_mask(graph: &Graph, i: usize) -> Option<Fused> {
    let node = &graph.nodes()[i];
    let conv = node.op_as::<ConvBitsInput>().copied().map(Product::Conv);
    let product = conv.or(node.op_as::<FloatBits>().map(|_| Product::Dense))?;
    let j = graph.only_reader(node.outputs[0])?;
    let back = &graph.nodes()[j];
    let is_mask = back.op_as::<SignBackward>()?.0.surrogate.is_mask();
    let node = Node {
        op: Arc::new(Masked(product)),
        inputs: [&node.inputs[..], &back.inputs[..1]].concat(),
        outputs: back.outputs.clone(),
        ..back.clone()
    };
    (is_mask && graph.can_wait(i, j)).then(|| Fused { nodes: vec![i, j], node })
}

fn mask_and_join(graph: &Graph, i: usize) -> Option<Fused> {
    let node = &graph.nodes()[i];
    let &Masked(Product::Conv(product)) = node.op_as()? else { return None };
    let j = graph.only_reader(node.outputs[0])?;
    let add = &graph.nodes()[j];
    add.op_as::<Add>()?;
    let other = *add.inputs.iter().find(|v| **v != node.outputs[0])?;
    let node = Node {
        op: Arc::new(Joined(product)),
        inputs: [&node.inputs[..], &[other]].concat(),
        outputs: add.outputs.clone(),
        ..node.clone()
    };
    graph.can_wait(i, j).then(|| Fused { nodes: vec![i, j], node })
}

/// A product that gives signs their gradient.
#[derive(Clone, Copy, Debug)]
pub enum Product {
    /// Of a convolution.
    Conv(ConvBitsInput),
    /// Of rows, [`FloatBits`].
    Dense,
}

/// Inputs: those of the product, and the mask. Output: the product where the mask is set, 0 elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Masked(pub Product);

impl Op for Masked {
    fn name(&self) -> &'static str {
        "masked"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        match self.0 {
            Product::Conv(op) => op.outputs(&inputs[..2]),
            Product::Dense => FloatBits.outputs(&inputs[..2]),
        }
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let [first, second, kept] = [0, 1, 2].map(|i| bound.input(i));
        match self.0 {
            Product::Conv(op) => {
                let (g, dx, grid, tasks) = op.extents(bound.output(0));
                let buffers = conv_bits_input_masked::Buffers { dy: first, weight: second, dx, kept };
                recording.dispatch(&CONV_BITS_INPUT_MASKED, bytemuck::cast(g), buffers, grid, tasks);
                recording.set_multiply_adds(g.multiply_adds());
                recording.set_scratch(conv_bits_input::scratch(&g, TILE));
            }
            Product::Dense => {
                let (rows, columns) = (bound.inputs[0].1.rows(), bound.inputs[1].1.columns());
                let extents = [rows, columns, bound.inputs[0].1.columns()];
                let (params, y, grid, tasks) = float_bits::extents(bound.output(0), extents);
                let buffers = float_bits_masked::Buffers { x: first, bits: second, y, kept };
                recording.dispatch(&FLOAT_BITS_MASKED, params, buffers, grid, tasks);
                recording.set_multiply_adds(extents);
            }
        }
    }
}

/// Inputs: those of [`Masked`], and another gradient. Output: their sum.
#[derive(Clone, Copy, Debug)]
pub struct Joined(pub ConvBitsInput);

impl Op for Joined {
    fn name(&self) -> &'static str {
        "joined"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        self.0.outputs(&inputs[..2])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let [dy, weight, kept, other] = [0, 1, 2, 3].map(|i| bound.input(i));
        let (g, dx, grid, tasks) = self.0.extents(bound.output(0));
        let buffers = conv_bits_input_joined::Buffers { dy, weight, dx, kept, other };
        recording.dispatch(&CONV_BITS_INPUT_JOINED, bytemuck::cast(g), buffers, grid, tasks);
        recording.set_multiply_adds(g.multiply_adds());
        recording.set_scratch(conv_bits_input::scratch(&g, TILE));
    }
}

/// Masks a task's rows from row `first` on; `then` sees each row behind it, with its number and its panel.
fn mask(y: &mut Pieces<'_, f32>, kept: &[u32], first: usize, then: impl Fn(&mut [f32], usize, usize)) {
    let words = y.parts();
    for panel in 0..words {
        for (row, y) in (first..).zip(y.piece(panel).chunks_exact_mut(PANEL)) {
            keep(y, kept[((row / PANEL) * words + panel) * PANEL + row % PANEL]);
            then(y, row, panel);
        }
    }
}

/// A task has 96 input pixels, all channels; so has the other.
fn conv_twin(mut args: conv_bits_input_masked::Args<'_>) {
    conv_bits_input::tile(&bytemuck::cast(*args.params), args.index, args.dy, args.weight, &mut args.dx);
    mask(&mut args.dx, args.kept, args.index * TILE, |_, _, _| {});
}

fn joined_twin(mut args: conv_bits_input_joined::Args<'_>) {
    let g = bytemuck::cast(*args.params);
    conv_bits_input::tile(&g, args.index, args.dy, args.weight, &mut args.dx);
    let rows = g.in_rows();
    mask(&mut args.dx, args.kept, args.index * TILE, |dx, row, panel| {
        let other = &args.other[(panel * rows + row) * PANEL..][..PANEL];
        dx.iter_mut().zip(other).for_each(|(dx, other)| *dx += other);
    });
}

/// A task has some rows, all columns.
fn dense_twin(mut args: float_bits_masked::Args<'_>) {
    let first = float_bits::tile(args.params, args.index, args.x, args.bits, &mut args.y);
    mask(&mut args.y, args.kept, first, |_, _, _| {});
}
