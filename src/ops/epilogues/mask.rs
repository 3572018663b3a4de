//! Zeroes the tile where the mask of the preceding sign is not set: the input gradient through the clip surrogate.

use super::contract::{Consumer, EpilogueKind, TileAt, TileUse};
use crate::ops::activation::sign::apply_mask;
use crate::runtime::Task;
use crate::tensor::{PANEL, words_of};

/// The tile where the mask is set, 0 elsewhere.
pub static KIND: EpilogueKind = EpilogueKind {
    name: "mask",
    tile: TileUse::Changes,
    integers: false,
    outputs: 1,
    bind: |bound, _| vec![("mask_bits", bound.input(0).into())],
    finish: None,
};

/// The epilogue on the processor.
pub(in crate::ops) struct Twin<'a> {
    mask: &'a [u32],
}

impl<'a> Consumer<'a> for Twin<'a> {
    fn take(task: &mut Task<'a>) -> Option<Self> {
        task.position("mask_bits").map(|at| Self { mask: task.read(at) })
    }

    fn floats(&mut self, at: TileAt, tile: &mut [f32]) {
        let words = words_of(at.all.columns);
        for (row, y) in (at.row..).zip(tile.chunks_exact_mut(PANEL)) {
            apply_mask(y, self.mask[((row / PANEL) * words + at.panel) * PANEL + row % PANEL]);
        }
    }
}
