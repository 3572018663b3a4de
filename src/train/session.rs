//! A model compiled for a device: one recording to train, one to evaluate, and the tensors they share.

use super::diagnostics::{Diagnostics, LayerDiagnostics, follow};
use super::metrics::{Counters, Interval};
use super::rules::Rules;
use super::teacher::{Source, Teacher, to_panels};
use crate::data::Batch;
use crate::error::{Error, Result};
use crate::graph::{Fusion, Graph, Init, Plan, Role, Value, ValueInfo, ValueKind, backward, fuse, plan};
use crate::nn::{Mode, Model, Tensor, Weights, owner};
use crate::ops::{Distillation, FUSIONS, MeanLoss, SoftmaxCrossEntropy, SquaredHinge, join};
use crate::optim::Slot;
use crate::runtime::{BufferId, Download, Engine, StepParams};
use crate::tensor::{DType, TensorType, number_at};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is minimised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// Softmax and cross-entropy, with this share of label smoothing.
    CrossEntropy(f32),
    /// Squared hinge on +-1 targets.
    SquaredHinge,
}

/// How a model is compiled.
#[derive(Debug)]
pub struct Options {
    /// What is minimised.
    pub loss: Loss,
    /// Samples of a batch.
    pub batch: usize,
    /// Of weights and of random numbers.
    pub seed: u64,
    /// Whether fusions apply; what comes out is the same.
    pub fuse: bool,
    /// A teacher beside the labels; the loss is cross-entropy then.
    pub teacher: Option<Teacher>,
    /// Whether the gradient of each trained parameter stays readable as the tensor `NAME.grad`.
    pub keep_gradients: bool,
    /// Whether there is a recording more, [`Session::diagnose`].
    pub diagnostics: bool,
}

impl Options {
    /// Batches of 100, seed 1, fused, no teacher, nothing beside training and evaluation.
    pub fn new(loss: Loss) -> Self {
        Self { loss, batch: 100, seed: 1, fuse: true, teacher: None, keep_gradients: false, diagnostics: false }
    }

    fn fusions(&self) -> &'static [Fusion] {
        if self.fuse { FUSIONS } else { &[] }
    }
}

/// Steps whose losses the device keeps before they are read back.
const RING: usize = 64;

/// Before the names of a teacher's tensors.
const TEACHER: &str = "teacher.";
/// The input with a teacher's logits from a file.
const TEACHER_LOGITS: &str = "teacher.logits";
/// The output of an evaluation.
const LOGITS: &str = "eval.logits";

/// A model on a device.
pub struct Session {
    engine: Box<dyn Engine>,
    plan: Plan,
    rules: Option<Rules>,
    seed: u64,
    batch: usize,
    /// Binary parameters by name and size, in the order of the flip counters.
    binary: Vec<(String, u64)>,
    train_counters: Counters,
    eval_counters: Counters,
    /// Steps and samples since the last read-back.
    pending: (u64, u64),
    /// A teacher's logits of all training images, and those of a batch as they are uploaded.
    taught: Option<(Vec<f32>, Vec<u32>)>,
    fused: BTreeMap<&'static str, usize>,
    /// What is measured, where the session was made for it, and steps since the last measurement.
    diagnostics: Option<Diagnostics>,
    unmeasured: u64,
}

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
    /// Share of correct samples.
    pub fn accuracy(&self) -> f64 {
        self.correct.iter().sum::<u64>() as f64 / self.samples.iter().sum::<u64>().max(1) as f64
    }
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
        let mut session = Self::load(model, compiled, rules, options.batch, options.seed, engine).await?;
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

    /// [`Session::new`] for tests and diagnostics: the gradient of each trained parameter stays readable as the tensor `NAME.grad`.
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
        Compiled { plan, binary, fused, diagnostics }: Compiled,
        rules: Option<Rules>,
        batch: usize,
        seed: u64,
        mut engine: Box<dyn Engine>,
    ) -> Result<Self> {
        engine.load(Arc::new(plan.program.clone())).await?;
        for (id, info) in plan.named.values() {
            let init = match info.kind {
                ValueKind::Parameter(parameter) => parameter.init,
                ValueKind::State(init) => init,
                ValueKind::Input | ValueKind::Temporary => continue,
            };
            engine.upload(*id, &Tensor::initial(info, init, seed))?;
        }
        let (classes, layers) = (model.outputs(), binary.len());
        let (train_counters, eval_counters) = (Counters::new(classes + layers.max(1)), Counters::new(classes));
        Ok(Self {
            engine,
            plan,
            rules,
            seed,
            batch,
            binary,
            train_counters,
            eval_counters,
            pending: (0, 0),
            taught: None,
            fused,
            diagnostics,
            unmeasured: 0,
        })
    }

    /// Bytes of tensor memory that training would take, without a device.
    pub fn bytes_of(model: &Model, loss: Loss, rules: &Rules, batch: usize) -> Result<u64> {
        Ok(compile(model, Some(rules), &Options { batch, ..Options::new(loss) })?.plan.program.bytes())
    }

    /// Fusions that fired in the training step, and how often.
    pub fn fusions(&self) -> &BTreeMap<&'static str, usize> {
        &self.fused
    }

    /// Bytes of tensor memory, known before the first step.
    pub fn bytes_peak(&self) -> u64 {
        self.plan.program.bytes()
    }

    /// The device.
    pub fn engine(&mut self) -> &mut dyn Engine {
        self.engine.as_mut()
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

    /// One training step, number `step` (from 0) of `total`.
    ///
    /// # Panics
    /// Without rules, and where [`Session::is_read_back_due`] and nothing was read back.
    pub async fn train(&mut self, batch: &Batch, step: u64, total: u64) -> Result<()> {
        self.step("train", batch, step, total).await
    }

    /// The same step, and a look at every layer on the way. Later steps may run before the answer is taken with [`Session::layers`].
    ///
    /// # Panics
    /// Where the session was not made with diagnostics, and as [`Session::train`].
    pub async fn diagnose(&mut self, batch: &Batch, step: u64, total: u64) -> Result<Measurement> {
        self.step("diagnose", batch, step, total).await?;
        let ids = self.diagnostics.as_ref().expect("a session made with diagnostics").tensors(&self.plan);
        Ok(Measurement { steps: std::mem::take(&mut self.unmeasured), download: self.engine.download(&ids)? })
    }

    /// The answer; measurements are taken in their order.
    pub async fn layers(&mut self, measurement: Measurement) -> Result<Vec<LayerDiagnostics>> {
        let words = measurement.download.await?;
        Ok(self.diagnostics.as_mut().expect("it was measured").read(&words, measurement.steps))
    }

    async fn step(&mut self, recording: &str, batch: &Batch, step: u64, total: u64) -> Result<()> {
        self.check(batch)?;
        let rules = self.rules.as_ref().expect("a session made with rules");
        assert!((self.pending.0 as usize) < RING, "the ring of losses is full: read back first");
        let mut values = StepParams {
            step: step as u32,
            seed: self.seed as u32,
            valid_rows: batch.valid,
            loss_slot: self.pending.0 as u32,
            ..StepParams::default()
        };
        rules.knobs(&mut values, step, total);
        let recording = self.plan.recording(recording).expect("compiled with rules");
        let mut inputs = self.inputs(batch).to_vec();
        if let Some((logits, panels)) = &mut self.taught {
            let classes = self.plan.named["eval.correct"].1.ty.elements();
            to_panels(logits, classes, &batch.samples, self.batch, panels);
            inputs.push((self.plan.id(TEACHER_LOGITS), panels));
        }
        self.engine.play(recording, &inputs, &values).await?;
        self.pending.0 += 1;
        self.pending.1 += u64::from(batch.valid);
        self.unmeasured += 1;
        Ok(())
    }

    /// Asks for what happened since the last time. Later steps may run before the answer is taken with [`Session::interval`].
    pub fn read_back(&mut self) -> Result<ReadBack> {
        let ids = ["metrics.loss", "metrics.failed", "metrics.correct", "metrics.flips"].map(|name| self.plan.id(name));
        let (steps, samples) = std::mem::take(&mut self.pending);
        Ok(ReadBack { steps, samples, download: self.engine.download(&ids)? })
    }

    /// The answer; `Err` with the first step whose loss was not finite.
    pub async fn interval(&mut self, read_back: ReadBack) -> Result<std::result::Result<Interval, u32>> {
        let words = read_back.download.await?;
        let [losses, failed, correct, flips] = &words[..] else { unreachable!("four tensors were asked for") };
        if failed[0] != u32::MAX {
            return Ok(Err(failed[0]));
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

    /// Evaluates batches, in order.
    pub async fn evaluate(&mut self, batches: crate::data::Batches) -> Result<Evaluation> {
        let recording = self.plan.recording("eval").expect("always compiled");
        let classes = self.plan.named["eval.correct"].1.ty.elements();
        let mut evaluation = Evaluation { loss: 0.0, correct: vec![0; classes], samples: vec![0; classes] };
        let (mut slots, mut weights): (u32, Vec<u32>) = (0, Vec::new());
        let mut batches = batches;
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
                seed: self.seed as u32,
                valid_rows: batch.valid,
                loss_slot: slots,
                ..StepParams::default()
            };
            let inputs = self.inputs(&batch);
            self.engine.play(recording, &inputs, &values).await?;
            batch.labels[..batch.valid as usize].iter().for_each(|&l| evaluation.samples[l as usize] += 1);
            weights.push(batch.valid);
            slots += 1;
            batches.give_back(batch);
        }
        evaluation.loss /= evaluation.samples.iter().sum::<u64>().max(1) as f64;
        Ok(evaluation)
    }

    /// The model's outputs `[samples, classes]` for batches in order, with running statistics.
    pub async fn logits(&mut self, mut batches: crate::data::Batches) -> Result<Vec<f32>> {
        let recording = self.plan.recording("eval").expect("always compiled");
        let classes = self.plan.named["eval.correct"].1.ty.elements();
        let mut all = Vec::new();
        while let Some(batch) = batches.next().transpose()? {
            self.check(&batch)?;
            let values = StepParams { seed: self.seed as u32, valid_rows: batch.valid, ..StepParams::default() };
            let inputs = self.inputs(&batch);
            self.engine.play(recording, &inputs, &values).await?;
            let words = self.engine.download(&[self.plan.id(LOGITS)])?.await?;
            for row in 0..batch.valid as usize {
                all.extend((0..classes).map(|class| f32::from_bits(words[0][number_at(self.batch, row, class)])));
            }
            batches.give_back(batch);
        }
        Ok(all)
    }

    /// Samples of a batch.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The model's parameters as they are now.
    pub async fn weights(&mut self) -> Result<Weights> {
        let held: Vec<_> = self.plan.named.values().filter(|(_, info)| Weights::holds(info)).cloned().collect();
        let ids: Vec<BufferId> = held.iter().map(|(id, _)| *id).collect();
        let words = self.engine.download(&ids)?.await?;
        let mut weights = Weights::default();
        for ((_, info), words) in held.iter().zip(words) {
            let tensor = Tensor::from_words(&info.ty, &words);
            weights
                .tensors
                .insert(info.name.clone(), tensor.expect("parameters are signs or floats, and devices keep tails 0"));
        }
        Ok(weights)
    }

    /// Overwrites every parameter of the model; optimizer states that start along a parameter's signs start anew.
    pub fn set_weights(&mut self, weights: &Weights) -> Result<()> {
        for (id, info) in self.plan.named.values().filter(|(_, info)| Weights::holds(info)) {
            let found = weights.tensors.get(&info.name);
            let words = found.and_then(|tensor| tensor.to_words(&info.ty));
            let got = || found.map_or("none".to_string(), Tensor::describe);
            let words =
                words.ok_or_else(|| Error::shape(format!("weights `{}`", info.name), info.ty.to_string(), got()))?;
            self.engine.upload(*id, &words)?;
        }
        for (id, info) in self.plan.named.values() {
            let ValueKind::State(init) = info.kind else { continue };
            let Some(Tensor::Bits(signs)) = weights.tensors.get(owner(&info.name)) else { continue };
            if let Some(words) = Tensor::along(info, init, self.seed, signs) {
                self.engine.upload(*id, &words)?;
            }
        }
        Ok(())
    }

    /// Any persistent tensor as it is now: parameters, optimizer states (`dense1.weight.h`), gradients that are kept.
    pub async fn tensor(&mut self, name: &str) -> Result<Tensor> {
        let (id, info) = self.persistent(name)?;
        let words = self.engine.download(&[id])?.await?;
        let wrong = || Error::shape(format!("tensor `{name}`"), "signs, or floats in rows", info.ty.to_string());
        Tensor::from_words(&info.ty, &words[0]).ok_or_else(wrong)
    }

    /// Overwrites any persistent tensor.
    pub fn set_tensor(&mut self, name: &str, tensor: &Tensor) -> Result<()> {
        let (id, info) = self.persistent(name)?;
        let wrong = || Error::shape(format!("tensor `{name}`"), info.ty.to_string(), tensor.describe());
        self.engine.upload(id, &tensor.to_words(&info.ty).ok_or_else(wrong)?)
    }

    fn persistent(&self, name: &str) -> Result<(BufferId, ValueInfo)> {
        let found = self.plan.named.get(name).filter(|(_, info)| info.kind != ValueKind::Input);
        found.cloned().ok_or_else(|| Error::shape(format!("tensor `{name}`"), "the name of a persistent tensor", name))
    }
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

/// Binary parameters with their sizes.
type Binary = Vec<(String, u64)>;
/// Fusions that fired in the training graph, by name.
type Fired = BTreeMap<&'static str, usize>;

/// What a model is compiled to.
struct Compiled {
    plan: Plan,
    binary: Binary,
    fused: Fired,
    diagnostics: Option<Diagnostics>,
}

/// Graphs of the model, planned together.
fn compile(model: &Model, rules: Option<&Rules>, options: &Options) -> Result<Compiled> {
    let &Options { loss, batch, .. } = options;
    if batch == 0 {
        return Err(Error::setting("batch-size", "at least 1", batch));
    }
    let mut eval = Graph::new();
    loss_of(&mut eval, model, loss, None, Mode::Eval, batch)?;
    fuse(&mut eval, options.fusions());
    let Some(rules) = rules else {
        let plan = plan(&[("eval", &eval)]);
        return Ok(Compiled { plan, binary: Vec::new(), fused: BTreeMap::new(), diagnostics: None });
    };
    let (train, binary, fused) = training(model, rules, options, None)?;
    let mut diagnostics = options.diagnostics.then(Diagnostics::default);
    let measured = diagnostics.as_mut().map(|measured| training(model, rules, options, Some(measured))).transpose()?;
    let mut graphs = vec![("train", &train), ("eval", &eval)];
    graphs.extend(measured.iter().map(|(graph, ..)| ("diagnose", graph)));
    Ok(Compiled { plan: plan(&graphs), binary, fused, diagnostics })
}

/// A training step, with what `measured` looks at.
fn training(
    model: &Model,
    rules: &Rules,
    options: &Options,
    mut measured: Option<&mut Diagnostics>,
) -> Result<(Graph, Binary, Fired)> {
    let &Options { loss, batch, keep_gradients, ref teacher, .. } = options;
    let mut train = Graph::new();
    let rows = loss_of(&mut train, model, loss, teacher.as_ref(), Mode::Train, batch)?;
    let fused = fuse(&mut train, options.fusions());
    let gradients = backward(&mut train, rows, &join)?;
    let trained = train.trained();
    let layers: Vec<_> = trained.iter().map(|(value, role)| (owner(&train.info(*value).name), *role)).collect();
    rules.check(&layers)?;
    let binary: Binary = trained
        .iter()
        .filter(|(_, role)| *role == Role::Binary)
        .map(|(value, _)| (train.info(*value).name.clone(), train.ty(*value).elements() as u64))
        .collect();
    let flips = train.state("metrics.flips", TensorType::plain(DType::U32, &[binary.len().max(1)]), Init::Words(0));
    let mut layer = 0;
    for (parameter, role) in trained {
        let name = train.info(parameter).name.clone();
        let Some(&gradient) = gradients.get(&parameter) else {
            return Err(Error::shape(format!("parameter `{name}`"), "a path to the loss", "none"));
        };
        train.enter(owner(&name));
        if keep_gradients {
            train.keep(gradient, &format!("{name}.grad"));
        }
        let (rule, knob) = rules.of(owner(&name), role);
        if role == Role::Float {
            rule.update(&mut train, Slot { parameter, gradient, knob, flips: None })?;
            continue;
        }
        if options.diagnostics {
            follow(&mut train, parameter, measured.is_some())?;
        }
        if let Some(measured) = &mut measured {
            measured.gradient(&mut train, parameter, gradient)?;
        }
        rule.update(&mut train, Slot { parameter, gradient, knob, flips: Some((flips, layer)) })?;
        if let Some(measured) = &mut measured {
            measured.state(&mut train, rule.verdict())?;
        }
        layer += 1;
    }
    if let Some(measured) = measured {
        measured.signs(&mut train)?;
    }
    Ok((train, binary, fused))
}

/// Model, loss and its mean; gives the losses by row.
fn loss_of(
    graph: &mut Graph,
    model: &Model,
    loss: Loss,
    teacher: Option<&Teacher>,
    mode: Mode,
    batch: usize,
) -> Result<Value> {
    let logits = model.build(graph, mode, batch)?;
    let taught = teacher.map(|teacher| teacher_logits(graph, teacher, logits, batch)).transpose()?;
    graph.enter("loss");
    let labels = graph.input("labels", TensorType::plain(DType::U32, &[batch]));
    let prefix = if mode == Mode::Train { "metrics" } else { "eval" };
    let word = |count| TensorType::plain(DType::U32, &[count]);
    let correct = graph.state(&format!("{prefix}.correct"), word(model.outputs()), Init::Words(0));
    let ring = graph.state(&format!("{prefix}.loss"), TensorType::plain(DType::F32, &[RING]), Init::Fill(0.0));
    let failed = graph.state(&format!("{prefix}.failed"), word(1), Init::Words(u32::MAX));
    let rows = match (loss, taught.zip(teacher)) {
        (Loss::CrossEntropy(smoothing), Some((taught, &Teacher { weight, temperature, .. }))) => {
            let op = Distillation { smoothing, weight, temperature };
            graph.push1(op, &[logits, labels, taught], &[correct])?
        }
        (Loss::SquaredHinge, Some(_)) => {
            return Err(Error::setting("loss", "cross-entropy, with a teacher", "squared-hinge"));
        }
        (Loss::CrossEntropy(smoothing), None) => {
            graph.push1(SoftmaxCrossEntropy { smoothing }, &[logits, labels], &[correct])?
        }
        (Loss::SquaredHinge, None) => graph.push1(SquaredHinge, &[logits, labels], &[correct])?,
    };
    graph.push(Arc::new(MeanLoss), &[rows], &[ring, failed])?;
    if mode == Mode::Eval {
        graph.keep(logits, LOGITS);
    }
    Ok(rows)
}

/// The teacher's logits, of the student's type.
fn teacher_logits(graph: &mut Graph, teacher: &Teacher, logits: Value, batch: usize) -> Result<Value> {
    match &teacher.source {
        Source::Network { model, .. } => model.build_frozen(graph, batch, TEACHER),
        Source::Logits(_) => Ok(graph.input(TEACHER_LOGITS, graph.ty(logits).clone())),
    }
}
