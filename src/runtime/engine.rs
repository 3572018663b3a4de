//! The contract of an engine: holds a program's memory, plays its recordings, takes uploads, gives downloads.

use super::interface::StepParams;
use super::kernel::BufferId;
use super::profiler::Profile;
use super::recording::Program;
use crate::error::Result;
use futures::future::LocalBoxFuture;
use std::{fmt, sync::Arc};

/// What a device is and why it was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// "AMD Radeon 780M", or "cpu".
    pub name: String,
    /// "discrete gpu", "integrated gpu", "software", "processor".
    pub kind: &'static str,
    /// "vulkan", "metal", "dx12", "webgpu"; the instruction set for the processor.
    pub backend: String,
    /// Driver, or threads.
    pub detail: String,
}

impl fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {}, {})", self.name, self.kind, self.backend, self.detail)
    }
}

/// What an engine has made since it was opened. Inside a step none of these may grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Pieces of device or tensor memory allocated.
    pub allocations: u64,
    /// Compute pipelines made.
    pub pipelines: u64,
    /// Bind groups made.
    pub bind_groups: u64,
    /// Read-backs asked for.
    pub read_backs: u64,
    /// Submissions to the device.
    pub submissions: u64,
}

/// Results on their way back from the device: one list of words a tensor asked for.
pub type Download = LocalBoxFuture<'static, Result<Vec<Vec<u32>>>>;

/// Plays recordings. Calls take effect in the order in which they are made. Natively the futures wait for the device inside
/// `poll`, so give them a thread of their own (`block_on`); in a browser they give way.
pub trait Engine {
    /// Which device this is.
    fn device(&self) -> &DeviceInfo;

    /// Takes a program in the place of the one before: allocates its memory, makes pipelines and bind groups. Errors name tensor and size;
    /// after one the engine has no program, and every play is refused.
    fn load(&mut self, program: Arc<Program>) -> LocalBoxFuture<'_, Result<()>>;

    /// Overwrites a tensor, outside steps.
    fn upload(&mut self, buffer: BufferId, words: &[u32]) -> Result<()>;

    /// Sends the step's inputs and values, then plays a recording. At most two plays are in flight; the third waits for the first. Refuses
    /// what [`Program::check_play`] does.
    fn play<'a>(
        &'a mut self,
        recording: usize,
        inputs: &'a [(BufferId, &'a [u32])],
        step: &'a StepParams,
    ) -> LocalBoxFuture<'a, Result<()>>;

    /// Copies tensors as they are after everything played so far. The copy is taken now; the future gives it when it has arrived,
    /// so steps played meanwhile overlap with it.
    fn download(&mut self, buffers: &[BufferId]) -> Result<Download>;

    /// Counters.
    fn stats(&self) -> Stats;

    /// Measures every dispatch of plays from now on (slower), or stops.
    fn set_profiling(&mut self, on: bool);

    /// What was measured since profiling began.
    fn profile(&mut self) -> LocalBoxFuture<'_, Result<Profile>>;
}
