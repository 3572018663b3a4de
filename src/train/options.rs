//! Loss and compile options of a configuration.

use super::compile::{Loss, Options};
use super::settings::TrainConfig;
use crate::error::{Error, Result};

impl TrainConfig {
    /// Returns the loss.
    pub fn loss(&self) -> Result<Loss> {
        match self.loss.as_str() {
            "cross-entropy" => Ok(Loss::CrossEntropy(self.label_smoothing)),
            "squared-hinge" => Ok(Loss::SquaredHinge),
            other => Err(Error::setting("loss", super::settings::LOSSES.join(", "), other)),
        }
    }

    /// Returns the options of the compiled step, without a teacher.
    pub fn options(&self) -> Result<Options> {
        let (batch, seed, fuse, diagnostics) = (self.batch(), self.seed, !self.no_fuse, self.diagnostics > 0);
        Ok(Options { batch, seed, fuse, diagnostics, ..Options::new(self.loss()?) })
    }
}
