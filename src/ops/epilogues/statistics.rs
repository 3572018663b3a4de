//! Computes mean and sum of squared deviations of each 32 rows of integers, so that no kernel reads the integers again for them.

use super::contract::{Consumer, EpilogueKind, TileAt, TileUse};
use crate::ops::norm::statistics::{integer_moments, record_join, width};
use crate::runtime::{Task, TaskPanels};
use crate::tensor::PANEL;

/// Mean and variance by channel, of an operation with the outputs mean, variance, and the statistics of blocks.
pub static KIND: EpilogueKind = EpilogueKind {
    name: "statistics",
    tile: TileUse::Reads,
    integers: true,
    outputs: 3,
    bind: |bound, rows| {
        let (partial, ty) = bound.outputs[2];
        let share = match rows {
            Some(rows) => partial.per_task_in_each_panel(ty.shape[0], rows / PANEL * 2 * PANEL),
            None => partial.per_task(ty.words() / ty.shape[0]),
        };
        vec![("partial", share)]
    },
    finish: Some(|recording, bound, tile| {
        let [mean, variance, partial] = [0, 1, 2].map(|i| bound.output(i));
        record_join(recording, [mean, variance, partial], [bound.update(0), bound.update(1)], tile);
    }),
};

/// The epilogue on the processor.
pub(in crate::ops) struct Twin<'a> {
    partial: TaskPanels<'a, f32>,
}

impl<'a> Consumer<'a> for Twin<'a> {
    fn take(task: &mut Task<'a>) -> Option<Self> {
        task.position("partial").map(|at| Self { partial: task.panels(at) })
    }

    fn integers(&mut self, at: TileAt, tile: &[i32]) {
        // A task that covers a whole panel has a range of the whole tensor.
        let part = if self.partial.panels() == 1 { 0 } else { at.panel };
        let valid = at.all.valid.saturating_sub(at.row);
        integer_moments(tile, valid, width(at.all.columns, at.panel), self.partial.panel(part));
    }
}
