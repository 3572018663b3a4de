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
    /// Name, such as "AMD Radeon 780M"; "cpu" for the processor.
    pub name: String,
    /// Kind: "discrete gpu", "integrated gpu", "gpu", "software" or "processor".
    pub kind: &'static str,
    /// Graphics API, such as "vulkan", "metal", "dx12" or "webgpu"; the instruction set for the processor.
    pub backend: String,
    /// Driver; number of threads for the processor.
    pub detail: String,
}

impl fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {}, {})", self.name, self.kind, self.backend, self.detail)
    }
}

/// Counters of an engine since it was opened. Allocations, pipelines and bind groups must not grow during a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Number of allocations of device or tensor memory.
    pub allocations: u64,
    /// Number of compute pipelines created.
    pub pipelines: u64,
    /// Number of bind groups created.
    pub bind_groups: u64,
    /// Number of read-backs requested.
    pub read_backs: u64,
    /// Number of submissions to the device.
    pub submissions: u64,
}

/// Calls the host at a cut and returns its uploads for the next part. Fails if their lengths differ from those that the part expects.
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

/// A pending transfer from the device; resolves to one list of words per requested tensor.
pub type Download = LocalBoxFuture<'static, Result<Vec<Vec<u32>>>>;

/// Host code that runs at the cuts of a recording: for example reduces gradients over ranks, or reads values and decides on updates.
pub trait Host {
    /// Receives the name of a cut and the downloads of the part that ended there, in order. Returns the uploads of the next part, in order.
    fn at_cut<'a>(&'a mut self, cut: &'a str, downloads: Vec<Vec<u32>>) -> LocalBoxFuture<'a, Result<Vec<Vec<u32>>>>;
}

/// An engine plays recordings. Calls take effect in the order in which they are made. On native targets the futures block in `poll` until
/// the device is done, so drive them from a dedicated thread (`block_on`). In a browser they yield.
pub trait Engine {
    /// Returns the description of the device.
    fn device(&self) -> &DeviceInfo;

    /// Returns the capabilities of the device, for planning.
    fn target(&self) -> Target {
        Target { device: self.device().name.clone(), ..Target::any() }
    }

    /// Loads a program and unloads the previous one: allocates memory, creates pipelines and bind groups. Errors contain the tensor's name
    /// and size. After an error no program is loaded, and every play is refused.
    fn load(&mut self, program: Arc<Program>) -> LocalBoxFuture<'_, Result<()>>;

    /// Overwrites a tensor, between plays.
    fn upload(&mut self, buffer: BufferId, words: &[u32]) -> Result<()>;

    /// Uploads the step's values and the inputs of the recording's first part, then plays the recording. At most two plays are in flight;
    /// the third waits for the first. The host is called at each cut; without a host a cut only ends a submission, and uploads after it are
    /// an error. Returns the downloads of the last part. Fails if [`Program::check_play`] does.
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

    /// Copies the content that tensors have after all plays so far. The call enqueues the copy and the future resolves when the data
    /// arrive, so later steps overlap with the transfer.
    fn download(&mut self, buffers: &[BufferId]) -> Result<Download>;

    /// Returns the counters.
    fn stats(&self) -> Stats;

    /// Returns the bytes held in addition to the program's tensors: scratch memory of threads, parameters, staging of uploads and
    /// read-backs.
    fn buffer_bytes(&self) -> u64;

    /// Starts or stops the measurement of every dispatch. Plays are slower while it is on.
    fn set_profiling(&mut self, on: bool);

    /// Returns the measurements since profiling began.
    fn profile(&mut self) -> LocalBoxFuture<'_, Result<Profile>>;
}
