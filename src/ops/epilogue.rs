//! The registry of epilogues, and their implementation on the processor, where they consume a tile that a producer's twin has just filled,
//! while it is in cache. `shaders/epilogues/` has the implementation for GPUs.

use crate::bits;
use crate::ops::activation::sign::apply_mask;
use crate::ops::norm::batch_norm::rstd;
use crate::ops::norm::statistics::{integer_moments, width};
use crate::ops::reduce::{Lanes, lanes};
use crate::runtime::interface::epilogues::{join_dropped::JoinParams, threshold::ThresholdParams};
use crate::runtime::kernel::{Task, TaskPanels};
use crate::tensor::{PANEL, words_of};

/// The epilogues of a producer, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Epilogues {
    /// Stores the tile.
    Store,
    /// Stores the tile, and computes mean and sum of squared deviations of each 32 rows.
    Statistics,
    /// Sets the tile to 0 where the mask of a sign is not set, then stores it.
    Mask,
    /// Like `Mask`, and adds another gradient before the store.
    MaskAdd,
    /// Writes the sign of the tile's batch norm; the tile is not stored.
    Threshold,
    /// Like `Threshold`, and writes the mask of the sign's clip surrogate.
    ThresholdMask,
    /// Writes the scaled sum with another product, the two products of dropped signs; the tile is not stored.
    JoinDropped,
}

impl Epilogues {
    /// Returns the name of an operation with these epilogues.
    pub(in crate::ops) fn op_name(self) -> &'static str {
        match self {
            Self::Store => "composed",
            Self::Statistics => "with_statistics",
            Self::Mask => "with_mask",
            Self::MaskAdd => "with_mask_and_add",
            Self::Threshold | Self::ThresholdMask => "with_threshold",
            Self::JoinDropped => "with_join",
        }
    }

    /// Whether the tile itself is stored.
    pub(in crate::ops) fn is_stored(self) -> bool {
        !matches!(self, Self::Threshold | Self::ThresholdMask | Self::JoinDropped)
    }
}

/// The bindings of a task's epilogues; those that its kernel lacks are `None`.
pub(in crate::ops) struct Epilogue<'a> {
    partial: Option<TaskPanels<'a, f32>>,
    mask: Option<&'a [u32]>,
    other: Option<&'a [f32]>,
    threshold: Option<Threshold<'a>>,
    join: Option<Join<'a>>,
    rows: usize,
    columns: usize,
    valid: usize,
}

impl<'a> Epilogue<'a> {
    /// Takes the bindings of the kernel that are not the producer's own. The output is `rows` by `columns`, and its first `valid` rows hold
    /// samples.
    pub fn take(task: &mut Task<'a>, [rows, columns]: [usize; 2], valid: usize) -> Self {
        let partial = task.position("partial").map(|at| task.panels(at));
        let mask = task.position("mask_bits").map(|at| task.read(at));
        let other = task.position("other").map(|at| task.read(at));
        let threshold = Threshold::take(task, columns);
        let join = Join::take(task);
        Self { partial, mask, other, threshold, join, rows, columns, valid }
    }

    /// Consumes integers of panel `panel`, from row `first` on, the first of the task.
    pub fn integers(&mut self, panel: usize, first: usize, tile: &[i32]) {
        if let Some(partial) = &mut self.partial {
            // A task that covers a whole panel has a range of the whole tensor.
            let at = if partial.panels() == 1 { 0 } else { panel };
            integer_moments(tile, self.valid.saturating_sub(first), width(self.columns, panel), partial.panel(at));
        }
        if let Some(threshold) = &mut self.threshold {
            threshold.consume(panel, tile, |v| v as f32);
        }
        if let Some(join) = &mut self.join {
            join.consume(panel, (panel * self.rows + first) * PANEL, tile);
        }
    }

    /// Consumes floats of panel `panel`, from row `first` on, the first of the task.
    pub fn floats(&mut self, panel: usize, first: usize, tile: &mut [f32]) {
        if let Some(threshold) = &mut self.threshold {
            threshold.consume(panel, tile, |v| v);
        }
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

/// Batch norm and sign of a tile.
struct Threshold<'a> {
    mean: &'a [f32],
    variance: &'a [f32],
    scale: &'a [f32],
    bias: &'a [f32],
    epsilon: f32,
    signs: TaskPanels<'a, u32>,
    mask: Option<TaskPanels<'a, u32>>,
    columns: usize,
}

impl<'a> Threshold<'a> {
    fn take(task: &mut Task<'a>, columns: usize) -> Option<Self> {
        let signs = task.position("new_signs").map(|at| task.panels(at))?;
        let mask = task.position("new_mask").map(|at| task.panels(at));
        let [mean, variance, scale, bias] = ["mean", "variance", "scale", "bias"].map(|name| task.named(name));
        let epsilon = task.epilogue::<ThresholdParams>().epsilon;
        Some(Self { mean, variance, scale, bias, epsilon, signs, mask, columns })
    }

    /// Consumes the rows of a task in a panel.
    fn consume<T: Copy>(&mut self, panel: usize, tile: &[T], value: impl Fn(T) -> f32) {
        let (mean, bias) = (lanes(self.mean, panel, 0.0), lanes(self.bias, panel, 0.0));
        let (rstd, scale) = (rstd(self.variance, panel, self.epsilon), lanes(self.scale, panel, 0.0));
        let gain: Lanes = std::array::from_fn(|l| rstd[l] * scale[l]);
        let (words, width) = (words_of(self.columns), width(self.columns, panel));
        let (rows, _) = tile.as_chunks::<PANEL>();
        for (i, rows) in rows.chunks(PANEL).enumerate() {
            let mut z = [[0.0; PANEL]; PANEL];
            for (z, x) in z.iter_mut().zip(rows) {
                *z = std::array::from_fn(|l| (value(x[l]) - mean[l]) * gain[l] + bias[l]);
            }
            // A task that covers a whole panel of columns has 32 words in each panel of rows.
            let (part, at) = if self.signs.length() == PANEL { (i, 0) } else { (0, (i * words + panel) * PANEL) };
            let (z, here) = (z[..rows.len()].as_flattened(), rows.len());
            let signs = &mut self.signs.panel(part)[at..at + PANEL];
            signs[here..].fill(0);
            match &mut self.mask {
                None => bits::current().sign_pack(z, width, &mut signs[..here]),
                Some(mask) => {
                    let mask = &mut mask.panel(part)[at..at + PANEL];
                    mask[here..].fill(0);
                    bits::current().sign_pack_mask(z, width, &mut signs[..here], &mut mask[..here]);
                }
            }
        }
    }
}

/// The sum of a tile and another product.
struct Join<'a> {
    other: &'a [i32],
    scale: f32,
    joined: TaskPanels<'a, f32>,
}

impl<'a> Join<'a> {
    fn take(task: &mut Task<'a>) -> Option<Self> {
        let joined = task.position("joined").map(|at| task.panels(at))?;
        Some(Self { other: task.named("other_product"), scale: task.epilogue::<JoinParams>().scale, joined })
    }

    /// Consumes the rows of a task in a panel, which begin at index `first` of the other product.
    fn consume(&mut self, panel: usize, first: usize, tile: &[i32]) {
        let at = if self.joined.panels() == 1 { 0 } else { panel };
        let both = tile.iter().zip(&self.other[first..]);
        self.joined.panel(at).iter_mut().zip(both).for_each(|(y, (a, b))| *y = (a + b) as f32 * self.scale);
    }
}

/// The tiles of a producer's output: ranges of the tensor that stores them, or one tile in scratch memory that the epilogues consume.
pub(in crate::ops) enum Output<'a, 's, T> {
    /// Ranges of the binding `y`.
    Stored(TaskPanels<'a, T>),
    /// A tile for one panel after the other.
    Passing(&'s mut [T]),
}

impl<T: bytemuck::Pod> Output<'_, '_, T> {
    /// Returns the tile of panel `panel`; `at` is its number in the tensor.
    pub fn tile(&mut self, at: usize) -> &mut [T] {
        match self {
            Self::Stored(y) => y.panel(at),
            Self::Passing(tile) => tile,
        }
    }
}
