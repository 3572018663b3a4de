//! A model compiled for a device: one recording to train, one to evaluate, and the tensors they share.

mod evaluation;

pub use evaluation::Evaluation;

use super::compile::{Compiled, Loss, Options, RING, TEACHER, TEACHER_LOGITS, compile};
use super::diagnostics::{Diagnostics, LayerDiagnostics};
use super::metrics::{Counters, Interval};
use super::rules::Rules;
use super::teacher::{Source, Teacher, to_panels};
use crate::data::Batch;
use crate::error::{Error, Result};
use crate::graph::{Plan, Purpose, State, ValueInfo, ValueKind};
use crate::nn::{Model, Tensor, Weights};
use crate::runtime::{BufferId, DeviceInfo, Download, Engine, Profile, Program, Stats, StepParams};
use crate::tensor::{DType, seed_word};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a recording is played for.
const TRAIN: usize = 0;
const EVAL: usize = 1;

/// What is read back of an interval.
const READ_BACK: [&str; 4] = ["metrics.loss", "metrics.failed", "metrics.correct", "metrics.flips"];

/// A model on a device.
pub struct Session {
    engine: Box<dyn Engine>,
    plan: Plan,
    rules: Option<Rules>,
    seed: u64,
    batch: usize,
    /// Steps taken, and those of the whole run.
    step: u64,
    total_steps: u64,
    /// Binary parameters by name and size, in the order of the flip counters.
    binary: Vec<(String, u64)>,
    train_counters: Counters,
    eval_counters: Counters,
    /// Steps and samples since the last read-back.
    pending: (u64, u64),
    /// A teacher's logits of all training images, and those of a batch as they are uploaded.
    taught: Option<(Vec<f32>, Vec<u32>)>,
    fused: BTreeMap<&'static str, usize>,
    /// Whether training, and whether evaluation waits for the recording `prepare` before its next play; and whether it ever does.
    is_stale: [bool; 2],
    is_prepared: [bool; 2],
    /// What is measured, where the session was made for it, and steps since the last measurement.
    diagnostics: Option<Diagnostics>,
    unmeasured: u64,
}

impl Session {
    /// Compiles a model: with `rules` for training and evaluation, without for evaluation alone. Weights are drawn by the seed.
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

    /// The same with every option.
    pub async fn with(model: &Model, rules: Option<Rules>, options: Options, engine: Box<dyn Engine>) -> Result<Self> {
        let compiled = compile(model, rules.as_ref(), &options)?;
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

    /// [`Session::new`] for tests and diagnostics: a step's logits stay readable as the tensor `logits`, and the gradient of each trained parameter
    /// as `NAME.grad`.
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
        Compiled { plan, binary, fused, is_prepared, diagnostics, .. }: Compiled,
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
        let (train_counters, eval_counters) = (Counters::new(classes + layers.max(1)), Counters::new(classes));
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
        })
    }

    /// What training would take, without a device.
    pub fn memory_of(model: &Model, rules: &Rules, options: &Options) -> Result<Memory> {
        let Compiled { plan, states, .. } = compile(model, Some(rules), options)?;
        Ok(Memory { peak: plan.program.bytes(), states })
    }

    /// The program of training and evaluation, without a device.
    pub fn program_of(model: &Model, rules: &Rules, options: &Options) -> Result<Program> {
        Ok(compile(model, Some(rules), options)?.plan.program)
    }

    /// Fusions that fired, and how often: in the training step, or in evaluation where only that has them.
    pub fn fusions(&self) -> &BTreeMap<&'static str, usize> {
        &self.fused
    }

    /// Bytes of tensor memory, known before the first step.
    pub fn bytes_peak(&self) -> u64 {
        self.plan.program.bytes()
    }

    /// Bytes beside tensor memory: scratch of threads, parameters, staging of uploads and read-backs.
    pub fn buffer_bytes(&self) -> u64 {
        self.engine.buffer_bytes()
    }

    /// The device.
    pub fn device(&self) -> &DeviceInfo {
        self.engine.device()
    }

    /// What the engine has made so far: allocations, pipelines, submissions.
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// Measures every dispatch of steps from now on (slower), or stops.
    pub fn set_profiling(&mut self, on: bool) {
        self.engine.set_profiling(on);
    }

    /// What was measured since profiling began.
    pub async fn profile(&mut self) -> Result<Profile> {
        self.engine.profile().await
    }

    /// The plan: tensors by name, recordings.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Binary parameters, with their sizes, in the order of [`Interval::flips`].
    pub fn binary(&self) -> &[(String, u64)] {
        &self.binary
    }

    /// Whether a read-back is due before the ring of losses is full.
    pub fn is_read_back_due(&self) -> bool {
        self.pending.0 as usize == RING
    }

    fn inputs<'a>(&self, batch: &'a Batch) -> [(BufferId, &'a [u32]); 2] {
        [(self.plan.id("pixels"), &batch.pixels), (self.plan.id("labels"), &batch.labels)]
    }

    /// Refuses a batch that the plan was not made for: sizes, rows, labels.
    fn check(&self, batch: &Batch) -> Result<()> {
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

    /// Packs what training or evaluation reads of weights, where these have changed.
    async fn prepare(&mut self, mode: usize) -> Result<()> {
        if !self.is_stale[mode] {
            return Ok(());
        }
        let prepare = self.plan.recording("prepare").expect("compiled where something is prepared");
        self.engine.play(prepare, &[], &StepParams::default()).await?;
        self.is_stale = [false; 2];
        Ok(())
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

    /// Takes the memory of the two read-backs that may be under way at once.
    async fn reserve_read_backs(&mut self) -> Result<()> {
        let ids = READ_BACK.map(|name| self.plan.id(name));
        let downloads = [self.engine.download(&ids)?, self.engine.download(&ids)?];
        for download in downloads {
            download.await?;
        }
        Ok(())
    }

    /// Asks for what happened since the last time. Later steps may run before the answer is taken with [`Session::interval`].
    pub fn read_back(&mut self) -> Result<ReadBack> {
        let ids = READ_BACK.map(|name| self.plan.id(name));
        let (steps, samples) = std::mem::take(&mut self.pending);
        Ok(ReadBack { steps, samples, download: self.engine.download(&ids)? })
    }

    /// The answer; `Err` with the first step whose loss was not finite.
    pub async fn interval(&mut self, read_back: ReadBack) -> Result<std::result::Result<Interval, u32>> {
        let words = read_back.download.await?;
        let [losses, failed, correct, flips] = &words[..] else { unreachable!("four tensors were asked for") };
        if let Some(step) = first_failed(failed) {
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

    /// Samples of a batch.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The model's parameters as they are now.
    pub async fn weights(&mut self) -> Result<Weights> {
        let saved: Vec<_> = self.plan.named.values().filter(|(_, info)| info.is_saved()).cloned().collect();
        let ids: Vec<BufferId> = saved.iter().map(|(id, _)| *id).collect();
        let words = self.engine.download(&ids)?.await?;
        let mut weights = Weights::default();
        for ((_, info), words) in saved.iter().zip(words) {
            let tensor = Tensor::from_words(&info.ty, &words);
            weights
                .tensors
                .insert(info.name.clone(), tensor.expect("parameters are signs or floats, and devices keep tails 0"));
        }
        Ok(weights)
    }

    /// The first training step, from 0, that met a number which is NaN or infinite; `None` where all were finite. One word is read back.
    pub async fn non_finite_step(&mut self) -> Result<Option<u32>> {
        let failed = self.engine.download(&[self.plan.id("metrics.failed")])?.await?;
        Ok(first_failed(&failed[0]))
    }

    /// The name of an optimizer's f32 state with a number that is NaN or infinite: its weights stand still, and losses do not tell. (Narrow
    /// states hold no such number.) It reads back every state, only because update kernels do not yet raise the flag that
    /// [`Session::non_finite_step`] reads: once they do, this function and its one call go.
    pub(super) async fn check_states_finite(&mut self) -> Result<Option<String>> {
        let states = self.plan.states(Purpose::Optimizer).filter(|(_, info)| info.ty.dtype == DType::F32);
        for (id, info) in states.cloned().collect::<Vec<_>>() {
            let words = self.engine.download(&[id])?.await?;
            if words[0].iter().any(|word| !f32::from_bits(*word).is_finite()) {
                return Ok(Some(info.name));
            }
        }
        Ok(None)
    }

    /// Overwrites every parameter and statistic of the model; optimizer states that start along a parameter's signs, and their units, start
    /// anew.
    pub fn set_weights(&mut self, weights: &Weights) -> Result<()> {
        self.is_stale = self.is_prepared;
        for (id, info) in self.plan.named.values().filter(|(_, info)| info.is_saved()) {
            let found = weights.tensors.get(&info.name);
            let words = found.and_then(|tensor| tensor.to_words(&info.ty));
            let got = || found.map_or("none".to_string(), Tensor::describe);
            let words =
                words.ok_or_else(|| Error::shape(format!("weights `{}`", info.name), info.ty.to_string(), got()))?;
            self.engine.upload(*id, &words)?;
        }
        for (id, info) in self.plan.states(Purpose::Optimizer) {
            let ValueKind::State(State { parameter: Some(parameter), restarts: true, .. }) = &info.kind else {
                continue;
            };
            let Some(Tensor::Bits(signs)) = weights.tensors.get(parameter) else { continue };
            if let Some(words) = self.plan.initial_words(info, self.seed, Some(signs)) {
                self.engine.upload(*id, &words)?;
            }
        }
        Ok(())
    }

    /// Any persistent tensor as it is now: parameters, optimizer states (`dense1.weight.h`), logits and gradients that are kept.
    pub async fn tensor(&mut self, name: &str) -> Result<Tensor> {
        let (id, info) = self.persistent(name)?;
        let words = self.engine.download(&[id])?.await?;
        let wrong = || Error::shape(format!("tensor `{name}`"), "signs, floats or words", info.ty.to_string());
        Tensor::from_words(&info.ty, &words[0]).ok_or_else(wrong)
    }

    /// Overwrites any persistent tensor.
    pub fn set_tensor(&mut self, name: &str, tensor: &Tensor) -> Result<()> {
        self.is_stale = self.is_prepared;
        let (id, info) = self.persistent(name)?;
        let wrong = || Error::shape(format!("tensor `{name}`"), info.ty.to_string(), tensor.describe());
        self.engine.upload(id, &tensor.to_words(&info.ty).ok_or_else(wrong)?)
    }

    fn persistent(&self, name: &str) -> Result<(BufferId, ValueInfo)> {
        let found = self.plan.named.get(name).filter(|(_, info)| info.kind != ValueKind::Input);
        found.cloned().ok_or_else(|| Error::shape(format!("tensor `{name}`"), "the name of a persistent tensor", name))
    }
}

/// The step in a flag that holds the first one that failed.
fn first_failed(flag: &[u32]) -> Option<u32> {
    (flag[0] != u32::MAX).then_some(flag[0])
}

/// Bytes that training takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// All tensors, known before the first step.
    pub peak: u64,
    /// Of them what the rules of binary weights keep beside these, padded as it lies.
    pub states: u64,
}

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
