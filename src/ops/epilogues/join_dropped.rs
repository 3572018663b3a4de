//! Adds the product with the other copy of dropped signs, and scales the sum.

use super::contract::{Consumer, EpilogueKind, TileAt, TileUse};
use crate::graph::share;
use crate::runtime::interface::epilogues::join_dropped::JoinParams;
use crate::runtime::{Task, TaskPanels};
use crate::tensor::PANEL;

/// (tile + other product) * scale.
pub static KIND: EpilogueKind = EpilogueKind {
    name: "join_dropped",
    tile: TileUse::Consumes,
    integers: true,
    outputs: 1,
    bind: |bound, rows| vec![("other_product", bound.input(0).into()), ("joined", share(bound.outputs[0], rows))],
    finish: None,
};

/// The epilogue on the processor.
pub(in crate::ops) struct Twin<'a> {
    other: &'a [i32],
    scale: f32,
    joined: TaskPanels<'a, f32>,
}

impl<'a> Consumer<'a> for Twin<'a> {
    fn take(task: &mut Task<'a>) -> Option<Self> {
        let joined = task.position("joined").map(|at| task.panels(at))?;
        Some(Self { other: task.named("other_product"), scale: task.epilogue::<JoinParams>().scale, joined })
    }

    fn integers(&mut self, at: TileAt, tile: &[i32]) {
        // A task that covers a whole panel has a range of the whole tensor.
        let part = if self.joined.panels() == 1 { 0 } else { at.panel };
        let both = tile.iter().zip(&self.other[(at.panel * at.all.rows + at.row) * PANEL..]);
        self.joined.panel(part).iter_mut().zip(both).for_each(|(y, (a, b))| *y = (a + b) as f32 * self.scale);
    }
}
