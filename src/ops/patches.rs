//! What convolutions read of a stretch of pixels, packed for a product: the processor's side of an implicit matrix product.

use super::geometry::Geometry;
use crate::tensor::{PANEL, words_of};
use std::ops::Range;

/// A pixel: its image, and y and x before a tap moves them.
#[derive(Clone, Copy)]
struct Place {
    image: u32,
    y: u32,
    x: u32,
}

/// Neighbouring pixels of the output (or, for the input gradient, of the input).
pub struct Patches<'a> {
    g: &'a Geometry,
    first: usize,
    rows: usize,
}

/// In place of an address: nothing is there.
pub const ABSENT: u32 = u32::MAX;

/// Where pixel `row` is.
fn place(row: usize, [height, width]: [u32; 2]) -> Place {
    let line = row as u32 / width;
    Place { image: line / height, y: line % height, x: row as u32 % width }
}

impl<'a> Patches<'a> {
    /// Those of `rows` pixels from `first` on.
    pub fn new(g: &'a Geometry, first: usize, rows: usize) -> Self {
        Self { g, first, rows }
    }

    /// Calls `each` with the number of every output pixel of the stretch and the input pixel that the tap reads. Line by line: what a line
    /// decides is decided once.
    #[inline]
    pub fn sources(&self, tap: usize, mut each: impl FnMut(usize, Option<usize>)) {
        let g = self.g;
        let (down, across) = (tap as u32 / g.kernel_width * g.dilation, tap as u32 % g.kernel_width * g.dilation);
        let mut i = 0;
        while i < self.rows {
            let at = place(self.first + i, [g.out_height, g.out_width]);
            let end = self.rows.min(i + (g.out_width - at.x) as usize);
            let y = (at.y * g.stride + down).wrapping_sub(g.padding);
            let line = (at.image * g.in_height).wrapping_add(y).wrapping_mul(g.in_width);
            let mut x = (at.x * g.stride + across).wrapping_sub(g.padding);
            let width = if y < g.in_height { g.in_width } else { 0 };
            for i in i..end {
                each(i, (x < width).then(|| line.wrapping_add(x) as usize));
                x = x.wrapping_add(g.stride);
            }
            i = end;
        }
    }

    /// The same for input pixels and the output pixel whose tap reads them.
    #[inline]
    pub fn sinks(&self, tap: usize, mut each: impl FnMut(usize, Option<usize>)) {
        let g = self.g;
        let (down, across) = (tap as u32 / g.kernel_width * g.dilation, tap as u32 % g.kernel_width * g.dilation);
        let mut i = 0;
        while i < self.rows {
            let at = place(self.first + i, [g.in_height, g.in_width]);
            let end = self.rows.min(i + (g.in_width - at.x) as usize);
            let y = (at.y + g.padding).wrapping_sub(down);
            let met = y.is_multiple_of(g.stride) && y / g.stride < g.out_height;
            let line = (at.image * g.out_height).wrapping_add(y / g.stride).wrapping_mul(g.out_width);
            let mut x = (at.x + g.padding).wrapping_sub(across);
            for i in i..end {
                let ox = if g.stride == 1 { x } else { x / g.stride };
                let inside = met && (g.stride == 1 || x.is_multiple_of(g.stride)) && ox < g.out_width;
                each(i, inside.then(|| line.wrapping_add(ox) as usize));
                x = x.wrapping_add(1);
            }
            i = end;
        }
    }

    /// Where in panels of input bits the first word of a group lies for the pixel that a tap reads, for every output pixel; or [`ABSENT`].
    pub fn addresses(&self, tap: usize, group: usize, out: &mut [u32]) {
        let (words, in_words) = (self.g.words as usize, words_of(self.g.in_channels as usize));
        self.sources(tap, |i, pixel| {
            let at = |p: usize| ((p / PANEL * in_words + group * words) * PANEL + p % PANEL) as u32;
            out[i] = pixel.map_or(ABSENT, at);
        });
    }

    /// The words at the addresses of one tap: word w of pixel i of block b (32 pixels) at `out[b * pitch + w * 32 + i]`. An absent tap has
    /// zeros, or ones where the padding is +1.
    pub fn gather(&self, a: &[u32], addresses: &[u32], out: &mut [u32], pitch: usize) {
        let g = self.g;
        for (block, addresses) in addresses.chunks(PANEL).enumerate() {
            let out = &mut out[block * pitch..];
            for (word, out) in out.chunks_exact_mut(PANEL).take(g.words as usize).enumerate() {
                let left = g.depth() - word * PANEL;
                let ones = if left < PANEL { (1 << left) - 1 } else { u32::MAX };
                let fill = if g.pad_one == 0 { 0 } else { ones };
                // A tensor has fewer than 2^31 words, so what is absent is beyond its end.
                for (out, &at) in out.iter_mut().zip(addresses) {
                    *out = a.get((at as usize).saturating_add(word * PANEL)).copied().unwrap_or(fill);
                }
            }
        }
    }

    /// Gradients that input pixels see, `[panel][tap][rows][32]` for some panels of output channels; absent ones are 0.
    pub fn gradients(&self, dy: &[f32], panels: Range<usize>, out: &mut [f32]) {
        let (taps, out_rows, rows) = (self.g.taps(), self.g.out_rows(), self.rows);
        for tap in 0..taps {
            self.sinks(tap, |i, pixel| {
                for (at, panel) in panels.clone().enumerate() {
                    let out = &mut out[((at * taps + tap) * rows + i) * PANEL..][..PANEL];
                    match pixel {
                        Some(p) => out.copy_from_slice(&dy[(panel * out_rows + p) * PANEL..][..PANEL]),
                        None => out.fill(0.0),
                    }
                }
            });
        }
    }

    /// Channels of one tap of every pixel, pixel by pixel `pitch` apart; an absent pixel's are `fill`.
    pub fn channels(&self, x: &[f32], tap: usize, channels: Range<usize>, out: &mut [f32], pitch: usize) {
        let (rows, fill) = (self.g.in_rows(), self.g.pad_one as f32);
        self.sources(tap, |i, pixel| copy(x, rows, pixel, channels.clone(), fill, &mut out[i * pitch..]));
    }

    /// Gradients of some output channels that input pixels see through a tap, pixel by pixel `pitch` apart; an absent pixel's are 0.
    pub fn outputs(&self, dy: &[f32], tap: usize, channels: Range<usize>, out: &mut [f32], pitch: usize) {
        let rows = self.g.out_rows();
        self.sinks(tap, |i, pixel| copy(dy, rows, pixel, channels.clone(), 0.0, &mut out[i * pitch..]));
    }
}

/// Columns of row `row` of a matrix in panels.
fn copy(x: &[f32], rows: usize, row: Option<usize>, columns: Range<usize>, fill: f32, out: &mut [f32]) {
    let Some(row) = row else { return out[..columns.len()].fill(fill) };
    let (mut at, mut out) = (columns.start, out);
    while at < columns.end {
        let count = (PANEL - at % PANEL).min(columns.end - at);
        let (here, rest) = out.split_at_mut(count);
        here.copy_from_slice(&x[((at / PANEL) * rows + row) * PANEL + at % PANEL..][..count]);
        (at, out) = (at + count, rest);
    }
}
