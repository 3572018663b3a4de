//! Evaluation of a session: accuracies, and outputs.

use super::super::compile::{LOGITS, RING};
use super::super::confusion::Confusion;
use super::base::{EVAL, Session};
use crate::data::Batches;
use crate::error::Result;
use crate::runtime::StepParams;
use crate::tensor::{number_at, seed_word};

/// Result of an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Mean loss.
    pub loss: f64,
    /// Correct samples by class.
    pub correct: Vec<u64>,
    /// Samples by class.
    pub samples: Vec<u64>,
}

impl Evaluation {
    /// Returns the fraction of correct samples.
    pub fn accuracy(&self) -> f64 {
        self.correct.iter().sum::<u64>() as f64 / self.samples.iter().sum::<u64>().max(1) as f64
    }

    /// Returns the mean of the accuracies of the classes that have samples.
    pub fn balanced_accuracy(&self) -> f64 {
        let classes = self.correct.iter().zip(&self.samples).filter(|(_, samples)| **samples > 0);
        let accuracies: Vec<f64> = classes.map(|(&correct, &samples)| correct as f64 / samples as f64).collect();
        accuracies.iter().sum::<f64>() / accuracies.len().max(1) as f64
    }

    /// Whether the largest class has at least three times the samples of the smallest that has any.
    pub fn is_lopsided(&self) -> bool {
        let counts = || self.samples.iter().filter(|samples| **samples > 0);
        counts().max() >= counts().min().map(|least| 3 * least).as_ref() && counts().count() > 1
    }
}

impl Session {
    /// Evaluates batches, in order.
    pub async fn evaluate(&mut self, batches: Batches) -> Result<Evaluation> {
        self.evaluate_into(batches, None).await
    }

    /// Evaluates batches, in order, and returns the confusion matrix as well, for which it reads back the logits of every batch.
    pub async fn evaluate_with_confusion(&mut self, batches: Batches) -> Result<(Evaluation, Confusion)> {
        let mut confusion = Confusion::new(self.plan.named["eval.correct"].1.ty.elements());
        let evaluation = self.evaluate_into(batches, Some(&mut confusion)).await?;
        Ok((evaluation, confusion))
    }

    async fn evaluate_into(
        &mut self,
        mut batches: Batches,
        mut confusion: Option<&mut Confusion>,
    ) -> Result<Evaluation> {
        let recording = self.plan.recording("eval").expect("always compiled");
        let classes = self.plan.named["eval.correct"].1.ty.elements();
        let mut evaluation = Evaluation { loss: 0.0, correct: vec![0; classes], samples: vec![0; classes] };
        let (mut slots, mut weights): (u32, Vec<u32>) = (0, Vec::new());
        self.prepare(EVAL).await?;
        loop {
            let batch = batches.next().transpose()?;
            if slots as usize == RING || (batch.is_none() && slots > 0) {
                let ids = ["eval.loss", "eval.correct"].map(|name| self.plan.id(name));
                let words = self.engine.download(&ids)?.await?;
                let growth = self.eval_counters.growth(&words[1]);
                evaluation.correct.iter_mut().zip(growth).for_each(|(a, b)| *a += b);
                let losses = words[0].iter().zip(&weights);
                evaluation.loss += losses.map(|(&w, &n)| f64::from(f32::from_bits(w)) * f64::from(n)).sum::<f64>();
                slots = 0;
                weights.clear();
            }
            let Some(batch) = batch else { break };
            self.check(&batch)?;
            let values = StepParams {
                seed: seed_word(self.seed),
                valid_rows: batch.valid,
                loss_slot: slots,
                ..StepParams::default()
            };
            let inputs = self.inputs(&batch);
            self.engine.play(recording, &inputs, &values).await?;
            if let Some(confusion) = &mut confusion {
                let words = self.engine.download(&[self.plan.id(LOGITS)])?.await?;
                for (row, &label) in batch.labels[..batch.valid as usize].iter().enumerate() {
                    let logit = |class| f32::from_bits(words[0][number_at(self.batch, row, class)]);
                    confusion.count(label as usize, (0..classes).map(logit));
                }
            }
            batch.labels[..batch.valid as usize].iter().for_each(|&l| evaluation.samples[l as usize] += 1);
            weights.push(batch.valid);
            slots += 1;
            batches.give_back(batch);
        }
        evaluation.loss /= evaluation.samples.iter().sum::<u64>().max(1) as f64;
        Ok(evaluation)
    }

    /// Returns the model's outputs `[samples, classes]` by the index of each sample, with running statistics. Samples that are in no batch,
    /// since they cannot be read, have outputs 0.
    pub async fn logits(&mut self, mut batches: Batches) -> Result<Vec<f32>> {
        let recording = self.plan.recording("eval").expect("always compiled");
        let classes = self.plan.named["eval.correct"].1.ty.elements();
        let mut all = Vec::new();
        self.prepare(EVAL).await?;
        while let Some(batch) = batches.next().transpose()? {
            self.check(&batch)?;
            let values = StepParams { seed: seed_word(self.seed), valid_rows: batch.valid, ..StepParams::default() };
            let inputs = self.inputs(&batch);
            self.engine.play(recording, &inputs, &values).await?;
            let words = self.engine.download(&[self.plan.id(LOGITS)])?.await?;
            for (row, &sample) in batch.samples.iter().enumerate() {
                let at = sample as usize * classes;
                all.resize(all.len().max(at + classes), 0.0);
                let logit = |class| f32::from_bits(words[0][number_at(self.batch, row, class)]);
                (0..classes).for_each(|class| all[at + class] = logit(class));
            }
            batches.give_back(batch);
        }
        // The recording has added correct samples to a counter that belongs to no evaluation.
        let counted = self.engine.download(&[self.plan.id("eval.correct")])?.await?;
        self.eval_counters.growth(&counted[0]);
        Ok(all)
    }
}
