//! Adam, for float parameters.

use crate::error::Result;
use crate::graph::{Bound, Graph, Init, Op, Role};
use crate::optim::counters::{layers_of, raise_failed};
use crate::optim::hyperparameter::{FLOAT_RATE, Hyperparameter};
use crate::optim::optimizer::{Hyperparameters, Optimizer, UpdateTarget};
use crate::optim::schedule::Schedule;
use crate::runtime::interface::ops::adam::{Params, adam};
use crate::runtime::{Grid, Recording, kernel::kernel};
use crate::tensor::TensorType;
use std::sync::Arc;

kernel!(
    /// Adam with its bias corrections folded into the hyperparameters.
    ADAM = ops::adam::{ adam }, twin = twin
);

/// Words per task.
const CHUNK: usize = 4096;

/// Adam (Kingma and Ba 2015, algorithm 1) with PyTorch's epsilon outside the corrected root. Weight decay is L2, added to the gradient
/// before the moments, as in PyTorch's Adam (AdamW shrinks the parameter instead).
#[derive(Clone, Debug)]
pub struct Adam {
    /// Learning rate.
    pub rate: f32,
    /// Decay of the first moment; in f64, since the kernel uses 1 - beta.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Weight decay, added to the gradient. It applies to every float parameter, including those of batch norm.
    pub decay: f32,
    /// Schedule of the rate.
    pub schedule: Schedule,
}

impl Adam {
    /// Creates the rule with beta1 0.9, beta2 0.999, epsilon 1e-8, and no decay.
    pub fn new(rate: f32, schedule: Schedule) -> Result<Self> {
        FLOAT_RATE.check(rate)?;
        Ok(Self { rate, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.0, schedule })
    }
}

impl Optimizer for Adam {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn role(&self) -> Role {
        Role::Float
    }

    fn hyperparameters(&self, step: u64, total: u64) -> Hyperparameters {
        let t = (step + 1) as f64;
        let Self { beta1, beta2, .. } = *self;
        let rate = f64::from(self.schedule.at(self.rate, step, total));
        let first = rate / (1.0 - beta1.powf(t));
        let second = 1.0 / (1.0 - beta2.powf(t)).sqrt();
        [[first as f32, second as f32, (1.0 - beta1) as f32, (1.0 - beta2) as f32], [0.0; 4], [0.0; 4], [0.0; 4]]
    }

    fn check_steps(&self, total: u64) -> Result<()> {
        FLOAT_RATE.check_steps(&Hyperparameter::new(self.rate, self.schedule.clone()), total)
    }

    fn misfits(&self, total: u64) -> Vec<String> {
        self.schedule.misfit(total).map(|misfit| format!("float-schedule: {misfit}")).into_iter().collect()
    }

    fn update(&self, graph: &mut Graph, target: UpdateTarget) -> Result<()> {
        let (parameter, ty) = (target.parameter, graph.ty(target.parameter).clone());
        let m = graph.optimizer_state(parameter, "m", ty.clone(), Init::Fill(0.0), false);
        let v = graph.optimizer_state(parameter, "v", ty, Init::Fill(0.0), false);
        let op = AdamUpdate { hyper_offset: target.hyper_offset, epsilon: self.epsilon, decay: self.decay };
        graph.push(Arc::new(op), &[target.gradient], &[m, v, parameter, target.counters])?;
        Ok(())
    }

    fn state_bytes(&self, parameter: &TensorType) -> u64 {
        2 * parameter.bytes()
    }
}

/// Input: gradient. Updates: both moments, the parameter, the counters of the step.
#[derive(Clone, Copy, Debug)]
pub struct AdamUpdate {
    /// Index of the vec4 of the step's hyperparameters.
    pub hyper_offset: u32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Factor of the parameter that is added to the gradient.
    pub decay: f32,
}

impl Op for AdamUpdate {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn outputs(&self, _inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(Vec::new())
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let words = bound.inputs[0].1.words();
        let [m, v, p] = [0, 1, 2].map(|i| bound.update(i).per_task(CHUNK));
        let layers = layers_of(bound.updates[3].1) as u32;
        let params = Params { hyper_offset: self.hyper_offset, layers, epsilon: self.epsilon, decay: self.decay };
        let buffers = adam::Buffers { g: bound.input(0), m, v, p, counters: bound.update(3) };
        recording.dispatch(&ADAM, params, buffers, Grid::Linear(words as u64), words.div_ceil(CHUNK));
    }
}

fn twin(args: adam::Args<'_>) {
    let [rate, correction, first, second] = args.step.hyperparameters[args.params.hyper_offset as usize];
    let states = args.m.iter_mut().zip(args.v);
    let g = &args.g[args.index * CHUNK..];
    let mut finite = true;
    for ((p, (m, v)), g) in args.p.iter_mut().zip(states).zip(g) {
        let g = g + args.params.decay * *p;
        *m += first * (g - *m);
        *v += second * (g * g - *v);
        *p -= rate * *m / (v.sqrt() * correction + args.params.epsilon);
        finite &= m.is_finite() & v.is_finite() & p.is_finite();
    }
    if !finite {
        raise_failed(args.counters, args.params.layers, args.step.step);
    }
}
