//! Weights of the classes in the training loss.

use super::settings::TrainConfig;
use crate::data::Data;
use crate::error::{Error, Result};

/// Weights by the inverse of the number of training images.
const BALANCED: &str = "balanced";

impl TrainConfig {
    /// Fails for weights of classes that are neither `balanced` nor positive numbers.
    pub(super) fn check_class_weights(&self) -> Result<()> {
        self.listed_class_weights().map(drop)
    }

    /// Returns the weight of each class; `None` if all are 1. With `balanced`, images / (classes * images of the class): their mean over the
    /// training images is 1.
    pub fn class_weights_for(&self, data: &Data) -> Result<Option<Vec<f32>>> {
        let classes = data.classes.len();
        if self.class_weights.as_deref() == Some(BALANCED) {
            let mut counts = vec![0_usize; classes];
            (0..data.train.len()).for_each(|image| counts[data.train.label(image) as usize] += 1);
            let weight = |count: &usize| data.train.len() as f32 / (classes * (*count).max(1)) as f32;
            return Ok(Some(counts.iter().map(weight).collect()));
        }
        match self.listed_class_weights()? {
            Some(weights) if weights.len() != classes => {
                Err(Error::setting("class-weights", format!("{BALANCED}, or {classes} numbers"), weights.len()))
            }
            weights => Ok(weights),
        }
    }

    fn listed_class_weights(&self) -> Result<Option<Vec<f32>>> {
        let Some(text) = self.class_weights.as_deref().filter(|text| *text != BALANCED) else { return Ok(None) };
        let positive = |item: &str| item.trim().parse().ok().filter(|weight: &f32| *weight > 0.0 && weight.is_finite());
        let weights: Option<Vec<f32>> = text.split(',').map(positive).collect();
        let wrong = || Error::setting("class-weights", format!("{BALANCED}, or a positive number per class"), text);
        weights.map(Some).ok_or_else(wrong)
    }
}
