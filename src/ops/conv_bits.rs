//! Convolution of signs by signs, and its gradient for the weights. On the processor a tile's patches are packed in a thread's own memory.

use super::conv_bits_input::ConvBitsInput;
use super::conv_weights::weight_type;
use super::geometry::{ConvShape, Geometry, image_of};
use super::patches::Patches;
use crate::bits;
use crate::error::{Error, Result};
use crate::graph::{Backward, Bound, Op, Value};
use crate::runtime::interface::ops::conv_bits::{conv_bits, conv_bits_weight};
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
    /// dw(t, o, c) = sum over pixels of dy(p, o) * a(source(p, t), c).
    CONV_BITS_WEIGHT = ops::conv_bits::{ conv_bits_weight }, twin = weight_twin
);

/// Pixels of a task of the forward product and of the images' gradient: three tiles of bits, so that weights are loaded once for them.
pub(super) const TILE: usize = 3 * PANEL;

/// Inputs: signs of images `[batch, height, width, channels]`, and the two outputs of [`super::ConvWeights`]. Output: integers in panels, images too.
/// Groups are whole words of channels (see [`Geometry::is_aligned`]).
///
/// Backward: floats by signs, with respect to the images here and to the weights by way of [`ConvBitsWeight`].
#[derive(Clone, Copy, Debug)]
pub struct ConvBits(pub ConvShape);

impl ConvBits {
    pub(super) fn geometry(&self, a: &TensorType) -> Result<Geometry> {
        self.0.on("conv_bits", image_of("conv_bits", a)?)
    }
}

pub(super) fn grid(columns: usize, rows: usize, depth: usize) -> Grid {
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
        let dw = bound.output(0).pieces(taps, rows * g.words as usize * PANEL);
        let buffers = conv_bits_weight::Buffers { a, dy: bound.input(0), dw };
        let grid = grid(g.depth(), channels, taps);
        recording.dispatch(&CONV_BITS_WEIGHT, bytemuck::cast(g), buffers, grid, channels.div_ceil(rows));
    }
}

/// Output channels of a task of the weight gradient, within a panel: few, where there are few, so that every thread has some.
fn weight_rows(channels: usize) -> usize {
    match channels {
        ..128 => PANEL / 4,
        128..256 => PANEL / 2,
        256.. => PANEL,
    }
}

/// A task has 96 output pixels, all channels.
fn twin(mut args: conv_bits::Args<'_>) {
    tile(args.params, args.index, [args.a, args.w], args.sums, &mut args.y, |_, _| {});
}

/// The product of task `index`; `made` sees each panel of it.
pub(super) fn tile(
    g: &Geometry,
    index: usize,
    [a, w]: [&[u32]; 2],
    sums: &[i32],
    y: &mut Pieces<'_, i32>,
    mut made: impl FnMut(usize, &[i32]),
) {
    let (taps, words) = (g.taps(), g.words as usize);
    let (depth, channels) = (g.depth(), g.out_channels as usize);
    let panel_words = taps * words * PANEL;
    let rows = y.length() / PANEL;
    // Each word of a patch may end in a gap, which the product counts as equal signs.
    let gap = (panel_words - taps * depth) as i32;
    let patches = Patches::new(g, index * TILE, rows);
    with_scratch(rows.div_ceil(PANEL) * panel_words + taps * rows, |scratch| {
        let (packed, absent) = scratch.split_at_mut(rows.div_ceil(PANEL) * panel_words);
        let (mut filled, mut missing) = (None, 0);
        for panel in 0..y.parts() {
            let group = panel * PANEL / (words_of(channels) * PANEL / g.groups as usize);
            if filled != Some(group) {
                missing = 0;
                for tap in 0..taps {
                    patches.gather(a, [tap, group], &mut packed[tap * words * PANEL..], panel_words, |row| {
                        absent[missing] = (tap * TILE + row) as u32;
                        missing += 1;
                    });
                }
                filled = Some(group);
            }
            let here = PANEL.min(channels - panel * PANEL);
            let task = bits::Xnor {
                a: packed,
                w: &w[panel * panel_words..],
                k: panel_words,
                columns: here,
                row_begin: 0,
                row_end: rows,
            };
            let y = y.piece(panel);
            bits::current().xnor(&task, y);
            if gap > 0 {
                y.chunks_exact_mut(PANEL).for_each(|y| y[..here].iter_mut().for_each(|y| *y -= gap));
            }
            if g.pad_one == 0 {
                // Absent taps were read as pixels of -1, which took the sums of their signs.
                let (rows, _) = y.as_chunks_mut::<PANEL>();
                let (sums, _) = sums[panel * taps * PANEL..][..taps * PANEL].as_chunks::<PANEL>();
                for &at in &absent[..missing] {
                    let (tap, row) = (at as usize / TILE, at as usize % TILE);
                    rows[row].iter_mut().zip(&sums[tap]).for_each(|(y, sum)| *y += sum);
                }
            }
            made(panel, y);
        }
    });
}

/// Output pixels whose words are packed at once, at most.
const STRETCH: usize = 512;

/// A task has some output channels of one panel, all taps: columns of its product are (tap, channel).
fn weight_twin(mut args: conv_bits_weight::Args<'_>) {
    let g: Geometry = bytemuck::cast(*args.params);
    let (rows, taps, words) = (g.out_rows(), g.taps(), g.words as usize);
    let (pitch, block) = (words * PANEL, taps * words * PANEL);
    let channels = args.dw.length() / pitch;
    let first = args.index * weight_rows(g.out_channels as usize);
    let group = first / g.outputs();
    // Packed words stay in the second-level cache.
    let stretch = ((64 << 10) / block * PANEL).clamp(4 * PANEL, STRETCH);
    with_scratch(stretch / PANEL * block + taps * PANEL, |scratch| {
        let (packed, missing) = scratch.split_at_mut(stretch / PANEL * block);
        let (missing, _) = bytemuck::cast_slice_mut::<_, f32>(missing).as_chunks_mut::<PANEL>();
        missing.fill([0.0; PANEL]);
        for start in (0..rows).step_by(stretch) {
            let count = stretch.min(rows - start);
            let dy = &args.dy[(first / PANEL * rows + start) * PANEL + first % PANEL..];
            let patches = Patches::new(&g, start, count);
            for (tap, missing) in missing.iter_mut().enumerate() {
                patches.gather(args.a, [tap, group], &mut packed[tap * words * PANEL..], block, |i| {
                    missing.iter_mut().zip(&dy[i * PANEL..][..channels]).for_each(|(sum, dy)| *sum += dy);
                });
            }
            let task = bits::FloatBits {
                x: dy,
                x_block: PANEL * PANEL,
                x_inner: PANEL,
                x_row: 1,
                bits: packed,
                bits_block: block,
                bits_panel: PANEL,
                inner: count,
                rows: channels,
                columns: g.depth(),
                sets: taps,
                y_row: pitch,
                accumulate: start > 0,
            };
            bits::current().float_bits(&task, &mut Taps { pieces: &mut args.dw, words });
        }
        if g.pad_one == 0 && g.padding > 0 {
            // Absent pixels were read as -1.
            for (tap, missing) in missing.iter().enumerate() {
                for (dw, missing) in args.dw.piece(tap).chunks_exact_mut(pitch).zip(missing) {
                    dw[..g.depth()].iter_mut().for_each(|dw| *dw += missing);
                }
            }
        }
    });
}

/// Panels of a weight gradient, in the order (tap, word).
struct Taps<'a, 'b> {
    pieces: &'a mut Pieces<'b, f32>,
    words: usize,
}

impl bits::Panels for Taps<'_, '_> {
    fn panel(&mut self, at: usize) -> &mut [f32] {
        &mut self.pieces.piece(at / self.words)[at % self.words * PANEL..]
    }
}
