//! The wgpu engine: Vulkan, Metal, DX12, and WebGPU in a browser. Only this folder uses wgpu.
//!
//! Rules, each derived from a bug in another project:
//! - One encoder and one compute pass per submission, and as few submissions per step as the limit on their duration allows.
//! - Bind groups are created once.
//! - Uploads use a ring of mapped buffers, never a buffer that submitted work still reads.
//! - At most two steps are in flight.
//! - Every native wait has a time-out and a typed error.
//! - One buffer per slot, never an arena.
//! - Nothing is allocated inside a step.

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
