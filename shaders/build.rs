//! The build script. With the feature `train` it generates Rust modules from the shaders (see `interface.rs` in this folder). Without the
//! feature it does nothing.

#[cfg(feature = "train")]
#[path = "interface.rs"]
mod interface;

fn main() {
    // `src/ops` and `src/optim` declare kernels.
    for path in ["shaders", "src/ops", "src/optim"] {
        println!("cargo::rerun-if-changed={path}");
    }
    #[cfg(feature = "train")]
    if let Err(message) = interface::write() {
        println!("cargo::error={}", message.lines().next().unwrap_or_default());
        panic!("\n{message}");
    }
}
