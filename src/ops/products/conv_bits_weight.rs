//! The weight gradient of a convolution of signs by signs. On the processor a tile's patches are packed in a thread's own memory.

use crate::bits;
use crate::error::Result;
use crate::graph::{Bound, Op};
use crate::ops::geometry::{geometry_of, params, tiles};
use crate::ops::products::conv_weights::weight_type;
use crate::ops::products::patches::Patches;
use crate::runtime::interface::ops::conv_bits_weight::conv_bits_weight;
use crate::runtime::{
    Recording,
    kernel::{TaskPanels, kernel},
    with_scratch,
};
use crate::tensor::{ConvShape, DType, Geometry, PANEL, TensorType, image_of};

kernel!(
    /// dw(t, o, c) = sum over pixels of dy(p, o) * a(source(p, t), c).
    CONV_BITS_WEIGHT = ops::conv_bits_weight::{ conv_bits_weight | conv_bits_weight_split }, twin = twin
);

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
        let (taps, channels, share) = (g.taps(), self.0.channels, TaskTile::for_geometry(&g));
        let dw = bound.output(0).per_task_in_each_panel(share.taps, share.rows * g.words as usize * PANEL);
        let buffers = conv_bits_weight::Buffers { a, dy: bound.input(0), dw };
        let grid = tiles(g.depth(), channels, taps);
        let tasks = channels.div_ceil(share.rows) * (taps / share.taps);
        recording.dispatch(&CONV_BITS_WEIGHT, params(&g), buffers, grid, tasks);
        recording.set_multiply_adds(g.multiply_adds());
        recording.set_scratch(scratch(&g, share.taps));
    }
}

/// What a task of the processor has of the gradient: so many output channels, of one panel, in all taps or in one.
#[derive(Clone, Copy, Debug, PartialEq)]
struct TaskTile {
    rows: usize,
    taps: usize,
}

impl TaskTile {
    /// Where signs are made ready panel by panel, a task has one tap of many rows, if rows then follow each other from task to task; else all
    /// taps, and few rows where there are few, so that every thread has some.
    fn for_geometry(g: &Geometry) -> Self {
        let channels = g.out_channels as usize;
        let whole = if channels <= PANEL { channels } else { 1 << channels.trailing_zeros().min(PANEL.ilog2()) };
        let apart = g.taps() > 1 && whole >= channels.min(PANEL / 4);
        if apart && bits::active().is_ok_and(bits::Isa::prefers_row_tiles) {
            return Self { rows: whole, taps: 1 };
        }
        let rows = match channels {
            ..128 => PANEL / 4,
            128..256 => PANEL / 2,
            256.. => PANEL,
        };
        Self { rows, taps: g.taps() }
    }
}

/// Output pixels whose words are packed at once, at most.
const STRETCH: usize = 512;

/// Output pixels that are packed at once for so many taps: what they pack stays in the second-level cache.
fn stretch(g: &Geometry, taps: usize) -> usize {
    ((64 << 10) / (taps * g.words as usize * PANEL) * PANEL).clamp(4 * PANEL, STRETCH)
}

/// Words that they pack, and sums of what absent taps read.
fn scratch(g: &Geometry, taps: usize) -> usize {
    stretch(g, taps) * taps * g.words as usize + taps * PANEL
}

/// Columns of a task's product are (tap, channel).
fn twin(mut args: conv_bits_weight::Args<'_>) {
    let g = geometry_of(args.params);
    let (rows, words, share) = (g.out_rows(), g.words as usize, TaskTile::for_geometry(&g));
    let (taps, groups) = (share.taps, (g.out_channels as usize).div_ceil(share.rows));
    let (first_tap, first) = (args.index / groups, args.index % groups * share.rows);
    let (pitch, block) = (words * PANEL, taps * words * PANEL);
    let channels = args.dw.length() / pitch;
    let group = first / g.outputs();
    let stretch = stretch(&g, taps);
    with_scratch(scratch(&g, taps), |scratch| {
        let (packed, missing) = scratch.split_at_mut(stretch / PANEL * block);
        let (missing, _) = bytemuck::cast_slice_mut::<_, f32>(missing).as_chunks_mut::<PANEL>();
        missing.fill([0.0; PANEL]);
        for start in (0..rows).step_by(stretch) {
            let count = stretch.min(rows - start);
            let dy = &args.dy[(first / PANEL * rows + start) * PANEL + first % PANEL..];
            let patches = Patches::new(&g, start, count);
            for (tap, missing) in missing.iter_mut().enumerate() {
                patches.gather(args.a, [first_tap + tap, group], &mut packed[tap * words * PANEL..], block, |i| {
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
        if !g.pad_one && g.padding > 0 {
            // Absent pixels were read as -1.
            for (tap, missing) in missing.iter().enumerate() {
                for (dw, missing) in args.dw.panel(tap).chunks_exact_mut(pitch).zip(missing) {
                    dw[..g.depth()].iter_mut().for_each(|dw| *dw += missing);
                }
            }
        }
    });
}

/// Panels of a weight gradient, in the order (tap, word).
struct Taps<'a, 'b> {
    pieces: &'a mut TaskPanels<'b, f32>,
    words: usize,
}

impl bits::Panels for Taps<'_, '_> {
    fn panel(&mut self, at: usize) -> &mut [f32] {
        &mut self.pieces.panel(at / self.words)[at % self.words * PANEL..]
    }
}
