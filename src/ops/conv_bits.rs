//! Convolution of signs by signs, and its two gradients. On the processor a tile's patches are packed in a thread's own memory.

use super::conv_weights::weight_type;
use super::geometry::{ConvShape, Geometry, image_of};
use super::patches::{ABSENT, Patches};
use crate::bits;
use crate::error::{Error, Result};
use crate::graph::{Backward, Bound, Op, Value};
use crate::runtime::interface::ops::conv_bits::{conv_bits, conv_bits_input, conv_bits_weight};
use crate::runtime::{
    Grid, Recording,
    kernel::{Pieces, kernel},
    with_scratch,
};
use crate::tensor::{DType, Layout, PANEL, TensorType, words_of};

kernel!(
    /// y(p, o) = sum over taps and channels of a(source(p, t), c) * w(t, o, c), exact.
    CONV_BITS = ops::conv_bits::{ conv_bits }, twin = twin
);
kernel!(
    /// dx(p, c) = sum over taps and outputs of dy(sink(p, t), o) * w(t, o, c).
    CONV_BITS_INPUT = ops::conv_bits::{ conv_bits_input }, twin = input_twin
);
kernel!(
    /// dw(t, o, c) = sum over pixels of dy(p, o) * a(source(p, t), c).
    CONV_BITS_WEIGHT = ops::conv_bits::{ conv_bits_weight }, twin = weight_twin
);

/// Pixels of a forward task: three tiles of bits, so that weights are loaded once for them.
const TILE: usize = 3 * PANEL;

/// Inputs: signs of images `[batch, height, width, channels]`, and the two outputs of [`super::ConvWeights`]. Output: integers in panels, images too.
/// Groups are whole words of channels (see [`Geometry::is_aligned`]).
///
/// Backward: floats by signs, with respect to the images here and to the weights by way of [`ConvBitsWeight`].
#[derive(Clone, Copy, Debug)]
pub struct ConvBits(pub ConvShape);

impl ConvBits {
    fn geometry(&self, a: &TensorType) -> Result<Geometry> {
        self.0.on("conv_bits", image_of("conv_bits", a)?)
    }
}

fn grid(columns: usize, rows: usize, depth: usize) -> Grid {
    Grid::Tiles([(words_of(columns) * PANEL) as u32, rows as u32, depth as u32])
}

impl Op for ConvBits {
    fn name(&self) -> &'static str {
        "conv_bits"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let (a, weight) = (inputs[0], inputs[1]);
        let g = self.geometry(a)?;
        let expected = weight_type(DType::Bits, &self.0, g.in_channels as usize);
        if a.dtype != DType::Bits || *weight != expected || !g.is_aligned() {
            return Err(Error::shape("conv_bits", format!("signs, weights {expected}, groups of whole words"), a));
        }
        let image = [g.batch, g.out_height, g.out_width, g.out_channels].map(|v| v as usize);
        Ok(vec![TensorType::new(DType::I32, Layout::Panels, &image)])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (a, ty) = bound.inputs[0];
        let g = self.geometry(ty).expect("checked when the node was made");
        let (rows, panels) = (g.out_rows(), words_of(self.0.channels));
        let y = bound.output(0).pieces(panels, TILE * PANEL);
        let buffers = conv_bits::Buffers { a, w: bound.input(2), sums: bound.input(3), y };
        recording.dispatch(&CONV_BITS, g, buffers, grid(self.0.channels, rows, 1), rows.div_ceil(TILE));
    }

    fn backward(&self, cx: &mut Backward<'_>) -> Result<Vec<Option<Value>>> {
        let Some(dy) = cx.grad(0) else { return Ok(vec![None; 4]) };
        let (a, packed) = (cx.input(0)?, cx.input(2)?);
        let image = image_of("conv_bits", cx.ty(a))?;
        let da = if cx.needs(0) { Some(cx.push(ConvBitsInput(self.0, image), &[dy, packed])?[0]) } else { None };
        let dw = if cx.needs(1) { Some(cx.push(ConvBitsWeight(self.0), &[dy, a])?[0]) } else { None };
        Ok(vec![da, dw, None, None])
    }
}

/// The gradient for the images. Inputs: dy, packed weights. Output: floats in panels, of the images' shape.
#[derive(Clone, Copy, Debug)]
pub struct ConvBitsInput(pub ConvShape, pub [usize; 4]);

impl Op for ConvBitsInput {
    fn name(&self) -> &'static str {
        "conv_bits_input"
    }

    fn outputs(&self, _inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![TensorType::new(DType::F32, Layout::Panels, &self.1)])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let g = self.0.on("conv_bits_input", self.1).expect("checked when the node was made");
        let (rows, panels) = (g.in_rows(), words_of(self.1[3]));
        let tile = input_tile(&g);
        let dx = bound.output(0).pieces(panels, tile * PANEL);
        let buffers = conv_bits_input::Buffers { dy: bound.input(0), weight: bound.input(1), dx };
        recording.dispatch(&CONV_BITS_INPUT, bytemuck::cast(g), buffers, grid(self.1[3], rows, 1), rows.div_ceil(tile));
    }
}

/// The gradient for the weights. Inputs: dy, signs of the images. Output: floats in padded rows, of the weights' shape.
#[derive(Clone, Copy, Debug)]
pub struct ConvBitsWeight(pub ConvShape);

impl Op for ConvBitsWeight {
    fn name(&self) -> &'static str {
        "conv_bits_weight"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![weight_type(DType::F32, &self.0, inputs[1].columns())])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (a, ty) = bound.inputs[1];
        let g = self.0.on("conv_bits_weight", image_of("", ty).expect("checked")).expect("checked");
        let (taps, channels) = (g.taps(), self.0.channels);
        let rows = weight_rows(channels);
        let chunk = rows * g.words as usize * PANEL;
        let buffers = conv_bits_weight::Buffers { a, dy: bound.input(0), dw: bound.output(0).chunks(chunk) };
        let grid = grid(g.depth(), channels, taps);
        recording.dispatch(&CONV_BITS_WEIGHT, bytemuck::cast(g), buffers, grid, taps * channels / rows);
    }
}

/// Output channels of a task of the weight gradient: a panel where they divide into panels, else all.
fn weight_rows(channels: usize) -> usize {
    if channels.is_multiple_of(PANEL) { PANEL } else { channels }
}

/// A task has 96 output pixels, all channels.
fn twin(mut args: conv_bits::Args<'_>) {
    let g = args.params;
    let (taps, words) = (g.taps(), g.words as usize);
    let (depth, channels) = (g.depth(), g.out_channels as usize);
    let panel_words = taps * words * PANEL;
    let rows = args.y.length() / PANEL;
    // Each word of a patch may end in a gap, which the product counts as equal signs.
    let gap = (panel_words - taps * depth) as i32;
    let patches = Patches::new(g, args.index * TILE, rows);
    with_scratch(rows.div_ceil(PANEL) * panel_words + (1 + taps) * rows, |scratch| {
        let (packed, rest) = scratch.split_at_mut(rows.div_ceil(PANEL) * panel_words);
        let (addresses, absent) = rest.split_at_mut(rows);
        let (mut filled, mut missing) = (None, 0);
        for panel in 0..args.y.parts() {
            let group = panel * PANEL / (words_of(channels) * PANEL / g.groups as usize);
            if filled != Some(group) {
                missing = 0;
                for tap in 0..taps {
                    patches.addresses(tap, group, addresses);
                    patches.gather(args.a, addresses, &mut packed[tap * words * PANEL..], panel_words);
                    for (row, _) in addresses.iter().enumerate().filter(|(_, at)| **at == ABSENT) {
                        absent[missing] = (tap * TILE + row) as u32;
                        missing += 1;
                    }
                }
                filled = Some(group);
            }
            let here = PANEL.min(channels - panel * PANEL);
            let task = bits::Xnor {
                a: packed,
                w: &args.w[panel * panel_words..],
                k: panel_words,
                columns: here,
                row_begin: 0,
                row_end: rows,
            };
            let y = args.y.piece(panel);
            bits::current().xnor(&task, y);
            if gap > 0 {
                y.chunks_exact_mut(PANEL).for_each(|y| y[..here].iter_mut().for_each(|y| *y -= gap));
            }
            if g.pad_one == 0 {
                // Absent taps were read as pixels of -1, which took the sums of their signs.
                let (y, _) = y.as_chunks_mut::<PANEL>();
                let (sums, _) = args.sums[panel * taps * PANEL..][..taps * PANEL].as_chunks::<PANEL>();
                for &at in &absent[..missing] {
                    let (tap, row) = (at as usize / TILE, at as usize % TILE);
                    y[row].iter_mut().zip(&sums[tap]).for_each(|(y, sum)| *y += sum);
                }
            }
        }
    });
}

/// Input pixels of a task of the input gradient: as many as keep its patches in the second-level cache, in whole register tiles of 12.
fn input_tile(g: &Geometry) -> usize {
    let row = 4 * PANEL * g.taps() * words_of(g.outputs());
    ((256 << 10) / row / 12).clamp(1, 8) * 12
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

/// A task has a tile of input pixels, all channels. The sum runs over (panel of outputs, tap, output).
fn input_twin(mut args: conv_bits_input::Args<'_>) {
    let g: Geometry = bytemuck::cast(*args.params);
    let (taps, words) = (g.taps(), g.words as usize);
    let (first, rows) = (args.index * input_tile(&g), args.dx.length() / PANEL);
    let panels = words_of(g.out_channels as usize) / g.groups as usize;
    let patches = Patches::new(&g, first, rows);
    with_scratch(panels * taps * rows * PANEL, |scratch| {
        let scratch: &mut [f32] = bytemuck::cast_slice_mut(scratch);
        for group in 0..g.groups as usize {
            patches.gradients(args.dy, group * panels..(group + 1) * panels, scratch);
            let task = bits::FloatBits {
                x: scratch,
                x_block: rows * PANEL,
                x_inner: 1,
                x_row: PANEL,
                bits: &args.weight[group * panels * taps * words * PANEL..],
                bits_block: words * PANEL,
                bits_panel: PANEL,
                inner: panels * taps * PANEL,
                rows,
                columns: g.depth(),
                y_row: PANEL,
                accumulate: false,
            };
            bits::current().float_bits(&task, &mut GroupOf { pieces: &mut args.dx, first: group * words });
        }
    });
}

/// Output pixels whose words are packed at once.
const STRETCH: usize = 512;

/// A task has one tap and 32 output channels (or one tap and all of them).
fn weight_twin(args: conv_bits_weight::Args<'_>) {
    let g: Geometry = bytemuck::cast(*args.params);
    let (rows, words, pitch) = (g.out_rows(), g.words as usize, g.words as usize * PANEL);
    let channels = g.out_channels as usize;
    let per_task = weight_rows(channels);
    let first = args.index * per_task;
    let (tap, first_channel) = (first / channels, first % channels);
    let group = first_channel / g.outputs();
    let dw = args.dw;
    dw.fill(0.0);
    with_scratch(STRETCH * (1 + words), |scratch| {
        let (addresses, packed) = scratch.split_at_mut(STRETCH);
        for start in (0..rows).step_by(STRETCH) {
            let count = STRETCH.min(rows - start);
            let (patches, addresses) = (Patches::new(&g, start, count), &mut addresses[..count]);
            patches.addresses(tap, group, addresses);
            patches.gather(args.a, addresses, packed, words * PANEL);
            for (i, dw) in dw.chunks_mut(PANEL * pitch).enumerate() {
                let here = dw.len() / pitch;
                let dy = &args.dy[((first_channel / PANEL + i) * rows + start) * PANEL..][..count * PANEL];
                let task = bits::FloatBits {
                    x: dy,
                    x_block: PANEL * PANEL,
                    x_inner: PANEL,
                    x_row: 1,
                    bits: packed,
                    bits_block: words * PANEL,
                    bits_panel: PANEL,
                    inner: count,
                    rows: here,
                    columns: g.depth(),
                    y_row: pitch,
                    accumulate: true,
                };
                bits::current().float_bits(&task, &mut bits::Apart(dw, PANEL));
                if g.pad_one == 0 && g.padding > 0 {
                    // Absent taps were read as -1.
                    let mut missing = [0.0; PANEL];
                    let (dy, _) = dy.as_chunks::<PANEL>();
                    for (dy, _) in dy.iter().zip(&*addresses).filter(|(_, at)| **at == ABSENT) {
                        (0..PANEL).for_each(|lane| missing[lane] += dy[lane]);
                    }
                    for (dw, missing) in dw.chunks_exact_mut(pitch).zip(missing) {
                        dw[..g.depth()].iter_mut().for_each(|dw| *dw += missing);
                    }
                }
            }
        }
    });
}
