//! A session's persistent tensors: weights, states, kept values.

use super::base::Session;
use crate::error::{Error, Result};
use crate::graph::{Purpose, State, ValueInfo, ValueKind};
use crate::nn::{Tensor, Weights};
use crate::runtime::BufferId;

impl Session {
    /// Returns the current parameters of the model.
    pub async fn weights(&mut self) -> Result<Weights> {
        let saved: Vec<_> = self.plan.named.values().filter(|(_, info)| info.is_saved()).cloned().collect();
        let ids: Vec<BufferId> = saved.iter().map(|(id, _)| *id).collect();
        let words = self.engine.download(&ids)?.await?;
        let mut weights = Weights::default();
        for ((_, info), words) in saved.iter().zip(words) {
            let tensor = Tensor::from_words(&info.ty, &words);
            weights
                .tensors
                .insert(info.name.clone(), tensor.expect("parameters are signs or floats, and devices keep tails 0"));
        }
        Ok(weights)
    }

    /// Overwrites every parameter and statistic of the model. Optimizer states that are derived from a parameter's signs, and their units,
    /// are reinitialised; those in units of the first update at the next step.
    pub fn set_weights(&mut self, weights: &Weights) -> Result<()> {
        self.set_weights_without(weights, &[])
    }

    /// The same without the tensors of these names, which keep their content.
    pub fn set_weights_without(&mut self, weights: &Weights, without: &[String]) -> Result<()> {
        self.is_stale = self.is_prepared;
        self.must_start = !self.first_gradients.is_empty();
        let is_set = |info: &ValueInfo| info.is_saved() && !without.contains(&info.name);
        for (id, info) in self.plan.named.values().filter(|(_, info)| is_set(info)) {
            let found = weights.tensors.get(&info.name);
            let words = found.and_then(|tensor| tensor.to_words(&info.ty));
            let got = || found.map_or("none".to_string(), Tensor::describe);
            let words =
                words.ok_or_else(|| Error::shape(format!("weights `{}`", info.name), info.ty.to_string(), got()))?;
            self.engine.upload(*id, &words)?;
        }
        for (id, info) in self.plan.states(Purpose::Optimizer) {
            let ValueKind::State(State { parameter: Some(parameter), restarts: true, .. }) = &info.kind else {
                continue;
            };
            let found = weights.tensors.get(parameter).filter(|_| !without.contains(parameter));
            let Some(Tensor::Bits(signs)) = found else { continue };
            if let Some(words) = self.plan.initial_words(info, self.seed, Some(signs)) {
                self.engine.upload(*id, &words)?;
            }
        }
        Ok(())
    }

    /// Returns the current content of a persistent tensor: parameters, optimizer states (`dense1.weight.h`), kept logits and gradients.
    pub async fn tensor(&mut self, name: &str) -> Result<Tensor> {
        let (id, info) = self.persistent(name)?;
        let words = self.engine.download(&[id])?.await?;
        let wrong = || Error::shape(format!("tensor `{name}`"), "signs, floats or words", info.ty.to_string());
        Tensor::from_words(&info.ty, &words[0]).ok_or_else(wrong)
    }

    /// Overwrites a persistent tensor. After a state of an optimizer was set, no state is reinitialised at the next step.
    pub fn set_tensor(&mut self, name: &str, tensor: &Tensor) -> Result<()> {
        self.is_stale = self.is_prepared;
        let (id, info) = self.persistent(name)?;
        self.must_start &= info.purpose() != Some(Purpose::Optimizer);
        let wrong = || Error::shape(format!("tensor `{name}`"), info.ty.to_string(), tensor.describe());
        self.engine.upload(id, &tensor.to_words(&info.ty).ok_or_else(wrong)?)
    }

    fn persistent(&self, name: &str) -> Result<(BufferId, ValueInfo)> {
        let found = self.plan.named.get(name).filter(|(_, info)| info.kind != ValueKind::Input);
        found.cloned().ok_or_else(|| Error::shape(format!("tensor `{name}`"), "the name of a persistent tensor", name))
    }
}
