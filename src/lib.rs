//! Trains binary neural networks: weights and activations are -1 or +1, packed 32 to a word.
//!
//! Products of signs are xor and popcount. Gradients pass through products of floats and signs. The optimizer is a low-pass filter on the
//! gradient, and the sign of the filter is the weight (Quist, Li, van Gemert, ICLR 2023). One training step is compiled once and replayed, on
//! any GPU that WebGPU reaches or on the vector units of the processor.
//!
//! ```
//! use plusminus::train::{Event, Settings, Trainer};
//!
//! # fn main() -> plusminus::Result<()> {
//! // The embedded digits, a 64-256-10 network, three epochs.
//! let settings = Settings { hidden: Some(vec![256]), epochs: Some(3), ..Settings::default() };
//! let accuracy = plusminus::block_on(async {
//!     let mut trainer = Trainer::new(settings.resolve()?, None).await?;
//!     let outcome = trainer
//!         .fit(|event| {
//!             if let Event::Epoch { epoch, test_accuracy, .. } = event {
//!                 println!("epoch {epoch}: {:.1} %", 100.0 * test_accuracy);
//!             }
//!         })
//!         .await?;
//!     Ok::<_, plusminus::Error>(outcome.test_accuracy)
//! })?;
//! assert!(accuracy > 0.9);
//! # Ok(())
//! # }
//! ```
//!
//! # Structure
//!
//! | floor | modules | contents |
//! |---|---|---|
//! | 9 | [`cli`] | the program |
//! | 8 | [`train`] | settings, the compiled step, metrics, events, run folders, the trainer, sweeps |
//! | 7 | [`nn`] | layers, models, weights by name |
//! | 6 | [`ops`], [`optim`] | operations and optimizers: shapes, backward, twins of their kernels |
//! | 5 | [`graph`] | nodes and values, autodiff as a rewrite, fusions, the plan of memory |
//! | 4 | [`runtime`], [`data`] | kernels, recordings and the two engines; data sets and batches |
//! | 3 | [`bits`] | the inner loops of the cpu engine |
//! | 2 | [`tensor`] | shapes, bit layouts, convolution geometry, random numbers |
//! | 1 | [`error`] | one error type |
//!
//! A module imports only modules of lower floors, and itself.
//!
//! # Terms
//!
//! | term | meaning |
//! |---|---|
//! | sign, bit | a value in {-1, +1}; bit 1 is +1 |
//! | word | 32 signs in a `u32`, least significant bit first |
//! | panel | 32 rows (bits) or 32 columns (numbers) stored together ([`tensor::Layout`]); padding is 0 |
//! | kernel, twin | a WGSL program; its implementation on the processor |
//! | producer, epilogue | the loop that makes a tile of an output; the function that consumes the tile |
//! | rule, state, hyperparameter | an optimizer of binary weights; a tensor that it keeps per weight; a number that it takes |
//! | decision | the value whose sign sets the weight: positive writes -1, negative writes +1, exactly 0 keeps the bit |
//! | mask | bits that say where the surrogate gradient passes |
//! | surrogate gradient | what replaces the derivative of sign |
//! | recording, command | the list of a step; one entry of it: dispatch, upload, download, cut |
//! | slot | memory that tensors share when they never live at the same time |
//!
//! # Cargo features
//!
//! `infer` (tensors and bits), `train` (the cpu engine), `gpu` (wgpu), `images` (folders of PNG and JPEG files),
//! `images-extra` (WEBP, BMP, GIF and TIFF files), `cli` (the program; default).
#![warn(missing_docs, clippy::print_stdout, clippy::print_stderr)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that fails panics"))]

pub mod bits;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "train")]
pub mod data;
#[cfg(feature = "train")]
pub mod error;
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
pub mod tensor;
#[cfg(feature = "train")]
pub mod train;

#[cfg(feature = "train")]
pub use error::{Error, Result};

/// Runs a future to completion and returns its output. Native programs use it for device calls; a browser awaits instead.
#[cfg(all(feature = "train", not(target_arch = "wasm32")))]
pub use pollster::block_on;
