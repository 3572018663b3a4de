//! The contract of a producer: an operation whose kernel makes tiles of an output that epilogues can consume.

use crate::graph::{Bound, Op};
use crate::runtime::{BufferArg, Kernel, Recording};

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

/// An operation whose kernel makes tiles of its first output, which epilogues can consume.
pub trait Producer: Op {
    /// The kernel with these epilogues; `None` where they are not permitted behind it.
    fn kernel(&self, epilogues: Epilogues) -> Option<&'static Kernel>;

    /// Rows of the output that a task has, in every panel; `None` where a task has a whole panel.
    fn rows_per_task(&self, bound: &Bound<'_>) -> Option<usize>;

    /// Records the kernel with the buffers of its epilogues behind the producer's own.
    fn record_with(
        &self,
        recording: &mut Recording,
        bound: &Bound<'_>,
        kernel: &'static Kernel,
        epilogues: Vec<BufferArg>,
    );
}
