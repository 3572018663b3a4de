//! The engine on wgpu: Vulkan, Metal, DX12, and WebGPU in a browser. The only folder that names wgpu.
//!
//! Rules, each a bug that somebody else shipped: one encoder and one compute pass a submit, as few submits a step as none takes too long; bind groups made once; uploads
//! through a ring of mapped buffers, never into a buffer that submitted work still reads; at most two steps in flight; every native wait
//! has a time-out and a typed error; one buffer a slot, never an arena; nothing is allocated inside a step.

mod check;
mod context;
mod engine;
mod pace;
mod pipelines;
mod prepared;
mod timing;
mod transfer;

#[cfg(not(target_arch = "wasm32"))]
pub(super) use check::check_source;
pub(super) use context::adapters;
pub use engine::GpuEngine;
