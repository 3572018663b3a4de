//! Events of training. A trainer reports them and never prints.

use super::diagnostics::LayerDiagnostics;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// An event of training. As JSON: `{"event":"epoch","epoch":1,...}`. Accuracies and ratios are fractions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The step is compiled and memory is allocated; training begins.
    Start {
        /// The device.
        device: String,
        /// Why it was chosen.
        why: String,
        /// Name of the model.
        model: String,
        /// Name of the data set.
        dataset: String,
        /// Height, width, channels of the network's input.
        #[serde(default)]
        input: [usize; 3],
        /// Number of classes.
        #[serde(default)]
        classes: usize,
        /// Number of training images.
        train_images: usize,
        /// Number of validation images.
        #[serde(default, skip_serializing_if = "is_zero")]
        validation_images: usize,
        /// Number of test images.
        test_images: usize,
        /// Fingerprint of the test images ([`crate::data::Data::fingerprint`]); empty in old runs.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        test_data: String,
        /// Image files that could not be read and are skipped, each with the reason.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        skipped: Vec<String>,
        /// Number of files in the data set's folder that are not read, by reason.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        skipped_by_reason: BTreeMap<String, usize>,
        /// What the user should know: defaults that follow from the data, test images that another run was trained on, layers that start
        /// without given weights, schedules that do not fit into the run.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notices: Vec<String>,
        /// Number of epochs.
        epochs: u32,
        /// Steps per epoch.
        steps: usize,
        /// Tensor memory in bytes, allocated up front.
        bytes_peak: u64,
        /// Bytes in addition to tensor memory: scratch memory of threads, staging of uploads and read-backs, batches; 0 in runs of older
        /// versions.
        #[serde(default)]
        bytes_buffers: u64,
        /// The seed.
        seed: u64,
    },
    /// A step was submitted. For progress bars; not part of `metrics.jsonl`.
    Step {
        /// Epoch, from 1.
        epoch: u32,
        /// Step of the epoch, from 1.
        step: usize,
        /// Steps per epoch.
        steps: usize,
    },
    /// Diagnostics of the layers at a step, if they are on. Written to `metrics.jsonl` with the line of the epoch.
    Diagnostics {
        /// Epoch, from 1.
        epoch: u32,
        /// Step of the run, from 1.
        step: u64,
        /// By layer.
        layers: Vec<LayerDiagnostics>,
    },
    /// An epoch has ended.
    Epoch {
        /// Epoch, from 1.
        epoch: u32,
        /// Mean loss of its steps.
        #[serde(deserialize_with = "number")]
        train_loss: f64,
        /// Training accuracy, accumulated while the weights change.
        train_accuracy: f64,
        /// Mean loss on the validation images, if there are any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        validation_loss: Option<f64>,
        /// Validation accuracy.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        validation_accuracy: Option<f64>,
        /// Mean loss on the test images.
        #[serde(deserialize_with = "number")]
        test_loss: f64,
        /// Test accuracy.
        test_accuracy: f64,
        /// Mean of the test accuracies of the classes, if one has at least three times the images of another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        test_balanced_accuracy: Option<f64>,
        /// Fraction of the binary weights that flipped per step, mean over the epoch.
        flip_ratio: f64,
        /// Flip ratio by layer.
        flip_ratio_by_layer: Vec<(String, f64)>,
        /// Number of times that a narrow state was stored at the limit of its format, which also happens to NaN and infinity.
        #[serde(default, skip_serializing_if = "is_zero")]
        saturated: u64,
        /// Image files that could not be read for the first time, each with the reason, in a data set that is decoded on access.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        skipped: Vec<String>,
        /// Training images per second.
        images_per_second: f64,
        /// Seconds since the start, including evaluation.
        seconds: f64,
    },
    /// Training has ended.
    Done {
        /// Test accuracy; NaN (null in JSON) if training was stopped before its first step.
        #[serde(deserialize_with = "number")]
        test_accuracy: f64,
        /// The epoch with the highest validation accuracy, if there are validation images.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        best: Option<Best>,
        /// Seconds since the start.
        seconds: f64,
        /// Number of images that could not be read during training.
        #[serde(default, skip_serializing_if = "is_zero")]
        skipped: usize,
        /// Folder of the saved run.
        run: Option<String>,
        /// Whether training was stopped early.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        interrupted: bool,
    },
}

/// The epoch with the highest validation accuracy, the first of several.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Epoch, from 1.
    pub epoch: u32,
    /// Its validation accuracy.
    pub validation_accuracy: f64,
    /// Its test accuracy.
    pub test_accuracy: f64,
}

fn is_zero<T: PartialEq + Default>(count: &T) -> bool {
    *count == T::default()
}

/// A number; null, JSON's form of a number that is not finite, becomes NaN.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// Ends training after the current step; safe to keep in a signal handler or another thread.
#[derive(Clone, Debug, Default)]
pub struct StopHandle(Arc<AtomicBool>);

impl StopHandle {
    /// Requests the end.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the end was requested.
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
