//! Rules for binary weights as data: a name, hyperparameters, states, and a kernel that does it all in one pass.

use super::from_signs::{random_scaled_sign, scaled_sign};
use super::hyperparameter::{Hyperparameter, HyperparameterSpec, Range};
use super::narrow::{Narrow, StateType};
use super::optimizer::{Decision, Hyperparameters, Optimizer, UpdateTarget};
use super::rules::iir;
use super::schedule::Schedule;
use crate::error::{Error, Result};
use crate::graph::{Bound, Graph, Init, Op, Role, Value};
use crate::optim::filter::design::{Filter, FilterSpec};
use crate::runtime::{BufferId, Grid, Kernel, Recording};
use crate::tensor::{DType, Layout, PANEL, TensorType, stream_word, words_of};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where a state starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateInit {
    /// At 0.
    Zero,
    /// At -`state-init-scale` times the weight, so that the first gradients do not decide every weight.
    Scaled,
    /// At the weight's sign times a number drawn from [0, `init`): a latent weight.
    Latent,
}

impl StateInit {
    /// The hyperparameter that says how far, which the rule must have.
    pub(super) fn hyperparameter(self) -> Option<&'static str> {
        match self {
            Self::Zero => None,
            Self::Scaled => Some(STATE_INIT_SCALE.name),
            Self::Latent => Some("init"),
        }
    }
}

/// A rule for binary weights. Its kernel binds what `shaders/shared/weight.wgsl` says (gradient, weight, flips), then the states, all of
/// f32 and as the gradient (a filter's: so many planes a row); `hyperparameters` reach it in their order unless `pack` says otherwise.
#[derive(Clone, Copy, Debug)]
pub struct BinaryRule {
    /// Name in flags and files.
    pub name: &'static str,
    /// What it does, in a line.
    pub doc: &'static str,
    /// Its hyperparameters.
    pub hyperparameters: &'static [HyperparameterSpec],
    /// Its states: the name that follows the parameter's, and the start.
    pub states: &'static [(&'static str, StateInit)],
    /// Scale that `--state-init scaled` uses: states start at -scale times the weight. 0 if the rule has no `state-init-scale`.
    pub scaled_init: f32,
    /// Whether gradients times any positive number give the same weights.
    pub is_scale_invariant: bool,
    /// Whether it is made of a [`FilterSpec`], whose coefficients are then the hyperparameters of its kernel.
    pub is_filter: bool,
    /// Hyperparameters as its paper has them, as texts; none where the paper gives none.
    pub paper: &'static [(&'static str, &'static str)],
    /// Its kernel.
    pub kernel: &'static Kernel,
    /// The same with narrow states, where there are such kernels.
    pub narrow: Option<Narrow>,
    /// The hyperparameters of step `step` (from 0), as values in their order, for the kernel.
    pub pack: fn(values: &[f32], step: u64) -> Hyperparameters,
}

/// Hyperparameter of the rules whose states can start along the weights.
pub(super) const STATE_INIT_SCALE: HyperparameterSpec = HyperparameterSpec::new(
    "state-init-scale",
    "states start at -scale times the weight; 0: the first gradient decides every weight",
    Range::NotNegative,
    0.0,
);

/// The first eight values in their order; a limit that is off is the largest number.
pub fn in_order(values: &[f32], _step: u64) -> Hyperparameters {
    let at = |i: usize| values.get(i).map_or(0.0, |v| v.min(f32::MAX));
    [[0, 1, 2, 3].map(at), [4, 5, 6, 7].map(at), [0.0; 4], [0.0; 4]]
}

impl BinaryRule {
    /// The optimizer with its hyperparameters at their defaults but for these. A hyperparameter that the rule does not have is an error that names those it has.
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

    /// The same from a table, as a file has it.
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

    /// The hyperparameter as it is set, or the default. One that says where states start is read once: a schedule would do nothing.
    fn resolve(&self, spec: &HyperparameterSpec, set: Option<&Hyperparameter>) -> Result<Hyperparameter> {
        let hyperparameter = spec.resolve(set)?;
        let starts = self.states.iter().any(|(_, start)| start.hyperparameter() == Some(spec.name));
        if starts && hyperparameter.schedule != Some(Schedule::constant()) {
            return Err(Error::setting(
                spec.name,
                "a number without a schedule, since states start only once",
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
    /// The same with another filter; refuses one for a rule that has none, and a cut-off that is set beside poles or coefficients.
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
            return Err(Error::setting("cutoff", "none beside poles or b and a, which say it all", cutoff));
        }
        self.filter = Some(filter);
        Ok(self)
    }

    /// The same with states of another type; refuses one that the rule's kernels do not have.
    pub fn with_state(mut self, state: StateType) -> Result<Self> {
        if state != StateType::F32 && self.rule.narrow.is_none() {
            let expected = "f32 (f16, i16 and i8 only for cema and ema)";
            return Err(Error::setting("state-dtype", expected, format!("{state} for {}", self.rule.name)));
        }
        self.state = state;
        Ok(self)
    }

    /// Type of its states.
    pub fn state(&self) -> StateType {
        self.state
    }

    /// The filter, of a rule that has one.
    pub fn filter(&self) -> Option<&Filter> {
        self.filter.as_ref()
    }

    /// Its update of the parameter of this name: hyperparameters from this vec4 on, flips in this counter.
    pub fn node(&self, parameter: &str, hyper_offset: u32, layer: u32) -> BinaryUpdate {
        let (planes, state, stream) = (self.planes(), self.state, stream_word(parameter));
        BinaryUpdate { rule: self.rule, planes, state, stream, hyper_offset, layer }
    }

    /// States of a weight in each of the rule's tensors.
    fn planes(&self) -> usize {
        self.filter.as_ref().map_or(1, |filter| 2 * filter.count())
    }

    /// The rule.
    pub fn rule(&self) -> &'static BinaryRule {
        self.rule
    }

    /// Every hyperparameter of the rule by name, in the rule's order; but for the cut-off of a filter that has none.
    pub fn settings(&self) -> impl Iterator<Item = (&'static str, &Hyperparameter)> {
        let is_fixed = matches!(self.filter, Some(Filter::Fixed(_)));
        let all = self.rule.hyperparameters.iter().map(|spec| spec.name).zip(&self.hyperparameters);
        all.filter(move |(name, _)| !is_fixed || *name != iir::CUTOFF.name)
    }

    /// States of a filter whose input has long been -scale times the weight; integers in a unit of this exponent.
    fn scaled_start(&self, exponent: u32) -> Init {
        let scale = -self.value(STATE_INIT_SCALE.name);
        match &self.filter {
            None => scaled_sign([self.state.stored(scale, exponent)]),
            Some(filter) => {
                let resting = iir::resting(&filter.sections(self.hyperparameters[0].value));
                scaled_sign(resting[..self.planes()].iter().map(|state| scale * state))
            }
        }
    }

    /// Every tensor that it keeps beside a parameter of this type: the name that follows the parameter's, its type, and its start. The
    /// states, of integers the exponents, of narrow ones the peaks.
    fn tensors(&self, parameter: &TensorType) -> Vec<(&'static str, TensorType, Init)> {
        let (rows, columns, planes) = (parameter.rows(), parameter.columns(), self.planes());
        let shape = if self.filter.is_some() { vec![rows, planes, columns] } else { vec![rows, columns] };
        let ty = TensorType::new(self.state.dtype(), Layout::Rows, &shape);
        let rate = |name: &str| self.value(if name == "m" { "gamma" } else { "alpha" });
        let size =
            |start: &StateInit| if *start == StateInit::Scaled { self.value(STATE_INIT_SCALE.name) } else { 0.0 };
        let firsts: Vec<_> = self.rule.states.iter().map(|(name, start)| [rate(name), size(start)]).collect();
        let exponents = self.state.exponents(&firsts);
        let start = |(i, start): (usize, &StateInit)| match start {
            // Filters of sections, and whatever else has more than two states, are never narrow.
            StateInit::Scaled if self.value(STATE_INIT_SCALE.name) != 0.0 => {
                self.scaled_start(exponents.get(i).copied().unwrap_or_default())
            }
            StateInit::Latent => random_scaled_sign(self.value("init")),
            StateInit::Zero | StateInit::Scaled => Init::Fill(0.0),
        };
        let states = self.rule.states.iter().enumerate();
        let states = states.map(|(i, (name, from))| (*name, ty.clone(), start((i, from))));
        let more = self.state.extra(self.rule.states.len(), rows, exponents).into_iter();
        let more = more.map(|(name, count, init)| (name, TensorType::plain(DType::U32, &[count]), init));
        states.chain(more).collect()
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

    fn update(&self, graph: &mut Graph, target: UpdateTarget) -> Result<()> {
        let info = graph.info(target.parameter).clone();
        let (flips, layer) = target.flips.expect("a binary rule counts flips");
        let mut updates: Vec<Value> = vec![target.parameter, flips];
        let tensors = self.tensors(&info.ty);
        // With states that follow the weights their units start anew, too; what begins at 0 goes on.
        let follows = tensors.iter().any(|(.., init)| matches!(init, Init::FromSigns(_)));
        for (name, ty, init) in tensors {
            let restarts = follows && !matches!(init, Init::Fill(_));
            updates.push(graph.optimizer_state(target.parameter, name, ty, init, restarts));
        }
        let node = self.node(&info.name, target.hyper_offset, layer);
        graph.push(Arc::new(node), &[target.gradient], &updates)?;
        Ok(())
    }

    fn state_bytes(&self, parameter: &TensorType) -> u64 {
        self.tensors(parameter).iter().map(|(_, ty, _)| ty.bytes()).sum()
    }

    /// The last that starts along the weights; where none does, the last. Biquads of a filter do not keep their output.
    fn decision(&self) -> Option<Decision> {
        let states = self.rule.states;
        let place = states.iter().rposition(|(_, start)| *start != StateInit::Zero).or(states.len().checked_sub(1))?;
        let (name, _) = states[place];
        Some(if self.rule.is_filter { Decision::Output { sections: name } } else { Decision::State { name, place } })
    }
}

/// Input: gradient. Updates: the weight, the counters of flips, the rule's states, of integers the exponents, of narrow states the peaks.
#[derive(Clone, Copy, Debug)]
pub struct BinaryUpdate {
    /// The rule.
    pub rule: &'static BinaryRule,
    /// States of a weight in each of its tensors: 1 but for filters.
    pub planes: usize,
    /// How they are stored.
    pub state: StateType,
    /// Stream of its random numbers.
    pub stream: u32,
    /// The first of its vec4 of the step's hyperparameters.
    pub hyper_offset: u32,
    /// Which counter takes the flips.
    pub layer: u32,
}

impl BinaryUpdate {
    /// Records the update alone for a weight matrix `[rows, columns]`: gradient, weight, flips, then the states and what narrow ones have
    /// beside them, in the order of the updates.
    pub fn dispatch(&self, recording: &mut Recording, tensors: &[BufferId], [rows, columns]: [usize; 2]) {
        let words = words_of(columns);
        let [g, weight, flips] = [0, 1, 2].map(|i| tensors[i]);
        // A task has 32 neighbouring rows.
        let (states, shared) = tensors[3..].split_at(self.rule.states.len());
        let chunk = PANEL * PANEL * words * self.planes * self.state.bytes() / 4;
        let states = states.iter().map(|state| state.per_task(chunk));
        let shared = shared.iter().map(|&id| id.into());
        let first = [g.into(), weight.per_task(PANEL * words), flips.into()];
        let buffers = first.into_iter().chain(states).chain(shared).collect();
        let params = vec![rows as u32, words as u32, self.hyper_offset, self.layer, self.stream, 0, 0, 0];
        let kernel = self.rule.narrow.as_ref().and_then(|narrow| narrow.kernel(self.state)).unwrap_or(self.rule.kernel);
        recording.dispatch_raw(kernel, params, buffers, Grid::Linear((rows * words) as u64), rows.div_ceil(PANEL));
    }
}

impl Op for BinaryUpdate {
    fn name(&self) -> &'static str {
        self.rule.name
    }

    fn outputs(&self, _inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(Vec::new())
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (g, ty) = bound.inputs[0];
        let tensors: Vec<BufferId> = [g].into_iter().chain(bound.updates.iter().map(|(id, _)| *id)).collect();
        self.dispatch(recording, &tensors, [ty.rows(), ty.columns()]);
    }
}

/// A twin's whole body: `sweep_panel!(args, [m, h], |g, [m, h]| ([m, h], decision))`, with the states by the names of the shader's bindings.
macro_rules! sweep_panel {
    ($args:ident, [$($state:ident),*], $rule:expr) => {{
        let first = $args.index * $crate::tensor::PANEL * $crate::tensor::PANEL * $args.params.words as usize;
        let states = [$($args.$state),*];
        let g = &$args.g[first..][..states[0].len()];
        let flips = $crate::bits::current().sweep(0, g, $args.weight, states, $rule);
        $args.flips[$args.params.layer as usize].fetch_add(flips, std::sync::atomic::Ordering::Relaxed);
    }};
}
pub(super) use sweep_panel;
