//! Adds the gradient from another reader of the same value.

use super::contract::{Consumer, EpilogueKind, TileAt, TileUse};
use crate::runtime::Task;
use crate::tensor::PANEL;

/// tile + other.
pub static KIND: EpilogueKind = EpilogueKind {
    name: "add",
    tile: TileUse::Changes,
    integers: false,
    outputs: 1,
    bind: |bound, _| vec![("other", bound.input(0).into())],
    finish: None,
};

/// The epilogue on the processor.
pub(in crate::ops) struct Twin<'a> {
    other: &'a [f32],
}

impl<'a> Consumer<'a> for Twin<'a> {
    fn take(task: &mut Task<'a>) -> Option<Self> {
        task.position("other").map(|at| Self { other: task.read(at) })
    }

    fn floats(&mut self, at: TileAt, tile: &mut [f32]) {
        let other = &self.other[(at.panel * at.all.rows + at.row) * PANEL..];
        tile.iter_mut().zip(other).for_each(|(y, other)| *y += other);
    }
}
