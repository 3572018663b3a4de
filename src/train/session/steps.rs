//! A session as it trains: steps, and what is read back of them.

use super::super::compile::{RING, TEACHER_LOGITS};
use super::super::diagnostics::LayerDiagnostics;
use super::super::metrics::Interval;
use super::super::teacher::to_panels;
use super::base::{EVAL, READ_BACK, Session, TRAIN};
use crate::data::Batch;
use crate::error::Result;
use crate::runtime::{Download, StepParams};
use crate::tensor::seed_word;

/// An answer on its way.
pub struct ReadBack {
    steps: u64,
    samples: u64,
    download: Download,
}

/// A measurement on its way.
pub struct Measurement {
    steps: u64,
    download: Download,
}

impl Session {
    /// Training steps taken so far: the number, from 0, of the next one. Schedules, random numbers and the units of narrow states go by it;
    /// loading weights leaves it as it is.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Steps of the whole run, which schedules span from here on.
    pub fn set_total_steps(&mut self, total: u64) {
        self.total_steps = total;
    }

    /// The next training step.
    ///
    /// # Panics
    /// Without rules, and where [`Session::is_read_back_due`] and nothing was read back.
    pub async fn train(&mut self, batch: &Batch) -> Result<()> {
        self.take_step("train", batch).await
    }

    /// The same step, and a look at every layer on the way. Later steps may run before the answer is taken with [`Session::layers`].
    ///
    /// # Panics
    /// Where the session was not made with diagnostics, and as [`Session::train`].
    pub async fn diagnose(&mut self, batch: &Batch) -> Result<Measurement> {
        self.take_step("diagnose", batch).await?;
        let ids = self.diagnostics.as_ref().expect("a session made with diagnostics").tensors(&self.plan);
        Ok(Measurement { steps: std::mem::take(&mut self.unmeasured), download: self.engine.download(&ids)? })
    }

    /// The answer; measurements are taken in their order.
    pub async fn layers(&mut self, measurement: Measurement) -> Result<Vec<LayerDiagnostics>> {
        let words = measurement.download.await?;
        Ok(self.diagnostics.as_mut().expect("it was measured").read(&words, measurement.steps))
    }

    async fn take_step(&mut self, recording: &str, batch: &Batch) -> Result<()> {
        self.check(batch)?;
        let rules = self.rules.as_ref().expect("a session made with rules");
        assert!((self.pending.0 as usize) < RING, "the ring of losses is full: read back first");
        let mut values = StepParams {
            step: self.step as u32,
            seed: seed_word(self.seed),
            valid_rows: batch.valid,
            loss_slot: self.pending.0 as u32,
            ..StepParams::default()
        };
        rules.hyperparameters(&mut values, self.step, self.total_steps);
        let recording = self.plan.recording(recording).expect("compiled with rules");
        self.prepare(TRAIN).await?;
        let [pixels, labels] = self.inputs(batch);
        if let Some((logits, panels)) = &mut self.taught {
            let classes = self.plan.named["eval.correct"].1.ty.elements();
            to_panels(logits, classes, &batch.samples, self.batch, panels);
            let taught = (self.plan.id(TEACHER_LOGITS), &panels[..]);
            self.engine.play(recording, &[pixels, labels, taught], &values).await?;
        } else {
            self.engine.play(recording, &[pixels, labels], &values).await?;
        }
        self.is_stale[EVAL] = self.is_prepared[EVAL];
        self.step += 1;
        self.pending.0 += 1;
        self.pending.1 += u64::from(batch.valid);
        self.unmeasured += 1;
        Ok(())
    }

    /// Whether a read-back is due before the ring of losses is full.
    pub fn is_read_back_due(&self) -> bool {
        self.pending.0 as usize == RING
    }

    /// Asks for what happened since the last time. Later steps may run before the answer is taken with [`Session::interval`].
    pub fn read_back(&mut self) -> Result<ReadBack> {
        let ids = READ_BACK.map(|name| self.plan.id(name));
        let (steps, samples) = std::mem::take(&mut self.pending);
        Ok(ReadBack { steps, samples, download: self.engine.download(&ids)? })
    }

    /// The answer; `Err` with the first step whose loss, or a parameter or state that it made, was not finite.
    pub async fn interval(&mut self, read_back: ReadBack) -> Result<std::result::Result<Interval, u32>> {
        let words = read_back.download.await?;
        let [losses, failed, correct, counters] = &words[..] else { unreachable!("four tensors were asked for") };
        let flips = &counters[..self.binary.len().max(1)];
        if let Some(step) = first_failed([failed, counters]) {
            return Ok(Err(step));
        }
        if let Some(diagnostics) = &mut self.diagnostics {
            diagnostics.see_flips(flips);
        }
        let growth = self.train_counters.growth(&[&correct[..], flips].concat());
        let (correct, flips) = growth.split_at(correct.len());
        let loss = losses[..read_back.steps as usize].iter().map(|&w| f64::from(f32::from_bits(w))).sum();
        let flips = flips[..self.binary.len()].to_vec();
        Ok(Ok(Interval {
            steps: read_back.steps,
            samples: read_back.samples,
            loss,
            correct: correct.iter().sum(),
            flips,
        }))
    }

    /// The first training step, from 0, whose loss or whose updated parameters and states had a number which is NaN or infinite; `None` where all were
    /// finite. Only counters are read back.
    pub async fn non_finite_step(&mut self) -> Result<Option<u32>> {
        let ids: Vec<_> = FAILED.iter().filter_map(|name| Some(self.plan.named.get(*name)?.0)).collect();
        let words = self.engine.download(&ids)?.await?;
        Ok(first_failed(&words))
    }
}

/// Tensors whose last word is the first step that failed.
const FAILED: [&str; 2] = ["metrics.failed", "metrics.counters"];

/// The first step that failed, by the last word of each of these tensors.
fn first_failed<'a>(counters: impl IntoIterator<Item = &'a Vec<u32>>) -> Option<u32> {
    let first = counters.into_iter().filter_map(|words| words.last().copied()).min();
    first.filter(|&step| step != u32::MAX)
}
