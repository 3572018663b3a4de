//! Trains binary neural networks: weights and activations are -1 or +1, packed 32 to a word.
//!
//! Products of signs are xor and popcount; gradients pass through floats-by-signs products; the optimizer is a low-pass filter on the
//! gradient whose sign *is* the weight (Quist, Li, van Gemert, ICLR 2023). One training step is compiled once and replayed, on any GPU
//! that WebGPU reaches or on the processor's own vector units.
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
//! # The house
//!
//! | floor | rooms | what is in them |
//! |---|---|---|
//! | 9 | [`cli`] | the program |
//! | 8 | [`train`] | configuration, the compiled step, metrics, events, run folders, the trainer |
//! | 7 | [`nn`] | layers, models, weights by name |
//! | 6 | [`ops`], [`optim`] | operations and optimizers: shapes, backward, twins of their kernels |
//! | 5 | [`graph`] | nodes and values, autodiff as a rewrite, the plan of memory |
//! | 4 | [`runtime`], [`data`] | kernels, recordings and the two engines; data sets and batches |
//! | 3 | [`bits`] | the processor's bit kernels |
//! | 2 | [`tensor`] | shapes, bit layouts, counter-based random numbers |
//! | 1 | [`error`] | one error type |
//!
//! A room imports lower floors only.
//!
//! # Words
//!
//! A *word* is 32 signs in a `u32`, bit 1 for +1, least significant bit first; a *tail* is what a word or panel has beyond the matrix,
//! always 0. A *panel* is 32 columns of numbers or 32 rows of bits ([`tensor::Layout`]). A *twin* is a kernel on the processor. A
//! *surrogate* stands in for the derivative of sign. A *recording* is a step as a list of dispatches; a *slot* is a piece of memory
//! that tensors share when they never live at once.
//!
//! # Cargo features
//!
//! `infer` (tensor and bits alone), `train` (the processor's engine), `gpu` (wgpu), `images` (folders of PNG and JPEG), `cli` (the program; default).
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

/// Runs the future of a device call to its end: what a native program does; a browser awaits instead.
#[cfg(all(feature = "train", not(target_arch = "wasm32")))]
pub use pollster::block_on;
