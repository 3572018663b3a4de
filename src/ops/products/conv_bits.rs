//! Convolution of signs by signs. On the processor the patches of a tile are packed in scratch memory.

use crate::bits;
use crate::error::{Error, Result};
use crate::graph::{Backward, Bound, Op, Producer, Value};
use crate::ops::epilogues::contract::{Extent, Output};
use crate::ops::epilogues::registry::Epilogue;
use crate::ops::geometry::{geometry_of, matrix, params};
use crate::ops::products::conv_bits_input::ConvBitsInput;
use crate::ops::products::conv_bits_weight::ConvBitsWeight;
use crate::ops::products::conv_weights::weight_type;
use crate::ops::products::patches::{Patches, TILE};
use crate::runtime::{Kernel, Product, Recording, Task, kernel::kernel, multiply_adds, with_scratch};
use crate::tensor::{ConvShape, DType, Geometry, Layout, PANEL, TensorType, image_of, words_of};

kernel!(
    /// y(p, o) = sum over taps and channels of a(source(p, t), c) * w(t, o, c), exact.
    CONV_BITS = producers::conv_bits::{ conv_bits }, task = twin
);
kernel!(
    /// [`CONV_BITS`] with statistics.
    CONV_BITS_STATISTICS = producers::conv_bits::{ conv_bits_statistics }, task = twin
);
kernel!(
    /// Sign of batch norm of [`CONV_BITS`].
    CONV_BITS_THRESHOLD = producers::conv_bits::{ conv_bits_threshold }, task = twin
);
kernel!(
    /// [`CONV_BITS`] of one copy of dropped signs, joined with that of the other.
    CONV_BITS_JOIN_DROPPED = producers::conv_bits::{ conv_bits_join_dropped }, task = twin
);

/// Inputs: signs of images `[batch, height, width, channels]`, and the two outputs of [`crate::ops::ConvWeights`]. Output: images of
/// integers in panels. Groups consist of whole words of channels (see [`Geometry::is_aligned`]).
///
/// Backward: products of floats by signs, [`ConvBitsInput`] for the images and [`ConvBitsWeight`] for the weights.
#[derive(Clone, Copy, Debug)]
pub struct ConvBits(pub ConvShape);

impl ConvBits {
    pub(in crate::ops) fn geometry(&self, a: &TensorType) -> Result<Geometry> {
        self.0.on("conv_bits", image_of("conv_bits", a)?)
    }
}

impl Producer for ConvBits {
    fn shader(&self) -> &'static str {
        "conv_bits"
    }

    fn kernels(&self) -> &'static [(&'static str, &'static Kernel)] {
        const {
            &[
                ("", &CONV_BITS),
                ("statistics", &CONV_BITS_STATISTICS),
                ("threshold", &CONV_BITS_THRESHOLD),
                ("join_dropped", &CONV_BITS_JOIN_DROPPED),
            ]
        }
    }

    fn product(&self, bound: &Bound<'_>) -> Product {
        let g = self.geometry(bound.inputs[0].1).expect("checked when the node was made");
        let [a, w, sums] = [0, 2, 3].map(|i| bound.input(i).into());
        Product {
            params: bytemuck::pod_collect_to_vec(&[params(&g)]),
            buffers: vec![("a", a), ("w", w), ("sums", sums)],
            grid: matrix(self.0.channels, g.out_rows()),
            tasks: g.out_rows().div_ceil(TILE),
            tile: None,
            scratch: scratch(&g, TILE) + TILE * PANEL,
            multiply_adds: multiply_adds(g.multiply_adds()),
        }
    }

    fn rows_per_task(&self, _bound: &Bound<'_>) -> Option<usize> {
        Some(TILE)
    }
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

    fn producer(&self) -> Option<&dyn Producer> {
        Some(self)
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        self.record_alone(recording, bound);
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

/// Returns the words of scratch that the product of `rows` rows packs: their patches, and the positions of absent taps.
fn scratch(g: &Geometry, rows: usize) -> usize {
    rows.div_ceil(PANEL) * g.taps() * g.words as usize * PANEL + g.taps() * rows
}

/// A task covers 96 output pixels of all channels.
fn twin(task: &mut Task<'_>) {
    let (a, w, sums): (&[u32], &[u32], &[i32]) = (task.named("a"), task.named("w"), task.named("sums"));
    let (g, index) = (&geometry_of(task.params()), task.index());
    let pixels = (g.out_height * g.out_width) as usize;
    let valid = task.step().valid_rows as usize * pixels;
    let extent = Extent { rows: g.out_rows(), columns: g.out_channels as usize, valid };
    let mut epilogue = Epilogue::take(task, extent);
    let (taps, words) = (g.taps(), g.words as usize);
    let (depth, channels) = (g.depth(), g.out_channels as usize);
    let panel_words = taps * words * PANEL;
    let rows = TILE.min(g.out_rows() - index * TILE);
    let stored = task.position("y").map(|at| task.panels(at));
    // The padding bits at the end of each word of a patch count as equal signs.
    let gap = (panel_words - taps * depth) as i32;
    let patches = Patches::new(g, index * TILE, rows);
    with_scratch(scratch(g, rows) + rows * PANEL, |scratch| {
        let (tile, scratch) = scratch.split_at_mut(rows * PANEL);
        let (packed, absent) = scratch.split_at_mut(rows.div_ceil(PANEL) * panel_words);
        let mut y = stored.map_or_else(|| Output::Passing(bytemuck::cast_slice_mut(tile)), Output::Stored);
        let (mut filled, mut missing) = (None, 0);
        for panel in 0..words_of(channels) {
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
            let product = bits::Xnor {
                a: packed,
                w: &w[panel * panel_words..],
                k: panel_words,
                columns: here,
                row_begin: 0,
                row_end: rows,
            };
            let y = y.tile(panel);
            bits::current().xnor(&product, y);
            if gap > 0 {
                y.chunks_exact_mut(PANEL).for_each(|y| y[..here].iter_mut().for_each(|y| *y -= gap));
            }
            if !g.pad_one {
                // Absent taps were read as pixels of -1; their sums of signs are corrected here.
                let (rows, _) = y.as_chunks_mut::<PANEL>();
                let (sums, _) = sums[panel * taps * PANEL..][..taps * PANEL].as_chunks::<PANEL>();
                for &at in &absent[..missing] {
                    let (tap, row) = (at as usize / TILE, at as usize % TILE);
                    rows[row].iter_mut().zip(&sums[tap]).for_each(|(y, sum)| *y += sum);
                }
            }
            epilogue.integers(panel, index * TILE, y);
        }
    });
}
