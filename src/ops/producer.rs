//! The contract of a producer: an operation whose kernel computes tiles of an output that epilogues can consume.

use crate::graph::{Bound, Op, Tiles};
use crate::ops::epilogue::Epilogues;
use crate::runtime::{BufferArg, BufferId, Kernel, Recording};
use crate::tensor::{DType, PANEL, TensorType, words_of};

/// An operation whose kernel computes tiles of its first output, which epilogues can consume.
pub trait Producer: Op + Tiles {
    /// Returns the kernel of each chain of epilogues that is permitted behind it.
    fn kernels(&self) -> &'static [(Epilogues, &'static Kernel)];

    /// Returns the rows of the output that a task computes in every panel; `None` if a task computes a whole panel.
    fn rows_per_task(&self, bound: &Bound<'_>) -> Option<usize>;

    /// Returns the tensors that a chain stores the tile to, by the names of their bindings.
    fn stored(&self, bound: &Bound<'_>) -> Vec<(&'static str, BufferArg)> {
        vec![("y", share(bound.outputs[0], self.rows_per_task(bound)))]
    }

    /// Returns the kernel with these epilogues; `None` if the producer does not permit them.
    fn kernel(&self, epilogues: Epilogues) -> Option<&'static Kernel> {
        self.kernels().iter().find(|(chain, _)| *chain == epilogues).map(|(_, kernel)| *kernel)
    }

    /// Records the kernel of a chain, with the parameters of the epilogues and their tensors by the names of their bindings.
    fn record_chain(
        &self,
        recording: &mut Recording,
        bound: &Bound<'_>,
        epilogues: Epilogues,
        params: Vec<u32>,
        buffers: Vec<(&'static str, BufferArg)>,
    ) {
        let kernel = self.kernel(epilogues).expect("checked when the node was made");
        let stored = if epilogues.is_stored() { self.stored(bound) } else { Vec::new() };
        recording.dispatch_behind(kernel, self.product(bound), params, stored.into_iter().chain(buffers));
    }

    /// Records the operation itself: its tiles are stored.
    fn record_alone(&self, recording: &mut Recording, bound: &Bound<'_>) {
        self.record_chain(recording, bound, Epilogues::Store, Vec::new(), Vec::new());
    }
}

/// Returns a tensor in panels with the range of a task that computes these rows in every panel, or a whole panel (`None`).
pub(in crate::ops) fn share((id, ty): (BufferId, &TensorType), rows: Option<usize>) -> BufferArg {
    let (panels, row_panels) = (words_of(ty.columns()), ty.rows().div_ceil(PANEL));
    match (rows, ty.dtype) {
        // Words of bits: rows lie in panels.
        (Some(rows), DType::Bits) => id.per_task(rows / PANEL * panels * PANEL),
        (None, DType::Bits) => id.per_task_in_each_panel(row_panels, PANEL),
        (Some(rows), _) => id.per_task_in_each_panel(panels, rows * PANEL),
        (None, _) => id.per_task(ty.rows() * PANEL),
    }
}
