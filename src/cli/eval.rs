//! `plusminus eval RUN`: evaluates a saved run.

use super::args::{Common, EvalArgs};
use super::output::{json, line, not_read, note, note_skipped, thousands};
use super::picture::{HeatMap, draw_heat_map};
use crate::data::{Data, Loader, Threads, keys, shown};
use crate::error::{Error, Result};
use crate::runtime;
use crate::train::{
    Confusion, DataRecord, Evaluation, Run, Session, Settings, TrainConfig, without_files, write_logits, write_whole,
};
use comfy_table::{CellAlignment, Table};
use std::collections::BTreeMap;
use std::path::Path;

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
    let Some(record) = record else {
        if spec.is_folder() {
            let got = format!("{} has no data.jsonl, which says which images it was trained on", args.run.display());
            if config.strict {
                return Err(Error::setting("run", "a run with the record of its images", got));
            }
            note(&format!("notice   {got} (an error with --strict)"));
        }
        return Ok(Judged { data, left_out: 0 });
    };
    let (test, left_out) = match is_elsewhere {
        true => without_files(&data.test, |file| record.has_seen(file)),
        false => without_files(&data.test, |file| record.has_trained_on(file)),
    };
    if test.is_empty() {
        let path = config.data_dir.clone().unwrap_or_default();
        let got = format!("none; the run was trained on all {left_out}");
        return Err(Error::Format { path, expected: "images that the run was not trained on".into(), got });
    }
    if let Some(notice) = record.notice(&test, config.strict)? {
        note(&format!("notice   {notice}"));
    }
    Ok(Judged { data: Data { test, ..data }, left_out })
}

/// Prints the test accuracy of a run, by class.
pub async fn run(args: &EvalArgs, common: &Common) -> Result<()> {
    let (settings, weights) = if args.best { Run::load_best(&args.run)? } else { Run::load(&args.run)? };
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
    let mut session = Session::new(&model, config.loss()?, None, config.batch(), config.seed, engine).await?;
    session.set_weights(&weights)?;
    if let Some(path) = &args.logits {
        let loader = Loader::for_evaluation(&data, &data.train, config.batch())?.with_thread_pool(&threads);
        let mut logits = session.logits(loader.epoch(None)).await?;
        logits.resize(data.train.len() * data.classes.len(), 0.0);
        note_skipped(&loader.skipped());
        write_logits(path, logits, &data)?;
    }
    let loader = Loader::for_evaluation(&data, &data.test, config.batch())?.with_thread_pool(&threads);
    let (evaluation, confusion) = session.evaluate_with_confusion(loader.epoch(None)).await?;
    note_skipped(&loader.skipped());
    let skipped = data.skipped.len() + loader.skipped().len();
    // A run that cannot be written to can be evaluated.
    if let Err(error) = write_confusion(&args.run, &confusion, &data.classes) {
        note(&format!("notice   the confusion matrix is not written: {error}"));
    }
    if common.json {
        let mut object = as_json(&evaluation, &confusion, &data.classes);
        object["left_out"] = left_out.into();
        object["skipped"] = skipped.into();
        object["skipped_by_reason"] = serde_json::json!(data.skipped_by_reason);
        json(&object);
    } else {
        let others = match left_out {
            0 => String::new(),
            count => format!("; {} left out, since the run was trained on them", thousands(count as u64)),
        };
        print(&evaluation, &confusion, &data.classes, &(others + &not_read(&data.skipped_by_reason)));
    }
    Ok(())
}

/// Returns the accuracy of a class; `None` for a class without images.
fn accuracy(evaluation: &Evaluation, class: usize) -> Option<f64> {
    let samples = evaluation.samples[class];
    (samples > 0).then(|| evaluation.correct[class] as f64 / samples as f64)
}

fn as_json(evaluation: &Evaluation, confusion: &Confusion, classes: &[String]) -> serde_json::Value {
    let names = || keys(classes).into_iter().enumerate();
    let per_class: BTreeMap<String, Option<f64>> =
        names().map(|(class, name)| (name, accuracy(evaluation, class))).collect();
    let samples: BTreeMap<String, u64> = names().map(|(class, name)| (name, evaluation.samples[class])).collect();
    serde_json::json!({
        "test_accuracy": evaluation.accuracy(), "balanced_accuracy": evaluation.balanced_accuracy(),
        "test_loss": evaluation.loss, "images": evaluation.samples.iter().sum::<u64>(), "per_class": per_class, "samples": samples,
        "classes": classes, "confusion": confusion.rows().collect::<Vec<_>>(),
    })
}

/// Most classes of a confusion matrix in the terminal, and of one that is drawn.
const PRINTED: usize = 20;
const DRAWN: usize = 100;

/// `others` says which images were not judged.
fn print(evaluation: &Evaluation, confusion: &Confusion, classes: &[String], others: &str) {
    let classes: Vec<String> = classes.iter().map(|name| shown(name).to_string()).collect();
    line(&format!(
        "test accuracy {:.2} %, balanced {:.2} %, on {} images{others}",
        100.0 * evaluation.accuracy(),
        100.0 * evaluation.balanced_accuracy(),
        evaluation.samples.iter().sum::<u64>()
    ));
    for (class, name) in classes.iter().enumerate() {
        let (correct, samples) = (evaluation.correct[class], evaluation.samples[class]);
        let accuracy = accuracy(evaluation, class).map_or("-".into(), |accuracy| format!("{:.2}", 100.0 * accuracy));
        line(&format!("  {name:<12} {accuracy:>6} %   {correct} of {samples}"));
    }
    if classes.len() > PRINTED {
        return;
    }
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["class \\ predicted"].into_iter().chain(classes.iter().map(String::as_str)));
    for (name, row) in classes.iter().zip(confusion.rows()) {
        table.add_row([name.clone()].into_iter().chain(row.iter().map(u64::to_string)));
    }
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    line(&table.to_string());
}

/// Writes `confusion.csv` and, if it is not too large to be read, `confusion.svg` into the run's folder.
fn write_confusion(run: &Path, confusion: &Confusion, classes: &[String]) -> Result<()> {
    write_whole(&run.join("confusion.csv"), confusion.csv(classes).as_bytes())?;
    if classes.len() > DRAWN {
        return Ok(());
    }
    let cells = confusion.rows().flat_map(|row| {
        let all = row.iter().sum::<u64>().max(1) as f64;
        row.iter().map(move |&count| (Some(count as f64 / all), count.to_string()))
    });
    let map = HeatMap {
        title: "confusion matrix".into(),
        rows: ("class".into(), classes.to_vec()),
        columns: ("predicted class".into(), classes.to_vec()),
        cells: cells.collect(),
    };
    draw_heat_map(&run.join("confusion.svg"), &map)
}
