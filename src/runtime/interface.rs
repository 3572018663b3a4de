//! Code that the build script generates from the shaders. For `shaders/FOLDER/FILE.wgsl` it contains the module `FOLDER::FILE` with the
//! struct `Params`. For each entry point it contains a module with `INTERFACE` (bindings), `VARIANTS` (texts), `Args` (arguments of the
//! twin) and `Buffers` (tensors that a dispatch binds).
#![allow(clippy::module_inception, reason = "an entry point may have the name of its file")]

include!(concat!(env!("OUT_DIR"), "/interface.rs"));

impl Default for StepParams {
    fn default() -> Self {
        bytemuck::Zeroable::zeroed()
    }
}
