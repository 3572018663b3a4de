//! The contract of an engine: holds a program's memory, plays its recordings, takes uploads, gives downloads.

use super::interface::StepParams;
use super::kernel::BufferId;
use super::profiler::Profile;
use super::recording::{Part, Program};
use super::target::Target;
use crate::error::{Error, Result};
use futures::{FutureExt, future::LocalBoxFuture};
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

/// What the host gives at a cut, held against what the next part uploads.
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

/// Results on their way back from the device: one list of words a tensor asked for.
pub type Download = LocalBoxFuture<'static, Result<Vec<Vec<u32>>>>;

/// Acts where a recording is cut: reduces gradients with other ranks, looks at numbers and decides.
pub trait Host {
    /// Gets the downloads of the part that ended at the cut of this name, in order; gives the uploads of the part that follows, in order.
    fn at_cut<'a>(&'a mut self, cut: &'a str, downloads: Vec<Vec<u32>>) -> LocalBoxFuture<'a, Result<Vec<Vec<u32>>>>;
}

/// Plays recordings. Calls take effect in the order in which they are made. Natively the futures wait for the device inside
/// `poll`, so give them a thread of their own (`block_on`); in a browser they give way.
pub trait Engine {
    /// Which device this is.
    fn device(&self) -> &DeviceInfo;

    /// What it can do, for plans.
    fn target(&self) -> Target {
        Target { device: self.device().name.clone(), ..Target::any() }
    }

    /// Takes a program in the place of the one before: allocates its memory, makes pipelines and bind groups. Errors name tensor and size;
    /// after one the engine has no program, and every play is refused.
    fn load(&mut self, program: Arc<Program>) -> LocalBoxFuture<'_, Result<()>>;

    /// Overwrites a tensor, outside steps.
    fn upload(&mut self, buffer: BufferId, words: &[u32]) -> Result<()>;

    /// Sends the step's values and the uploads of the recording's first part, then plays it. At most two plays are in flight; the third waits
    /// for the first. At each cut the host acts; without one a cut does nothing but end a submit, and uploads behind it are an error. Gives
    /// the downloads of the last part. Refuses what [`Program::check_play`] does.
    fn play_with<'a>(
        &'a mut self,
        recording: usize,
        inputs: &'a [(BufferId, &'a [u32])],
        step: &'a StepParams,
        host: Option<&'a mut dyn Host>,
    ) -> LocalBoxFuture<'a, Result<Download>>;

    /// The same without a host, for recordings whose downloads nobody wants.
    fn play<'a>(
        &'a mut self,
        recording: usize,
        inputs: &'a [(BufferId, &'a [u32])],
        step: &'a StepParams,
    ) -> LocalBoxFuture<'a, Result<()>> {
        self.play_with(recording, inputs, step, None).map(|played| played.map(drop)).boxed_local()
    }

    /// Copies tensors as they are after everything played so far. The copy is taken now; the future gives it when it has arrived,
    /// so steps played meanwhile overlap with it.
    fn download(&mut self, buffers: &[BufferId]) -> Result<Download>;

    /// Counters.
    fn stats(&self) -> Stats;

    /// Bytes that it holds beside the program's tensors: scratch of threads, parameters, staging of uploads and read-backs.
    fn buffer_bytes(&self) -> u64;

    /// Measures every dispatch of plays from now on (slower), or stops.
    fn set_profiling(&mut self, on: bool);

    /// What was measured since profiling began.
    fn profile(&mut self) -> LocalBoxFuture<'_, Result<Profile>>;
}
