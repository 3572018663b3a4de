//! The gradient of a convolution of signs by signs for its images.

use crate::bits;
use crate::error::Result;
use crate::graph::{Bound, Op};
use crate::ops::epilogue::{Epilogue, Epilogues};
use crate::ops::geometry::{geometry_of, matrix, params};
use crate::ops::producer::{Chain, Producer};
use crate::ops::products::patches::{Patches, TILE};
use crate::runtime::interface::producers::conv_bits_input::conv_bits_input;
use crate::runtime::{Kernel, Recording, Task, TaskPanels, kernel::kernel, with_scratch};
use crate::tensor::{ConvShape, DType, Geometry, Layout, PANEL, TensorType, words_of};

kernel!(
    /// dx(p, c) = sum over taps and outputs of dy(sink(p, t), o) * w(t, o, c).
    CONV_BITS_INPUT = producers::conv_bits_input::{ conv_bits_input }, task = twin
);
kernel!(
    /// [`CONV_BITS_INPUT`] where a mask is set, 0 elsewhere.
    CONV_BITS_INPUT_MASK = producers::conv_bits_input::{ conv_bits_input_mask }, task = twin
);
kernel!(
    /// The same, and another gradient.
    CONV_BITS_INPUT_MASK_ADD = producers::conv_bits_input::{ conv_bits_input_mask_add }, task = twin
);

/// The gradient for the images. Inputs: dy, packed weights. BufferArg: floats in panels, of the images' shape.
#[derive(Clone, Copy, Debug)]
pub struct ConvBitsInput(pub ConvShape, pub [usize; 4]);

impl Producer for ConvBitsInput {
    fn kernels(&self) -> &'static [(Epilogues, &'static Kernel)] {
        const {
            &[
                (Epilogues::Store, &CONV_BITS_INPUT),
                (Epilogues::Mask, &CONV_BITS_INPUT_MASK),
                (Epilogues::MaskAdd, &CONV_BITS_INPUT_MASK_ADD),
            ]
        }
    }

    fn rows_per_task(&self, _bound: &Bound<'_>) -> Option<usize> {
        Some(TILE)
    }

    fn record_chain(&self, recording: &mut Recording, bound: &Bound<'_>, chain: Chain) {
        let g = self.0.on("conv_bits_input", self.1).expect("checked when the node was made");
        let (rows, channels) = (g.in_rows(), self.1[3]);
        let y = bound.output(0).per_task_in_each_panel(words_of(channels), TILE * PANEL);
        let buffers = conv_bits_input::Buffers { dy: bound.input(0), weight: bound.input(1), y };
        recording.dispatch_with(
            chain.kernel,
            params(&g),
            buffers,
            chain.buffers,
            matrix(channels, rows),
            rows.div_ceil(TILE),
        );
        recording.set_multiply_adds(g.multiply_adds());
        recording.set_scratch(scratch(&g, TILE));
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
        self.record_alone(recording, bound);
    }
}

/// The panels of one group of channels.
struct GroupOf<'a, 'b> {
    panels: &'a mut TaskPanels<'b, f32>,
    first: usize,
}

impl bits::Panels for GroupOf<'_, '_> {
    fn panel(&mut self, at: usize) -> &mut [f32] {
        self.panels.panel(self.first + at)
    }
}

/// Words of the places that so many rows read.
fn scratch(g: &Geometry, rows: usize) -> usize {
    g.taps() * rows
}

/// A task has 96 input pixels, all channels. The sum runs over (panel of outputs, tap, output).
fn twin(task: &mut Task<'_>) {
    let conv_bits_input::Args { index, dy, weight, mut y, params, .. } = conv_bits_input::Args::take(task);
    let g = geometry_of(params);
    let mut epilogue = Epilogue::take(task, [g.in_rows(), g.in_channels as usize], g.in_rows());
    let (taps, words) = (g.taps(), g.words as usize);
    let rows = y.length() / PANEL;
    let panels = words_of(g.outputs());
    with_scratch(scratch(&g, rows), |places| {
        Patches::new(&g, index * TILE, rows).places(places);
        for group in 0..g.groups as usize {
            let product = bits::GatheredFloatBits {
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
            bits::current().gathered_float_bits(&product, &mut GroupOf { panels: &mut y, first: group * words });
        }
    });
    for panel in 0..y.panels() {
        epilogue.floats(panel, index * TILE, y.panel(panel));
    }
}
