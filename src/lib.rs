//! plusminus
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that fails panics"))]

pub mod bits;
pub mod error;
pub mod tensor;

#[cfg(feature = "train")]
pub mod data;
#[cfg(feature = "train")]
pub mod graph;
#[cfg(feature = "train")]
pub mod nn;
#[cfg(feature = "train")]
pub mod ops;
#[cfg(feature = "train")]
pub mod optim;
#[cfg(feature = "train")]
pub mod runtime;
#[cfg(feature = "train")]
pub mod train;

#[cfg(feature = "cli")]
pub mod cli;

#[cfg(feature = "train")]
pub use error::{Error, Result};

/// Runs the future of a device call to its end: what a native program does; a browser awaits instead.
#[cfg(all(feature = "train", not(target_arch = "wasm32")))]
pub use pollster::block_on;
