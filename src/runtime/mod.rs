//! Kernels, recordings, and the engines that play them: on the processor and, with the feature `gpu`, through wgpu.

mod assemble;
mod binding;
mod cpu;
mod describe;
mod devices;
mod engine;
mod environment;
#[path = "../../shaders/extent.rs"]
mod extent;
mod extents;
#[cfg(feature = "gpu")]
mod gpu;
pub mod interface;
pub mod kernel;
pub(crate) mod product;
mod profiler;
mod program;
mod recording;
mod scratch;
mod target;
mod task;

pub use cpu::CpuEngine;
pub use describe::{CommandLine, TensorUse};
pub use devices::{list, open};
pub use engine::{DeviceInfo, Download, Engine, Host, Stats};
pub use environment::silence_mesa;
#[cfg(feature = "gpu")]
pub use gpu::GpuEngine;
pub use interface::StepParams;
pub use kernel::{
    Access, Bind, Binding, BufferArg, BufferId, CustomKernel, Interface, Kernel, Requirements, Shape, Source, Task,
    TaskPanels, Variant,
};
pub use profiler::{KernelTime, Profile};
pub use program::{BufferInfo, Program, StepLimits};
pub use recording::{Command, Dispatch, Grid, NamedBuffers, Part, Product, Recording, multiply_adds};
pub use scratch::with_scratch;
pub use target::Target;
pub use task::TileFn;
