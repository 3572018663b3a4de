//! Stochastic gradient descent with momentum, for float parameters.

use crate::error::Result;
use crate::graph::{Bound, Graph, Init, Op, Role};
use crate::optim::counters::{layers_of, raise_failed};
use crate::optim::hyperparameter::{FLOAT_RATE, Hyperparameter};
use crate::optim::optimizer::{Hyperparameters, Optimizer, UpdateTarget};
use crate::optim::schedule::Schedule;
use crate::runtime::interface::ops::sgd::{Params, sgd};
use crate::runtime::{Grid, Recording, kernel::kernel};
use crate::tensor::TensorType;
use std::sync::Arc;

kernel!(
    /// v = mu v + (g + decay p), p -= rate v.
    SGD = ops::sgd::{ sgd }, twin = twin
);

/// Words per task.
const CHUNK: usize = 4096;

/// v = momentum v + (g + decay p), p -= rate v, as in PyTorch without dampening.
#[derive(Clone, Debug)]
pub struct Sgd {
    /// Learning rate.
    pub rate: f32,
    /// Momentum.
    pub momentum: f32,
    /// Weight decay, added to the gradient.
    pub decay: f32,
    /// Schedule of the rate.
    pub schedule: Schedule,
}

impl Sgd {
    /// Creates the rule with momentum 0.9 and no decay.
    pub fn new(rate: f32, schedule: Schedule) -> Result<Self> {
        FLOAT_RATE.check(rate)?;
        Ok(Self { rate, momentum: 0.9, decay: 0.0, schedule })
    }
}

impl Optimizer for Sgd {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn role(&self) -> Role {
        Role::Float
    }

    fn hyperparameters(&self, step: u64, total: u64) -> Hyperparameters {
        [[self.schedule.at(self.rate, step, total), self.momentum, self.decay, 0.0], [0.0; 4], [0.0; 4], [0.0; 4]]
    }

    fn check_steps(&self, total: u64) -> Result<()> {
        FLOAT_RATE.check_steps(&Hyperparameter::new(self.rate, self.schedule.clone()), total)
    }

    fn misfits(&self, total: u64) -> Vec<String> {
        self.schedule.misfit(total).map(|misfit| format!("float-schedule: {misfit}")).into_iter().collect()
    }

    fn update(&self, graph: &mut Graph, target: UpdateTarget) -> Result<()> {
        let (parameter, ty) = (target.parameter, graph.ty(target.parameter).clone());
        let v = graph.optimizer_state(parameter, "v", ty, Init::Fill(0.0), false);
        graph.push(
            Arc::new(SgdUpdate { hyper_offset: target.hyper_offset }),
            &[target.gradient],
            &[v, parameter, target.counters],
        )?;
        Ok(())
    }

    fn state_bytes(&self, parameter: &TensorType) -> u64 {
        parameter.bytes()
    }
}

/// Input: gradient. Updates: velocity, the parameter, the counters of the step.
#[derive(Clone, Copy, Debug)]
pub struct SgdUpdate {
    /// Index of the vec4 of the step's hyperparameters: rate, momentum, decay.
    pub hyper_offset: u32,
}

impl Op for SgdUpdate {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn outputs(&self, _inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(Vec::new())
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let words = bound.inputs[0].1.words();
        let [v, p] = [0, 1].map(|i| bound.update(i).per_task(CHUNK));
        let params = Params { hyper_offset: self.hyper_offset, layers: layers_of(bound.updates[2].1) as u32 };
        let buffers = sgd::Buffers { g: bound.input(0), v, p, counters: bound.update(2) };
        recording.dispatch(&SGD, params, buffers, Grid::Linear(words as u64), words.div_ceil(CHUNK));
    }
}

fn twin(args: sgd::Args<'_>) {
    let [rate, momentum, decay, _] = args.step.hyperparameters[args.params.hyper_offset as usize];
    let g = &args.g[args.index * CHUNK..];
    let mut finite = true;
    for ((p, v), g) in args.p.iter_mut().zip(args.v).zip(g) {
        *v = momentum * *v + (g + decay * *p);
        *p -= rate * *v;
        finite &= v.is_finite() & p.is_finite();
    }
    if !finite {
        raise_failed(args.counters, args.params.layers, args.step.step);
    }
}
