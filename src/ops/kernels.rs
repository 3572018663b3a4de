//! The registry of this folder's kernels; the build script lists what `kernel!` declares in its files.

include!(concat!(env!("OUT_DIR"), "/kernels_ops.rs"));
