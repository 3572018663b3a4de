//! What the build script read in the shaders: for `shaders/ROOM/FILE.wgsl` the module `ROOM::FILE` with its `Params`, and for each entry
//! point a module with `INTERFACE` (bindings), `VARIANTS` (texts), `Args` (what a twin receives) and `Buffers` (what a dispatch binds).
#![allow(clippy::module_inception, reason = "an entry point may be called like its file")]

include!(concat!(env!("OUT_DIR"), "/interface.rs"));

impl Default for StepParams {
    fn default() -> Self {
        bytemuck::Zeroable::zeroed()
    }
}
