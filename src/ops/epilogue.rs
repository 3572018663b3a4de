//! Epilogues: which there are, and what they do on the processor, where they consume a tile that a producer's twin has just filled, while it is in
//! cache. `shaders/epilogues/` has the same for GPUs.

use crate::ops::activation::sign::apply_mask;
use crate::ops::norm::statistics::{integer_moments, width};
use crate::runtime::kernel::{Task, TaskPanels};
use crate::tensor::{PANEL, words_of};

/// What follows a producer, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Epilogues {
    /// The tile is stored.
    Store,
    /// It is stored, and mean and sum of squared deviations of each 32 rows are computed.
    Statistics,
    /// It is 0 where the mask of a sign is not set, then stored.
    Mask,
    /// The same, and another gradient is added before it is stored.
    MaskAdd,
}

impl Epilogues {
    /// Name of an operation that ends in them.
    pub(in crate::ops) fn op_name(self) -> &'static str {
        match self {
            Self::Store => "composed",
            Self::Statistics => "with_statistics",
            Self::Mask => "with_mask",
            Self::MaskAdd => "with_mask_and_add",
        }
    }
}

/// The bindings of a task's epilogues; those that its kernel lacks are `None`.
pub(in crate::ops) struct Epilogue<'a> {
    partial: Option<TaskPanels<'a, f32>>,
    mask: Option<&'a [u32]>,
    other: Option<&'a [f32]>,
    rows: usize,
    columns: usize,
    valid: usize,
}

impl<'a> Epilogue<'a> {
    /// Takes what the kernel has beside the producer's own bindings. The output is `rows` by `columns`, and its first `valid` rows hold samples.
    pub fn take(task: &mut Task<'a>, [rows, columns]: [usize; 2], valid: usize) -> Self {
        let partial = task.position("partial").map(|at| task.panels(at));
        let mask = task.position("mask_bits").map(|at| task.read(at));
        let other = task.position("other").map(|at| task.read(at));
        Self { partial, mask, other, rows, columns, valid }
    }

    /// Consumes integers of panel `panel`, rows from `first` on.
    pub fn integers(&mut self, panel: usize, first: usize, tile: &[i32]) {
        if let Some(partial) = &mut self.partial {
            // A task that has a whole panel has a share of the whole tensor.
            let at = if partial.panels() == 1 { 0 } else { panel };
            integer_moments(tile, self.valid.saturating_sub(first), width(self.columns, panel), partial.panel(at));
        }
    }

    /// Consumes floats of panel `panel`, rows from `first` on.
    pub fn floats(&mut self, panel: usize, first: usize, tile: &mut [f32]) {
        let Some(mask) = self.mask else { return };
        let words = words_of(self.columns);
        for (row, y) in (first..).zip(tile.chunks_exact_mut(PANEL)) {
            apply_mask(y, mask[((row / PANEL) * words + panel) * PANEL + row % PANEL]);
            if let Some(other) = self.other {
                let other = &other[(panel * self.rows + row) * PANEL..][..PANEL];
                y.iter_mut().zip(other).for_each(|(y, other)| *y += other);
            }
        }
    }
}
