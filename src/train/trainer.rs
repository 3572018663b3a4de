//! The trainer: runs training epoch by epoch with data, device, model and run folder.

use super::compile::Options;
use super::event::{Best, Event, StopHandle};
use super::given_weights::GivenWeights;
use super::record::{self, DataRecord};
use super::rules::Rules;
use super::run::Run;
use super::session::{Evaluation, Session};
use super::settings::TrainConfig;
use super::teacher::Teacher;
use crate::data::{Data, Dataset, Loader, Threads};
use crate::error::{Error, Result};
use crate::nn::{Model, Weights};
use crate::runtime::{self, DeviceInfo, Engine};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use web_time::Instant;

/// Trains a model by a configuration.
pub struct Trainer {
    pub(super) config: TrainConfig,
    data: Data,
    /// Threads that create batches.
    threads: Threads,
    model: Model,
    pub(super) session: Session,
    device: DeviceInfo,
    why: String,
    /// What the user should know before training begins.
    notices: Vec<String>,
    pub(super) run: Option<Run>,
    pub(super) stop: StopHandle,
    has_trained: bool,
    /// Images that could not be read during training, each with the reason.
    pub(super) skipped: BTreeSet<String>,
}

/// The outcome of training.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Test accuracy, a fraction; NaN if training was stopped before its first step.
    pub test_accuracy: f64,
    /// The best epoch, if there are validation images.
    pub best: Option<Best>,
    /// Seconds since the start.
    pub seconds: f64,
    /// Whether it was stopped early.
    pub interrupted: bool,
}

impl Trainer {
    /// Reads the data, opens the device, and compiles the model. The run is saved only if a folder is given.
    pub async fn new(config: TrainConfig, run: Option<&Path>) -> Result<Self> {
        let threads = Threads::new(config.threads);
        let data = config.data().load_on(&threads)?;
        let model = config.model_for(&data).build()?;
        let (engine, why) = runtime::open(&config.device, config.threads).await?;
        let trainer = Self::from_parts(config, data, model, (engine, why), run).await?;
        Ok(Self { threads, ..trainer })
    }

    /// Creates a trainer with the given data, model and engine; `why` is the reason of the device's selection.
    pub async fn from_parts(
        config: TrainConfig,
        data: Data,
        model: Model,
        device: (Box<dyn Engine>, String),
        run: Option<&Path>,
    ) -> Result<Self> {
        let rules = config.rules()?;
        Self::with_rules(config, data, model, rules, device, run).await
    }

    /// Creates a trainer with the given optimizers as well; those of the configuration are not used.
    pub async fn with_rules(
        config: TrainConfig,
        data: Data,
        model: Model,
        rules: Rules,
        (engine, why): (Box<dyn Engine>, String),
        run: Option<&Path>,
    ) -> Result<Self> {
        data.check()?;
        if data.train.len() < 2 {
            return Err(Error::setting("data", "at least 2 training images, which batch norm needs", data.train.len()));
        }
        let (config, mut notices) = config.sized(data.train.len());
        if config.batch() > data.train.len() {
            let expected = format!("at most the {} training images", data.train.len());
            return Err(Error::setting("batch-size", expected, config.batch()));
        }
        if (model.input, model.outputs()) != (data.shape, data.classes.len()) {
            let expected = format!("images of {:?} and {} outputs", data.shape, data.classes.len());
            return Err(Error::shape(
                format!("model `{}`", model.name),
                expected,
                format!("{:?} and {}", model.input, model.outputs()),
            ));
        }
        let device = engine.device().clone();
        let teacher = Teacher::of(&config, &data)?;
        let total_steps = Loader::training(&data, config.batch())?.batches() as u64 * u64::from(config.passes());
        rules.check_steps(total_steps)?;
        notices.extend(rules.misfits(total_steps));
        let class_weights = config.class_weights_for(&data)?;
        if config.early_stopping.is_some() && data.validation.is_none() {
            return Err(Error::setting("early-stopping", "validation images (--validation)", "none"));
        }
        let options = Options { teacher, class_weights, total_steps, ..config.options()? };
        let given = config.init_from.as_deref().map(|run| GivenWeights::load(run, &model, &data)).transpose()?;
        let mut session = Session::with(&model, Some(rules), options, engine).await?;
        if let Some(given) = given {
            notices.extend(given.notice());
            given.set(&mut session)?;
        }
        let (threads, stop) = (Threads::new(config.threads), StopHandle::default());
        notices.extend(record::notices(&config, &data)?);
        let mut trainer = Self {
            config,
            data,
            threads,
            model,
            session,
            device,
            why,
            notices,
            run: None,
            stop,
            has_trained: false,
            skipped: BTreeSet::new(),
        };
        // Last, so that earlier failures leave no folder behind.
        run.map_or(Ok(()), |folder| trainer.save_in(folder))?;
        Ok(trainer)
    }

    /// Creates the run's folder, in which training is saved. An error if it has a run.
    pub fn save_in(&mut self, folder: &Path) -> Result<()> {
        self.run = Some(Run::create(folder, &self.config)?);
        DataRecord::write(folder, &self.data)
    }

    /// Returns the configuration.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// Returns the data.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Returns the model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Returns the compiled model on its device.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Returns the device, and the reason of its selection.
    pub fn device(&self) -> (&DeviceInfo, &str) {
        (&self.device, &self.why)
    }

    /// Returns a handle that stops training.
    pub fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }

    /// Sets the handle that stops training.
    pub fn set_stop_handle(&mut self, stop: StopHandle) {
        self.stop = stop;
    }

    /// Sets the initial weights, instead of random ones.
    pub fn set_weights(&mut self, weights: &Weights) -> Result<()> {
        self.session.set_weights(weights)
    }

    /// Returns the current weights.
    pub async fn weights(&mut self) -> Result<Weights> {
        self.session.weights().await
    }

    /// Trains for all epochs and calls `on_event` with each event. The run is saved after each epoch and at the end, also if it is stopped.
    /// A loss that is NaN or infinite ends training with an error that contains the step. A run that ends before its first step leaves
    /// nothing in its folder; if it was stopped, its accuracy is NaN.
    ///
    /// A trainer trains once: schedules and Adam's bias corrections count steps from the beginning. For a second training, create a new
    /// trainer with these weights.
    pub async fn fit(&mut self, mut on_event: impl FnMut(&Event)) -> Result<Outcome> {
        if std::mem::replace(&mut self.has_trained, true) {
            return Err(Error::setting("fit", "a trainer that has not trained yet", "one that has"));
        }
        let outcome = self.train(&mut on_event).await;
        // The first error is the one to report.
        let discarded = if self.session.step() == 0 { self.run.take().map_or(Ok(()), Run::discard) } else { Ok(()) };
        let outcome = outcome?;
        discarded?;
        let run = self.run.as_ref().map(|run| run.folder().display().to_string());
        let Outcome { test_accuracy, best, seconds, interrupted } = outcome;
        let skipped = self.skipped.len();
        self.tell(Event::Done { test_accuracy, best, seconds, skipped, run, interrupted }, &mut on_event)?;
        Ok(outcome)
    }

    async fn train(&mut self, on_event: &mut impl FnMut(&Event)) -> Result<Outcome> {
        let start = Instant::now();
        let loader = self.loader()?;
        let begin = Event::Start {
            device: self.device.to_string(),
            why: self.why.clone(),
            model: self.model.name.clone(),
            dataset: self.data.name.clone(),
            input: self.data.shape,
            classes: self.data.classes.len(),
            train_images: self.data.train.len(),
            validation_images: self.data.validation.as_ref().map_or(0, |part| part.len()),
            test_images: self.data.test.len(),
            test_data: self.data.fingerprint()?,
            skipped: self.data.skipped.clone(),
            skipped_by_reason: self.data.skipped_by_reason.clone(),
            notices: self.notices.clone(),
            epochs: self.config.passes(),
            steps: loader.batches(),
            bytes_peak: self.session.bytes_peak(),
            bytes_buffers: self.session.buffer_bytes() + loader.buffer_bytes(),
            seed: self.config.seed,
        };
        self.tell(begin, on_event)?;
        let (mut epoch, mut interrupted, mut test_accuracy, mut best) = (0, false, None, None::<Best>);
        while epoch < self.config.passes() {
            epoch += 1;
            // If the stop arrives after the last step, during evaluation, the run is complete.
            let before = self.skipped.clone();
            let Some(interval) = self.epoch(&loader, epoch, on_event).await? else {
                interrupted = true;
                break;
            };
            let seconds = interval.1;
            // Saved before the evaluation, which takes time and may fail.
            let weights = self.save(epoch).await?;
            let validation = self.validate().await?;
            let evaluation = self.evaluate().await?;
            test_accuracy = Some(evaluation.accuracy());
            if let Some(accuracy) = validation.as_ref().map(Evaluation::accuracy)
                && best.is_none_or(|best| accuracy > best.validation_accuracy)
            {
                best = Some(Best { epoch, validation_accuracy: accuracy, test_accuracy: evaluation.accuracy() });
                let run = self.run.as_ref();
                run.map_or(Ok(()), |run| run.save_best(&weights, &self.config, &self.data.classes))?;
            }
            let judged = (validation.as_ref(), &evaluation);
            let mut event = self.epoch_event(epoch, &interval.0, judged, seconds, start.elapsed().as_secs_f64());
            if let Event::Epoch { skipped, .. } = &mut event {
                skipped.extend(self.skipped.iter().filter(|file| !before.contains(*file)).cloned());
            }
            self.tell(event, on_event)?;
            if best.zip(self.config.early_stopping).is_some_and(|(best, wait)| epoch - best.epoch >= wait) {
                break;
            }
        }
        if self.session.step() == 0 {
            test_accuracy = Some(f64::NAN);
        } else if interrupted {
            self.save(epoch).await?;
            test_accuracy = Some(self.evaluate().await?.accuracy());
        }
        let test_accuracy = test_accuracy.unwrap_or(f64::NAN);
        Ok(Outcome { test_accuracy, best, seconds: start.elapsed().as_secs_f64(), interrupted })
    }

    /// Evaluates the test images.
    pub async fn evaluate(&mut self) -> Result<Evaluation> {
        self.judge(&self.data.test.clone()).await
    }

    /// Evaluates the validation images; `None` if there are none.
    pub async fn validate(&mut self) -> Result<Option<Evaluation>> {
        let Some(part) = self.data.validation.clone() else { return Ok(None) };
        self.judge(&part).await.map(Some)
    }

    async fn judge(&mut self, part: &Arc<dyn Dataset>) -> Result<Evaluation> {
        let loader = Loader::for_evaluation(&self.data, part, self.config.batch())?.with_thread_pool(&self.threads);
        let evaluation = self.session.evaluate(loader.epoch(None)).await?;
        self.skipped.extend(loader.skipped());
        Ok(evaluation)
    }

    fn loader(&self) -> Result<Loader> {
        Ok(Loader::training(&self.data, self.config.batch())?.with_thread_pool(&self.threads))
    }

    pub(super) fn tell(&mut self, event: Event, on_event: &mut impl FnMut(&Event)) -> Result<()> {
        if let Some(run) = &mut self.run {
            run.log(&event)?;
        }
        on_event(&event);
        Ok(())
    }

    /// Saves the run. Weights that are NaN or infinite, or states that no longer update them, are an error, and the files of the previous
    /// epoch remain.
    async fn save(&mut self, epoch: u32) -> Result<Weights> {
        if let Some(step) = self.session.non_finite_step().await? {
            return Err(self.diverged(step, epoch)?);
        }
        let weights = self.session.weights().await?;
        if let Some(tensor) = weights.not_finite() {
            return Err(Error::NotFinite { tensor: tensor.to_string(), epoch });
        }
        if let Some(run) = &self.run {
            run.save(&weights, &self.config, &self.data.classes)?;
        }
        Ok(weights)
    }
}
