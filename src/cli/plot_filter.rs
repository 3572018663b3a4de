//! `plusminus plot filter --optimizer ...`: impulse and frequency responses of rules, measured with their kernels.

use super::args::{Common, FilterArgs};
use super::output::{json, line};
use super::picture::{Axis, Curve, Panel, check_svg, draw, in_terminal};
use crate::error::{Error, Result};
use crate::graph::{Graph, Init, Plan, Purpose, Role, plan};
use crate::nn::Tensor;
use crate::optim::{BinaryOptimizer, Decision, Optimizer, StateInit, StateType, UpdateTarget, first_counters};
use crate::runtime::{CpuEngine, Engine, StepLimits, StepParams, Target};
use crate::tensor::{DType, Layout, TensorType};
use crate::train::Settings;
use std::f64::consts::TAU;
use std::sync::Arc;

/// Number of frequencies of a response.
const FREQUENCIES: usize = 48;

/// Number of points of an impulse response, if it has as many steps.
const POINTS: usize = 512;

/// Smallest gain shown; smaller gains are dominated by f32 rounding.
const LEAST: f64 = 1e-8;

/// Largest number of steps.
const MAX: u64 = 1 << 20;

/// Draws the impulse responses of the rules in one panel and the frequency responses in another.
pub async fn run(args: &FilterArgs, common: &Common) -> Result<()> {
    if !(16..=MAX).contains(&args.steps) {
        return Err(Error::setting("steps", format!("16 to {MAX}"), args.steps));
    }
    check_svg(&args.out)?;
    let [mut impulses, mut responses] = [Vec::new(), Vec::new()];
    for text in &args.optimizer {
        let rule = settings(text)?.binary_optimizer()?;
        check(&rule, args.steps)?;
        impulses.push(Curve { name: text.clone(), points: impulse(&rule, args.steps).await? });
        responses.push(Curve { name: text.clone(), points: response(&rule, args.steps).await? });
    }
    let panel = |title: &str, x, is_logarithmic, curves| Panel { title: title.into(), x, is_logarithmic, curves };
    let panels = [
        panel("impulse response, normalised to its peak", Axis::linear("step"), false, impulses),
        panel("gain, normalised to the lowest frequency", Axis::logarithmic("cycles per step"), true, responses),
    ];
    draw(&args.out, &panels)?;
    if common.json {
        for (impulse, response) in panels[0].curves.iter().zip(&panels[1].curves) {
            json(
                &serde_json::json!({ "optimizer": impulse.name, "impulse": impulse.points, "response": response.points }),
            );
        }
        json(&serde_json::json!({ "picture": args.out, "optimizers": args.optimizer }));
        return Ok(());
    }
    if !common.quiet {
        panels.iter().for_each(|panel| line(&in_terminal(panel)));
    }
    line(&format!("saved    {}", args.out.display()));
    Ok(())
}

/// Parses a rule with settings, such as `iir design=bessel order=4`. Settings have the names of flags.
fn settings(text: &str) -> Result<Settings> {
    let mut words = text.split_whitespace();
    let wrong = || Error::setting("optimizer", "RULE, or \"RULE NAME=VALUE ...\"", format!("`{text}`"));
    let mut all = Settings::parse("optimizer", words.next().ok_or_else(wrong)?)?;
    for word in words {
        let (name, value) = word.split_once('=').ok_or_else(wrong)?;
        all = Settings::parse(name, value).map_err(|error| error.within("optimizer"))?.over(all);
    }
    Ok(all)
}

/// Nominal length of the run, long enough that schedules are constant during the measurement.
const TOTAL: u64 = u64::MAX >> 8;

/// Returns an error for rules that change during the measurement.
fn check(rule: &BinaryOptimizer, steps: u64) -> Result<()> {
    if matches!(rule.state(), StateType::I16 | StateType::I8) {
        let expected = "f32 or f16, since the units of integers adapt to the gradients of training";
        return Err(Error::setting("state-dtype", expected, rule.state()));
    }
    for (name, hyperparameter) in rule.settings() {
        if [steps, 2 * steps - 1].iter().any(|step| hyperparameter.at(*step, TOTAL) != hyperparameter.at(0, TOTAL)) {
            return Err(Error::setting(
                name,
                format!("a value that is constant for {} steps", 2 * steps),
                hyperparameter,
            ));
        }
    }
    Ok(())
}

/// A rule with a weight matrix on an engine, at the initial values of its hyperparameters.
struct Bench<'a> {
    rule: &'a BinaryOptimizer,
    plan: Plan,
    engine: CpuEngine,
    /// The deciding state, or the states of a filter's biquads.
    state: String,
    /// Factor with which a positive decision writes -1.
    sign: f64,
    step: u64,
}

impl<'a> Bench<'a> {
    async fn new(rule: &'a BinaryOptimizer, weights: usize) -> Result<Self> {
        let mut graph = Graph::new();
        let parameter = graph.parameter("w", TensorType::bits(1, weights), Role::Binary, Init::Signs);
        let gradient = graph.input("g", TensorType::new(DType::F32, Layout::Rows, &[1, weights]));
        let first = Init::List(first_counters(1).into());
        let counters = graph.state("counters", TensorType::plain(DType::U32, &[4]), Purpose::Counter, first);
        let target = UpdateTarget { parameter, gradient, hyper_offset: 0, counters, layer: Some(0) };
        rule.update(&mut graph, target)?;
        let plan = plan(&[("update", &graph)], StepLimits::default(), &Target::any())?;
        let mut engine = CpuEngine::new(Some(1))?;
        engine.load(Arc::new(plan.program.clone())).await?;
        for (id, info) in plan.named.values() {
            // The measurement starts from rest: latent weights and scaled states are also 0.
            let words = match info.init() {
                Some(Init::FromSigns(_)) => Some(vec![0; info.ty.words()]),
                _ => plan.initial_words(info, 1, None),
            };
            if let Some(words) = words {
                engine.upload(*id, &words)?;
            }
        }
        let (decides, sign) = match rule.decision() {
            Some(Decision::State { name, place }) if rule.rule().states[place].init == StateInit::Latent => {
                (name, -1.0)
            }
            Some(Decision::State { name, .. } | Decision::Output { sections: name }) => (name, 1.0),
            None => unreachable!("every binary rule has states"),
        };
        Ok(Self { rule, plan, engine, state: format!("w.{decides}"), sign, step: 0 })
    }

    /// Takes a step with these gradients and returns the decision of each weight.
    async fn step(&mut self, gradients: &[f32]) -> Result<Vec<f64>> {
        let before = if self.rule.filter().is_some() { self.state().await? } else { Vec::new() };
        let mut values = StepParams { step: self.step as u32, valid_rows: 1, ..StepParams::default() };
        values.hyperparameters[..4].copy_from_slice(&self.rule.hyperparameters(self.step, TOTAL));
        let mut words: Vec<u32> = gradients.iter().map(|g| g.to_bits()).collect();
        words.resize(self.plan.named["g"].1.ty.words(), 0);
        self.engine.play(0, &[(self.plan.id("g"), &words)], &values).await?;
        self.step += 1;
        if self.rule.filter().is_none() {
            return self.state().await;
        }
        // The output of a filter's last biquad is not stored: compute it from the previous states and the gradient.
        let planes = before.len() / gradients.len();
        let output = |(i, g): (usize, &f32)| {
            (0..planes / 2).fold(f64::from(*g), |u, k| {
                f64::from(values.hyperparameters[k][0]) * u + before[2 * k * gradients.len() + i]
            })
        };
        Ok(gradients.iter().enumerate().map(output).collect())
    }

    async fn state(&mut self) -> Result<Vec<f64>> {
        let words = self.engine.download(&[self.plan.id(&self.state)])?.await?;
        match Tensor::from_words(&self.plan.named[&self.state].1.ty, &words[0]) {
            Some(Tensor::Floats { data, .. }) => Ok(data.into_iter().map(|v| self.sign * f64::from(v)).collect()),
            _ => unreachable!("states are floats in rows"),
        }
    }
}

/// Returns the response to a gradient of 1 followed by zeros, from rest, normalised to its peak.
async fn impulse(rule: &BinaryOptimizer, steps: u64) -> Result<Vec<(f64, f64)>> {
    let mut bench = Bench::new(rule, 1).await?;
    let mut all = Vec::new();
    for step in 0..steps {
        all.push((step as f64, bench.step(&[if step == 0 { 1.0 } else { 0.0 }]).await?[0]));
    }
    let top = all.iter().fold(0.0_f64, |top, (_, y)| top.max(y.abs()));
    // At most the number of points that a picture can show.
    let shown = all.into_iter().step_by((steps as usize / POINTS).max(1));
    Ok(shown.map(|(x, y)| (x, if top > 0.0 { y / top } else { y })).collect())
}

/// Returns the gain at each frequency, normalised to the lowest frequency. Each weight receives a sine of one frequency; the gain is the amplitude of
/// the decision's fundamental over the second half of 2 `steps` steps.
async fn response(rule: &BinaryOptimizer, steps: u64) -> Result<Vec<(f64, f64)>> {
    // Numbers of periods from 1 to half of the steps, evenly spaced on a logarithmic scale.
    let most = (steps / 2) as f64 * 0.99;
    let count = |i: usize| most.powf(i as f64 / (FREQUENCIES - 1) as f64).round();
    let mut counts: Vec<f64> = (0..FREQUENCIES).map(count).collect();
    counts.dedup();
    let mut bench = Bench::new(rule, counts.len()).await?;
    let mut sums = vec![[0.0; 2]; counts.len()];
    for step in 0..2 * steps {
        let phase = |count: &f64| TAU * (count * step as f64 / steps as f64).fract();
        let gradients: Vec<f32> = counts.iter().map(|count| phase(count).sin() as f32).collect();
        let out = bench.step(&gradients).await?;
        if step >= steps {
            for ((sums, count), y) in sums.iter_mut().zip(&counts).zip(out) {
                sums[0] += y * phase(count).sin();
                sums[1] += y * phase(count).cos();
            }
        }
    }
    let gain = |sums: &[f64; 2]| sums[0].hypot(sums[1]);
    let first = gain(&sums[0]).max(f64::MIN_POSITIVE);
    let points = counts.iter().zip(&sums).map(|(count, sums)| (count / steps as f64, gain(sums) / first));
    Ok(points.filter(|(_, gain)| *gain >= LEAST).collect())
}
