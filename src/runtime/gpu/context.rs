//! Adapters, and the open device that the other files of this folder share: allocation, copies, waits, and errors.

use super::super::engine::{DeviceInfo, Stats};
use super::super::target::Target;
use crate::error::{Error, Result};
use std::sync::{Arc, Mutex, PoisonError};

/// Maximum wait for the device.
#[cfg(not(target_arch = "wasm32"))]
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);

/// Maximum bytes of staging buffers that are in transfer outside steps.
const MAX_STAGED: u64 = 32 << 20;

/// Returns the adapters of this machine, in the order of their indices.
pub async fn adapters() -> Vec<DeviceInfo> {
    enumerate(&instance()).await.iter().map(|adapter| describe(&adapter.get_info())).collect()
}

fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    // Without validation layers: checked kernels do not need them, and they cost speed.
    descriptor.flags = wgpu::InstanceFlags::empty();
    descriptor.backends =
        wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12 | wgpu::Backends::BROWSER_WEBGPU;
    wgpu::Instance::new(descriptor)
}

#[cfg(not(target_arch = "wasm32"))]
async fn enumerate(instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
    instance.enumerate_adapters(wgpu::Backends::all()).await
}

/// Returns the browser's adapter: browsers do not enumerate adapters, but return one on request.
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

/// An open device.
pub struct Context {
    pub info: DeviceInfo,
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub stats: Stats,
    /// Minimum and maximum number of invocations per subgroup.
    subgroup_sizes: [u32; 2],
    /// Bytes of staging buffers for uploads outside steps that the device may not have read yet.
    staged: u64,
    /// The first error that the device reported outside error scopes, including its loss.
    device_error: DeviceError,
}

/// Whether the device is lost, and the message of the first error; `None` before an error.
type DeviceError = Arc<Mutex<Option<(bool, String)>>>;

impl Context {
    /// Opens adapter `number` of the machine with the highest limits that it supports.
    pub async fn open(number: usize) -> Result<Self> {
        let adapters = enumerate(&instance()).await;
        let found = format!("{} adapters", adapters.len());
        let adapter = adapters.into_iter().nth(number).ok_or(Error::NoDevice { wanted: number.to_string(), found })?;
        let adapter_info = adapter.get_info();
        let subgroup_sizes = [adapter_info.subgroup_min_size, adapter_info.subgroup_max_size];
        let info = describe(&adapter_info);
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("plusminus"),
            required_features: adapter.features() & wgpu::Features::TIMESTAMP_QUERY,
            required_limits: adapter.limits(),
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        };
        let failed = |message: String| Error::Device { device: info.name.clone(), doing: "opening".into(), message };
        let (device, queue) = adapter.request_device(&descriptor).await.map_err(|e| failed(e.to_string()))?;
        let device_error = DeviceError::default();
        let (on_error, on_loss) = (device_error.clone(), device_error.clone());
        let keep = |first: &DeviceError, is_lost: bool, message: String| {
            first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert((is_lost, message));
        };
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| keep(&on_error, false, error.to_string())));
        device.set_device_lost_callback(move |reason, message| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                keep(&on_loss, true, message);
            }
        });
        log::info!("opened {info}");
        Ok(Self { info, device, queue, stats: Stats::default(), subgroup_sizes, staged: 0, device_error })
    }

    /// Returns the capabilities of the device. Its features are those that it was opened with, which so far include none that kernels may
    /// require.
    pub fn target(&self) -> Target {
        let limits = self.device.limits();
        Target {
            device: self.info.name.clone(),
            max_tensor_bytes: limits.max_storage_buffer_binding_size,
            features: Vec::new(),
            subgroup_sizes: self.subgroup_sizes,
            workgroup_bytes: limits.max_compute_workgroup_storage_size,
            invocations: limits.max_compute_invocations_per_workgroup,
        }
    }

    /// Returns an error of this device.
    pub fn failed(&self, doing: impl Into<String>, message: impl Into<String>) -> Error {
        Error::Device { device: self.info.name.clone(), doing: doing.into(), message: message.into() }
    }

    /// Fails if the device has reported an error outside error scopes.
    pub fn check_device(&self, doing: &'static str) -> Result<()> {
        let first = self.device_error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match first {
            Some((true, message)) => Err(lost(&self.info.name, doing, message)),
            Some((false, message)) => Err(self.failed(doing, message)),
            None => Ok(()),
        }
    }

    /// Allocates a buffer. Errors contain the tensor's name and size.
    pub async fn buffer(&mut self, name: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
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

    /// Copies bytes into a buffer through a new mapped buffer, outside steps. If more than `MAX_STAGED` bytes are in transfer it waits for
    /// the device, so that loading a model does not double the memory use (a browser cannot wait here).
    pub fn copy_in(&mut self, buffer: &wgpu::Buffer, bytes: &[u8]) -> Result<()> {
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("upload"),
            size: bytes.len() as u64,
            usage: wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: true,
        });
        self.stats.allocations += 1;
        let view = staging.get_mapped_range_mut(..);
        view.map_err(|e| self.failed(format!("uploading {} bytes", bytes.len()), e.to_string()))?
            .copy_from_slice(bytes);
        staging.unmap();
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(&staging, 0, buffer, 0, bytes.len() as u64);
        let submission = self.submit(encoder);
        drop(staging);
        self.staged += bytes.len() as u64;
        if self.staged > MAX_STAGED {
            wait(&self.device, &self.info.name, Some(submission), "uploading")?;
            self.staged = 0;
        }
        Ok(())
    }

    /// Submits a single encoder.
    pub fn submit(&mut self, encoder: wgpu::CommandEncoder) -> wgpu::SubmissionIndex {
        self.stats.submissions += 1;
        self.queue.submit([encoder.finish()])
    }
}

/// Returns the error of a device that no longer responds.
pub fn lost(device: &str, doing: &'static str, message: impl Into<String>) -> Error {
    Error::DeviceLost { device: device.into(), doing, message: message.into() }
}

/// Waits for a submission on native targets. A browser runs the callbacks by itself.
pub fn wait(
    device: &wgpu::Device,
    name: &str,
    submission: Option<wgpu::SubmissionIndex>,
    doing: &'static str,
) -> Result<()> {
    #[cfg(not(target_arch = "wasm32"))]
    {
        let poll = wgpu::PollType::Wait { submission_index: submission, timeout: Some(TIMEOUT) };
        match device.poll(poll) {
            Ok(_) => {}
            Err(wgpu::PollError::Timeout) => {
                return Err(Error::Timeout { device: name.into(), doing, seconds: TIMEOUT.as_secs() });
            }
            Err(error) => return Err(lost(name, doing, error.to_string())),
        }
    }
    #[cfg(target_arch = "wasm32")]
    let _ = (device, name, submission, doing);
    Ok(())
}

/// Runs the callbacks of completed work, without waiting.
pub fn poll_once(device: &wgpu::Device) {
    if let Err(error) = device.poll(wgpu::PollType::Poll) {
        log::debug!("poll: {error}");
    }
}
