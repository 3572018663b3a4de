//! The engine itself: loads programs, plays recordings.

use super::super::engine::{DeviceInfo, Download, Engine, Stats};
use super::super::interface::StepParams;
use super::super::kernel::{Binding, BufferArg, BufferId};
use super::super::profiler::Profile;
use super::super::recording::{Dispatch, Program};
use super::context::Context;
use super::pipelines::{Pipelines, groups};
use super::timing::Timing;
use super::transfer::{ReadBacks, UploadRing};
use crate::error::Result;
use futures::{FutureExt, future::LocalBoxFuture};
use std::num::NonZeroU64;
use std::sync::Arc;
use web_time::Duration;

/// A submit shall not take longer, or the system believes that the device hangs.
const LONGEST_SUBMIT: Duration = Duration::from_millis(100);
/// Uniform slices start at multiples of this, everywhere.
const UNIFORM: u64 = 256;

/// Plays recordings through wgpu.
pub struct GpuEngine {
    cx: Context,
    pipelines: Pipelines,
    uploads: UploadRing,
    read_backs: ReadBacks,
    program: Arc<Program>,
    slots: Vec<wgpu::Buffer>,
    step: Option<wgpu::Buffer>,
    recordings: Vec<Vec<Prepared>>,
    timing: Option<Timing>,
    /// Submits that a step is split into.
    submits: usize,
}

/// A dispatch with everything made.
pub(super) struct Prepared {
    pub label: &'static str,
    pub scope: String,
    pipeline: wgpu::ComputePipeline,
    tensors: wgpu::BindGroup,
    uniforms: Option<wgpu::BindGroup>,
    groups: [u32; 3],
}

impl Prepared {
    fn encode(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.tensors, &[]);
        if let Some(uniforms) = &self.uniforms {
            pass.set_bind_group(1, uniforms, &[]);
        }
        let [x, y, z] = self.groups;
        pass.dispatch_workgroups(x, y, z);
    }
}

impl GpuEngine {
    /// Opens adapter `number` of the machine with the widest limits it has. `PLUSMINUS_CHECKED=1` leaves bounds checks in shaders on.
    pub async fn open(number: usize) -> Result<Self> {
        let cx = Context::open(number).await?;
        Ok(Self {
            pipelines: Pipelines::new(cx.info.kind == "software"),
            cx,
            uploads: UploadRing::default(),
            read_backs: ReadBacks::default(),
            program: Arc::default(),
            slots: Vec::new(),
            step: None,
            recordings: Vec::new(),
            timing: None,
            submits: 1,
        })
    }

    /// Programs loaded from now on take variant `number` of each kernel (modulo how many it has), whatever its size: for tests.
    pub fn force_variant(&mut self, number: Option<usize>) {
        self.pipelines.forced = number;
    }

    /// Programs loaded from now on have their grids folded above so many groups in a dimension, as those above 65,535 are: for tests.
    pub fn fold_above(&mut self, groups: u32) {
        self.pipelines.fold_above = groups;
    }

    async fn load_program(&mut self, program: Arc<Program>) -> Result<()> {
        program.check();
        // The program before goes first, since the device may not hold both. Where the next one fails there is none.
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
        self.uploads = UploadRing::default();
        self.submits = 1;
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
        for recording in &program.recordings {
            let params = self.params(&recording.dispatches).await?;
            let mut prepared = Vec::new();
            for (i, dispatch) in recording.dispatches.iter().enumerate() {
                prepared.push(self.prepare(dispatch, &params, i as u64 * UNIFORM, &step).await?);
            }
            self.recordings.push(prepared);
        }
        self.step = Some(step);
        Ok(())
    }

    /// One uniform buffer with every dispatch's parameters; they never change.
    async fn params(&mut self, dispatches: &[Dispatch]) -> Result<wgpu::Buffer> {
        let mut bytes = vec![0_u8; dispatches.len().max(1) * UNIFORM as usize];
        for (slice, dispatch) in bytes.chunks_exact_mut(UNIFORM as usize).zip(dispatches) {
            let words: &[u8] = bytemuck::cast_slice(&dispatch.params);
            slice[..words.len()].copy_from_slice(words);
        }
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let buffer = self.cx.buffer("parameters", bytes.len() as u64, usage).await?;
        self.cx.copy_in(&buffer, &bytes)?;
        Ok(buffer)
    }

    async fn prepare(
        &mut self,
        dispatch: &Dispatch,
        params: &wgpu::Buffer,
        offset: u64,
        step: &wgpu::Buffer,
    ) -> Result<Prepared> {
        let (kernel, variant) = (dispatch.kernel, self.pipelines.choose(dispatch));
        let pipeline = self.pipelines.get(&mut self.cx, kernel, variant).await?;
        let binding = |(output, binding): (&BufferArg, &Binding)| {
            let info = self.program.buffer(output.id);
            // Exactly the tensor, so that arrayLength() is its length although its slot may be longer.
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
        if kernel.interface.params {
            let size = NonZeroU64::new(4 * dispatch.params.len() as u64);
            let resource = wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer: params, offset, size });
            uniforms.push(wgpu::BindGroupEntry { binding: 0, resource });
        }
        if kernel.interface.step {
            uniforms.push(wgpu::BindGroupEntry { binding: 1, resource: step.as_entire_binding() });
        }
        let uniforms = (!uniforms.is_empty()).then(|| group(&pipeline.uniforms, &uniforms));
        self.cx.stats.bind_groups += 1 + u64::from(uniforms.is_some());
        let groups = groups(&self.cx, dispatch, variant, self.pipelines.fold_above)?;
        let (label, scope) = (kernel.label(), dispatch.scope.clone());
        Ok(Prepared { label, scope, pipeline: pipeline.pipeline, tensors, uniforms, groups })
    }

    async fn play_recording(
        &mut self,
        recording: usize,
        inputs: &[(BufferId, &[u32])],
        step: &StepParams,
    ) -> Result<()> {
        self.cx.check_device("playing a step")?;
        self.program.check_play(recording, inputs, step)?;
        let mut encoder = self.cx.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let to = self.step.as_ref().expect("a program is loaded");
        let mut pieces: Vec<(&[u8], &wgpu::Buffer)> = vec![(bytemuck::bytes_of(step), to)];
        for (id, words) in inputs {
            let info = self.program.buffer(*id);
            assert_eq!(words.len(), info.words, "upload of `{}`", info.name);
            pieces.push((bytemuck::cast_slice(words), &self.slots[info.slot]));
        }
        let (piece, earlier) = self.uploads.write(&mut self.cx, &mut encoder, &pieces).await?;
        let dispatches = &self.recordings[recording];
        if earlier.is_some_and(|time| time > LONGEST_SUBMIT * self.submits as u32) {
            self.submits = (2 * self.submits).min(dispatches.len().max(1));
            log::info!("{}: steps are split into {} submits now", self.cx.info.name, self.submits);
        }
        match &self.timing {
            None => {
                for (i, part) in dispatches.chunks(dispatches.len().div_ceil(self.submits).max(1)).enumerate() {
                    if i > 0 {
                        let fresh = self.cx.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                        self.cx.submit(std::mem::replace(&mut encoder, fresh));
                    }
                    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                    part.iter().for_each(|dispatch| dispatch.encode(&mut pass));
                }
            }
            // While profiling, a pass a dispatch with timestamps at its boundaries: some devices have no others.
            Some(timing) => {
                for (i, dispatch) in dispatches.iter().enumerate() {
                    dispatch.encode(&mut timing.pass(&mut encoder, i, dispatch.label));
                }
                timing.resolve(&mut encoder, dispatches.len());
            }
        }
        let submission = self.cx.submit(encoder);
        self.uploads.submitted(&self.cx, piece, submission);
        if let Some(timing) = &mut self.timing {
            let stamps = self.read_backs.copy_out(&mut self.cx, &[timing.piece(dispatches.len())])?.await?;
            timing.add(dispatches, &stamps[0]);
        }
        Ok(())
    }
}

impl Engine for GpuEngine {
    fn device(&self) -> &DeviceInfo {
        &self.cx.info
    }

    fn load(&mut self, program: Arc<Program>) -> LocalBoxFuture<'_, Result<()>> {
        self.load_program(program).boxed_local()
    }

    fn upload(&mut self, buffer: BufferId, words: &[u32]) -> Result<()> {
        let info = self.program.buffer(buffer);
        assert_eq!(words.len(), info.words, "upload of `{}`", info.name);
        self.cx.copy_in(&self.slots[info.slot], bytemuck::cast_slice(words))?;
        self.cx.check_device("uploading")
    }

    fn play<'a>(
        &'a mut self,
        recording: usize,
        inputs: &'a [(BufferId, &'a [u32])],
        step: &'a StepParams,
    ) -> LocalBoxFuture<'a, Result<()>> {
        self.play_recording(recording, inputs, step).boxed_local()
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

    fn set_profiling(&mut self, on: bool) {
        let longest = self.recordings.iter().map(Vec::len).max().unwrap_or(0);
        self.timing = if on { Timing::new(&mut self.cx, longest) } else { None };
    }

    fn profile(&mut self) -> LocalBoxFuture<'_, Result<Profile>> {
        let none = || Profile::new("none: this device has no timestamps");
        let profile = self.timing.as_ref().map_or_else(none, |timing| timing.profile.clone());
        async { Ok(profile) }.boxed_local()
    }
}
