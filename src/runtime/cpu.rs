//! The CPU engine: runs the twins of kernels on all cores.
#![allow(unsafe_code, reason = "memory that tasks of several threads share in disjoint tiles")]

use super::engine::{DeviceInfo, Download, Engine, Host, Stats, at_cut};
use super::interface::StepParams;
use super::kernel::BufferId;
use super::profiler::Profile;
use super::program::Program;
use super::recording::{Dispatch, Part, Recording};
use super::scratch::{bytes_of, reserve_scratch};
use super::task::{BoundBuffer, Task};
use crate::bits;
use crate::error::{Error, Result};
use futures::{FutureExt, future::LocalBoxFuture};
use std::sync::Arc;
use web_time::Instant;

/// Maximum of the setting `threads`; a larger number is assumed to be a mistake.
const MAX_THREADS: usize = 1024;

/// A cache line; slots are aligned to it.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u32; 16]);

/// The memory of one slot. All accesses derive from this one pointer.
struct Memory {
    pointer: *mut Line,
    lines: usize,
    words: usize,
}

impl Memory {
    /// Allocates memory filled with a word; `None` if the allocation fails.
    fn new(words: usize, fill: u32) -> Option<Self> {
        let mut content = Vec::new();
        content.try_reserve_exact(words.div_ceil(16)).ok()?;
        content.resize(words.div_ceil(16), Line([fill; 16]));
        let lines = content.len();
        Some(Self { pointer: Box::into_raw(content.into_boxed_slice()).cast(), lines, words })
    }

    fn words(&self) -> &[u32] {
        // SAFETY: the allocation holds at least `words` words, and no task runs while the engine is borrowed here.
        unsafe { std::slice::from_raw_parts(self.pointer.cast(), self.words) }
    }

    fn words_mut(&mut self) -> &mut [u32] {
        // SAFETY: as above, and the engine is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.cast(), self.words) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: pointer and length are those of the boxed slice made in `new`.
        drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(self.pointer, self.lines)) });
    }
}

/// The engine that runs twins. Results do not depend on the number of threads: the tasks depend only on shapes, and no task reads what
/// another one writes.
pub struct CpuEngine {
    info: DeviceInfo,
    #[cfg(not(target_arch = "wasm32"))]
    pool: rayon::ThreadPool,
    program: Arc<Program>,
    memory: Vec<Memory>,
    /// The bound tensors of each dispatch of each recording.
    bound: Vec<Vec<Vec<BoundBuffer>>>,
    stats: Stats,
    profile: Option<Profile>,
    threads: usize,
    /// Words of scratch memory per thread.
    scratch: usize,
}

impl CpuEngine {
    /// Creates an engine with `threads` threads; `None` uses all cores.
    pub fn new(threads: Option<usize>) -> Result<Self> {
        if let Some(threads) = threads.filter(|threads| !(1..=MAX_THREADS).contains(threads)) {
            return Err(Error::setting("threads", format!("1 to {MAX_THREADS}"), threads));
        }
        let isa = bits::active()
            .map_err(|message| Error::setting("instruction set", "one that this processor can run", message))?;
        #[cfg(not(target_arch = "wasm32"))]
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0)).build().map_err(|e| {
            Error::Device { device: "cpu".into(), doing: "starting threads".into(), message: e.to_string() }
        })?;
        #[cfg(not(target_arch = "wasm32"))]
        let threads = pool.current_num_threads();
        #[cfg(target_arch = "wasm32")]
        let threads = threads.map_or(1, |_| 1);
        let detail = format!("{threads} thread{}", if threads == 1 { "" } else { "s" });
        Ok(Self {
            info: DeviceInfo { name: "cpu".into(), kind: "processor", backend: isa.name.into(), detail },
            #[cfg(not(target_arch = "wasm32"))]
            pool,
            program: Arc::default(),
            memory: Vec::new(),
            bound: Vec::new(),
            stats: Stats::default(),
            profile: None,
            threads,
            scratch: 0,
        })
    }

    /// Allocates every slot. A program that exceeds the available memory is refused before anything is allocated.
    fn allocate(&mut self, program: &Program) -> Result<()> {
        if let Some(available) = available_bytes().filter(|&bytes| program.bytes() > bytes) {
            let (tensor, bytes) = ("all tensors".into(), program.bytes());
            return Err(Error::TooLarge {
                device: "cpu".into(),
                tensor,
                bytes,
                limit_name: "memory available",
                limit: available,
            });
        }
        for (slot, &words) in program.slots.iter().enumerate() {
            let memory = Memory::new(words, program.poison.unwrap_or(0)).ok_or_else(|| Error::OutOfMemory {
                device: "cpu".into(),
                tensor: program.largest_in(slot).into(),
                bytes: 4 * words as u64,
                message: "allocation failed".into(),
            })?;
            self.memory.push(memory);
            self.stats.allocations += 1;
        }
        Ok(())
    }

    /// Allocates scratch memory on every thread.
    fn reserve(&mut self, words: usize) {
        self.scratch = words;
        #[cfg(not(target_arch = "wasm32"))]
        self.pool.broadcast(|_| reserve_scratch(words));
        #[cfg(target_arch = "wasm32")]
        reserve_scratch(words);
    }

    fn bind(&self, dispatch: &Dispatch) -> Vec<BoundBuffer> {
        let bindings = dispatch.kernel.interface.bindings.iter();
        let bound = |(output, binding): (&super::kernel::BufferArg, &super::kernel::Binding)| {
            let info = self.program.buffer(output.id);
            BoundBuffer {
                pointer: self.memory[info.slot].pointer.cast(),
                words: info.words,
                access: binding.access,
                per_task: output.per_task,
                panels: output.panels,
            }
        };
        dispatch.buffers.iter().zip(bindings).map(bound).collect()
    }

    fn copy(&self, buffer: BufferId) -> Vec<u32> {
        let info = self.program.buffer(buffer);
        self.memory[info.slot].words()[..info.words].to_vec()
    }

    fn write(&mut self, buffer: BufferId, words: &[u32]) {
        let info = self.program.buffer(buffer);
        assert_eq!(words.len(), info.words, "upload of `{}`", info.name);
        self.memory[info.slot].words_mut()[..words.len()].copy_from_slice(words);
    }

    /// Runs a part; `first` is the index of its first dispatch in the recording.
    fn run(&mut self, part: Part<'_>, (recording, first): (usize, usize), step: &StepParams) {
        let (bound, profile) = (&self.bound[recording][first..], &mut self.profile);
        let all = || {
            for (dispatch, buffers) in part.dispatches().zip(bound) {
                let start = Instant::now();
                run_tasks(dispatch, buffers, step);
                if let Some(profile) = profile {
                    profile.add(dispatch.kernel.label(), &dispatch.scope, start.elapsed().as_secs_f64());
                }
            }
        };
        #[cfg(not(target_arch = "wasm32"))]
        self.pool.install(all);
        #[cfg(target_arch = "wasm32")]
        std::convert::identity(all)();
    }
}

/// Returns the available memory that the system reports; `None` if it reports none. Linux may grant a larger allocation and kill the
/// process later.
fn available_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kilobytes| 1024 * kilobytes)
}

fn run_tasks(dispatch: &Dispatch, buffers: &[BoundBuffer], step: &StepParams) {
    let tasks = dispatch.tasks;
    let run = |index: usize| {
        let bindings = &dispatch.kernel.interface.bindings;
        let mut task = Task {
            index,
            bindings,
            slots: buffers,
            params: &dispatch.params,
            epilogue: &dispatch.epilogue,
            tile: dispatch.tile,
            step,
            taken: 0,
        };
        (dispatch.kernel.twin)(&mut task);
    };
    #[cfg(not(target_arch = "wasm32"))]
    if tasks > 1 {
        use rayon::prelude::*;
        return (0..tasks).into_par_iter().for_each(run);
    }
    (0..tasks).for_each(run);
}

impl Engine for CpuEngine {
    fn device(&self) -> &DeviceInfo {
        &self.info
    }

    fn load(&mut self, program: Arc<Program>) -> LocalBoxFuture<'_, Result<()>> {
        program.check();
        // The previous program is dropped first, since memory may not suffice for both. If loading fails, no program is loaded.
        self.program = Arc::default();
        self.bound.clear();
        self.memory.clear();
        if let Err(error) = self.allocate(&program) {
            self.memory.clear();
            return async { Err(error) }.boxed_local();
        }
        self.program = program.clone();
        self.reserve(program.recordings.iter().flat_map(Recording::dispatches).map(|d| d.scratch).max().unwrap_or(0));
        let bind = |recording: &Recording| recording.dispatches().map(|d| self.bind(d)).collect();
        self.bound = program.recordings.iter().map(bind).collect();
        async { Ok(()) }.boxed_local()
    }

    fn upload(&mut self, buffer: BufferId, words: &[u32]) -> Result<()> {
        self.write(buffer, words);
        Ok(())
    }

    fn play_with<'a>(
        &'a mut self,
        recording: usize,
        inputs: &'a [(BufferId, &'a [u32])],
        step: &'a StepParams,
        mut host: Option<&'a mut dyn Host>,
    ) -> LocalBoxFuture<'a, Result<Download>> {
        async move {
            let program = self.program.clone();
            program.check_play(recording, inputs, step)?;
            for (buffer, words) in inputs {
                self.write(*buffer, words);
            }
            let (mut parts, mut first) = (program.recordings[recording].parts().peekable(), 0);
            while let Some(part) = parts.next() {
                self.run(part, (recording, first), step);
                self.stats.submissions += 1;
                first += part.dispatches().count();
                let words = part.downloads().map(|id| self.copy(id)).collect();
                let (Some(cut), Some(&next)) = (part.cut, parts.peek()) else {
                    return Ok(async { Ok(words) }.boxed_local());
                };
                let given = at_cut(&program, (cut, next), words, host.as_deref_mut()).await?;
                next.uploads().zip(&given).for_each(|(id, words)| self.write(id, words));
            }
            unreachable!("the last part has no cut")
        }
        .boxed_local()
    }

    fn download(&mut self, buffers: &[BufferId]) -> Result<Download> {
        self.stats.read_backs += 1;
        let words = buffers.iter().map(|id| self.copy(*id)).collect();
        Ok(async { Ok(words) }.boxed_local())
    }

    fn stats(&self) -> Stats {
        self.stats
    }

    fn buffer_bytes(&self) -> u64 {
        self.threads as u64 * bytes_of(self.scratch)
    }

    fn set_profiling(&mut self, on: bool) {
        self.profile = on.then(|| Profile::new("processor clock"));
    }

    fn profile(&mut self) -> LocalBoxFuture<'_, Result<Profile>> {
        let profile = self.profile.clone().unwrap_or_default();
        async { Ok(profile) }.boxed_local()
    }
}
