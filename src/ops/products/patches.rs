//! The inputs of a convolution for a range of pixels, packed for a product: an implicit matrix product on the processor.

use crate::bits::{ABSENT, panel_mask};
use crate::tensor::{Geometry, PANEL, words_of};
use std::ops::Range;

/// Pixels per task of the forward product and of the images' gradient: three tiles of bits, so that weights are loaded once for all of
/// them.
pub(in crate::ops) const TILE: usize = 3 * PANEL;

/// A pixel: its image, and y and x before the offset of a tap.
#[derive(Clone, Copy)]
struct Pixel {
    image: u32,
    y: u32,
    x: u32,
}

/// Adjacent pixels of the output (of the input, for the input gradient).
pub struct Patches<'a> {
    g: &'a Geometry,
    first: usize,
    rows: usize,
}

/// Returns the position of pixel `row`.
fn place(row: usize, [height, width]: [u32; 2]) -> Pixel {
    let line = row as u32 / width;
    Pixel { image: line / height, y: line % height, x: row as u32 % width }
}

impl<'a> Patches<'a> {
    /// Returns the number of taps of a window.
    pub fn taps(&self) -> usize {
        self.g.taps()
    }

    /// Creates the patches of `rows` pixels from `first` on.
    pub fn new(g: &'a Geometry, first: usize, rows: usize) -> Self {
        Self { g, first, rows }
    }

    /// Calls `each` with ranges of output pixels of one line, and the first of the input pixels that the tap reads; the others follow at
    /// steps of the stride. Passes `None` where the tap is absent.
    #[inline]
    pub fn runs(&self, tap: usize, mut each: impl FnMut(Range<usize>, Option<usize>)) {
        let g = self.g;
        let (down, across) = (tap as u32 / g.kernel_width * g.dilation, tap as u32 % g.kernel_width * g.dilation);
        let mut i = 0;
        while i < self.rows {
            let at = place(self.first + i, [g.out_height, g.out_width]);
            let end = self.rows.min(i + (g.out_width - at.x) as usize);
            let y = (at.y * g.stride + down).wrapping_sub(g.padding);
            let x = at.x * g.stride + across;
            // Pixels of the line from the position on where x is at least the padding, or the padding and the width.
            let beyond = |least: u32| (i + least.saturating_sub(x).div_ceil(g.stride) as usize).min(end);
            let inside = if y < g.in_height { beyond(g.padding)..beyond(g.padding + g.in_width) } else { end..end };
            if i < inside.start {
                each(i..inside.start, None);
            }
            if !inside.is_empty() {
                let x = x as usize + (inside.start - i) * g.stride as usize - g.padding as usize;
                each(inside.clone(), Some((at.image * g.in_height + y) as usize * g.in_width as usize + x));
            }
            if inside.start.max(inside.end) < end {
                each(inside.end..end, None);
            }
            i = end;
        }
    }

    /// Calls `each` with the index of every output pixel of the range and the input pixel that the tap reads.
    #[inline]
    pub fn sources(&self, tap: usize, mut each: impl FnMut(usize, Option<usize>)) {
        let stride = self.g.stride as usize;
        self.runs(tap, |run, pixel| {
            let first = run.start;
            run.for_each(|i| each(i, pixel.map(|pixel| pixel + (i - first) * stride)));
        });
    }

    /// Calls `each` with every input pixel and the output pixel whose tap reads it.
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

    /// Gathers the words of input bits that a tap reads: word w of pixel i of block b (32 pixels) is at `out[b * pitch + w * 32 + i]`. An
    /// absent pixel has zeros, or ones if the padding is +1; `absent` is called for it.
    pub fn gather(
        &self,
        a: &[u32],
        [tap, group]: [usize; 2],
        out: &mut [u32],
        pitch: usize,
        mut absent: impl FnMut(usize),
    ) {
        let g = self.g;
        let (words, in_words) = (g.words as usize, words_of(g.in_channels as usize));
        let to = |i: usize, word: usize| i / PANEL * pitch + word * PANEL + i % PANEL;
        let from = |p: usize, word: usize| (p / PANEL * in_words + group * words + word) * PANEL + p % PANEL;
        self.runs(tap, |run, pixel| match pixel {
            Some(first) if g.stride == 1 => {
                // Split at the borders of blocks on both sides.
                let mut i = run.start;
                while i < run.end {
                    let p = first + i - run.start;
                    let count = (run.end - i).min(PANEL - i % PANEL).min(PANEL - p % PANEL);
                    for word in 0..words {
                        out[to(i, word)..][..count].copy_from_slice(&a[from(p, word)..][..count]);
                    }
                    i += count;
                }
            }
            Some(first) => {
                for (p, i) in (first..).step_by(g.stride as usize).zip(run) {
                    (0..words).for_each(|word| out[to(i, word)] = a[from(p, word)]);
                }
            }
            None => {
                for i in run {
                    for word in 0..words {
                        out[to(i, word)] = if g.pad_one { panel_mask(g.depth() - word * PANEL) } else { 0 };
                    }
                    absent(i);
                }
            }
        });
    }

    /// Writes the output pixels whose tap reads each input pixel of the range, `[taps][rows]`; [`ABSENT`] where there is none.
    pub fn places(&self, out: &mut [u32]) {
        for (tap, out) in out.chunks_exact_mut(self.rows).enumerate() {
            self.sinks(tap, |i, pixel| out[i] = pixel.map_or(ABSENT, |pixel| pixel as u32));
        }
    }

    /// Gathers the channels of one tap of every pixel, with pixels `pitch` apart; those of an absent pixel are `fill`.
    pub fn channels(&self, x: &[f32], tap: usize, channels: Range<usize>, out: &mut [f32], pitch: usize) {
        let (rows, fill) = (self.g.in_rows(), f32::from(u8::from(self.g.pad_one)));
        self.sources(tap, |i, pixel| copy(x, rows, pixel, channels.clone(), fill, &mut out[i * pitch..]));
    }

    /// Gathers the gradients of some output channels that input pixels contribute to through a tap, with pixels `pitch` apart; those of an
    /// absent pixel are 0.
    pub fn outputs(&self, dy: &[f32], tap: usize, channels: Range<usize>, out: &mut [f32], pitch: usize) {
        let rows = self.g.out_rows();
        self.sinks(tap, |i, pixel| copy(dy, rows, pixel, channels.clone(), 0.0, &mut out[i * pitch..]));
    }
}

/// Copies columns of row `row` of a matrix in panels.
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
