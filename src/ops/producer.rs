//! The contract of a producer: an operation whose kernel computes tiles of an output that epilogues can consume.

use crate::graph::{Bound, Op};
use crate::ops::epilogue::Epilogues;
use crate::runtime::{BufferArg, Kernel, Recording};

/// An operation whose kernel computes tiles of its first output, which epilogues can consume.
pub trait Producer: Op {
    /// Returns the kernel with these epilogues; `None` if the producer does not support them.
    fn kernel(&self, epilogues: Epilogues) -> Option<&'static Kernel>;

    /// Returns the rows of the output that a task computes in every panel; `None` if a task computes a whole panel.
    fn rows_per_task(&self, bound: &Bound<'_>) -> Option<usize>;

    /// Records the kernel; the buffers of its epilogues follow the producer's own.
    fn record_with(
        &self,
        recording: &mut Recording,
        bound: &Bound<'_>,
        kernel: &'static Kernel,
        epilogues: Vec<BufferArg>,
    );
}
