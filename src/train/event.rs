//! What a trainer tells; it never prints.

use super::diagnostics::LayerDiagnostics;
use serde::{Deserialize, Deserializer, Serialize};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Something that happened. As JSON: `{"event":"epoch","epoch":1,...}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Everything is compiled and allocated; training begins.
    Start {
        /// The device.
        device: String,
        /// Why it was taken.
        why: String,
        /// Name of the model.
        model: String,
        /// Name of the data set.
        dataset: String,
        /// Height, width, channels of what the network sees.
        #[serde(default)]
        input: [usize; 3],
        /// Classes.
        #[serde(default)]
        classes: usize,
        /// Images trained on.
        train_images: usize,
        /// Images validated on.
        #[serde(default, skip_serializing_if = "is_zero")]
        validation_images: usize,
        /// Images tested on.
        test_images: usize,
        /// What it is tested on ([`crate::data::Data::fingerprint`]); empty in runs from before this was kept.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        test_data: String,
        /// Image files that could not be read and are left out, each with the reason.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        skipped: Vec<String>,
        /// Epochs to come.
        epochs: u32,
        /// Steps of an epoch.
        steps: usize,
        /// Bytes of tensor memory, allocated before the first step.
        bytes_peak: u64,
        /// Bytes beside it: scratch of threads, staging of uploads and read-backs, batches; 0 in runs from before this was kept.
        #[serde(default)]
        bytes_buffers: u64,
        /// The seed.
        seed: u64,
    },
    /// A step was sent to the device. For progress bars; not part of `metrics.jsonl`.
    Step {
        /// Epoch, from 1.
        epoch: u32,
        /// Step of the epoch, from 1.
        step: usize,
        /// Steps of an epoch.
        steps: usize,
    },
    /// What training looked like from inside at a step, where diagnostics are on. In `metrics.jsonl` with the next epoch's line.
    Diagnostics {
        /// Epoch, from 1.
        epoch: u32,
        /// Step since the start, from 1.
        step: u64,
        /// By layer.
        layers: Vec<LayerDiagnostics>,
    },
    /// An epoch is over.
    Epoch {
        /// Which, from 1.
        epoch: u32,
        /// Mean loss of its steps.
        #[serde(deserialize_with = "number")]
        train_loss: f64,
        /// Share of its samples that were right, at the time.
        train_accuracy: f64,
        /// Mean loss on the validation images, where some are held back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        validation_loss: Option<f64>,
        /// Share of the validation images that are right.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        validation_accuracy: Option<f64>,
        /// Mean loss on the test images.
        #[serde(deserialize_with = "number")]
        test_loss: f64,
        /// Share of the test images that are right.
        test_accuracy: f64,
        /// Share of the binary weights that flipped, mean over its steps.
        flip_ratio: f64,
        /// The same by layer.
        flip_ratio_by_layer: Vec<(String, f64)>,
        /// Training images a second.
        images_per_second: f64,
        /// Seconds since the start, evaluation included.
        seconds: f64,
    },
    /// Training is over.
    Done {
        /// Share of the test images that are right.
        test_accuracy: f64,
        /// The best epoch, where images are held back to validate.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        best: Option<Best>,
        /// Seconds since the start.
        seconds: f64,
        /// Where the run was saved.
        run: Option<String>,
        /// Whether it was stopped early.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        interrupted: bool,
    },
}

/// The epoch with the highest validation accuracy, the first of several.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Which, from 1.
    pub epoch: u32,
    /// Share of the validation images that were right.
    pub validation_accuracy: f64,
    /// Share of the test images that were right then.
    pub test_accuracy: f64,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// A number; null, which JSON has for those that are not finite, is not-a-number.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// Ends training after the current step; safe to keep in a signal handler or another thread.
#[derive(Clone, Debug, Default)]
pub struct StopHandle(Arc<AtomicBool>);

impl StopHandle {
    /// Asks for the end.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the end was asked for.
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
