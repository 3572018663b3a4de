//! The engine on wgpu: Vulkan, Metal, DX12, and WebGPU in a browser. The only file that names wgpu.
//!
//! Rules, each a bug that somebody else shipped: one encoder, one compute pass and one submit a step; bind groups made once; uploads
//! through a ring of mapped buffers, never into a buffer that submitted work still reads; at most two steps in flight; every wait
//! has a time-out and a typed error; one buffer a slot, never an arena; nothing is allocated inside a step.
#![allow(
    unsafe_code,
    reason = "trusted shader modules: our kernels check their own bounds, and tests run them checked, too"
)]

use super::engine::{DeviceInfo, Download, Engine, Stats};
use super::interface::StepParams;
use super::kernel::{Access, BufferId, Kernel, Variant};
use super::profiler::Profile;
use super::recording::{Dispatch, Grid, Program};
use crate::error::{Error, Result};
use futures::{FutureExt, channel::oneshot, future::LocalBoxFuture};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Steps in flight: uploads for the next one are written while one runs.
const IN_FLIGHT: usize = 2;
/// Longest wait for the device.
#[cfg(not(target_arch = "wasm32"))]
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);
/// Uniform slices start at multiples of this, everywhere.
const UNIFORM: u64 = 256;
/// Groups in one dimension of a dispatch, everywhere.
const MAX_GROUPS: u32 = 65_535;

/// The adapters of this machine, in the order of their numbers.
pub(super) async fn adapters() -> Vec<DeviceInfo> {
    enumerate(&instance()).await.iter().map(|adapter| describe(&adapter.get_info())).collect()
}

fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    // No validation layers: they are not needed for checked kernels, and cost speed.
    descriptor.flags = wgpu::InstanceFlags::empty();
    descriptor.backends =
        wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12 | wgpu::Backends::BROWSER_WEBGPU;
    wgpu::Instance::new(descriptor)
}

#[cfg(not(target_arch = "wasm32"))]
async fn enumerate(instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
    instance.enumerate_adapters(wgpu::Backends::all()).await
}

/// A browser has one adapter, and gives it for the asking.
#[cfg(target_arch = "wasm32")]
async fn enumerate(instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
    let options =
        wgpu::RequestAdapterOptions { power_preference: wgpu::PowerPreference::HighPerformance, ..Default::default() };
    instance.request_adapter(&options).await.into_iter().collect()
}

fn describe(info: &wgpu::AdapterInfo) -> DeviceInfo {
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => "discrete gpu",
        wgpu::DeviceType::IntegratedGpu => "integrated gpu",
        wgpu::DeviceType::Cpu => "software",
        wgpu::DeviceType::VirtualGpu | wgpu::DeviceType::Other => "gpu",
    };
    let detail = format!("{} {}", info.driver, info.driver_info).trim().to_string();
    DeviceInfo { name: info.name.clone(), kind, backend: format!("{:?}", info.backend).to_lowercase(), detail }
}

/// Checks a kernel from outside the crate: it parses, and its entry point binds what is declared. The message has the excerpt.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn check_source(source: &str, entry: &str, bindings: &[(&str, Access)]) -> std::result::Result<(), String> {
    use wgpu::naga::{AddressSpace, StorageAccess, TypeInner, front::wgsl, valid};
    let module = wgsl::parse_str(source).map_err(|e| e.emit_to_string(source))?;
    let mut validator = valid::Validator::new(valid::ValidationFlags::all(), valid::Capabilities::empty());
    validator.validate(&module).map_err(|e| e.emit_to_string(source))?;
    if !module.entry_points.iter().any(|point| point.name == entry) {
        let names: Vec<&str> = module.entry_points.iter().map(|point| point.name.as_str()).collect();
        return Err(format!("expected an entry point `{entry}`, got {}", names.join(", ")));
    }
    let mut found = Vec::new();
    for (_, global) in module.global_variables.iter() {
        let (Some(binding), AddressSpace::Storage { access }) = (&global.binding, global.space) else { continue };
        let TypeInner::Array { base, .. } = module.types[global.ty].inner else { continue };
        let access = match module.types[base].inner {
            TypeInner::Atomic(_) => Access::Atomic,
            _ if access.contains(StorageAccess::STORE) => Access::Write,
            _ => Access::Read,
        };
        if binding.group == 0 {
            found.push((binding.binding, global.name.clone().unwrap_or_default(), access));
        }
    }
    found.sort_by_key(|(index, ..)| *index);
    let declared: Vec<_> =
        bindings.iter().enumerate().map(|(i, (name, access))| (i as u32, name.to_string(), *access)).collect();
    if found == declared { Ok(()) } else { Err(format!("expected the bindings {declared:?}, got {found:?}")) }
}

/// Plays recordings through wgpu.
pub struct GpuEngine {
    info: DeviceInfo,
    device: wgpu::Device,
    queue: wgpu::Queue,
    /// What the device said when nobody listened: errors outside scopes, and its loss.
    trouble: Arc<Mutex<Option<String>>>,
    software: bool,
    checked: bool,
    forced: Option<usize>,
    program: Arc<Program>,
    slots: Vec<wgpu::Buffer>,
    step: Option<wgpu::Buffer>,
    recordings: Vec<Vec<Prepared>>,
    staging: Vec<Staging>,
    next_staging: usize,
    read_backs: Arc<Mutex<Vec<wgpu::Buffer>>>,
    pipelines: HashMap<(&'static str, String, &'static str), Pipeline>,
    stats: Stats,
    timing: Option<Timing>,
}

/// A dispatch with everything made.
struct Prepared {
    label: &'static str,
    scope: String,
    pipeline: wgpu::ComputePipeline,
    tensors: wgpu::BindGroup,
    uniforms: Option<wgpu::BindGroup>,
    groups: [u32; 3],
}

#[derive(Clone)]
struct Pipeline {
    pipeline: wgpu::ComputePipeline,
    tensors: wgpu::BindGroupLayout,
    uniforms: wgpu::BindGroupLayout,
}

/// One piece of the upload ring. It is mapped again when the step that read it is done: that bounds the steps in flight.
struct Staging {
    buffer: wgpu::Buffer,
    mapped: Option<oneshot::Receiver<std::result::Result<(), wgpu::BufferAsyncError>>>,
    submission: Option<wgpu::SubmissionIndex>,
}

/// Timestamps around every dispatch.
struct Timing {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    period: f64,
    profile: Profile,
}

impl GpuEngine {
    /// Opens adapter `number` of the machine with the widest limits it has. `PLUSMINUS_CHECKED=1` leaves bounds checks in shaders on.
    pub async fn open(number: usize) -> Result<Self> {
        let adapters = enumerate(&instance()).await;
        let found = format!("{} adapters", adapters.len());
        let adapter = adapters.into_iter().nth(number).ok_or(Error::NoDevice { wanted: number.to_string(), found })?;
        let info = describe(&adapter.get_info());
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("plusminus"),
            required_features: adapter.features() & wgpu::Features::TIMESTAMP_QUERY,
            required_limits: adapter.limits(),
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        };
        let failed = |message: String| Error::Device { device: info.name.clone(), doing: "opening".into(), message };
        let (device, queue) = adapter.request_device(&descriptor).await.map_err(|e| failed(e.to_string()))?;
        let trouble = Arc::new(Mutex::new(None));
        let (on_error, on_loss) = (trouble.clone(), trouble.clone());
        let keep = |kept: &Mutex<Option<String>>, message: String| {
            kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(message);
        };
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| keep(&on_error, error.to_string())));
        device.set_device_lost_callback(move |reason, message| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                keep(&on_loss, format!("device lost: {message}"));
            }
        });
        log::info!("opened {info}");
        let checked = std::env::var("PLUSMINUS_CHECKED").is_ok_and(|v| v == "1");
        Ok(Self {
            software: info.kind == "software",
            info,
            device,
            queue,
            trouble,
            checked,
            forced: None,
            program: Arc::default(),
            slots: Vec::new(),
            step: None,
            recordings: Vec::new(),
            staging: Vec::new(),
            next_staging: 0,
            read_backs: Arc::default(),
            pipelines: HashMap::new(),
            stats: Stats::default(),
            timing: None,
        })
    }

    /// Programs loaded from now on take variant `number` of each kernel (modulo how many it has), whatever its size: for tests.
    pub fn force_variant(&mut self, number: Option<usize>) {
        self.forced = number;
    }

    fn trouble(&self, doing: &'static str) -> Result<()> {
        let kept = self.trouble.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        match kept {
            Some(message) => Err(Error::DeviceLost { device: self.info.name.clone(), doing, message }),
            None => Ok(()),
        }
    }

    /// Allocates a buffer; what is wrong is said with the tensor's name and size.
    async fn buffer(&mut self, name: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        let (device, tensor) = (self.info.name.clone(), name.to_string());
        let limits = self.device.limits();
        let bound = usage.contains(wgpu::BufferUsages::STORAGE);
        let binding = limits.max_storage_buffer_binding_size;
        for (limit_name, limit, counts) in
            [("binding limit", binding, bound), ("buffer limit", limits.max_buffer_size, true)]
        {
            if counts && bytes > limit {
                return Err(Error::TooLarge { device, tensor, bytes, limit_name, limit });
            }
        }
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let mapped_at_creation = usage.contains(wgpu::BufferUsages::MAP_WRITE);
        let descriptor = wgpu::BufferDescriptor { label: Some(name), size: bytes, usage, mapped_at_creation };
        let buffer = self.device.create_buffer(&descriptor);
        self.stats.allocations += 1;
        match scope.pop().await {
            Some(error) => Err(Error::OutOfMemory { device, tensor, bytes, message: error.to_string() }),
            None => Ok(buffer),
        }
    }

    async fn load_program(&mut self, program: Arc<Program>) -> Result<()> {
        program.check();
        self.recordings.clear();
        self.slots.clear();
        self.staging.clear();
        self.next_staging = 0;
        self.program = program.clone();
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        for (slot, &words) in program.slots.iter().enumerate() {
            let largest = program.buffers.iter().filter(|b| b.slot == slot).max_by_key(|b| b.words);
            let name = largest.map_or("unused", |b| &b.name);
            let buffer = self.buffer(name, 4 * words as u64, usage).await?;
            self.slots.push(buffer);
        }
        if let Some(word) = program.poison {
            for slot in 0..self.slots.len() {
                self.upload_slot(slot, &vec![word; program.slots[slot]])?;
            }
        }
        let uniform = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let step = self.buffer("step", size_of::<StepParams>() as u64, uniform).await?;
        let mut recordings = Vec::new();
        for recording in &program.recordings {
            let params = self.params(&recording.dispatches).await?;
            let mut prepared = Vec::new();
            for (i, dispatch) in recording.dispatches.iter().enumerate() {
                prepared.push(self.prepare(dispatch, &params, i as u64 * UNIFORM, &step).await?);
            }
            recordings.push(prepared);
        }
        (self.step, self.recordings) = (Some(step), recordings);
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
        let buffer = self.buffer("parameters", bytes.len() as u64, usage).await?;
        self.copy_in(&buffer, &bytes);
        Ok(buffer)
    }

    async fn prepare(
        &mut self,
        dispatch: &Dispatch,
        params: &wgpu::Buffer,
        offset: u64,
        step: &wgpu::Buffer,
    ) -> Result<Prepared> {
        let (kernel, variant) = (dispatch.kernel, self.choose(dispatch));
        let pipeline = self.pipeline(kernel, variant).await?;
        let binding = |(output, binding): (&super::kernel::Output, &super::kernel::Binding)| {
            let info = self.program.buffer(output.id);
            // Exactly the tensor, so that arrayLength() is its length although its slot may be longer.
            let size = std::num::NonZeroU64::new(4 * info.words as u64);
            let resource = wgpu::BufferBinding { buffer: &self.slots[info.slot], offset: 0, size };
            wgpu::BindGroupEntry { binding: binding.index, resource: wgpu::BindingResource::Buffer(resource) }
        };
        let entries: Vec<_> = dispatch.buffers.iter().zip(kernel.interface.bindings.iter()).map(binding).collect();
        let group = |label, layout: &wgpu::BindGroupLayout, entries: &[wgpu::BindGroupEntry<'_>]| {
            self.device.create_bind_group(&wgpu::BindGroupDescriptor { label: Some(label), layout, entries })
        };
        let tensors = group(kernel.label(), &pipeline.tensors, &entries);
        let mut uniforms = Vec::new();
        if kernel.interface.params {
            let size = std::num::NonZeroU64::new(4 * dispatch.params.len() as u64);
            let resource = wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer: params, offset, size });
            uniforms.push(wgpu::BindGroupEntry { binding: 0, resource });
        }
        if kernel.interface.step {
            uniforms.push(wgpu::BindGroupEntry { binding: 1, resource: step.as_entire_binding() });
        }
        let uniforms = (!uniforms.is_empty()).then(|| group(kernel.label(), &pipeline.uniforms, &uniforms));
        self.stats.bind_groups += 1 + u64::from(uniforms.is_some());
        let groups = self.groups(dispatch, variant)?;
        let (label, scope) = (kernel.label(), dispatch.scope.clone());
        Ok(Prepared { label, scope, pipeline: pipeline.pipeline, tensors, uniforms, groups })
    }

    /// Software adapters take the first variant, which uses registers alone. Others take the largest tile that still gives every
    /// core some groups, else the smallest.
    fn choose(&self, dispatch: &Dispatch) -> &'static Variant {
        const ENOUGH_GROUPS: u64 = 64;
        let mut variants: Vec<&'static Variant> = dispatch.kernel.all_variants().collect();
        if let Some(number) = self.forced {
            return variants[number % variants.len()];
        }
        if self.software || variants.len() == 1 {
            return variants[0];
        }
        variants.sort_by_key(|v| std::cmp::Reverse(v.cover.iter().product::<u32>()));
        let groups = |variant: &Variant| match dispatch.grid {
            Grid::Linear(n) => n.div_ceil(u64::from(variant.cover[0])),
            Grid::Tiles(extent) => (0..3).map(|i| u64::from(extent[i].div_ceil(variant.cover[i]))).product(),
        };
        variants.iter().find(|v| groups(v) >= ENOUGH_GROUPS).copied().unwrap_or(variants[variants.len() - 1])
    }

    fn groups(&self, dispatch: &Dispatch, variant: &Variant) -> Result<[u32; 3]> {
        let too_many = |groups: String| Error::Device {
            device: self.info.name.clone(),
            doing: format!("dispatching {}", dispatch.kernel.label()),
            message: format!("{groups} groups exceed {MAX_GROUPS} in a dimension; use a smaller batch"),
        };
        match dispatch.grid {
            Grid::Linear(n) => {
                let groups = n.div_ceil(u64::from(variant.cover[0]));
                let rows = groups.div_ceil(u64::from(MAX_GROUPS));
                if rows > u64::from(MAX_GROUPS) {
                    return Err(too_many(groups.to_string()));
                }
                Ok([groups.div_ceil(rows.max(1)) as u32, rows as u32, 1])
            }
            Grid::Tiles(extent) => {
                let groups = [0, 1, 2].map(|i| extent[i].div_ceil(variant.cover[i]));
                if groups.iter().any(|&g| g > MAX_GROUPS) { Err(too_many(format!("{groups:?}"))) } else { Ok(groups) }
            }
        }
    }

    async fn pipeline(&mut self, kernel: &'static Kernel, variant: &Variant) -> Result<Pipeline> {
        let key = (kernel.label(), variant.entry.to_string(), variant.preset);
        if let Some(made) = self.pipelines.get(&key) {
            return Ok(made.clone());
        }
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(kernel.label()),
            source: wgpu::ShaderSource::Wgsl(variant.source.as_ref().into()),
        };
        let module = if self.checked {
            self.device.create_shader_module(descriptor)
        } else {
            // SAFETY: our kernels guard every index, loops end, and divisors are not 0; tests run all of them checked as well.
            unsafe { self.device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
        };
        let buffer = |binding, ty| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        };
        let storage = |b: &super::kernel::Binding| {
            buffer(b.index, wgpu::BufferBindingType::Storage { read_only: b.access == Access::Read })
        };
        let layout = |entries: &[wgpu::BindGroupLayoutEntry]| {
            self.device
                .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(kernel.label()), entries })
        };
        let tensors = layout(&kernel.interface.bindings.iter().map(storage).collect::<Vec<_>>());
        let uniform = [(0, kernel.interface.params), (1, kernel.interface.step)];
        let uniform: Vec<_> = uniform
            .into_iter()
            .filter(|(_, used)| *used)
            .map(|(i, _)| buffer(i, wgpu::BufferBindingType::Uniform))
            .collect();
        let uniforms = layout(&uniform);
        let layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(kernel.label()),
            bind_group_layouts: &[Some(&tensors), Some(&uniforms)],
            ..Default::default()
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(kernel.label()),
            layout: Some(&layout),
            module: &module,
            entry_point: Some(&variant.entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        });
        self.stats.pipelines += 1;
        if let Some(error) = scope.pop().await {
            let doing = format!("compiling {} (preset {})", kernel.label(), variant.preset);
            return Err(Error::Device { device: self.info.name.clone(), doing, message: error.to_string() });
        }
        log::debug!("{}: compiled {} preset {}", self.info.name, variant.entry, variant.preset);
        let made = Pipeline { pipeline, tensors, uniforms };
        self.pipelines.insert(key, made.clone());
        Ok(made)
    }

    /// Copies bytes into a buffer, through a mapped buffer of their own; outside steps.
    fn copy_in(&mut self, buffer: &wgpu::Buffer, bytes: &[u8]) {
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("upload"),
            size: bytes.len().next_multiple_of(4) as u64,
            usage: wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: true,
        });
        self.stats.allocations += 1;
        staging.get_mapped_range_mut(..bytes.len() as u64).expect("it was made mapped").copy_from_slice(bytes);
        staging.unmap();
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(&staging, 0, buffer, 0, bytes.len() as u64);
        self.queue.submit([encoder.finish()]);
        self.stats.submissions += 1;
    }

    fn upload_slot(&mut self, slot: usize, words: &[u32]) -> Result<()> {
        let buffer = self.slots[slot].clone();
        self.copy_in(&buffer, bytemuck::cast_slice(words));
        self.trouble("uploading")
    }

    /// Waits for a submission; a browser does that by itself.
    #[cfg(not(target_arch = "wasm32"))]
    fn wait(&self, submission: Option<wgpu::SubmissionIndex>, doing: &'static str) -> Result<()> {
        let poll = wgpu::PollType::Wait { submission_index: submission, timeout: Some(TIMEOUT) };
        match self.device.poll(poll) {
            Ok(_) => Ok(()),
            Err(wgpu::PollError::Timeout) => {
                Err(Error::Timeout { device: self.info.name.clone(), doing, seconds: TIMEOUT.as_secs() })
            }
            Err(error) => Err(Error::DeviceLost { device: self.info.name.clone(), doing, message: error.to_string() }),
        }
    }

    /// The next piece of the upload ring, mapped and large enough.
    async fn take_staging(&mut self, bytes: u64) -> Result<usize> {
        let at = self.next_staging;
        self.next_staging = (at + 1) % IN_FLIGHT;
        if self.staging.get(at).is_none_or(|s| s.buffer.size() < bytes) {
            let usage = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC;
            let buffer = self.buffer("staging", bytes, usage).await?;
            let fresh = Staging { buffer, mapped: None, submission: None };
            if at < self.staging.len() {
                self.staging[at] = fresh
            } else {
                self.staging.push(fresh)
            }
            return Ok(at);
        }
        if let Some(mapped) = self.staging[at].mapped.take() {
            #[cfg(not(target_arch = "wasm32"))]
            self.wait(self.staging[at].submission.clone(), "playing a step")?;
            let lost = |message: String| Error::DeviceLost {
                device: self.info.name.clone(),
                doing: "playing a step",
                message,
            };
            mapped.await.map_err(|e| lost(e.to_string()))?.map_err(|e| lost(e.to_string()))?;
        }
        Ok(at)
    }

    async fn play_recording(
        &mut self,
        recording: usize,
        inputs: &[(BufferId, &[u32])],
        step: &StepParams,
    ) -> Result<()> {
        self.trouble("playing a step")?;
        let step_bytes: &[u8] = bytemuck::bytes_of(step);
        let bytes = step_bytes.len() + inputs.iter().map(|(_, words)| 4 * words.len()).sum::<usize>();
        let at = self.take_staging(bytes as u64).await?;
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let staging = &self.staging[at].buffer;
        {
            let mut view = staging.get_mapped_range_mut(..bytes as u64).map_err(|e| Error::Device {
                device: self.info.name.clone(),
                doing: "uploading a batch".into(),
                message: e.to_string(),
            })?;
            let mut offset = 0;
            let mut put = |bytes: &[u8], to: &wgpu::Buffer| {
                view.slice(offset..offset + bytes.len()).copy_from_slice(bytes);
                encoder.copy_buffer_to_buffer(staging, offset as u64, to, 0, bytes.len() as u64);
                offset += bytes.len();
            };
            put(step_bytes, self.step.as_ref().expect("a program is loaded"));
            for (id, words) in inputs {
                let info = self.program.buffer(*id);
                assert_eq!(words.len(), info.words, "upload of `{}`", info.name);
                put(bytemuck::cast_slice(words), &self.slots[info.slot]);
            }
        }
        staging.unmap();
        self.encode(&mut encoder, recording);
        let submission = self.queue.submit([encoder.finish()]);
        self.stats.submissions += 1;
        let (send, receive) = oneshot::channel();
        // Whoever waited may be gone; the buffer goes with it.
        self.staging[at].buffer.map_async(wgpu::MapMode::Write, .., move |result| drop(send.send(result)));
        (self.staging[at].mapped, self.staging[at].submission) = (Some(receive), Some(submission));
        if self.timing.is_some() {
            self.take_timestamps(recording).await?;
        }
        Ok(())
    }

    /// One pass for the whole step; while profiling a pass a dispatch, with timestamps at its boundaries.
    fn encode(&self, encoder: &mut wgpu::CommandEncoder, recording: usize) {
        let run = |pass: &mut wgpu::ComputePass<'_>, dispatch: &Prepared| {
            pass.set_pipeline(&dispatch.pipeline);
            pass.set_bind_group(0, &dispatch.tensors, &[]);
            if let Some(uniforms) = &dispatch.uniforms {
                pass.set_bind_group(1, uniforms, &[]);
            }
            let [x, y, z] = dispatch.groups;
            pass.dispatch_workgroups(x, y, z);
        };
        let dispatches = &self.recordings[recording];
        let Some(timing) = &self.timing else {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            return dispatches.iter().for_each(|dispatch| run(&mut pass, dispatch));
        };
        for (i, dispatch) in dispatches.iter().enumerate() {
            let timestamp_writes = wgpu::ComputePassTimestampWrites {
                query_set: &timing.queries,
                beginning_of_pass_write_index: Some(2 * i as u32),
                end_of_pass_write_index: Some(2 * i as u32 + 1),
            };
            let descriptor =
                wgpu::ComputePassDescriptor { label: Some(dispatch.label), timestamp_writes: Some(timestamp_writes) };
            run(&mut encoder.begin_compute_pass(&descriptor), dispatch);
        }
        let count = 2 * dispatches.len() as u32;
        encoder.resolve_query_set(&timing.queries, 0..count, &timing.resolved, 0);
    }

    async fn take_timestamps(&mut self, recording: usize) -> Result<()> {
        let Some(timing) = &self.timing else { return Ok(()) };
        let bytes = 16 * self.recordings[recording].len() as u64;
        let resolved = timing.resolved.clone();
        let words = self.copy_out(&[(resolved, bytes)])?.await?;
        let stamps: Vec<u64> = words[0].chunks_exact(2).map(|w| u64::from(w[0]) | u64::from(w[1]) << 32).collect();
        if let Some(timing) = &mut self.timing {
            for (dispatch, pair) in self.recordings[recording].iter().zip(stamps.chunks_exact(2)) {
                let seconds = pair[1].saturating_sub(pair[0]) as f64 * timing.period;
                timing.profile.add(dispatch.label, &dispatch.scope, seconds);
            }
        }
        Ok(())
    }

    /// Copies pieces of buffers out, in the order of submissions; read-back buffers are used again.
    fn copy_out(&mut self, pieces: &[(wgpu::Buffer, u64)]) -> Result<Download> {
        self.trouble("reading back")?;
        let bytes: u64 = pieces.iter().map(|(_, bytes)| bytes).sum();
        let buffer = self.take_read_back(bytes);
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut offset = 0;
        for (from, bytes) in pieces {
            encoder.copy_buffer_to_buffer(from, 0, &buffer, offset, *bytes);
            offset += bytes;
        }
        let submission = self.queue.submit([encoder.finish()]);
        self.stats.submissions += 1;
        let (send, receive) = oneshot::channel();
        buffer.map_async(wgpu::MapMode::Read, ..bytes, move |result| drop(send.send(result)));
        let sizes: Vec<usize> = pieces.iter().map(|(_, bytes)| *bytes as usize / 4).collect();
        let (pool, device, name) = (self.read_backs.clone(), self.device.clone(), self.info.name.clone());
        Ok(async move {
            let failed = |message: String| Error::DeviceLost { device: name.clone(), doing: "reading back", message };
            #[cfg(not(target_arch = "wasm32"))]
            {
                let poll = wgpu::PollType::Wait { submission_index: Some(submission), timeout: Some(TIMEOUT) };
                device.poll(poll).map_err(|error| match error {
                    wgpu::PollError::Timeout => {
                        Error::Timeout { device: name.clone(), doing: "reading back", seconds: TIMEOUT.as_secs() }
                    }
                    other => failed(other.to_string()),
                })?;
            }
            #[cfg(target_arch = "wasm32")]
            let _ = (submission, device);
            receive.await.map_err(|e| failed(e.to_string()))?.map_err(|e| failed(e.to_string()))?;
            let words: Vec<u32> = {
                let view = buffer.get_mapped_range(..bytes).map_err(|e| failed(e.to_string()))?;
                bytemuck::pod_collect_to_vec(&view)
            };
            buffer.unmap();
            pool.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(buffer);
            let mut rest = &words[..];
            let mut out = Vec::new();
            for size in sizes {
                let (piece, behind) = rest.split_at(size);
                out.push(piece.to_vec());
                rest = behind;
            }
            Ok(out)
        }
        .boxed_local())
    }

    fn take_read_back(&mut self, bytes: u64) -> wgpu::Buffer {
        let mut pool = self.read_backs.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let fits =
            pool.iter().enumerate().filter(|(_, b)| b.size() >= bytes).min_by_key(|(_, b)| b.size()).map(|(at, _)| at);
        if let Some(at) = fits {
            return pool.swap_remove(at);
        }
        self.stats.allocations += 1;
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let descriptor =
            wgpu::BufferDescriptor { label: Some("read-back"), size: bytes, usage, mapped_at_creation: false };
        self.device.create_buffer(&descriptor)
    }
}

impl Engine for GpuEngine {
    fn device(&self) -> &DeviceInfo {
        &self.info
    }

    fn load(&mut self, program: Arc<Program>) -> LocalBoxFuture<'_, Result<()>> {
        self.load_program(program).boxed_local()
    }

    fn upload(&mut self, buffer: BufferId, words: &[u32]) -> Result<()> {
        let info = self.program.buffer(buffer);
        assert_eq!(words.len(), info.words, "upload of `{}`", info.name);
        self.upload_slot(info.slot, words)
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
        self.stats.read_backs += 1;
        let piece = |id: &BufferId| {
            let info = self.program.buffer(*id);
            (self.slots[info.slot].clone(), 4 * info.words as u64)
        };
        let pieces: Vec<_> = buffers.iter().map(piece).collect();
        self.copy_out(&pieces)
    }

    fn stats(&self) -> Stats {
        self.stats
    }

    fn set_profiling(&mut self, on: bool) {
        self.timing = None;
        let longest = self.recordings.iter().map(Vec::len).max().unwrap_or(0) as u32;
        if !on || longest == 0 || !self.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return;
        }
        let descriptor =
            wgpu::QuerySetDescriptor { label: Some("profile"), ty: wgpu::QueryType::Timestamp, count: 2 * longest };
        let queries = self.device.create_query_set(&descriptor);
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let descriptor = wgpu::BufferDescriptor {
            label: Some("profile"),
            size: 16 * u64::from(longest),
            usage,
            mapped_at_creation: false,
        };
        let resolved = self.device.create_buffer(&descriptor);
        self.stats.allocations += 2;
        let period = f64::from(self.queue.get_timestamp_period()) * 1e-9;
        self.timing = Some(Timing { queries, resolved, period, profile: Profile::new("device timestamps") });
    }

    fn profile(&mut self) -> LocalBoxFuture<'_, Result<Profile>> {
        let profile = match &self.timing {
            Some(timing) => timing.profile.clone(),
            None => Profile::new("none: this device has no timestamps"),
        };
        async { Ok(profile) }.boxed_local()
    }
}
