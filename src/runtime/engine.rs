//! The contract of an engine: it holds a program's memory, plays its recordings, and transfers uploads and downloads.

use super::interface::StepParams;
use super::kernel::BufferId;
use super::profiler::Profile;
use super::program::Program;
use super::recording::Part;
use super::target::Target;
use crate::error::{Error, Result};
use futures::{FutureExt, future::LocalBoxFuture};
use std::{fmt, sync::Arc};

/// Description of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// "AMD Radeon 780M", or "cpu".
    pub name: String,
    /// "discrete gpu", "integrated gpu", "software", "processor".
    pub kind: &'static str,
    /// "vulkan", "metal", "dx12", "webgpu"; the instruction set for the processor.
    pub backend: String,
    /// Driver, or number of threads.
    pub detail: String,
}

impl fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {}, {})", self.name, self.kind, self.backend, self.detail)
    }
}

/// Counters of what an engine has created since it was opened. Inside a step, allocations, pipelines and bind groups must not grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Allocations of device or tensor memory.
    pub allocations: u64,
    /// Compute pipelines created.
    pub pipelines: u64,
    /// Bind groups created.
    pub bind_groups: u64,
    /// Read-backs requested.
    pub read_backs: u64,
    /// Submissions to the device.
    pub submissions: u64,
}

/// Returns what the host supplies at a cut, after a comparison with the uploads of the next part.
pub(super) async fn at_cut(
    program: &Program,
    (cut, next): (&str, Part<'_>),
    downloads: Vec<Vec<u32>>,
    host: Option<&mut (dyn Host + '_)>,
) -> Result<Vec<Vec<u32>>> {
    let given = match host {
        Some(host) => host.at_cut(cut, downloads).await?,
        None => Vec::new(),
    };
    let wanted: Vec<usize> = next.uploads().map(|id| program.buffer(id).words).collect();
    let got: Vec<usize> = given.iter().map(Vec::len).collect();
    if wanted != got {
        let what = format!("uploads behind the cut `{cut}`");
        return Err(Error::shape(what, format!("{wanted:?} words"), format!("{got:?}")));
    }
    Ok(given)
}

/// Results in transfer from the device: one list of words per requested tensor.
pub type Download = LocalBoxFuture<'static, Result<Vec<Vec<u32>>>>;

/// Acts at the cuts of a recording: for example reduces gradients over ranks, or reads values and decides on updates.
pub trait Host {
    /// Receives the downloads of the part that ended at the cut of this name, in order. Returns the uploads of the part that follows, in
    /// order.
    fn at_cut<'a>(&'a mut self, cut: &'a str, downloads: Vec<Vec<u32>>) -> LocalBoxFuture<'a, Result<Vec<Vec<u32>>>>;
}

/// Plays recordings. Calls take effect in the order in which they are made. Natively the futures block in `poll` until the device is done,
/// so drive them from a dedicated thread (`block_on`). In a browser they yield.
pub trait Engine {
    /// Returns the description of the device.
    fn device(&self) -> &DeviceInfo;

    /// Returns the capabilities of the device, for planning.
    fn target(&self) -> Target {
        Target { device: self.device().name.clone(), ..Target::any() }
    }

    /// Loads a program in place of the previous one: allocates its memory, creates pipelines and bind groups. Errors name tensor and size.
    /// After an error no program is loaded, and every play is refused.
    fn load(&mut self, program: Arc<Program>) -> LocalBoxFuture<'_, Result<()>>;

    /// Overwrites a tensor outside steps.
    fn upload(&mut self, buffer: BufferId, words: &[u32]) -> Result<()>;

    /// Sends the step's values and the uploads of the recording's first part, then plays it. At most two plays are in flight; the third
    /// waits for the first. The host acts at each cut; without a host a cut only ends a submission, and uploads behind it are an error.
    /// Returns the downloads of the last part. Fails where [`Program::check_play`] does.
    fn play_with<'a>(
        &'a mut self,
        recording: usize,
        inputs: &'a [(BufferId, &'a [u32])],
        step: &'a StepParams,
        host: Option<&'a mut dyn Host>,
    ) -> LocalBoxFuture<'a, Result<Download>>;

    /// Plays a recording without a host, for recordings whose downloads are not used.
    fn play<'a>(
        &'a mut self,
        recording: usize,
        inputs: &'a [(BufferId, &'a [u32])],
        step: &'a StepParams,
    ) -> LocalBoxFuture<'a, Result<()>> {
        self.play_with(recording, inputs, step, None).map(|played| played.map(drop)).boxed_local()
    }

    /// Copies tensors in their state after all plays so far. The copy is enqueued by the call and the future resolves when the data arrive,
    /// so later steps overlap with the transfer.
    fn download(&mut self, buffers: &[BufferId]) -> Result<Download>;

    /// Returns the counters.
    fn stats(&self) -> Stats;

    /// Returns the bytes held in addition to the program's tensors: scratch memory of threads, parameters, staging of uploads and
    /// read-backs.
    fn buffer_bytes(&self) -> u64;

    /// Starts or stops the measurement of every dispatch. It slows plays down.
    fn set_profiling(&mut self, on: bool);

    /// Returns the measurements since profiling began.
    fn profile(&mut self) -> LocalBoxFuture<'_, Result<Profile>>;
}
