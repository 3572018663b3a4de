//! A session: its parts, its construction, and its properties.

use super::super::compile::{Compiled, Loss, Options, TEACHER, compile};
use super::super::diagnostics::Diagnostics;
use super::super::first_gradients::FirstGradients;
use super::super::metrics::Counters;
use super::super::rules::Rules;
use super::super::teacher::{Source, Teacher};
use crate::data::Batch;
use crate::error::{Error, Result};
use crate::graph::Plan;
use crate::nn::Model;
use crate::runtime::{BufferId, DeviceInfo, Engine, Profile, Program, Stats, StepParams, Target};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Indices of the two modes in per-mode arrays.
pub(super) const TRAIN: usize = 0;
pub(super) const EVAL: usize = 1;

/// The tensors that are read back for an interval.
pub(super) const READ_BACK: [&str; 4] = ["metrics.loss", "metrics.failed", "metrics.correct", "metrics.counters"];

/// A model on a device.
pub struct Session {
    pub(super) engine: Box<dyn Engine>,
    pub(super) plan: Plan,
    pub(super) rules: Option<Rules>,
    pub(super) seed: u64,
    pub(super) batch: usize,
    /// Number of steps taken, and of the whole run.
    pub(super) step: u64,
    pub(super) total_steps: u64,
    /// Binary parameters by name and size, in the order of the flip counters.
    pub(super) binary: Vec<(String, u64)>,
    pub(super) train_counters: Counters,
    pub(super) eval_counters: Counters,
    /// Steps and samples since the last read-back.
    pub(super) pending: (u64, u64),
    /// A teacher's logits of all training images, and those of the current batch.
    pub(super) taught: Option<(Vec<f32>, Vec<u32>)>,
    pub(super) fused: BTreeMap<&'static str, usize>,
    /// Whether training, and whether evaluation must run the recording `prepare` before its next play; and whether each depends on it.
    pub(super) is_stale: [bool; 2],
    pub(super) is_prepared: [bool; 2],
    /// The measurements, if the session has diagnostics, and the steps since the last one.
    pub(super) diagnostics: Option<Diagnostics>,
    pub(super) unmeasured: u64,
    /// The parameters whose states start in units of their first updates, and whether these are still to be set.
    pub(super) first_gradients: FirstGradients,
    pub(super) must_start: bool,
}

impl Session {
    /// Compiles a model: with `rules` for training and evaluation, otherwise for evaluation only. Weights are drawn by the seed.
    pub async fn new(
        model: &Model,
        loss: Loss,
        rules: Option<Rules>,
        batch: usize,
        seed: u64,
        engine: Box<dyn Engine>,
    ) -> Result<Self> {
        Self::with(model, rules, Options { batch, seed, ..Options::new(loss) }, engine).await
    }

    /// Compiles a model with the given options.
    pub async fn with(model: &Model, rules: Option<Rules>, options: Options, engine: Box<dyn Engine>) -> Result<Self> {
        let compiled = compile(model, rules.as_ref(), &options, &engine.target())?;
        let mut session = Self::load(model, compiled, rules, &options, engine).await?;
        if session.rules.is_some() {
            session.reserve_read_backs().await?;
        }
        match options.teacher.map(|teacher| teacher.source) {
            None => {}
            Some(Source::Network { weights, .. }) => {
                for (name, tensor) in &weights.tensors {
                    let set = session.set_tensor(&format!("{TEACHER}{name}"), tensor);
                    set.map_err(|error| Teacher::misfit(model.input, error))?;
                }
            }
            Some(Source::Logits(logits)) => session.taught = Some((logits, Vec::new())),
        }
        Ok(session)
    }

    /// Like [`Session::new`], for tests and diagnostics: a step's logits stay readable as the tensor `logits`, and the gradient of each
    /// trained parameter as `NAME.grad`.
    pub async fn with_gradients(
        model: &Model,
        loss: Loss,
        rules: Rules,
        batch: usize,
        seed: u64,
        engine: Box<dyn Engine>,
    ) -> Result<Self> {
        let options = Options { batch, seed, keep_gradients: true, ..Options::new(loss) };
        Self::with(model, Some(rules), options, engine).await
    }

    async fn load(
        model: &Model,
        Compiled { plan, binary, fused, is_prepared, diagnostics, first_gradients, .. }: Compiled,
        rules: Option<Rules>,
        &Options { batch, seed, total_steps, .. }: &Options,
        mut engine: Box<dyn Engine>,
    ) -> Result<Self> {
        engine.load(Arc::new(plan.program.clone())).await?;
        for (id, info) in plan.named.values() {
            if let Some(words) = plan.initial_words(info, seed, None) {
                engine.upload(*id, &words)?;
            }
        }
        let (classes, layers) = (model.outputs(), binary.len());
        let (train_counters, eval_counters) = (Counters::new(classes + 2 * layers.max(1)), Counters::new(classes));
        Ok(Self {
            engine,
            plan,
            rules,
            seed,
            batch,
            step: 0,
            total_steps,
            binary,
            train_counters,
            eval_counters,
            pending: (0, 0),
            taught: None,
            fused,
            is_stale: is_prepared,
            is_prepared,
            diagnostics,
            unmeasured: 0,
            must_start: !first_gradients.is_empty(),
            first_gradients,
        })
    }

    /// Returns the memory that training requires, without a device.
    pub fn memory_of(model: &Model, rules: &Rules, options: &Options) -> Result<Memory> {
        let Compiled { plan, states, .. } = compile(model, Some(rules), options, &Target::any())?;
        Ok(Memory { peak: plan.program.bytes(), states })
    }

    /// Returns the program of training and evaluation, without a device.
    pub fn program_of(model: &Model, rules: &Rules, options: &Options) -> Result<Program> {
        Ok(compile(model, Some(rules), options, &Target::any())?.plan.program)
    }

    /// Returns the applied fusions with their counts: those of the training step, or of evaluation if only that has them.
    pub fn fusions(&self) -> &BTreeMap<&'static str, usize> {
        &self.fused
    }

    /// Returns the bytes of tensor memory, known before the first step.
    pub fn bytes_peak(&self) -> u64 {
        self.plan.program.bytes()
    }

    /// Returns the bytes in addition to tensor memory: scratch memory of threads, parameters, staging of uploads and read-backs.
    pub fn buffer_bytes(&self) -> u64 {
        self.engine.buffer_bytes()
    }

    /// Returns the device.
    pub fn device(&self) -> &DeviceInfo {
        self.engine.device()
    }

    /// Returns the engine's counters: allocations, pipelines, submissions.
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// Starts or stops the measurement of every dispatch. It slows steps down.
    pub fn set_profiling(&mut self, on: bool) {
        self.engine.set_profiling(on);
    }

    /// Returns the measurements since profiling began.
    pub async fn profile(&mut self) -> Result<Profile> {
        self.engine.profile().await
    }

    /// Returns the plan: tensors by name, recordings.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns the binary parameters with their sizes, in the order of [`Interval::flips`](crate::train::Interval::flips).
    pub fn binary(&self) -> &[(String, u64)] {
        &self.binary
    }

    /// Returns the samples per batch.
    pub fn batch(&self) -> usize {
        self.batch
    }

    pub(super) fn inputs<'a>(&self, batch: &'a Batch) -> [(BufferId, &'a [u32]); 2] {
        [(self.plan.id("pixels"), &batch.pixels), (self.plan.id("labels"), &batch.labels)]
    }

    /// Fails for a batch that does not fit the plan: sizes, rows, labels.
    pub(super) fn check(&self, batch: &Batch) -> Result<()> {
        let classes = self.plan.named["eval.correct"].1.ty.elements();
        let wrong = |expected: String, got: String| Err(Error::shape("batch", expected, got));
        let sizes = (self.plan.named["pixels"].1.ty.words(), self.batch);
        if (batch.pixels.len(), batch.labels.len()) != sizes {
            let got = format!("{} and {}", batch.pixels.len(), batch.labels.len());
            return wrong(format!("{} words of pixels and {} labels", sizes.0, sizes.1), got);
        }
        if batch.valid == 0 || batch.valid as usize > self.batch {
            return wrong(format!("1 to {} rows with samples", self.batch), batch.valid.to_string());
        }
        match batch.labels.iter().position(|&label| label as usize >= classes) {
            Some(row) => wrong(format!("labels below {classes}"), format!("label {} of row {row}", batch.labels[row])),
            None => Ok(()),
        }
    }

    /// Computes the prepared values of training or evaluation, if the weights have changed.
    pub(super) async fn prepare(&mut self, mode: usize) -> Result<()> {
        if !self.is_stale[mode] {
            return Ok(());
        }
        let prepare = self.plan.recording("prepare").expect("compiled where something is prepared");
        self.engine.play(prepare, &[], &StepParams::default()).await?;
        self.is_stale = [false; 2];
        Ok(())
    }

    /// Allocates the buffers of the two read-backs that may be in transfer at the same time.
    async fn reserve_read_backs(&mut self) -> Result<()> {
        let ids = READ_BACK.map(|name| self.plan.id(name));
        let downloads = [self.engine.download(&ids)?, self.engine.download(&ids)?];
        for download in downloads {
            download.await?;
        }
        Ok(())
    }
}

/// Memory of training in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// All tensors, known before the first step.
    pub peak: u64,
    /// The part of it that holds the states of binary weights, including padding.
    pub states: u64,
}
