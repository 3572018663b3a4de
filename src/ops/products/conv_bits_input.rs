//! The gradient of a convolution of signs by signs for its images.

use crate::bits;
use crate::error::Result;
use crate::graph::{Bound, Op};
use crate::ops::products::geometry::{ConvShape, Geometry, matrix};
use crate::ops::products::patches::{Patches, TILE};
use crate::runtime::interface::ops::conv_bits_input::conv_bits_input;
use crate::runtime::{
    BufferId, Grid, Recording,
    kernel::{BufferArg, Pieces, kernel},
    with_scratch,
};
use crate::tensor::{DType, Layout, PANEL, TensorType, words_of};

kernel!(
    /// dx(p, c) = sum over taps and outputs of dy(sink(p, t), o) * w(t, o, c).
    CONV_BITS_INPUT = ops::conv_bits_input::{ conv_bits_input }, twin = twin
);

/// The gradient for the images. Inputs: dy, packed weights. BufferArg: floats in panels, of the images' shape.
#[derive(Clone, Copy, Debug)]
pub struct ConvBitsInput(pub ConvShape, pub [usize; 4]);

impl ConvBitsInput {
    /// Geometry, a task's share of the output, work for a GPU, tasks for the processor.
    pub(in crate::ops) fn extents(&self, dx: BufferId) -> (Geometry, BufferArg, Grid, usize) {
        let g = self.0.on("conv_bits_input", self.1).expect("checked when the node was made");
        let (rows, channels) = (g.in_rows(), self.1[3]);
        let dx = dx.per_task_in_each_panel(words_of(channels), TILE * PANEL);
        (g, dx, matrix(channels, rows), rows.div_ceil(TILE))
    }
}

impl Op for ConvBitsInput {
    fn name(&self) -> &'static str {
        "conv_bits_input"
    }

    fn outputs(&self, _inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![TensorType::new(DType::F32, Layout::Panels, &self.1)])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (g, dx, grid, tasks) = self.extents(bound.output(0));
        let buffers = conv_bits_input::Buffers { dy: bound.input(0), weight: bound.input(1), dx };
        recording.dispatch(&CONV_BITS_INPUT, bytemuck::cast(g), buffers, grid, tasks);
        recording.set_multiply_adds(g.multiply_adds());
        recording.set_scratch(scratch(&g, TILE));
    }
}

/// The panels of one group of channels.
struct GroupOf<'a, 'b> {
    pieces: &'a mut Pieces<'b, f32>,
    first: usize,
}

impl bits::Panels for GroupOf<'_, '_> {
    fn panel(&mut self, at: usize) -> &mut [f32] {
        self.pieces.piece(self.first + at)
    }
}

/// A task has 96 input pixels, all channels.
fn twin(mut args: conv_bits_input::Args<'_>) {
    tile(&bytemuck::cast(*args.params), args.index, args.dy, args.weight, &mut args.dx);
}

/// Words of the places that so many rows read.
pub(in crate::ops) fn scratch(g: &Geometry, rows: usize) -> usize {
    g.taps() * rows
}

/// The product of task `index`. The sum runs over (panel of outputs, tap, output).
pub(in crate::ops) fn tile(g: &Geometry, index: usize, dy: &[f32], weight: &[u32], dx: &mut Pieces<'_, f32>) {
    let (taps, words) = (g.taps(), g.words as usize);
    let rows = dx.length() / PANEL;
    let panels = words_of(g.outputs());
    with_scratch(scratch(g, rows), |places| {
        Patches::new(g, index * TILE, rows).places(places);
        for group in 0..g.groups as usize {
            let task = bits::GatheredFloatBits {
                x: &dy[group * panels * g.out_rows() * PANEL..],
                x_panel: g.out_rows() * PANEL,
                panels,
                terms: PANEL.min(g.outputs()),
                places,
                taps,
                bits: &weight[group * panels * taps * words * PANEL..],
                bits_block: words * PANEL,
                bits_panel: PANEL,
                rows,
                columns: g.depth(),
            };
            bits::current().gathered_float_bits(&task, &mut GroupOf { pieces: dx, first: group * words });
        }
    });
}
