//! The contract of a producer: an operation whose kernel computes tiles of an output, which epilogues consume. A producer defines how tiles
//! are computed, an epilogue how they are consumed; the kernels that combine them are generated.

use super::bound::Bound;
use crate::runtime::{BufferArg, BufferId, Kernel, NamedBuffers, Product, Recording};
use crate::tensor::{DType, PANEL, TensorType, words_of};

/// An operation whose kernel computes tiles of its first output.
pub trait Producer {
    /// Returns the name of the producer's shader in `shaders/producers/`.
    fn shader(&self) -> &'static str;

    /// Returns the kernels by chain of epilogues, such as `mask+add`; the kernel that stores its tiles has the empty chain.
    fn kernels(&self) -> &'static [(&'static str, &'static Kernel)];

    /// Returns the producer's part of a dispatch. `bound` contains its inputs.
    fn product(&self, bound: &Bound<'_>) -> Product;

    /// Returns the rows of the output that a task computes in every panel; `None` if a task computes a whole panel.
    fn rows_per_task(&self, bound: &Bound<'_>) -> Option<usize>;

    /// Returns the tensors that the tile is stored to, by the names of their bindings.
    fn stored(&self, bound: &Bound<'_>) -> NamedBuffers {
        vec![("y", share(bound.outputs[0], self.rows_per_task(bound)))]
    }

    /// Returns the kernel with a chain of epilogues; `None` if the producer does not permit it.
    fn kernel(&self, chain: &str) -> Option<&'static Kernel> {
        self.kernels().iter().find(|(name, _)| *name == chain).map(|(_, kernel)| *kernel)
    }

    /// Records the operation without other epilogues: its tiles are stored.
    fn record_alone(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let kernel = self.kernel("").expect("every producer of a graph can be stored");
        recording.dispatch_behind(kernel, self.product(bound), Vec::new(), self.stored(bound));
    }
}

/// An operation as an epilogue of the operation that computes one of its inputs.
#[derive(Clone, Debug)]
pub struct AsEpilogue {
    /// Name of the epilogue: `shaders/epilogues/NAME.wgsl`.
    pub name: &'static str,
    /// Words of the epilogue's parameters.
    pub params: Vec<u32>,
}

/// Returns the argument for a tensor in panels, of which a task writes `rows` rows in every panel, or one whole panel (`None`).
pub fn share((id, ty): (BufferId, &TensorType), rows: Option<usize>) -> BufferArg {
    let (panels, row_panels) = (words_of(ty.columns()), ty.rows().div_ceil(PANEL));
    match (rows, ty.dtype) {
        // Words of bits: rows lie in panels.
        (Some(rows), DType::Bits) => id.per_task(rows / PANEL * panels * PANEL),
        (None, DType::Bits) => id.per_task_in_each_panel(row_panels, PANEL),
        (Some(rows), _) => id.per_task_in_each_panel(panels, rows * PANEL),
        (None, _) => id.per_task(ty.rows() * PANEL),
    }
}
