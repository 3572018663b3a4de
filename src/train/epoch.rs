//! One epoch of a trainer: its steps with their read-backs, and its event.

use super::event::Event;
use super::metrics::Interval;
use super::run::Run;
use super::session::{Evaluation, Measurement, ReadBack};
use super::trainer::Trainer;
use crate::data::Loader;
use crate::error::{Error, Result};
use crate::nn::parent_path;
use crate::tensor::Stream;
use web_time::Instant;

impl Trainer {
    /// Trains one epoch and returns its interval and seconds; `None` if it was stopped.
    pub(super) async fn epoch(
        &mut self,
        loader: &Loader,
        epoch: u32,
        on_event: &mut impl FnMut(&Event),
    ) -> Result<Option<(Interval, f64)>> {
        let (start, steps) = (Instant::now(), loader.batches());
        let order = Stream::new(self.config.seed, &format!("order.{epoch}"));
        let mut sums = Interval::default();
        let mut waiting: Option<ReadBack> = None;
        let mut measured: Option<(u64, Measurement)> = None;
        let mut batches = loader.epoch(Some(order));
        let (mut step, mut is_over) = (0, false);
        while !self.stop.is_stopped() {
            let Some(batch) = batches.next().transpose()? else {
                is_over = true;
                break;
            };
            let number = self.session.step();
            let is_measured = self.config.diagnostics > 0 && (number + 1).is_multiple_of(self.config.diagnostics);
            // Two steps may be in flight. After this number of steps the measurement has arrived, and taking it does not wait.
            if let Some(earlier) = measured.take_if(|(at, _)| is_measured || number > *at + 1) {
                self.tell_layers(earlier, epoch, on_event).await?;
            }
            if is_measured {
                measured = Some((number, self.session.diagnose(&batch).await?));
            } else {
                self.session.train(&batch).await?;
            }
            batches.give_back(batch);
            step += 1;
            on_event(&Event::Step { epoch, step, steps });
            if self.session.is_read_back_due() {
                // The result of the previous read-back is taken while later steps run.
                let asked = self.session.read_back()?;
                if let Some(earlier) = waiting.replace(asked) {
                    self.take(earlier, &mut sums, epoch).await?;
                }
            }
        }
        self.skipped.extend(loader.skipped());
        if is_over && step == 0 {
            let path = self.config.data_dir.clone().unwrap_or_else(|| self.data().name.clone().into());
            let got = format!("none (such as {})", self.skipped.first().map_or("none", String::as_str));
            return Err(Error::Format { path, expected: "training images that can be read".into(), got });
        }
        if let Some(last) = measured {
            self.tell_layers(last, epoch, on_event).await?;
        }
        let last = self.session.read_back()?;
        for read_back in waiting.into_iter().chain([last]) {
            self.take(read_back, &mut sums, epoch).await?;
        }
        // Images that cannot be read make an epoch shorter.
        Ok((is_over || step == steps).then(|| (sums, start.elapsed().as_secs_f64())))
    }

    async fn tell_layers(
        &mut self,
        (number, measurement): (u64, Measurement),
        epoch: u32,
        on_event: &mut impl FnMut(&Event),
    ) -> Result<()> {
        let layers = self.session.layers(measurement).await?;
        self.tell(Event::Diagnostics { epoch, step: number + 1, layers }, on_event)
    }

    async fn take(&mut self, read_back: ReadBack, sums: &mut Interval, epoch: u32) -> Result<()> {
        match self.session.interval(read_back).await? {
            Ok(interval) => {
                sums.add(&interval);
                Ok(())
            }
            Err(step) => Err(self.diverged(step, epoch)?),
        }
    }

    pub(super) fn diverged(&mut self, step: u32, epoch: u32) -> Result<Error> {
        // Writes earlier measurements, which help to explain the failure.
        self.run.as_mut().map_or(Ok(()), Run::flush)?;
        Ok(Error::Diverged { step, epoch })
    }

    pub(super) fn epoch_event(
        &self,
        epoch: u32,
        interval: &Interval,
        (validation, evaluation): (Option<&Evaluation>, &Evaluation),
        training: f64,
        seconds: f64,
    ) -> Event {
        let binary = self.session.binary();
        let ratio = |(i, (name, weights)): (usize, &(String, u64))| {
            (parent_path(name).to_string(), interval.flip_ratio(i, *weights))
        };
        let weights: u64 = binary.iter().map(|(_, weights)| weights).sum();
        let flips: u64 = interval.flips.iter().sum();
        Event::Epoch {
            epoch,
            train_loss: interval.mean_loss(),
            train_accuracy: interval.accuracy(),
            validation_loss: validation.map(|validation| validation.loss),
            validation_accuracy: validation.map(Evaluation::accuracy),
            test_loss: evaluation.loss,
            test_accuracy: evaluation.accuracy(),
            test_balanced_accuracy: evaluation.is_lopsided().then(|| evaluation.balanced_accuracy()),
            flip_ratio: flips as f64 / (weights.max(1) * interval.steps.max(1)) as f64,
            flip_ratio_by_layer: binary.iter().enumerate().map(ratio).collect(),
            saturated: interval.saturated,
            skipped: Vec::new(),
            images_per_second: interval.samples as f64 / training.max(1e-9),
            seconds,
        }
    }
}
