//! Max pooling of signs, whose largest is an OR of bits.

use crate::graph::Bound;
use crate::ops::geometry::{geometry_of, params};
use crate::ops::products::patches::Patches;
use crate::runtime::interface::ops::pool_bits::max_pool_bits;
use crate::runtime::{Grid, Recording, kernel::kernel};
use crate::tensor::{Geometry, PANEL, words_of};

kernel!(
    /// The OR of the bits of a window.
    MAX_POOL_BITS = ops::pool_bits::{ max_pool_bits }, twin = bits_twin
);
/// Records [`MaxPool`](crate::ops::MaxPool) of bits.
pub(in crate::ops) fn record_bits(recording: &mut Recording, bound: &Bound<'_>, g: &Geometry) {
    let y = bound.output(0).per_task(words_of(g.in_channels as usize) * PANEL);
    let buffers = max_pool_bits::Buffers { x: bound.input(0), y };
    let grid = Grid::Linear(bound.outputs[0].1.words() as u64);
    recording.dispatch(&MAX_POOL_BITS, params(g), buffers, grid, g.out_rows().div_ceil(PANEL));
}

/// A task has 32 output pixels, all channels.
fn bits_twin(args: max_pool_bits::Args<'_>) {
    let g = geometry_of(args.params);
    let (first, words, y) = (args.index * PANEL, words_of(g.in_channels as usize), args.y);
    let patches = Patches::new(&g, first, PANEL.min(g.out_rows() - first));
    y.fill(0);
    for tap in 0..g.taps() {
        patches.sources(tap, |i, pixel| {
            let Some(pixel) = pixel else { return };
            for word in 0..words {
                y[word * PANEL + i] |= args.x[(pixel / PANEL * words + word) * PANEL + pixel % PANEL];
            }
        });
    }
}
