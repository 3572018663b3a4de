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

/// Beyond every tensor: an absent word.
const ABSENT: usize = 1 << 31;

/// Places of `rows` pixels from `first` on, line by line without a division for each.
fn walk(first: usize, [height, width]: [u32; 2]) -> impl Iterator<Item = Place> {
    let (line, image) = (first as u32 / width, first as u32 / (height * width));
    let mut at = Place { image, y: line % height, x: first as u32 % width };
    std::iter::from_fn(move || {
        let now = at;
        at.x += 1;
        if at.x == width {
            (at.x, at.y) = (0, at.y + 1);
            if at.y == height {
                (at.y, at.image) = (0, at.image + 1);
            }
        }
        Some(now)
    })
}

impl<'a> Patches<'a> {
    /// Those of `rows` pixels from `first` on.
    pub fn new(g: &'a Geometry, first: usize, rows: usize) -> Self {
        Self { g, first, rows }
    }

    /// Calls `each` with the number of every output pixel of the stretch and the input pixel that the tap reads.
    pub fn sources(&self, tap: usize, mut each: impl FnMut(usize, Option<usize>)) {
        let g = self.g;
        let (down, across) = (tap as u32 / g.kernel_width * g.dilation, tap as u32 % g.kernel_width * g.dilation);
        let places = walk(self.first, [g.out_height, g.out_width]);
        for (i, at) in places.take(self.rows).enumerate() {
            let y = (at.y * g.stride + down).wrapping_sub(g.padding);
            let x = (at.x * g.stride + across).wrapping_sub(g.padding);
            let inside = y < g.in_height && x < g.in_width;
            each(i, inside.then(|| ((at.image * g.in_height + y) * g.in_width + x) as usize));
        }
    }

    /// The same for input pixels and the output pixel whose tap reads them.
    pub fn sinks(&self, tap: usize, mut each: impl FnMut(usize, Option<usize>)) {
        let g = self.g;
        let (down, across) = (tap as u32 / g.kernel_width * g.dilation, tap as u32 % g.kernel_width * g.dilation);
        let places = walk(self.first, [g.in_height, g.in_width]);
        for (i, at) in places.take(self.rows).enumerate() {
            let (mut y, mut x) = ((at.y + g.padding).wrapping_sub(down), (at.x + g.padding).wrapping_sub(across));
            let mut met = true;
            if g.stride > 1 {
                met = y.is_multiple_of(g.stride) && x.is_multiple_of(g.stride);
                (y, x) = (y / g.stride, x / g.stride);
            }
            let inside = met && y < g.out_height && x < g.out_width;
            each(i, inside.then(|| ((at.image * g.out_height + y) * g.out_width + x) as usize));
        }
    }

    /// The words of one tap: word w of pixel i of block b (32 pixels) at `out[b * pitch + w * 32 + i]`. An absent tap has zeros, or ones
    /// where the padding is +1.
    pub fn bits(&self, a: &[u32], tap: usize, group: usize, out: &mut [u32], pitch: usize) {
        let g = self.g;
        let (words, in_words) = (g.words as usize, words_of(g.in_channels as usize));
        let tail = |word: usize| match g.depth() - word * PANEL {
            left if left < PANEL => (1 << left) - 1,
            _ => u32::MAX,
        };
        let mut block = [ABSENT; PANEL];
        let rows = self.rows;
        self.sources(tap, |i, pixel| {
            block[i % PANEL] = pixel.map_or(ABSENT, |p| (p / PANEL * in_words + group * words) * PANEL + p % PANEL);
            if i % PANEL == PANEL - 1 || i + 1 == rows {
                let out = &mut out[i / PANEL * pitch..];
                for (word, out) in out.chunks_exact_mut(PANEL).take(words).enumerate() {
                    let fill = if g.pad_one == 0 { 0 } else { tail(word) };
                    for (out, at) in out.iter_mut().zip(&block[..=i % PANEL]) {
                        *out = a.get(at + word * PANEL).copied().unwrap_or(fill);
                    }
                }
            }
        });
    }

    /// Adds what absent taps, read as pixels of -1, took from products `y` `[rows][32]`: the sums of their signs, `[taps][32]`.
    pub fn correct(&self, sums: &[i32], y: &mut [i32]) {
        for (tap, sums) in sums.chunks_exact(PANEL).enumerate() {
            if !self.can_be_absent(tap) {
                continue;
            }
            self.sources(tap, |i, pixel| {
                if pixel.is_none() {
                    y[i * PANEL..][..PANEL].iter_mut().zip(sums).for_each(|(y, sum)| *y += sum);
                }
            });
        }
    }

    /// Whether a tap ever lies in the padding.
    fn can_be_absent(&self, tap: usize) -> bool {
        let g = self.g;
        let along = |at: u32, out: u32, size: u32| {
            at * g.dilation < g.padding || (out - 1) * g.stride + at * g.dilation >= g.padding + size
        };
        let (down, across) = (tap as u32 / g.kernel_width, tap as u32 % g.kernel_width);
        along(down, g.out_height, g.in_height) || along(across, g.out_width, g.in_width)
    }

    /// Sums by lane of the gradients `dy` `[rows][32]` of pixels whose tap is absent.
    pub fn absent_sum(&self, tap: usize, dy: &[f32]) -> [f32; PANEL] {
        let mut sum = [0.0; PANEL];
        if self.can_be_absent(tap) {
            self.sources(tap, |i, pixel| {
                if pixel.is_none() {
                    sum.iter_mut().zip(&dy[i * PANEL..]).for_each(|(sum, dy)| *sum += dy);
                }
            });
        }
        sum
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
