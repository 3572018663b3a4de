//! States that start in units of the first update: before its first step a session plays the step once without updates, measures the
//! gradient of each parameter that needs it, and sets the states. That is a recording of its own, so rules and their kernels know nothing
//! of it, and a run whose states start at 0 has neither the recording nor its cost.

use super::rules::Rules;
use crate::error::Result;
use crate::graph::{Graph, Init, Plan, Purpose, Role, Value};
use crate::nn::{Tensor, parent_path};
use crate::ops::Magnitudes;
use crate::runtime::{BufferId, Engine, StepParams};
use crate::tensor::TensorType;
use std::sync::Arc;

/// Name of the recording.
pub(super) const RECORDING: &str = "first_gradients";

/// The parameters whose first gradients are measured.
#[derive(Debug, Default)]
pub(super) struct FirstGradients(Vec<String>);

impl FirstGradients {
    /// Whether the states of a parameter start in units of its first update.
    pub(super) fn are_needed(rules: &Rules, name: &str, ty: &TensorType) -> bool {
        !rules.of(parent_path(name), Role::Binary).0.start(ty, 1.0).is_empty()
    }

    /// Whether there are no such parameters.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the node that measures the gradient of a parameter, right behind the one that makes it, so that the gradient need not live longer.
    pub(super) fn add(&mut self, graph: &mut Graph, parameter: Value, gradient: Value) -> Result<()> {
        let name = graph.info(parameter).name.clone();
        let types = [("counts", Magnitudes::counts()), ("squares", Magnitudes::squares(graph.ty(gradient)))];
        let states = types.map(|(kind, ty)| {
            graph.state(&format!("first_gradient.{name}.{kind}"), ty, Purpose::Diagnostic, Init::Words(0))
        });
        let maker =
            graph.nodes().iter().rposition(|node| node.outputs.contains(&gradient)).expect("a gradient is made");
        graph.push_behind(maker, Arc::new(Magnitudes), &[gradient], &states)?;
        self.0.push(name);
        Ok(())
    }

    /// Measures the gradients of a step and sets the states. Weights, statistics and counters are those of before.
    pub(super) async fn start(
        &self,
        engine: &mut dyn Engine,
        plan: &Plan,
        rules: &Rules,
        seed: u64,
        (inputs, values): (&[(BufferId, &[u32])], &StepParams),
    ) -> Result<()> {
        let recording = plan.recording(RECORDING).expect("compiled where states start by it");
        let changed = [Purpose::Statistic, Purpose::Counter].into_iter().flat_map(|purpose| plan.states(purpose));
        let changed: Vec<BufferId> = changed.map(|(id, _)| *id).collect();
        let before = engine.download(&changed)?.await?;
        engine.play(recording, inputs, values).await?;
        for (id, words) in changed.iter().zip(&before) {
            engine.upload(*id, words)?;
        }
        let squares = self.0.iter().map(|name| plan.id(&format!("first_gradient.{name}.squares")));
        let ids: Vec<BufferId> = squares.chain(self.0.iter().map(|name| plan.id(name))).collect();
        let words = engine.download(&ids)?.await?;
        let (squares, weights) = words.split_at(self.0.len());
        for ((name, squares), weights) in self.0.iter().zip(squares).zip(weights) {
            let ty = &plan.named[name].1.ty;
            let sum: f64 = squares.iter().map(|&word| f64::from(f32::from_bits(word))).sum();
            let rms = (sum / ty.elements() as f64).sqrt();
            let Some(Tensor::Bits(signs)) = Tensor::from_words(ty, weights) else { unreachable!("a binary weight") };
            for (suffix, init) in rules.of(parent_path(name), Role::Binary).0.start(ty, rms as f32) {
                let (id, info) = &plan.named[&format!("{name}.{suffix}")];
                engine.upload(*id, &init.words(&info.name, &info.ty, seed, Some(&signs)))?;
            }
        }
        Ok(())
    }
}
