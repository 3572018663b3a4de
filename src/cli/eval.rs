//! `plusminus eval RUN`: evaluates a saved run.

use super::args::{Common, EvalArgs};
use super::output::{json, line, note, note_skipped};
use super::picture::{HeatMap, draw_heat_map};
use crate::data::{Loader, Threads};
use crate::error::{Error, Result};
use crate::runtime;
use crate::train::{Confusion, Evaluation, Run, Session, Settings, write_logits, write_whole};
use comfy_table::{CellAlignment, Table};
use std::collections::BTreeMap;
use std::path::Path;

/// Prints the test accuracy of a run, by class.
pub async fn run(args: &EvalArgs, common: &Common) -> Result<()> {
    let (settings, weights) = if args.best { Run::load_best(&args.run)? } else { Run::load(&args.run)? };
    // The device and thread count of the run may not be available here.
    let (values, data_dir) = (common.values(), args.flags.settings.data_dir.clone());
    let here = Settings { data_dir, device: Some(values.device), threads: values.threads, ..Settings::default() };
    let config = here.over(settings).resolve()?;
    let threads = Threads::new(config.threads);
    let data = config.data().load_on(&threads)?;
    note_skipped(&data.skipped);
    let classes = Run::classes(&args.run)?;
    if classes != data.classes {
        let expected = format!("data with the classes of the run ({})", classes.join(", "));
        return Err(Error::setting("data-dir", expected, data.classes.join(", ")));
    }
    let model = config.model_for(&data).build()?;
    let (engine, _) = runtime::open(&config.device, config.threads).await?;
    let mut session = Session::new(&model, config.loss()?, None, config.batch(), config.seed, engine).await?;
    session.set_weights(&weights)?;
    if let Some(path) = &args.logits {
        let loader = Loader::for_evaluation(&data, &data.train, config.batch())?.with_thread_pool(&threads);
        write_logits(path, session.logits(loader.epoch(None)).await?, &data)?;
    }
    let loader = Loader::for_evaluation(&data, &data.test, config.batch())?.with_thread_pool(&threads);
    let (evaluation, confusion) = session.evaluate_with_confusion(loader.epoch(None)).await?;
    // A run that cannot be written to can be evaluated.
    if let Err(error) = write_confusion(&args.run, &confusion, &data.classes) {
        note(&format!("notice   the confusion matrix is not written: {error}"));
    }
    if common.json {
        json(&as_json(&evaluation, &confusion, &data.classes));
    } else {
        print(&evaluation, &confusion, &data.classes);
    }
    Ok(())
}

fn accuracy(evaluation: &Evaluation, class: usize) -> f64 {
    evaluation.correct[class] as f64 / evaluation.samples[class].max(1) as f64
}

fn as_json(evaluation: &Evaluation, confusion: &Confusion, classes: &[String]) -> serde_json::Value {
    let names = || classes.iter().enumerate();
    let per_class: BTreeMap<&String, f64> = names().map(|(class, name)| (name, accuracy(evaluation, class))).collect();
    let samples: BTreeMap<&String, u64> = names().map(|(class, name)| (name, evaluation.samples[class])).collect();
    serde_json::json!({
        "test_accuracy": evaluation.accuracy(), "balanced_accuracy": evaluation.balanced_accuracy(),
        "test_loss": evaluation.loss, "per_class": per_class, "samples": samples,
        "classes": classes, "confusion": confusion.rows().collect::<Vec<_>>(),
    })
}

/// Most classes of a confusion matrix in the terminal, and of one that is drawn.
const PRINTED: usize = 20;
const DRAWN: usize = 100;

fn print(evaluation: &Evaluation, confusion: &Confusion, classes: &[String]) {
    line(&format!(
        "test accuracy {:.2} %, balanced {:.2} %, on {} images",
        100.0 * evaluation.accuracy(),
        100.0 * evaluation.balanced_accuracy(),
        evaluation.samples.iter().sum::<u64>()
    ));
    for (class, name) in classes.iter().enumerate() {
        let (correct, samples) = (evaluation.correct[class], evaluation.samples[class]);
        line(&format!("  {name:<12} {:>6.2} %   {correct} of {samples}", 100.0 * accuracy(evaluation, class)));
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
