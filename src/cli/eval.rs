//! `plusminus eval RUN`: evaluates a saved run.

use super::args::{Common, EvalArgs};
use super::output::{json, line, not_read, note_skipped, thousands};
use crate::data::{Data, Loader, Threads, keys, shown};
use crate::error::{Error, Result};
use crate::runtime;
use crate::train::{DataRecord, Run, Session, Settings, TrainConfig, without_files, write_logits};
use std::collections::BTreeMap;

/// The images that are judged.
struct Judged {
    data: Data,
    /// Number of images that are not judged, since the run was trained on them.
    left_out: usize,
}

/// Reads the images to judge. In the folder that `--data-dir` names, these are all images that the run was not trained on; else the test
/// images of the run's data set.
fn read(args: &EvalArgs, config: &TrainConfig, classes: &[String], threads: &Threads) -> Result<Judged> {
    let mut spec = config.data();
    let record = if spec.is_folder() { DataRecord::read(&args.run)? } else { None };
    if let Some(record) = &record {
        let [height, width, channels] = record.shape;
        (spec.image_size, spec.channels) = (Some(format!("{height}x{width}")), Some(channels));
    }
    let is_elsewhere = args.flags.settings.data_dir.is_some();
    // Logits are those of the run's training images.
    let data = match is_elsewhere && record.is_some() && args.logits.is_none() {
        true => spec.load_everything(classes, threads)?,
        false => spec.load_on(threads)?,
    };
    if classes != data.classes {
        let expected = format!("data with the classes of the run ({})", classes.join(", "));
        return Err(Error::setting("data-dir", expected, data.classes.join(", ")));
    }
    let Some(record) = record else { return Ok(Judged { data, left_out: 0 }) };
    let (test, left_out) = match is_elsewhere {
        true => without_files(&data.test, |file| record.has_seen(file)),
        false => without_files(&data.test, |file| record.has_trained_on(file)),
    };
    if test.is_empty() {
        let path = config.data_dir.clone().unwrap_or_default();
        let got = format!("none; the run was trained on all {left_out}");
        return Err(Error::Format { path, expected: "images that the run was not trained on".into(), got });
    }
    Ok(Judged { data: Data { test, ..data }, left_out })
}

/// Prints the test accuracy of a run, by class.
pub async fn run(args: &EvalArgs, common: &Common) -> Result<()> {
    let (settings, weights) = Run::load(&args.run)?;
    // The device and thread count of the run may not be available here.
    let (values, data_dir, strict) =
        (common.values(), args.flags.settings.data_dir.clone(), args.flags.settings.strict);
    let here =
        Settings { data_dir, strict, device: Some(values.device), threads: values.threads, ..Settings::default() };
    let config = here.over(settings).resolve()?;
    let threads = Threads::new(config.threads);
    let Judged { data, left_out } = read(args, &config, &Run::classes(&args.run)?, &threads)?;
    note_skipped(&data.skipped);
    let model = config.model_for(&data).build()?;
    let (engine, _) = runtime::open(&config.device, config.threads).await?;
    let mut session = Session::new(&model, config.loss()?, None, config.batch_size, config.seed, engine).await?;
    session.set_weights(&weights)?;
    if let Some(path) = &args.logits {
        let loader = Loader::for_evaluation(&data, &data.train, config.batch_size)?.with_thread_pool(&threads);
        let mut logits = session.logits(loader.epoch(None)).await?;
        logits.resize(data.train.len() * data.classes.len(), 0.0);
        note_skipped(&loader.skipped());
        write_logits(path, logits, &data)?;
    }
    let loader = Loader::for_evaluation(&data, &data.test, config.batch_size)?.with_thread_pool(&threads);
    let evaluation = session.evaluate(loader.epoch(None)).await?;
    note_skipped(&loader.skipped());
    let skipped = data.skipped.len() + loader.skipped().len();
    let images = evaluation.samples.iter().sum::<u64>();
    // None for a class without images.
    let accuracy = |class: usize| {
        let samples = evaluation.samples[class];
        (samples > 0).then(|| evaluation.correct[class] as f64 / samples as f64)
    };
    if common.json {
        let per_class: BTreeMap<String, Option<f64>> =
            keys(&data.classes).into_iter().enumerate().map(|(class, key)| (key, accuracy(class))).collect();
        json(&serde_json::json!({
            "test_accuracy": evaluation.accuracy(), "test_loss": evaluation.loss, "images": images, "left_out": left_out,
            "skipped": skipped, "skipped_by_reason": data.skipped_by_reason, "per_class": per_class,
        }));
        return Ok(());
    }
    let others = match left_out {
        0 => String::new(),
        count => format!("; {} left out, since the run was trained on them", thousands(count as u64)),
    };
    let not_read = not_read(&data.skipped_by_reason);
    line(&format!("test accuracy {:.2} % on {images} images{others}{not_read}", 100.0 * evaluation.accuracy()));
    for (class, name) in data.classes.iter().enumerate() {
        let (correct, samples) = (evaluation.correct[class], evaluation.samples[class]);
        let name = shown(name);
        let accuracy = accuracy(class).map_or("-".into(), |accuracy| format!("{:.2}", 100.0 * accuracy));
        line(&format!("  {name:<12} {accuracy:>6} %   {correct} of {samples}"));
    }
    Ok(())
}
