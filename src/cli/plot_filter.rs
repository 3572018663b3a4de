//! `plusminus plot filter --optimizer ...`: what rules do to a gradient, measured on the rules themselves.

use super::args::{Common, FilterArgs};
use super::output::{json, line};
use super::picture::{Axis, Curve, Panel, draw, in_terminal};
use crate::error::{Error, Result};
use crate::graph::{Graph, Init, Plan, Purpose, Role, plan};
use crate::nn::Tensor;
use crate::optim::{BinaryOptimizer, Decision, Optimizer, StateInit, StateType, UpdateTarget, first_counters};
use crate::runtime::{CpuEngine, Engine, StepLimits, StepParams};
use crate::tensor::{DType, Layout, TensorType};
use crate::train::Settings;
use std::f64::consts::TAU;
use std::sync::Arc;

/// Frequencies that a response is measured at.
const FREQUENCIES: usize = 48;

/// Points of an impulse response, at least where there are as many steps.
const POINTS: usize = 512;

/// Gains below this are rounding of f32.
const LEAST: f64 = 1e-8;

/// Most steps of a measurement.
const MAX: u64 = 1 << 20;

/// Draws impulse and frequency responses of the rules, one over the other.
pub async fn run(args: &FilterArgs, common: &Common) -> Result<()> {
    if !(16..=MAX).contains(&args.steps) {
        return Err(Error::setting("steps", format!("16 to {MAX}"), args.steps));
    }
    let [mut impulses, mut responses] = [Vec::new(), Vec::new()];
    for text in &args.optimizer {
        let rule = settings(text)?.binary_optimizer()?;
        check(&rule, args.steps)?;
        impulses.push(Curve { name: text.clone(), points: impulse(&rule, args.steps).await? });
        responses.push(Curve { name: text.clone(), points: response(&rule, args.steps).await? });
    }
    let panel = |title: &str, x, is_logarithmic, curves| Panel { title: title.into(), x, is_logarithmic, curves };
    let panels = [
        panel("response to one gradient, of its largest size", Axis::linear("step"), false, impulses),
        panel("gain, of that at the lowest frequency", Axis::logarithmic("cycles a step"), true, responses),
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
    line(&format!("drawn    {}", args.out.display()));
    Ok(())
}

/// From `iir design=bessel order=4`: a rule and settings of it by their names in files.
fn settings(text: &str) -> Result<Settings> {
    let mut words = text.split_whitespace();
    let wrong = || Error::setting("optimizer", "NAME, or \"NAME SETTING=VALUE ...\"", format!("`{text}`"));
    let mut all = Settings::one("optimizer", "optimizer", words.next().ok_or_else(wrong)?)?;
    for word in words {
        let (name, value) = word.split_once('=').ok_or_else(wrong)?;
        all = Settings::one("optimizer", name, value)?.over(all);
    }
    Ok(all)
}

/// Steps of a run so long that schedules over all of it move nothing here.
const TOTAL: u64 = u64::MAX >> 8;

/// Refuses what is no one filter while it is measured.
fn check(rule: &BinaryOptimizer, steps: u64) -> Result<()> {
    if matches!(rule.state(), StateType::I16 | StateType::I8) {
        let expected = "f32 or f16: the units of integers follow a training's gradients, and lag behind one of size 1";
        return Err(Error::setting("state", expected, rule.state()));
    }
    for (name, hyperparameter) in rule.settings() {
        if [steps, 2 * steps - 1].iter().any(|step| hyperparameter.at(*step, TOTAL) != hyperparameter.at(0, TOTAL)) {
            return Err(Error::setting(
                name,
                format!("a hyperparameter that stays as it is for {} steps", 2 * steps),
                hyperparameter,
            ));
        }
    }
    Ok(())
}

/// A rule with some weights of its own, at the first values of its hyperparameters.
struct Bench<'a> {
    rule: &'a BinaryOptimizer,
    plan: Plan,
    engine: CpuEngine,
    /// The state that decides, or of sections those of them, and whether above 0 it makes a weight -1, as a filter's does, or +1.
    state: String,
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
        let target = UpdateTarget { parameter, gradient, hyper_offset: 0, counters: Some((counters, 0)) };
        rule.update(&mut graph, target)?;
        let plan = plan(&[("update", &graph)], StepLimits::default());
        let mut engine = CpuEngine::new(Some(1))?;
        engine.load(Arc::new(plan.program.clone())).await?;
        for (id, info) in plan.named.values() {
            // From rest: latent weights and held states, too, begin at 0.
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

    /// What decides about each weight after this gradient.
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
        // The output of a filter's last section is no state: it follows from the states before and the gradient.
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

/// After a gradient of 1 and then none, from rest; of its largest size.
async fn impulse(rule: &BinaryOptimizer, steps: u64) -> Result<Vec<(f64, f64)>> {
    let mut bench = Bench::new(rule, 1).await?;
    let mut all = Vec::new();
    for step in 0..steps {
        all.push((step as f64, bench.step(&[if step == 0 { 1.0 } else { 0.0 }]).await?[0]));
    }
    let top = all.iter().fold(0.0_f64, |top, (_, y)| top.max(y.abs()));
    // As many points as a picture can show.
    let seen = all.into_iter().step_by((steps as usize / POINTS).max(1));
    Ok(seen.map(|(x, y)| (x, if top > 0.0 { y / top } else { y })).collect())
}

/// The fundamental of what decides while the gradient is a sine, one weight a frequency, over the second of two times `steps` steps;
/// of that at the lowest frequency.
async fn response(rule: &BinaryOptimizer, steps: u64) -> Result<Vec<(f64, f64)>> {
    // Whole periods, from one to half of the steps, evenly on a logarithmic scale.
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
