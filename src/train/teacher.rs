//! A teacher: a trained network whose softmax the student learns, or its logits from a file.

use crate::error::Error;
use crate::nn::{Model, Shape, Weights};
use crate::tensor::{PANEL, number_at, words_of};

/// The source of the teacher's logits.
#[derive(Debug)]
pub enum Source {
    /// A network that takes the student's batches with their augmentation; its batch norm uses running statistics.
    Network {
        /// Its layers.
        model: Model,
        /// Its weights.
        weights: Weights,
    },
    /// Logits `[samples, classes]`, one row per training image.
    Logits(Vec<f32>),
}

/// A teacher, and its weight in the loss (see [`crate::ops::Distillation`]).
#[derive(Debug)]
pub struct Teacher {
    /// Source of its logits.
    pub source: Source,
    /// Weight of its term in the loss, 0 to 1.
    pub weight: f32,
    /// Temperature of both softmaxes.
    pub temperature: f32,
}

impl Teacher {
    /// Returns the error of a network that does not fit the student's images. Networks with global average pooling take several sizes, so
    /// only building and loading the network detects this.
    pub(super) fn misfit([height, width, channels]: Shape, why: Error) -> Error {
        match why {
            Error::Setting { .. } | Error::Shape { .. } => {
                Error::setting("teacher", format!("a run that takes images of {height}x{width}x{channels}"), why)
            }
            other => other,
        }
    }
}

/// Packs rows of logits into panels, as the loss reads them; rows without a sample are 0.
pub(super) fn to_panels(logits: &[f32], classes: usize, samples: &[u32], rows: usize, out: &mut Vec<u32>) {
    out.clear();
    out.resize(words_of(classes) * rows * PANEL, 0);
    for (row, &sample) in samples.iter().enumerate() {
        for (class, logit) in logits[sample as usize * classes..][..classes].iter().enumerate() {
            out[number_at(rows, row, class)] = logit.to_bits();
        }
    }
}
