//! Fusions of the statistics of batch norm with what makes its integers: a product of signs, or the pooling behind one.

use crate::error::Result;
use crate::graph::{Bound, Fused, Fusion, Graph, Node, Op};
use crate::ops::norm::statistics::{BatchNormStatistics, integer_moments, record_join, statistics_types, width};
use crate::ops::pool::pool::{self, MaxPool};
use crate::ops::products::conv_bits::{self, ConvBits};
use crate::ops::products::geometry::{Geometry, image_of, matrix};
use crate::ops::products::patches::TILE;
use crate::ops::products::xnor_matmul::{self, XnorMatmul};
use crate::runtime::interface::ops::conv_bits::conv_bits_statistics;
use crate::runtime::interface::ops::pool::max_pool_statistics;
use crate::runtime::interface::ops::xnor_matmul::xnor_matmul_statistics;
use crate::runtime::{BufferId, Recording, kernel::kernel};
use crate::tensor::{DType, PANEL, TensorType, words_of};
use std::sync::Arc;

kernel!(
    /// `CONV_BITS`, and mean and sum of squared deviations of each 32 rows of what it makes.
    CONV_BITS_STATISTICS = ops::conv_bits::{ conv_bits_statistics }, twin = conv_twin
);
kernel!(
    /// `XNOR_MATMUL`, and the same.
    XNOR_MATMUL_STATISTICS = ops::xnor_matmul::{ xnor_matmul_statistics | xnor_matmul_tiled_statistics }, twin = matmul_twin
);
kernel!(
    /// `MAX_POOL` of integers, and the same.
    MAX_POOL_STATISTICS = ops::pool::{ max_pool_statistics }, twin = pool_twin
);

/// The statistics of a product's integers in its own epilogue: they are not read again for them.
pub const PRODUCT_STATISTICS: Fusion = Fusion {
    name: "product-statistics",
    at: |graph, i| match Maker::of(&graph.nodes()[i])? {
        Maker::Pool(_) => None,
        maker => with_statistics(graph, i, maker),
    },
};

/// The same where a max pool stands between product and batch norm.
pub const POOL_STATISTICS: Fusion = Fusion {
    name: "pool-statistics",
    at: |graph, i| match Maker::of(&graph.nodes()[i])? {
        maker @ Maker::Pool(_) => with_statistics(graph, i, maker),
        _ => None,
    },
};

fn with_statistics(graph: &Graph, i: usize, maker: Maker) -> Option<Fused> {
    let node = &graph.nodes()[i];
    let is_statistics = |j: &usize| graph.nodes()[*j].op_as::<BatchNormStatistics>().is_some();
    let j = graph.consumers(node.outputs[0]).into_iter().find(is_statistics)?;
    let statistics = &graph.nodes()[j];
    let fused = Node {
        op: Arc::new(WithStatistics(maker)),
        inputs: node.inputs.clone(),
        updates: statistics.updates.clone(),
        outputs: [&node.outputs[..], &statistics.outputs[..]].concat(),
        scope: node.scope.clone(),
    };
    let integers = graph.ty(node.outputs[0]).dtype == DType::I32;
    (integers && graph.can_wait(i, j)).then(|| Fused { nodes: vec![i, j], node: fused })
}

/// What makes integers.
#[derive(Clone, Copy, Debug)]
pub enum Maker {
    /// A convolution of signs by signs.
    Conv(ConvBits),
    /// A product of signs by signs.
    Dense(XnorMatmul),
    /// The largest of each window of integers.
    Pool(MaxPool),
}

impl Maker {
    fn of(node: &Node) -> Option<Self> {
        let conv = node.op_as().map(|op| Self::Conv(*op));
        conv.or(node.op_as().map(|op| Self::Dense(*op))).or(node.op_as().map(|op| Self::Pool(*op)))
    }

    fn op(&self) -> &dyn Op {
        match self {
            Self::Conv(op) => op,
            Self::Dense(op) => op,
            Self::Pool(op) => op,
        }
    }
}

/// Inputs and outputs of what makes integers, then the updates and outputs of [`BatchNormStatistics`] of them. It takes their place when the gradients
/// are there, so it needs none.
#[derive(Clone, Copy, Debug)]
pub struct WithStatistics(pub Maker);

impl Op for WithStatistics {
    fn name(&self) -> &'static str {
        "with_statistics"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let mut types = self.0.op().outputs(inputs)?;
        types.extend(statistics_types(&types[0]));
        Ok(types)
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let count = bound.outputs.len();
        let [mean, variance, partial] = [3, 2, 1].map(|i| bound.output(count - i));
        match self.0 {
            Maker::Conv(op) => record_conv(recording, bound, op, partial),
            Maker::Dense(_) => record_matmul(recording, bound, partial),
            Maker::Pool(op) => record_pool(recording, bound, op, partial),
        }
        let running = [bound.update(0), bound.update(1)];
        record_join(recording, [mean, variance, partial], running, bound.outputs[0].1);
    }
}

fn record_conv(recording: &mut Recording, bound: &Bound<'_>, op: ConvBits, partial: BufferId) {
    let g = op.geometry(bound.inputs[0].1).expect("checked when the node was made");
    let (rows, panels) = (g.out_rows(), words_of(op.0.channels));
    let buffers = conv_bits_statistics::Buffers {
        a: bound.input(0),
        w: bound.input(2),
        sums: bound.input(3),
        y: bound.output(0).per_task_in_each_panel(panels, TILE * PANEL),
        partial: partial.per_task_in_each_panel(panels, TILE / PANEL * 2 * PANEL),
    };
    let (grid, tasks) = (matrix(op.0.channels, rows), rows.div_ceil(TILE));
    recording.dispatch(&CONV_BITS_STATISTICS, g, buffers, grid, tasks);
    recording.set_multiply_adds(g.multiply_adds());
    recording.set_scratch(conv_bits::scratch(&g, TILE));
}

fn record_matmul(recording: &mut Recording, bound: &Bound<'_>, partial: BufferId) {
    let ((a, a_type), (w, w_type)) = (bound.inputs[0], bound.inputs[1]);
    let (params, grid, panels) = xnor_matmul::extents([a_type.rows(), w_type.rows(), a_type.columns()]);
    let y = bound.output(0).per_task(a_type.rows() * PANEL);
    let partial = partial.per_task(a_type.rows().div_ceil(PANEL) * 2 * PANEL);
    let buffers = xnor_matmul_statistics::Buffers { a, w, y, partial };
    recording.dispatch(&XNOR_MATMUL_STATISTICS, params, buffers, grid, panels);
    recording.set_multiply_adds([a_type.rows(), w_type.rows(), a_type.columns()]);
}

fn record_pool(recording: &mut Recording, bound: &Bound<'_>, op: MaxPool, partial: BufferId) {
    let (x, ty) = bound.inputs[0];
    let g = pool::geometry("max_pool", op.0, image_of("", ty).expect("checked"), ty.dtype).expect("checked");
    let (rows, panels) = (g.out_rows(), words_of(ty.columns()));
    let buffers = max_pool_statistics::Buffers {
        x,
        y: bound.output(0).per_task_in_each_panel(panels, pool::TILE * PANEL),
        chosen: bound.output(1).per_task_in_each_panel(panels, pool::TILE * PANEL / 4),
        partial: partial.per_task_in_each_panel(panels, pool::TILE / PANEL * 2 * PANEL),
    };
    let grid = matrix(ty.columns(), rows);
    recording.dispatch(&MAX_POOL_STATISTICS, bytemuck::cast(g), buffers, grid, rows.div_ceil(pool::TILE));
}

/// Samples' rows from row `first` on.
fn valid_from(first: usize, g: &Geometry, samples: u32) -> usize {
    ((samples * g.out_height * g.out_width) as usize).saturating_sub(first)
}

/// A task has 96 output pixels, all channels.
fn conv_twin(mut args: conv_bits_statistics::Args<'_>) {
    let (g, partial) = (args.params, &mut args.partial);
    let valid = valid_from(args.index * TILE, g, args.step.valid_rows);
    conv_bits::tile(g, args.index, [args.a, args.w], args.sums, &mut args.y, |panel, y| {
        integer_moments(y, valid, width(g.out_channels as usize, panel), partial.piece(panel));
    });
}

/// A task has one panel of 32 columns.
fn matmul_twin(args: xnor_matmul_statistics::Args<'_>) {
    xnor_matmul::panel(args.params, args.index, [args.a, args.w], args.y);
    let channels = width(args.params.columns as usize, args.index);
    integer_moments(args.y, args.step.valid_rows as usize, channels, args.partial);
}

/// A task has 256 pixels, all channels.
fn pool_twin(mut args: max_pool_statistics::Args<'_>) {
    let (g, partial) = (bytemuck::cast(*args.params), &mut args.partial);
    let valid = valid_from(args.index * pool::TILE, &g, args.step.valid_rows);
    pool::largest(&g, args.index, args.x, [&mut args.y, &mut args.chosen], |panel, y| {
        integer_moments(bytemuck::cast_slice(y), valid, width(g.out_channels as usize, panel), partial.piece(panel));
    });
}
