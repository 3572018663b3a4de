//! The wgpu engine: loads programs and plays recordings.

use super::super::engine::{DeviceInfo, Download, Engine, Host, Stats, at_cut};
use super::super::interface::StepParams;
use super::super::kernel::{Binding, BufferArg, BufferId, Variant};
use super::super::profiler::Profile;
use super::super::program::Program;
use super::super::recording::{Dispatch, Part, Recording};
use super::super::target::Target;
use super::context::Context;
use super::pace::{Pace, estimate};
use super::pipelines::{Pipelines, groups, parts};
use super::prepared::{Prepared, PreparedPart};
use super::timing::Timing;
use super::transfer::{ReadBacks, UploadRing};
use crate::error::Result;
use futures::{FutureExt, future::LocalBoxFuture};
use std::num::NonZeroU64;
use std::sync::Arc;

/// Alignment of uniform slices, sufficient on every device.
const UNIFORM: u64 = 256;

/// The engine that plays recordings through wgpu.
pub struct GpuEngine {
    cx: Context,
    pipelines: Pipelines,
    uploads: UploadRing,
    read_backs: ReadBacks,
    program: Arc<Program>,
    slots: Vec<wgpu::Buffer>,
    step: Option<wgpu::Buffer>,
    /// Bytes of parameters, including the step's values.
    uniforms: u64,
    recordings: Vec<Ready>,
    /// The measurements while profiling, and the queries of the loaded program.
    profile: Option<Profile>,
    timing: Option<Timing>,
}

/// A recording with its pipelines, bind groups and buffers.
struct Ready {
    dispatches: Vec<Prepared>,
    pace: Pace,
}

impl GpuEngine {
    /// Opens adapter `number` of the machine with the highest limits that it supports. `PLUSMINUS_CHECKED=1` keeps the bounds checks of
    /// shaders on.
    pub async fn open(number: usize) -> Result<Self> {
        let cx = Context::open(number).await?;
        Ok(Self {
            pipelines: Pipelines::new(cx.info.kind == "software", cx.target()),
            cx,
            uploads: UploadRing::default(),
            read_backs: ReadBacks::default(),
            program: Arc::default(),
            slots: Vec::new(),
            step: None,
            uniforms: 0,
            recordings: Vec::new(),
            profile: None,
            timing: None,
        })
    }

    /// Sets the variant of every kernel of the programs that are loaded afterwards: variant `number` modulo the number of variants. For
    /// tests.
    pub fn force_variant(&mut self, number: Option<usize>) {
        self.pipelines.forced = number;
    }

    /// Sets the number of groups per dimension above which grids of the programs that are loaded afterwards are folded (default 65,535).
    /// For tests.
    pub fn fold_above(&mut self, groups: u32) {
        self.pipelines.fold_above = groups;
    }

    /// Sets the number of lines above which folded grids of the programs that are loaded afterwards are split into several dispatches
    /// (default 65,535). For tests.
    pub fn split_above(&mut self, lines: u32) {
        self.pipelines.split_above = lines;
    }

    async fn load_program(&mut self, program: Arc<Program>) -> Result<()> {
        program.check();
        // The previous program is dropped first, since memory may not suffice for both. If loading fails, no program is loaded.
        self.unload();
        let loaded = self.prepare_program(program).await;
        if loaded.is_err() {
            self.unload();
        }
        loaded
    }

    fn unload(&mut self) {
        self.program = Arc::default();
        self.recordings.clear();
        self.slots.clear();
        self.step = None;
        self.uniforms = 0;
        self.uploads = UploadRing::default();
        self.timing = None;
    }

    async fn prepare_program(&mut self, program: Arc<Program>) -> Result<()> {
        self.program = program.clone();
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        for (slot, &words) in program.slots.iter().enumerate() {
            let buffer = self.cx.buffer(program.largest_in(slot), 4 * words as u64, usage).await?;
            if let Some(word) = program.poison {
                self.cx.copy_in(&buffer, bytemuck::cast_slice(&vec![word; words]))?;
            }
            self.slots.push(buffer);
        }
        let uniform = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let step = self.cx.buffer("step", size_of::<StepParams>() as u64, uniform).await?;
        self.uniforms += step.size();
        self.uploads = UploadRing::new(&mut self.cx, largest_upload(&program)).await?;
        for recording in &program.recordings {
            let dispatches: Vec<&Dispatch> = recording.dispatches().collect();
            let params = self.params(&dispatches).await?;
            let starts = self.starts(&dispatches).await?;
            self.uniforms += params.size() + starts.size();
            let mut prepared = Vec::new();
            for (i, dispatch) in dispatches.into_iter().enumerate() {
                prepared.push(self.prepare(dispatch, [&params, &step, &starts], i as u64 * 2 * UNIFORM).await?);
            }
            let of = |dispatch: &Dispatch| estimate(program.bytes_of(dispatch), dispatch.multiply_adds);
            let parts: Vec<Vec<f64>> = recording.parts().map(|part| part.dispatches().map(of).collect()).collect();
            self.recordings.push(Ready { dispatches: prepared, pace: Pace::new(&parts) });
        }
        self.step = Some(step);
        self.make_timing();
        Ok(())
    }

    /// Creates one uniform buffer with the parameters of every dispatch and of its epilogues, which are constant.
    async fn params(&mut self, dispatches: &[&Dispatch]) -> Result<wgpu::Buffer> {
        let mut bytes = vec![0_u8; dispatches.len().max(1) * 2 * UNIFORM as usize];
        let words = dispatches.iter().flat_map(|dispatch| [&dispatch.params, &dispatch.epilogue]);
        for (slice, words) in bytes.chunks_exact_mut(UNIFORM as usize).zip(words) {
            let words: &[u8] = bytemuck::cast_slice(words);
            slice[..words.len()].copy_from_slice(words);
        }
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let buffer = self.cx.buffer("parameters", bytes.len() as u64, usage).await?;
        self.cx.copy_in(&buffer, &bytes)?;
        Ok(buffer)
    }

    /// Creates one uniform buffer with the first lines of all parts of grids: part n begins at n times the lines of a part.
    async fn starts(&mut self, dispatches: &[&Dispatch]) -> Result<wgpu::Buffer> {
        let mut most = 1;
        for dispatch in dispatches {
            most = most.max(self.parts(dispatch, self.pipelines.choose(dispatch))?.len());
        }
        let mut bytes = vec![0_u8; most * UNIFORM as usize];
        for (part, slice) in bytes.chunks_exact_mut(UNIFORM as usize).enumerate() {
            slice[..4].copy_from_slice(&(part as u32 * self.pipelines.split_above).to_le_bytes());
        }
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let buffer = self.cx.buffer("starts of grids", bytes.len() as u64, usage).await?;
        self.cx.copy_in(&buffer, &bytes)?;
        Ok(buffer)
    }

    fn parts(&self, dispatch: &Dispatch, variant: &Variant) -> Result<Vec<(u32, [u32; 3])>> {
        let groups = groups(&self.cx, dispatch, variant, self.pipelines.fold_above)?;
        // A shader without the uniform `grid` does not know where its part begins, so its grid is not split.
        let split_above = if dispatch.kernel.interface.grid { self.pipelines.split_above } else { u32::MAX };
        Ok(parts(&dispatch.grid, groups, split_above))
    }

    /// Prepares a dispatch. `uniforms` are the parameters of all dispatches (those of this one begin at `offset`), the step, and the starts
    /// of grids.
    async fn prepare(
        &mut self,
        dispatch: &Dispatch,
        [params, step, starts]: [&wgpu::Buffer; 3],
        offset: u64,
    ) -> Result<Prepared> {
        let (kernel, variant) = (dispatch.kernel, self.pipelines.choose(dispatch));
        let pipeline = self.pipelines.get(&mut self.cx, kernel, variant).await?;
        let binding = |(output, binding): (&BufferArg, &Binding)| {
            let info = self.program.buffer(output.id);
            // Binds exactly the tensor's bytes, so that arrayLength() is its length even if its slot is longer.
            let size = NonZeroU64::new(4 * info.words as u64);
            let resource = wgpu::BufferBinding { buffer: &self.slots[info.slot], offset: 0, size };
            wgpu::BindGroupEntry { binding: binding.index, resource: wgpu::BindingResource::Buffer(resource) }
        };
        let entries: Vec<_> = dispatch.buffers.iter().zip(kernel.interface.bindings.iter()).map(binding).collect();
        let group = |layout: &wgpu::BindGroupLayout, entries: &[wgpu::BindGroupEntry<'_>]| {
            let label = Some(kernel.label());
            self.cx.device.create_bind_group(&wgpu::BindGroupDescriptor { label, layout, entries })
        };
        let tensors = group(&pipeline.tensors, &entries);
        let mut uniforms = Vec::new();
        let slice = |buffer, offset, words: usize| {
            let size = NonZeroU64::new(4 * words as u64);
            wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size })
        };
        if kernel.interface.params {
            let resource = slice(params, offset, dispatch.params.len());
            uniforms.push(wgpu::BindGroupEntry { binding: 0, resource });
        }
        if kernel.interface.step {
            uniforms.push(wgpu::BindGroupEntry { binding: 1, resource: step.as_entire_binding() });
        }
        if kernel.interface.epilogue {
            let resource = slice(params, offset + UNIFORM, dispatch.epilogue.len());
            uniforms.push(wgpu::BindGroupEntry { binding: 2, resource });
        }
        let mut all = Vec::new();
        for (part, (_, groups)) in self.parts(dispatch, variant)?.into_iter().enumerate() {
            let start = wgpu::BindGroupEntry { binding: 3, resource: slice(starts, part as u64 * UNIFORM, 1) };
            let entries: Vec<_> = uniforms.iter().cloned().chain(kernel.interface.grid.then_some(start)).collect();
            let uniforms = (!entries.is_empty()).then(|| group(&pipeline.uniforms, &entries));
            self.cx.stats.bind_groups += u64::from(uniforms.is_some());
            all.push(PreparedPart { uniforms, groups });
        }
        self.cx.stats.bind_groups += 1;
        let (label, scope) = (kernel.label(), dispatch.scope.clone());
        Ok(Prepared { label, scope, pipeline: pipeline.pipeline, tensors, parts: all })
    }

    /// Creates queries for the longest recording, while profiling.
    fn make_timing(&mut self) {
        let longest = self.recordings.iter().map(|recording| recording.dispatches.len()).max().unwrap_or(0);
        self.timing = if self.profile.is_some() { Timing::new(&mut self.cx, longest) } else { None };
    }

    async fn play_recording(
        &mut self,
        recording: usize,
        inputs: &[(BufferId, &[u32])],
        step: &StepParams,
        mut host: Option<&mut (dyn Host + '_)>,
    ) -> Result<Download> {
        self.cx.check_device("playing a step")?;
        let program = self.program.clone();
        program.check_play(recording, inputs, step)?;
        let to = self.step.clone().expect("a program is loaded");
        let mut pieces: Vec<(&[u8], wgpu::Buffer)> = vec![(bytemuck::bytes_of(step), to)];
        pieces.extend(inputs.iter().map(|(id, words)| (bytemuck::cast_slice(words), self.buffer_of(*id))));
        let mut parts = program.recordings[recording].parts().enumerate().peekable();
        let mut given: Vec<Vec<u32>>;
        while let Some((i, part)) = parts.next() {
            self.play_part((recording, i), &pieces).await?;
            let (Some(cut), Some(&(_, next))) = (part.cut, parts.peek()) else {
                self.take_times(recording).await?;
                return self.downloads(part);
            };
            let words = self.downloads(part)?.await?;
            given = at_cut(&program, (cut, next), words, host.as_deref_mut()).await?;
            let uploads = next.uploads().zip(&given);
            pieces = uploads.map(|(id, words)| (bytemuck::cast_slice(words), self.buffer_of(id))).collect();
        }
        unreachable!("the last part has no cut")
    }

    /// Uploads and dispatches part `part` of a recording, in the number of submissions that its pace requires.
    async fn play_part(&mut self, (recording, part): (usize, usize), pieces: &[(&[u8], wgpu::Buffer)]) -> Result<()> {
        let mut encoder = self.encoder();
        let mut staging = None;
        if !pieces.is_empty() {
            let (at, measured) = self.uploads.write(&mut self.cx, &mut encoder, pieces).await?;
            if let Some(measured) = measured {
                let pace = &mut self.recordings[measured.recording].pace;
                if let Some(count) = pace.measured(measured.estimated, measured.seconds, measured.waited) {
                    let name = &self.program.recordings[measured.recording].name;
                    log::info!("{}: `{name}` is now split into {count} submissions", self.cx.info.name);
                }
            }
            staging = Some(at);
        }
        let Ready { dispatches, pace } = &self.recordings[recording];
        for (i, range) in pace.submits(part).iter().enumerate() {
            if i > 0 {
                let fresh = self.cx.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                self.cx.submit(std::mem::replace(&mut encoder, fresh));
            }
            match &self.timing {
                None => {
                    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                    dispatches[range.clone()].iter().for_each(|dispatch| dispatch.encode(&mut pass));
                }
                // While profiling, each dispatch has its own pass: some devices support timestamps only at the boundaries of passes.
                Some(timing) => range.clone().for_each(|i| {
                    dispatches[i].encode(&mut timing.pass(&mut encoder, i, dispatches[i].label));
                }),
            }
        }
        let estimated = pace.estimate_of(part);
        let submission = self.cx.submit(encoder);
        if let Some(staging) = staging {
            self.uploads.submitted(&self.cx, staging, (recording, estimated), submission);
        }
        Ok(())
    }

    fn encoder(&self) -> wgpu::CommandEncoder {
        self.cx.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    }

    fn buffer_of(&self, id: BufferId) -> wgpu::Buffer {
        self.slots[self.program.buffer(id).slot].clone()
    }

    /// Starts the downloads of a part.
    fn downloads(&mut self, part: Part<'_>) -> Result<Download> {
        let ids: Vec<BufferId> = part.downloads().collect();
        if ids.is_empty() { Ok(async { Ok(Vec::new()) }.boxed_local()) } else { self.download(&ids) }
    }

    /// Adds the times of a play to the profile.
    async fn take_times(&mut self, recording: usize) -> Result<()> {
        let (Some(timing), Some(profile)) = (&self.timing, &mut self.profile) else { return Ok(()) };
        let dispatches = &self.recordings[recording].dispatches;
        if dispatches.is_empty() {
            return Ok(());
        }
        let mut encoder = self.cx.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        timing.resolve(&mut encoder, dispatches.len());
        self.cx.submit(encoder);
        let stamps = self.read_backs.copy_out(&mut self.cx, &[timing.piece(dispatches.len())])?.await?;
        timing.add(profile, dispatches, &stamps[0]);
        Ok(())
    }
}

/// Returns the bytes of the largest uploads before a part, including the step's values.
fn largest_upload(program: &Program) -> u64 {
    let words = |part: Part<'_>| part.uploads().map(|id| program.buffer(id).words).sum::<usize>();
    let largest = program.recordings.iter().flat_map(Recording::parts).map(words).max().unwrap_or(0);
    (size_of::<StepParams>() + 4 * largest) as u64
}

impl Engine for GpuEngine {
    fn device(&self) -> &DeviceInfo {
        &self.cx.info
    }

    fn target(&self) -> Target {
        self.cx.target()
    }

    fn load(&mut self, program: Arc<Program>) -> LocalBoxFuture<'_, Result<()>> {
        self.load_program(program).boxed_local()
    }

    fn upload(&mut self, buffer: BufferId, words: &[u32]) -> Result<()> {
        let info = self.program.buffer(buffer);
        assert_eq!(words.len(), info.words, "upload of `{}`", info.name);
        self.cx.copy_in(&self.slots[info.slot], bytemuck::cast_slice(words))?;
        self.cx.check_device("uploading a tensor")
    }

    fn play_with<'a>(
        &'a mut self,
        recording: usize,
        inputs: &'a [(BufferId, &'a [u32])],
        step: &'a StepParams,
        host: Option<&'a mut dyn Host>,
    ) -> LocalBoxFuture<'a, Result<Download>> {
        self.play_recording(recording, inputs, step, host.map(|host| host as _)).boxed_local()
    }

    fn download(&mut self, buffers: &[BufferId]) -> Result<Download> {
        self.cx.stats.read_backs += 1;
        let piece = |id: &BufferId| {
            let info = self.program.buffer(*id);
            (self.slots[info.slot].clone(), 4 * info.words as u64)
        };
        let pieces: Vec<_> = buffers.iter().map(piece).collect();
        self.read_backs.copy_out(&mut self.cx, &pieces)
    }

    fn stats(&self) -> Stats {
        self.cx.stats
    }

    fn buffer_bytes(&self) -> u64 {
        self.uniforms + self.uploads.bytes() + self.read_backs.bytes()
    }

    fn set_profiling(&mut self, on: bool) {
        let clock =
            if Timing::is_possible(&self.cx) { "device timestamps" } else { "none: this device has no timestamps" };
        self.profile = on.then(|| Profile::new(clock));
        self.make_timing();
    }

    fn profile(&mut self) -> LocalBoxFuture<'_, Result<Profile>> {
        let profile = self.profile.clone().unwrap_or_default();
        async { Ok(profile) }.boxed_local()
    }
}
