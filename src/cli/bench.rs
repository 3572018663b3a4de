//! `plusminus bench`: measures kernels or whole training steps.

use super::args::{BenchArgs, BenchWhat, Common, ModelArgs};
use super::bench_case::Case;
use super::bench_cases::{Named, cases};
use super::output::{bytes, json, line, show_profile};
use crate::data::Batch;
use crate::error::{Error, Result};
use crate::runtime::{self, BufferId, BufferInfo, Engine, Program, Recording, StepParams};
use crate::tensor::Stream;
use crate::train::{Options, Session, Settings};
use std::sync::Arc;
use std::time::Instant;

/// Largest size of products; filters of (4 x 2048)^2 weights take about 2 GB.
const MAX: usize = 2048;

/// Runs the benchmark that the arguments select.
pub async fn run(args: &BenchArgs, common: &Common) -> Result<()> {
    match &args.what {
        BenchWhat::Kernels { size, only } => kernels(*size, only.as_deref(), common).await,
        BenchWhat::Step { model, profile, steps } => step(model, *profile, *steps as usize, common).await,
    }
}

async fn open(common: &Common) -> Result<Box<dyn Engine>> {
    let values = common.values();
    Ok(runtime::open(&values.device, values.threads).await?.0)
}

async fn kernels(size: usize, only: Option<&str>, common: &Common) -> Result<()> {
    if !(32..=MAX).contains(&size) || !size.is_multiple_of(32) {
        return Err(Error::setting("size", format!("a multiple of 32 from 32 to {MAX}"), size));
    }
    let chosen: Vec<Named> =
        cases(size).into_iter().filter(|(name, _)| only.is_none_or(|text| name.contains(text))).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = cases(size).iter().map(|(name, _)| *name).collect();
        return Err(Error::setting("only", format!("a part of one of {}", names.join(", ")), only.unwrap_or_default()));
    }
    let mut engine = open(common).await?;
    for (_, make) in chosen {
        let case = make();
        let [m, n, k] = case.shape;
        let (median, best) = measure(&case, engine.as_mut()).await?;
        let info = engine.device();
        let (rate, unit) = (case.work / median, if case.is_product { "Gop/s" } else { "Mweights/s" });
        let rate = if case.is_product { rate / 1e9 } else { rate / 1e6 };
        if common.json {
            let key = if case.is_product { "gops" } else { "mweights_s" };
            let mut object = serde_json::json!({
                "kernel": case.name, "m": m, "n": n, "k": k, "isa": info.backend, "device": info.name,
                "ms_median": 1e3 * median, "ms_best": 1e3 * best,
            });
            object[key] = rate.into();
            json(&object);
        } else {
            let size = format!("{m} x {n} x {k}");
            line(&format!(
                "{:<24} {size:<20} {rate:>10.1} {unit}   {:.3} ms, best {:.3}   {}",
                case.name,
                1e3 * median,
                1e3 * best,
                info.name
            ));
        }
    }
    Ok(())
}

/// Checks the result of a case, then returns the median and best seconds per call.
async fn measure(case: &Case, engine: &mut dyn Engine) -> Result<(f64, f64)> {
    let once = seconds(case, engine, 1, 3).await?;
    // A recording of about 20 ms, so that the cost of a submission is negligible.
    let calls = ((0.02 / once[0].max(1e-6)) as usize).clamp(1, 256);
    let mut times = seconds(case, engine, calls, 15).await?;
    times.sort_by(f64::total_cmp);
    Ok((times[times.len() / 2], times[0]))
}

/// Returns the seconds per call of each run, with `calls` calls per recording.
async fn seconds(case: &Case, engine: &mut dyn Engine, calls: usize, runs: usize) -> Result<Vec<f64>> {
    let mut recording = Recording::new(case.name);
    (0..calls).for_each(|_| (case.record)(&mut recording));
    let info = |(i, words): (usize, &Vec<u32>)| BufferInfo {
        name: format!("operand {i}"),
        ty: None,
        words: words.len(),
        slot: i,
    };
    // Reading back an extra word waits for the device.
    let (done, word) = (BufferId(case.operands.len() as u32), vec![0]);
    let tensors = || case.operands.iter().chain([&word]);
    let program = Program {
        buffers: tensors().enumerate().map(info).collect(),
        slots: tensors().map(Vec::len).collect(),
        recordings: vec![recording],
        ..Program::default()
    };
    engine.load(Arc::new(program)).await?;
    for (i, words) in case.operands.iter().enumerate() {
        engine.upload(BufferId(i as u32), words)?;
    }
    let mut step = StepParams { valid_rows: 1, ..StepParams::default() };
    step.hyperparameters[..4].copy_from_slice(&case.hyperparameters);
    engine.play(0, &[], &step).await?;
    if calls == 1 {
        let all: Vec<BufferId> = (0..case.operands.len() as u32).map(BufferId).collect();
        let words = engine.download(&all)?.await?;
        (case.check)(&words).map_err(|message| Error::Device {
            device: engine.device().name.clone(),
            doing: format!("checking {} before timing it", case.name),
            message,
        })?;
    }
    let mut times = Vec::new();
    for _ in 0..runs {
        let start = Instant::now();
        engine.play(0, &[], &step).await?;
        engine.download(&[done])?.await?;
        times.push(start.elapsed().as_secs_f64() / calls as f64);
    }
    Ok(times)
}

async fn step(args: &ModelArgs, profile: bool, steps: usize, common: &Common) -> Result<()> {
    let (model, values) = (args.build(None)?, args.values()?);
    let batch_size = values.batch();
    let config = Settings::default().resolve()?;
    let seed = common.values().seed;
    let engine = open(common).await?;
    // Steps of the check, of the measurement and of the profile.
    let total_steps = 30 + steps as u64 + 20;
    let base = Options::new(config.loss()?);
    let options = Options { batch: batch_size, seed, total_steps, fuse: !values.no_fuse, ..base };
    let mut session = Session::with(&model, Some(config.rules()?), options, engine).await?;
    let stream = Stream::new(seed, "bench");
    let words = (batch_size * model.features()).div_ceil(4);
    let batch = Batch {
        pixels: (0..words as u64).map(|i| stream.word(i)).collect(),
        labels: (0..batch_size as u64).map(|i| stream.below(i, model.outputs() as u32)).collect(),
        valid: batch_size as u32,
        ..Batch::default()
    };
    // Check: the loss on a repeated batch must fall.
    let (first, last) = (losses(&mut session, &batch, 5).await?, losses(&mut session, &batch, 25).await?);
    if last.is_nan() || last >= first {
        let message = format!("expected a falling loss on a repeated batch, got {first}, then {last}");
        return Err(Error::Device {
            device: session.device().name.clone(),
            doing: "checking the step".into(),
            message,
        });
    }
    let mut times = Vec::new();
    for _ in 0..steps {
        let start = Instant::now();
        session.train(&batch).await?;
        let read_back = session.read_back()?;
        let _ = session.interval(read_back).await?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let (median, best, peak) = (1e3 * times[times.len() / 2], 1e3 * times[0], session.bytes_peak());
    let device = session.device().to_string();
    if common.json {
        json(&serde_json::json!({
            "model": model.name, "batch": batch_size, "ms_median": median, "ms_best": best, "bytes_peak": peak, "device": device,
        }));
    } else {
        line(&format!(
            "{}, batch {batch_size}: {median:.2} ms per step, best {best:.2}; tensor memory {}; {device}",
            model.name,
            bytes(peak)
        ));
    }
    if profile {
        session.set_profiling(true);
        losses(&mut session, &batch, 20).await?;
        let profile = session.profile().await?;
        show_profile(&profile, session.fusions(), common.json);
    }
    Ok(())
}

/// Returns the mean loss of `steps` steps on one batch.
async fn losses(session: &mut Session, batch: &Batch, steps: u64) -> Result<f64> {
    for _ in 0..steps {
        session.train(batch).await?;
    }
    let read_back = session.read_back()?;
    Ok(session.interval(read_back).await?.map_or(f64::NAN, |interval| interval.mean_loss()))
}
