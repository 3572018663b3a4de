//! The build script: with the feature `train` it reads every shader and tells Rust what is in it (`interface.rs`, beside this file).
//! Without it there is no shader to read.

#[cfg(feature = "train")]
#[path = "interface.rs"]
mod interface;

fn main() {
    // Kernels are declared in these two folders of src/.
    for path in ["shaders", "src/ops", "src/optim"] {
        println!("cargo::rerun-if-changed={path}");
    }
    #[cfg(feature = "train")]
    if let Err(message) = interface::write() {
        println!("cargo::error={}", message.lines().next().unwrap_or_default());
        panic!("\n{message}");
    }
}
