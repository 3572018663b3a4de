//! `plusminus eval RUN`: evaluates a saved run.

use super::args::{Common, EvalArgs};
use super::output::{json, line, note_skipped};
use crate::data::{Loader, Threads};
use crate::error::{Error, Result};
use crate::runtime;
use crate::train::{Run, Session, Settings, write_logits};
use std::collections::BTreeMap;

/// Prints the test accuracy of a run, by class.
pub async fn run(args: &EvalArgs, common: &Common) -> Result<()> {
    let (settings, weights) = Run::load(&args.run)?;
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
    let mut session = Session::new(&model, config.loss()?, None, config.batch_size, config.seed, engine).await?;
    session.set_weights(&weights)?;
    if let Some(path) = &args.logits {
        let loader = Loader::for_evaluation(&data, &data.train, config.batch_size)?.with_thread_pool(&threads);
        write_logits(path, session.logits(loader.epoch(None)).await?, &data)?;
    }
    let loader = Loader::for_evaluation(&data, &data.test, config.batch_size)?.with_thread_pool(&threads);
    let evaluation = session.evaluate(loader.epoch(None)).await?;
    let accuracy = |class: usize| evaluation.correct[class] as f64 / evaluation.samples[class].max(1) as f64;
    if common.json {
        let per_class: BTreeMap<&String, f64> =
            data.classes.iter().enumerate().map(|(c, name)| (name, accuracy(c))).collect();
        json(
            &serde_json::json!({ "test_accuracy": evaluation.accuracy(), "test_loss": evaluation.loss, "per_class": per_class }),
        );
        return Ok(());
    }
    line(&format!(
        "test accuracy {:.2} % on {} images",
        100.0 * evaluation.accuracy(),
        evaluation.samples.iter().sum::<u64>()
    ));
    for (class, name) in data.classes.iter().enumerate() {
        let (correct, samples) = (evaluation.correct[class], evaluation.samples[class]);
        line(&format!("  {name:<12} {:>6.2} %   {correct} of {samples}", 100.0 * accuracy(class)));
    }
    Ok(())
}
