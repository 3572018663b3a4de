//! A teacher: a trained network whose softmax the student learns, or its logits from a file.

use crate::error::Error;
use crate::nn::{Model, Shape, Weights};
use crate::tensor::{PANEL, number_at, words_of};

/// Where the teacher's logits come from.
#[derive(Debug)]
pub enum Source {
    /// A network that sees the batches of the student, augmented as they are; its batch norm uses running statistics.
    Network {
        /// Its layers.
        model: Model,
        /// Its weights.
        weights: Weights,
    },
    /// Logits `[samples, classes]`, one row a training image.
    Logits(Vec<f32>),
}

/// A teacher, and how much it counts (see [`crate::ops::Distillation`]).
#[derive(Debug)]
pub struct Teacher {
    /// Its logits.
    pub source: Source,
    /// Its share of the loss, 0 to 1.
    pub weight: f32,
    /// Temperature of both softmaxes.
    pub temperature: f32,
}

impl Teacher {
    /// A network that the student's images do not fit; networks that end in a global average take other sizes, so that only building and
    /// loading it can tell.
    pub(super) fn misfit([height, width, channels]: Shape, why: Error) -> Error {
        match why {
            Error::Setting { .. } | Error::Shape { .. } => {
                Error::setting("teacher", format!("a run that takes images of {height}x{width}x{channels}"), why)
            }
            other => other,
        }
    }
}

/// Rows of logits in panels, as the loss reads them; rows without a sample are 0.
pub(super) fn to_panels(logits: &[f32], classes: usize, samples: &[u32], rows: usize, out: &mut Vec<u32>) {
    out.clear();
    out.resize(words_of(classes) * rows * PANEL, 0);
    for (row, &sample) in samples.iter().enumerate() {
        for (class, logit) in logits[sample as usize * classes..][..classes].iter().enumerate() {
            out[number_at(rows, row, class)] = logit.to_bits();
        }
    }
}
