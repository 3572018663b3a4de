//! Training of a session: steps, and their read-backs.

use super::super::compile::{RING, TEACHER_LOGITS};
use super::super::diagnostics::LayerDiagnostics;
use super::super::metrics::Interval;
use super::super::teacher::to_panels;
use super::base::{EVAL, READ_BACK, Session, TRAIN};
use crate::data::Batch;
use crate::error::Result;
use crate::runtime::{Download, StepParams};
use crate::tensor::seed_word;

/// A pending read-back.
pub struct ReadBack {
    steps: u64,
    samples: u64,
    download: Download,
}

/// A pending measurement.
pub struct Measurement {
    steps: u64,
    download: Download,
}

impl Session {
    /// Returns the number of training steps taken, which is the index, from 0, of the next one. Schedules, random numbers and the units of
    /// narrow states depend on it; loading weights does not change it.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Sets the number of steps of the whole run, the domain of schedules.
    pub fn set_total_steps(&mut self, total: u64) {
        self.total_steps = total;
    }

    /// Runs the next training step.
    ///
    /// # Panics
    /// Panics without rules, and if [`Session::is_read_back_due`] and no read-back was taken.
    pub async fn train(&mut self, batch: &Batch) -> Result<()> {
        self.take_step("train", batch).await
    }

    /// Runs the next training step and measures every layer. Later steps may run before the result is taken with [`Session::layers`].
    ///
    /// # Panics
    /// Panics if the session has no diagnostics, and like [`Session::train`].
    pub async fn diagnose(&mut self, batch: &Batch) -> Result<Measurement> {
        self.take_step("diagnose", batch).await?;
        let ids = self.diagnostics.as_ref().expect("a session made with diagnostics").tensors(&self.plan);
        Ok(Measurement { steps: std::mem::take(&mut self.unmeasured), download: self.engine.download(&ids)? })
    }

    /// Returns the result of a measurement; measurements must be taken in order.
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
        // Before the play: if it fails half-way, weights and units of states may have moved, and the step must not be taken again.
        self.is_stale[EVAL] = self.is_prepared[EVAL];
        self.step += 1;
        let [pixels, labels] = self.inputs(batch);
        let taught = match &mut self.taught {
            Some((logits, panels)) => {
                let classes = self.plan.named["eval.correct"].1.ty.elements();
                to_panels(logits, classes, &batch.samples, self.batch, panels);
                Some((self.plan.id(TEACHER_LOGITS), &panels[..]))
            }
            None => None,
        };
        let all = [pixels, labels, taught.unwrap_or(labels)];
        let inputs = &all[..2 + usize::from(taught.is_some())];
        if std::mem::take(&mut self.must_start) {
            let (engine, rules) = (self.engine.as_mut(), self.rules.as_ref().expect("as above"));
            self.first_gradients.start(engine, &self.plan, rules, self.seed, (inputs, &values)).await?;
        }
        self.engine.play(recording, inputs, &values).await?;
        self.pending.0 += 1;
        self.pending.1 += u64::from(batch.valid);
        self.unmeasured += 1;
        Ok(())
    }

    /// Whether a read-back is due, since the ring of losses is full.
    pub fn is_read_back_due(&self) -> bool {
        self.pending.0 as usize == RING
    }

    /// Requests the metrics since the last read-back. Later steps may run before the result is taken with [`Session::interval`].
    pub fn read_back(&mut self) -> Result<ReadBack> {
        let ids = READ_BACK.map(|name| self.plan.id(name));
        let (steps, samples) = std::mem::take(&mut self.pending);
        Ok(ReadBack { steps, samples, download: self.engine.download(&ids)? })
    }

    /// Returns the result of a read-back; `Err` contains the first step whose loss, or an updated parameter or state, was not finite.
    pub async fn interval(&mut self, read_back: ReadBack) -> Result<std::result::Result<Interval, u32>> {
        let words = read_back.download.await?;
        let [losses, failed, correct, counters] = &words[..] else { unreachable!("four tensors were asked for") };
        let layers = self.binary.len().max(1);
        if let Some(step) = first_failed([failed, counters]) {
            return Ok(Err(step));
        }
        if let Some(diagnostics) = &mut self.diagnostics {
            diagnostics.see_flips(&counters[..layers]);
        }
        let growth = self.train_counters.growth(&[&correct[..], &counters[..2 * layers]].concat());
        let (correct, growth) = growth.split_at(correct.len());
        let (flips, saturated) = growth.split_at(layers);
        let loss = losses[..read_back.steps as usize].iter().map(|&w| f64::from(f32::from_bits(w))).sum();
        let flips = flips[..self.binary.len()].to_vec();
        Ok(Ok(Interval {
            steps: read_back.steps,
            samples: read_back.samples,
            loss,
            correct: correct.iter().sum(),
            flips,
            saturated: saturated.iter().sum(),
        }))
    }

    /// Returns the first training step, from 0, whose loss or an updated parameter or state was NaN or infinite; `None` if all were finite.
    /// Reads back counters only.
    pub async fn non_finite_step(&mut self) -> Result<Option<u32>> {
        let ids: Vec<_> = FAILED.iter().filter_map(|name| Some(self.plan.named.get(*name)?.0)).collect();
        let words = self.engine.download(&ids)?.await?;
        Ok(first_failed(&words))
    }
}

/// Tensors whose last word is the first failed step.
const FAILED: [&str; 2] = ["metrics.failed", "metrics.counters"];

/// Returns the first failed step, from the last words of these tensors.
fn first_failed<'a>(counters: impl IntoIterator<Item = &'a Vec<u32>>) -> Option<u32> {
    let first = counters.into_iter().filter_map(|words| words.last().copied()).min();
    first.filter(|&step| step != u32::MAX)
}
