//! The build script. Shaders are read for the feature `train` and above; an application with `infer` alone builds none.

#[cfg(feature = "train")]
#[path = "interface.rs"]
mod interface;

fn main() {
    #[cfg(feature = "train")]
    interface::write();
}
