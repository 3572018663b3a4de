//! Batch size and epochs by the number of training images, where they are not set.

use super::table::TrainConfig;

/// Default batch size of sets that are not small.
const BATCH: usize = 100;

/// Least size that the default is derived from: statistics of batch norm are noisy below. Measured on 90 pictures of three grey levels
/// (400 steps, 8 seeds): batches of 45 learn all of them on 7 seeds, of 30 or 16 on 1 or 2.
const LEAST_BATCH: usize = 48;

/// Steps of an epoch that a smaller batch is to reach.
const STEPS_PER_EPOCH: usize = 10;

/// Least number of steps of a run by default. Measured on the same pictures: 200 steps are enough on no seed.
const LEAST_STEPS: usize = 400;

/// Default epochs, and those of the digits.
const EPOCHS: [u32; 2] = [6, 30];

impl TrainConfig {
    /// Images per batch: as set, or the default where the number of images is unknown.
    pub fn batch(&self) -> usize {
        self.batch_size.unwrap_or(BATCH)
    }

    /// Passes over the training images, likewise.
    pub fn passes(&self) -> u32 {
        self.epochs.unwrap_or(EPOCHS[usize::from(self.dataset == "digits")])
    }

    /// With batch size and epochs for a number of training images, and in words what differs from the defaults of larger sets.
    pub fn sized(self, images: usize) -> (Self, Vec<String>) {
        let mut notices = Vec::new();
        let usual = match images / STEPS_PER_EPOCH {
            BATCH.. => BATCH,
            tenth => {
                // Batches of the same size, since a short last one is noisy.
                let batches = images.div_ceil(tenth.max(LEAST_BATCH)).max(1);
                images.div_ceil(batches).max(2)
            }
        };
        let batch = self.batch_size.unwrap_or(usual);
        if batch != self.batch() {
            notices.push(format!("batches of {batch} images (--batch-size), since there are {images} training images"));
        }
        let steps = images.div_ceil(batch.max(1)).max(1);
        let least = LEAST_STEPS.div_ceil(steps) as u32;
        let epochs = self.epochs.unwrap_or(self.passes().max(least));
        if epochs != self.passes() {
            notices.push(format!(
                "{epochs} epochs of {steps} steps (--epochs), so that the run has at least {LEAST_STEPS} steps"
            ));
        }
        (Self { batch_size: Some(batch), epochs: Some(epochs), ..self }, notices)
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::Settings;
    use super::*;

    #[test]
    fn small_sets_take_smaller_batches_and_more_epochs() {
        let folder = |batch_size, epochs| {
            let (dataset, data_dir) = (Some("folder".into()), Some("images".into()));
            let settings = Settings { dataset, data_dir, batch_size, epochs, ..Settings::default() };
            settings.resolve().expect("in range")
        };
        let of = |config: TrainConfig, images| {
            let (config, notices) = config.sized(images);
            (config.batch(), config.passes(), notices.len())
        };
        for (images, expected) in [
            (50_000, (100, 6, 0)),
            (6_700, (100, 6, 0)),
            (1_437, (100, 27, 1)),
            (999, (91, 37, 2)),
            (480, (48, 40, 2)),
            (90, (45, 200, 2)),
            (60, (30, 200, 2)),
            (5, (5, 400, 2)),
        ] {
            assert_eq!(of(folder(None, None), images), expected, "{images} images");
        }
        assert_eq!(of(folder(Some(20), None), 60), (20, 134, 1));
        assert_eq!(of(folder(Some(100), Some(1)), 480), (100, 1, 0), "as they were set");
        assert_eq!(of(Settings::default().resolve().expect("in range"), 1_437), (100, 30, 0), "the digits");
        // What is saved is what it resolves to again, of whatever number of images.
        let (sized, _) = folder(None, None).sized(60);
        assert_eq!(sized.clone().sized(50_000), (sized, Vec::new()));
    }
}
