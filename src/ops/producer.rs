//! The contract of a producer: an operation whose kernel makes tiles of an output that epilogues can consume.

use crate::graph::{Bound, Op};
use crate::ops::epilogue::Epilogues;
use crate::runtime::{BufferArg, Kernel, Recording};

/// A kernel with the buffers of its epilogues, which follow the producer's own.
pub struct Chain {
    /// The kernel.
    pub kernel: &'static Kernel,
    /// Buffers of its epilogues, in order.
    pub buffers: Vec<BufferArg>,
}

/// An operation whose kernel makes tiles of its first output, which epilogues can consume.
pub trait Producer: Op {
    /// The kernel of each chain of epilogues that is permitted behind it.
    fn kernels(&self) -> &'static [(Epilogues, &'static Kernel)];

    /// Rows of the output that a task has, in every panel; `None` where a task has a whole panel.
    fn rows_per_task(&self, bound: &Bound<'_>) -> Option<usize>;

    /// Records the kernel of a chain.
    fn record_chain(&self, recording: &mut Recording, bound: &Bound<'_>, chain: Chain);

    /// The kernel with these epilogues; `None` where they are not permitted behind it.
    fn kernel(&self, epilogues: Epilogues) -> Option<&'static Kernel> {
        self.kernels().iter().find(|(chain, _)| *chain == epilogues).map(|(_, kernel)| *kernel)
    }

    /// Records the operation itself: its tiles are stored.
    fn record_alone(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let kernel = self.kernel(Epilogues::Store).expect("every producer can be stored");
        self.record_chain(recording, bound, Chain { kernel, buffers: Vec::new() });
    }
}
