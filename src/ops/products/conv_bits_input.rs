//! The gradient of a convolution of signs by signs with respect to its images.

use crate::bits;
use crate::error::Result;
use crate::graph::{Bound, Op, Producer};
use crate::ops::epilogues::contract::Extent;
use crate::ops::epilogues::registry::Epilogue;
use crate::ops::geometry::{geometry_of, matrix, params};
use crate::ops::products::patches::{Patches, TILE};
use crate::runtime::{Kernel, Product, Recording, Task, TaskPanels, kernel::kernel, multiply_adds, with_scratch};
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
    /// [`CONV_BITS_INPUT_MASK`], plus another gradient.
    CONV_BITS_INPUT_MASK_ADD = producers::conv_bits_input::{ conv_bits_input_mask_add }, task = twin
);

/// The gradient for the images. Inputs: dy, packed weights. Output: floats in panels, of the images' shape.
#[derive(Clone, Copy, Debug)]
pub struct ConvBitsInput(pub ConvShape, pub [usize; 4]);

impl Producer for ConvBitsInput {
    fn shader(&self) -> &'static str {
        "conv_bits_input"
    }

    fn kernels(&self) -> &'static [(&'static str, &'static Kernel)] {
        const { &[("", &CONV_BITS_INPUT), ("mask", &CONV_BITS_INPUT_MASK), ("mask+add", &CONV_BITS_INPUT_MASK_ADD)] }
    }

    fn product(&self, bound: &Bound<'_>) -> Product {
        let g = self.0.on("conv_bits_input", self.1).expect("checked when the node was made");
        Product {
            params: bytemuck::pod_collect_to_vec(&[params(&g)]),
            buffers: vec![("dy", bound.input(0).into()), ("weight", bound.input(1).into())],
            grid: matrix(self.1[3], g.in_rows()),
            tasks: g.in_rows().div_ceil(TILE),
            tile: None,
            scratch: scratch(&g, TILE),
            multiply_adds: multiply_adds(g.multiply_adds()),
        }
    }

    fn rows_per_task(&self, _bound: &Bound<'_>) -> Option<usize> {
        Some(TILE)
    }
}

impl Op for ConvBitsInput {
    fn name(&self) -> &'static str {
        "conv_bits_input"
    }

    fn outputs(&self, _inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![TensorType::new(DType::F32, Layout::Panels, &self.1)])
    }

    fn producer(&self) -> Option<&dyn Producer> {
        Some(self)
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

/// Returns the words of scratch for the positions that `rows` rows read.
fn scratch(g: &Geometry, rows: usize) -> usize {
    g.taps() * rows
}

/// A task covers 96 input pixels of all channels. The sum runs over (panel of outputs, tap, output).
fn twin(task: &mut Task<'_>) {
    let (dy, weight): (&[f32], &[u32]) = (task.named("dy"), task.named("weight"));
    let (index, g) = (task.index(), geometry_of(task.params()));
    let mut y = task.stored();
    let extent = Extent { rows: g.in_rows(), columns: g.in_channels as usize, valid: g.in_rows() };
    let mut epilogue = Epilogue::take(task, extent);
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
