//! An optimizer of binary weights: a rule with its hyperparameters.

use super::from_signs::{random_scaled_sign, scaled_sign};
use super::hyperparameter::{Hyperparameter, HyperparameterSpec, Range};
use super::optimizer::{Decision, Hyperparameters, Optimizer, UpdateTarget};
use super::rule::{BinaryRule, STATE_INIT_SCALE, State, StateInit};
use super::rules::iir;
use super::schedule::Schedule;
use super::storage::StateType;
use super::update::BinaryUpdate;
use crate::error::{Error, Result};
use crate::graph::{Graph, Init, Role, Value};
use crate::optim::filter::design::{Filter, FilterSpec};
use crate::tensor::{DType, Layout, TensorType, stream_word};
use std::collections::BTreeMap;
use std::sync::Arc;

impl BinaryRule {
    /// Returns the optimizer with the given hyperparameters and defaults for the others. An unknown hyperparameter is an error that lists
    /// the known ones.
    pub fn with<K: Into<Hyperparameter>>(
        &'static self,
        hyperparameters: impl IntoIterator<Item = (&'static str, K)>,
    ) -> Result<BinaryOptimizer> {
        self.make(
            &hyperparameters
                .into_iter()
                .map(|(name, hyperparameter)| (name.to_string(), hyperparameter.into()))
                .collect(),
        )
    }

    /// Returns the optimizer with the hyperparameters of a table.
    pub fn make(&'static self, set: &BTreeMap<String, Hyperparameter>) -> Result<BinaryOptimizer> {
        if let Some((name, hyperparameter)) =
            set.iter().find(|(name, _)| self.hyperparameters.iter().all(|spec| spec.name != **name))
        {
            let names = self.hyperparameters.iter().map(|spec| spec.name).collect::<Vec<_>>().join(", ");
            return Err(Error::setting(
                format!("hyperparameter of optimizer {}", self.name),
                names,
                format!("{name} = {hyperparameter}"),
            ));
        }
        let hyperparameters =
            self.hyperparameters.iter().map(|spec| self.resolve(spec, set.get(spec.name))).collect::<Result<_>>()?;
        let filter = if self.is_filter { Some(FilterSpec::default().resolve()?) } else { None };
        Ok(BinaryOptimizer { rule: self, hyperparameters, filter, state: StateType::F32 })
    }

    /// Returns the hyperparameter as set, or the default. A hyperparameter of the initial states is read once, so a schedule for it is an
    /// error.
    fn resolve(&self, spec: &HyperparameterSpec, set: Option<&Hyperparameter>) -> Result<Hyperparameter> {
        let hyperparameter = spec.resolve(set)?;
        let starts = self.states.iter().any(|state| state.init.hyperparameter() == Some(spec.name));
        if starts && hyperparameter.schedule != Some(Schedule::constant()) {
            return Err(Error::setting(
                spec.name,
                "a number without a schedule, since states are initialised once",
                hyperparameter,
            ));
        }
        Ok(hyperparameter)
    }
}

/// A rule with its hyperparameters.
#[derive(Clone, Debug)]
pub struct BinaryOptimizer {
    rule: &'static BinaryRule,
    hyperparameters: Vec<Hyperparameter>,
    filter: Option<Filter>,
    state: StateType,
}

impl BinaryOptimizer {
    /// Returns the optimizer with another filter. Fails for a rule without a filter, and for a cut-off in addition to poles or
    /// coefficients.
    pub fn with_filter(mut self, spec: &FilterSpec) -> Result<Self> {
        if !self.rule.is_filter {
            let got = format!("one for {}", self.rule.name);
            return Err(Error::setting("filter", "a design, poles, or b and a only for the optimizer iir", got));
        }
        let filter = spec.resolve()?;
        let cutoff = self
            .settings()
            .find(|(name, _)| *name == iir::CUTOFF.name)
            .map(|(_, hyperparameter)| hyperparameter.clone());
        if let (Filter::Fixed(_), Some(cutoff)) = (&filter, cutoff)
            && cutoff != iir::CUTOFF.resolve(None)?
        {
            return Err(Error::setting(
                "cutoff",
                "no cutoff with poles or b and a, which define the whole filter",
                cutoff,
            ));
        }
        self.filter = Some(filter);
        Ok(self)
    }

    /// Returns the optimizer with states of another type. Fails for a type that the rule has no kernels for.
    pub fn with_state(mut self, state: StateType) -> Result<Self> {
        if self.rule.kernel(state, self.planes()).is_none() {
            let names: Vec<String> = self.rule.kernels.iter().map(|kernel| kernel.storage.to_string()).collect();
            let expected = format!("{} for {}", names.join(", "), self.rule.name);
            return Err(Error::setting("state-dtype", expected, state));
        }
        self.state = state;
        Ok(self)
    }

    /// Returns the type of its states.
    pub fn state(&self) -> StateType {
        self.state
    }

    /// Returns the filter of a rule that has one.
    pub fn filter(&self) -> Option<&Filter> {
        self.filter.as_ref()
    }

    /// Returns its update of the parameter of this name, with its hyperparameters from vec4 `hyper_offset` on and the counters of layer
    /// `layer`.
    pub fn node(&self, parameter: &str, hyper_offset: u32, layer: u32) -> BinaryUpdate {
        let (planes, state, stream) = (self.planes(), self.state, stream_word(parameter));
        BinaryUpdate { rule: self.rule, planes, state, stream, hyper_offset, layer }
    }

    /// Returns the number of states per weight in each of the rule's tensors.
    fn planes(&self) -> usize {
        self.filter.as_ref().map_or(1, |filter| 2 * filter.count())
    }

    /// Returns the rule.
    pub fn rule(&self) -> &'static BinaryRule {
        self.rule
    }

    /// Returns every hyperparameter of the rule by name, in the rule's order, except the cut-off of a filter without one.
    pub fn settings(&self) -> impl Iterator<Item = (&'static str, &Hyperparameter)> {
        let is_fixed = matches!(self.filter, Some(Filter::Fixed(_)));
        let all = self.rule.hyperparameters.iter().map(|spec| spec.name).zip(&self.hyperparameters);
        all.filter(move |(name, _)| !is_fixed || *name != iir::CUTOFF.name)
    }

    /// Returns the states of a filter in equilibrium with an input of -size times the weight, for integers in the unit of this exponent.
    fn scaled_start(&self, size: f32, exponent: u32) -> Init {
        let scale = -size;
        match &self.filter {
            None => scaled_sign([self.state.stored(scale, exponent)]),
            Some(filter) => {
                let resting = iir::resting(&filter.sections(self.hyperparameters[0].value));
                scaled_sign(resting[..self.planes()].iter().map(|state| scale * state))
            }
        }
    }

    /// Returns the magnitude by which the first step moves the output or the deciding state from 0; `None` for a rule without such a unit.
    fn first_update(&self, gradient_rms: f32) -> Option<f32> {
        let values: Vec<f32> = self.hyperparameters.iter().map(|hyperparameter| hyperparameter.value).collect();
        let update = (self.rule.first_update?)(&values, gradient_rms);
        let sections = self.filter.as_ref().map(|filter| filter.sections(values[0]));
        let gain = sections.map_or(1.0, |sections| sections.list().iter().map(|s| s.b0).product::<f64>());
        Some((f64::from(update) * gain).abs() as f32)
    }

    /// Returns the tensors that the optimizer keeps for a parameter of this type: name suffix, type, and initial content, for scaled states
    /// in this unit. Integer storage has `row_state` before the states.
    fn tensors(&self, parameter: &TensorType, unit: f32) -> Vec<(&'static str, TensorType, Init)> {
        let (rows, columns, planes) = (parameter.rows(), parameter.columns(), self.planes());
        let shape = if planes > 1 { vec![rows, planes, columns] } else { vec![rows, columns] };
        let ty = TensorType::new(self.state.dtype(), Layout::Rows, &shape);
        let rate = |state: &State| state.rate.map_or(1.0, |name| self.value(name));
        let scale = unit * self.value(STATE_INIT_SCALE.name);
        let size = |state: &State| if state.init == StateInit::Scaled { scale } else { 0.0 };
        let firsts: Vec<_> = self.rule.states.iter().map(|state| [rate(state), size(state)]).collect();
        let exponents = self.state.exponents(&firsts);
        let start = |(state, exponent): (&State, &u32)| match state.init {
            StateInit::Scaled if scale != 0.0 => self.scaled_start(scale, *exponent),
            StateInit::Latent => random_scaled_sign(self.value("init")),
            StateInit::Zero | StateInit::Scaled => Init::Fill(0.0),
        };
        let states = self.rule.states.iter().zip(&exponents);
        let states = states.map(|(state, exponent)| (state.name, ty.clone(), start((state, exponent))));
        let row_state = self.state.has_units().then(|| {
            let ty = TensorType::plain(DType::U32, &[exponents.len(), rows, 5]);
            ("row_state", ty, StateType::row_state(&exponents, rows))
        });
        row_state.into_iter().chain(states).collect()
    }

    fn value(&self, name: &str) -> f32 {
        self.settings()
            .find(|(hyperparameter, _)| *hyperparameter == name)
            .map_or(0.0, |(_, hyperparameter)| hyperparameter.value)
    }
}

impl Optimizer for BinaryOptimizer {
    fn name(&self) -> &'static str {
        self.rule.name
    }

    fn role(&self) -> Role {
        Role::Binary
    }

    fn hyperparameters(&self, step: u64, total: u64) -> Hyperparameters {
        let values: Vec<f32> =
            self.hyperparameters.iter().map(|hyperparameter| hyperparameter.at(step, total)).collect();
        match &self.filter {
            Some(filter) => iir::coefficients(filter, values[0]),
            None => (self.rule.pack)(&values, step),
        }
    }

    fn check_steps(&self, total: u64) -> Result<()> {
        self.rule
            .hyperparameters
            .iter()
            .zip(&self.hyperparameters)
            .try_for_each(|(spec, hyperparameter)| spec.check_steps(hyperparameter, total))
    }

    fn misfits(&self, total: u64) -> Vec<String> {
        let of = |(name, hyperparameter): (&str, &Hyperparameter)| {
            let schedule = hyperparameter.schedule.as_ref()?;
            schedule.misfit(total).map(|misfit| format!("{name} of {}: {misfit}", self.rule.name))
        };
        self.settings().filter_map(of).collect()
    }

    fn update(&self, graph: &mut Graph, target: UpdateTarget) -> Result<()> {
        let info = graph.info(target.parameter).clone();
        let layer = target.layer.expect("a binary rule counts flips");
        let mut updates: Vec<Value> = vec![target.parameter, target.counters];
        // In units of 1 until the first gradient is known.
        let tensors = self.tensors(&info.ty, 1.0);
        // Units restart with states that follow the weights; units of states that start at 0 continue.
        let follows = tensors.iter().any(|(.., init)| matches!(init, Init::FromSigns(_)));
        for (name, ty, init) in tensors {
            let restarts = follows && !matches!(init, Init::Fill(_));
            updates.push(graph.optimizer_state(target.parameter, name, ty, init, restarts));
        }
        let node = self.node(&info.name, target.hyper_offset, layer);
        graph.push(Arc::new(node), &[target.gradient], &updates)?;
        Ok(())
    }

    fn start(&self, parameter: &TensorType, gradient_rms: f32) -> Vec<(&'static str, Init)> {
        let unit = self.first_update(gradient_rms).filter(|_| self.value(STATE_INIT_SCALE.name) != 0.0);
        // States that start at 0 are 0 before the first step.
        let tensors = unit.map(|unit| self.tensors(parameter, if unit.is_finite() { unit } else { 0.0 }));
        tensors.into_iter().flatten().map(|(name, _, init)| (name, init)).collect()
    }

    fn state_bytes(&self, parameter: &TensorType) -> u64 {
        self.tensors(parameter, 1.0).iter().map(|(_, ty, _)| ty.bytes()).sum()
    }

    fn rate_limit(&self) -> Option<f32> {
        let rate = self.rule.hyperparameters.first().filter(|_| !self.rule.is_filter)?;
        Some(if rate.range == Range::Rate { 1.0 } else { f32::MAX })
    }

    fn decision(&self) -> Option<Decision> {
        let (place, name) = (self.rule.decides, self.rule.states[self.rule.decides].name);
        // A filter does not store the output of its sections.
        Some(if self.rule.is_filter { Decision::Output { sections: name } } else { Decision::State { name, place } })
    }
}
