//! Compiles a model to a plan: forward, loss, fusions, gradients, updates; a graph for training, and one for evaluation.

use super::diagnostics::{Diagnostics, follow};
use super::first_gradients::{FirstGradients, RECORDING};
use super::fusions::{FUSIONS, LATE_FUSIONS};
use super::rules::Rules;
use super::teacher::{Source, Teacher};
use crate::error::{Error, Result};
use crate::graph::{Fusion, Graph, Init, Plan, Purpose, Role, Value, backward, fuse, hoist, plan};
use crate::nn::{Mode, Model, parent_path};
use crate::ops::{Distillation, MeanLoss, SoftmaxCrossEntropy, SquaredHinge, join};
use crate::optim::{ControlledLayer, FlipControl, UpdateTarget, first_counters};
use crate::runtime::{StepLimits, Target};
use crate::tensor::{DType, TensorType};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The loss that training minimises.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// Softmax cross-entropy, with this amount of label smoothing.
    CrossEntropy(f32),
    /// Squared hinge on +-1 targets.
    SquaredHinge,
}

/// Options of the compilation.
#[derive(Debug)]
pub struct Options {
    /// The loss.
    pub loss: Loss,
    /// Weights of the classes in the gradient of the loss; `None`: 1 each.
    pub class_weights: Option<Vec<f32>>,
    /// Samples per batch.
    pub batch: usize,
    /// Seed of weights and random numbers.
    pub seed: u64,
    /// Steps of the whole run, the domain of schedules. With 0 (unknown) schedules keep their initial values.
    pub total_steps: u64,
    /// Whether fusions apply; they do not change the results.
    pub fuse: bool,
    /// A teacher in addition to the labels; the loss must be cross-entropy.
    pub teacher: Option<Teacher>,
    /// Whether a step's logits stay readable as the tensor `logits`, and the gradient of each trained parameter as `NAME.grad`.
    pub keep_gradients: bool,
    /// Whether there is an additional recording for [`super::Session::diagnose`].
    pub diagnostics: bool,
}

impl Options {
    /// Creates options with batches of 100, seed 1, a run of unknown length, fusions, no teacher, and no diagnostics.
    pub fn new(loss: Loss) -> Self {
        Self {
            loss,
            class_weights: None,
            batch: 100,
            seed: 1,
            total_steps: 0,
            fuse: true,
            teacher: None,
            keep_gradients: false,
            diagnostics: false,
        }
    }

    /// Returns the fusions before and after gradients are added.
    fn fusions(&self) -> [&'static [Fusion]; 2] {
        if self.fuse { [FUSIONS, LATE_FUSIONS] } else { [&[], &[]] }
    }
}

/// Number of steps whose losses the device keeps between read-backs.
pub(super) const RING: usize = 64;

/// Prefix of the names of a teacher's tensors.
pub(super) const TEACHER: &str = "teacher.";
/// The input of a teacher's logits from a file.
pub(super) const TEACHER_LOGITS: &str = "teacher.logits";
/// The output of the evaluation.
pub(super) const LOGITS: &str = "eval.logits";

/// Binary parameters with their sizes.
type Binary = Vec<(String, u64)>;
/// Applied fusions by name: those of the training graph, or of the evaluation graph if only that has them.
type Fired = BTreeMap<&'static str, usize>;

/// The result of the compilation.
pub(super) struct Compiled {
    pub plan: Plan,
    pub binary: Binary,
    pub fused: Fired,
    /// Whether training, and whether evaluation reads values of the recording `prepare`.
    pub is_prepared: [bool; 2],
    /// Bytes of the states of binary weights.
    pub states: u64,
    pub diagnostics: Option<Diagnostics>,
    pub first_gradients: FirstGradients,
}

/// Builds the graphs of the model, and plans them together for a device.
pub(super) fn compile(model: &Model, rules: Option<&Rules>, options: &Options, target: &Target) -> Result<Compiled> {
    let &Options { loss, batch, .. } = options;
    if batch == 0 {
        return Err(Error::setting("batch-size", "at least 1", batch));
    }
    let limits = StepLimits { rows: batch as u32, losses: RING as u32 };
    let mut eval = Graph::new();
    let (logits, _) = loss_of(&mut eval, model, loss, (None, None), Mode::Eval, batch)?;
    eval.keep(logits, LOGITS);
    let evaluated: Fired = options.fusions().into_iter().flat_map(|fusions| fuse(&mut eval, fusions)).collect();
    // Values that depend on weights alone, of evaluation and of a teacher, are computed when the weights change.
    let mut prepare = Graph::new();
    let of_eval = hoist(&mut eval, &mut prepare)?;
    let Some(rules) = rules else {
        let plan = plan(&[("prepare", &prepare), ("eval", &eval)], limits, target)?;
        let is_prepared = [false, of_eval];
        let (binary, first_gradients) = (Vec::new(), FirstGradients::default());
        return Ok(Compiled {
            plan,
            binary,
            fused: evaluated,
            is_prepared,
            states: 0,
            diagnostics: None,
            first_gradients,
        });
    };
    let (mut train, binary, trained) = training(model, rules, options, None)?;
    let fused = evaluated.into_iter().chain(trained).collect();
    let mut diagnostics = options.diagnostics.then(Diagnostics::default);
    let measured = diagnostics.as_mut().map(|measured| training(model, rules, options, Some(measured))).transpose()?;
    let of_train = hoist(&mut train, &mut prepare)?;
    let mut measured = measured.map(|(graph, ..)| graph);
    let of_measured = measured.as_mut().map(|graph| hoist(graph, &mut prepare)).transpose()?;
    let is_needed = |(parameter, role): &(Value, Role)| {
        let info = train.info(*parameter);
        *role == Role::Binary && FirstGradients::are_needed(rules, &info.name, &info.ty)
    };
    let (mut first, first_gradients) = match train.trained().iter().any(is_needed) {
        true => measuring_first_gradients(model, rules, options).map(|(graph, measured)| (Some(graph), measured))?,
        false => (None, FirstGradients::default()),
    };
    let of_first = first.as_mut().map(|graph| hoist(graph, &mut prepare)).transpose()?;
    let mut graphs = vec![("prepare", &prepare), ("train", &train), ("eval", &eval)];
    graphs.extend(measured.iter().map(|graph| ("diagnose", graph)));
    graphs.extend(first.iter().map(|graph| (RECORDING, graph)));
    let is_prepared = [of_train || of_measured == Some(true) || of_first == Some(true), of_eval];
    let plan = plan(&graphs, limits, target)?;
    let states = states_of(&train, rules);
    Ok(Compiled { plan, binary, fused, is_prepared, states, diagnostics, first_gradients })
}

/// Returns the bytes of the states of binary weights.
fn states_of(train: &Graph, rules: &Rules) -> u64 {
    let binary = train.trained().into_iter().filter(|(_, role)| *role == Role::Binary);
    let bytes = |(value, role)| rules.of(parent_path(&train.info(value).name), role).0.state_bytes(train.ty(value));
    binary.map(bytes).sum()
}

/// Builds the graph of a training step, with the nodes of `measured`.
fn training(
    model: &Model,
    rules: &Rules,
    options: &Options,
    mut measured: Option<&mut Diagnostics>,
) -> Result<(Graph, Binary, Fired)> {
    let &Options { keep_gradients, .. } = options;
    let (mut train, mut fused, gradients) = with_gradients(model, options)?;
    let trained = train.trained();
    let layers: Vec<_> = trained.iter().map(|(value, role)| (parent_path(&train.info(*value).name), *role)).collect();
    rules.check(&layers)?;
    let binary: Binary = trained
        .iter()
        .filter(|(_, role)| *role == Role::Binary)
        .map(|(value, _)| (train.info(*value).name.clone(), train.ty(*value).elements() as u64))
        .collect();
    let first = first_counters(binary.len().max(1));
    let ty = TensorType::plain(DType::U32, &[first.len()]);
    let counters = train.state("metrics.counters", ty, Purpose::Counter, Init::List(first.into()));
    let mut controlled = Vec::new();
    for (parameter, role) in trained {
        let name = train.info(parameter).name.clone();
        let Some(&gradient) = gradients.get(&parameter) else {
            return Err(Error::shape(format!("parameter `{name}`"), "a path to the loss", "none"));
        };
        train.set_scope(parent_path(&name));
        if keep_gradients {
            train.keep(gradient, &format!("{name}.grad"));
        }
        let (rule, hyper_offset) = rules.of(parent_path(&name), role);
        if role == Role::Float {
            rule.update(&mut train, UpdateTarget { parameter, gradient, hyper_offset, counters, layer: None })?;
            continue;
        }
        if options.diagnostics {
            follow(&mut train, parameter, measured.is_some())?;
        }
        if let Some(measured) = &mut measured {
            measured.gradient(&mut train, parameter, gradient)?;
        }
        let layer = Some(controlled.len() as u32);
        rule.update(&mut train, UpdateTarget { parameter, gradient, hyper_offset, counters, layer })?;
        let rate_limit = rules.rate_limit(rule)?;
        controlled.push(ControlledLayer { weights: train.ty(parameter).elements() as u64, hyper_offset, rate_limit });
        if let Some(measured) = &mut measured {
            measured.state(&mut train, rule.decision(), gradient, hyper_offset)?;
        }
    }
    if rules.control.is_some() && !controlled.is_empty() {
        train.set_scope("flip_control");
        FlipControl::update(&mut train, counters, &controlled, rules.control_offset())?;
    }
    if let Some(measured) = measured {
        measured.signs(&mut train)?;
    }
    fused.extend(fuse(&mut train, options.fusions()[1]));
    Ok((train, binary, fused))
}

/// Builds the graph of a step with the gradients of all parameters, without updates.
fn with_gradients(model: &Model, options: &Options) -> Result<(Graph, Fired, HashMap<Value, Value>)> {
    let &Options { loss, batch, keep_gradients, ref teacher, ref class_weights, .. } = options;
    let mut graph = Graph::new();
    let weighting = (teacher.as_ref(), class_weights.as_deref());
    let (logits, rows) = loss_of(&mut graph, model, loss, weighting, Mode::Train, batch)?;
    if keep_gradients {
        graph.keep(logits, "logits");
    }
    let fused = fuse(&mut graph, options.fusions()[0]);
    let gradients = backward(&mut graph, rows, &join)?;
    Ok((graph, fused, gradients))
}

/// Builds the graph that measures the gradients of parameters whose states start in units of their first updates.
fn measuring_first_gradients(model: &Model, rules: &Rules, options: &Options) -> Result<(Graph, FirstGradients)> {
    let (mut graph, _, gradients) = with_gradients(model, options)?;
    let mut first = FirstGradients::default();
    for (parameter, _) in graph.trained().into_iter().filter(|(_, role)| *role == Role::Binary) {
        let info = graph.info(parameter).clone();
        if let Some(&gradient) =
            gradients.get(&parameter).filter(|_| FirstGradients::are_needed(rules, &info.name, &info.ty))
        {
            graph.set_scope(parent_path(&info.name));
            first.add(&mut graph, parameter, gradient)?;
        }
    }
    fuse(&mut graph, options.fusions()[1]);
    Ok((graph, first))
}

/// Adds model, loss and its mean. Returns the logits and the losses by row.
fn loss_of(
    graph: &mut Graph,
    model: &Model,
    loss: Loss,
    (teacher, class_weights): (Option<&Teacher>, Option<&[f32]>),
    mode: Mode,
    batch: usize,
) -> Result<(Value, Value)> {
    let logits = model.build(graph, mode, batch)?;
    let taught = teacher.map(|teacher| teacher_logits(graph, teacher, logits, batch)).transpose()?;
    graph.set_scope("loss");
    let labels = graph.input("labels", TensorType::plain(DType::U32, &[batch]));
    let prefix = if mode == Mode::Train { "metrics" } else { "eval" };
    let mut counter = |name: &str, dtype, count, init| {
        graph.state(&format!("{prefix}.{name}"), TensorType::plain(dtype, &[count]), Purpose::Counter, init)
    };
    let correct = counter("correct", DType::U32, model.outputs(), Init::Words(0));
    let ring = counter("loss", DType::F32, RING, Init::Fill(0.0));
    let failed = counter("failed", DType::U32, 1, Init::Words(u32::MAX));
    let weights = class_weights.map(|weights| {
        let (ty, words) =
            (TensorType::plain(DType::F32, &[weights.len()]), weights.iter().map(|w| w.to_bits()).collect());
        graph.state("loss.class_weights", ty, Purpose::Constant, Init::List(words))
    });
    let inputs: Vec<Value> = [logits, labels].into_iter().chain(taught).chain(weights).collect();
    let rows = match (loss, taught.zip(teacher)) {
        (Loss::CrossEntropy(smoothing), Some((_, &Teacher { weight, temperature, .. }))) => {
            graph.add(Distillation { smoothing, weight, temperature }, &inputs, &[correct])?
        }
        (Loss::SquaredHinge, Some(_)) => {
            return Err(Error::setting("loss", "cross-entropy, with a teacher", "squared-hinge"));
        }
        (Loss::CrossEntropy(smoothing), None) => graph.add(SoftmaxCrossEntropy { smoothing }, &inputs, &[correct])?,
        (Loss::SquaredHinge, None) => graph.add(SquaredHinge, &inputs, &[correct])?,
    };
    graph.push(Arc::new(MeanLoss), &[rows], &[ring, failed])?;
    Ok((logits, rows))
}

/// Adds the teacher's logits, of the student's type.
fn teacher_logits(graph: &mut Graph, teacher: &Teacher, logits: Value, batch: usize) -> Result<Value> {
    match &teacher.source {
        Source::Network { model, .. } => model.build_frozen(graph, batch, TEACHER),
        Source::Logits(_) => Ok(graph.input(TEACHER_LOGITS, graph.ty(logits).clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{MODELS, ModelSpec, Weights};
    use crate::optim::{Adam, CEMA, Schedule, StateType};
    use std::collections::HashSet;

    /// Returns the words that forward writes and backward reads, without the loss's own, in a step with fusions.
    fn kept(model: &Model, batch: usize) -> usize {
        let mut graph = Graph::new();
        let (_, rows) =
            loss_of(&mut graph, model, Loss::CrossEntropy(0.0), (None, None), Mode::Train, batch).expect("it fits");
        fuse(&mut graph, FUSIONS);
        let forward = graph.nodes().len();
        backward(&mut graph, rows, &join).expect("every layer has a gradient");
        let (before, behind) = graph.nodes().split_at(forward);
        let read: HashSet<Value> =
            behind.iter().filter(|node| node.scope != "loss").flat_map(|node| node.inputs.clone()).collect();
        let made = before.iter().flat_map(|node| &node.outputs);
        made.filter(|value| read.contains(value)).map(|&value| graph.ty(value).words()).sum()
    }

    /// A query by purpose returns all states of that purpose and no others.
    #[test]
    fn every_state_has_its_purpose() {
        let model =
            || ModelSpec { hidden: Some(vec![40]), ..ModelSpec::new("mlp", [8, 8, 1], 10) }.build().expect("it fits");
        let source = Source::Network { model: model(), weights: Weights::default() };
        let teacher = Some(Teacher { source, weight: 0.5, temperature: 2.0 });
        let base = Options::new(Loss::CrossEntropy(0.0));
        let options = Options { batch: 32, teacher, keep_gradients: true, diagnostics: true, ..base };
        let cema = CEMA.with::<f32>([]).and_then(|cema| cema.with_state(StateType::I16)).expect("defaults");
        let rules = Rules::new(cema, Adam::new(1e-3, Schedule::constant()).expect("in range"));
        let plan = compile(&model(), Some(&rules), &options, &Target::any()).expect("it fits").plan;
        let mut found = BTreeMap::<&str, usize>::new();
        for (name, (_, info)) in &plan.named {
            let ending = name.rsplit('.').next().unwrap_or_default();
            let expected = match ending {
                _ if name.starts_with("teacher.") => Some(Purpose::Teacher),
                _ if name.starts_with("diagnostics.") => Some(Purpose::Diagnostic),
                _ if name.starts_with("prepared") => Some(Purpose::Prepared),
                _ if name.starts_with("metrics.") || name.starts_with("eval.") && ending != "logits" => {
                    Some(Purpose::Counter)
                }
                "grad" | "logits" => Some(Purpose::Kept),
                "running_mean" | "running_variance" => Some(Purpose::Statistic),
                "m" | "h" | "v" | "row_state" => Some(Purpose::Optimizer),
                _ => None,
            };
            assert_eq!(info.purpose(), expected, "{name}");
            *found.entry(ending).or_default() += 1;
        }
        for ending in ["grad", "logits", "running_mean", "m", "h", "v", "counters", "counts", "weight", "scale"] {
            assert!(found.contains_key(ending), "{ending} in {found:?}");
        }
        let saved: Vec<&String> =
            plan.named.iter().filter(|(_, (_, info))| info.is_saved()).map(|(name, _)| name).collect();
        assert_eq!(saved.len(), 2 * 5, "weights, scales, biases and statistics of two layers: {saved:?}");
    }

    #[test]
    fn summaries_say_what_a_fused_step_keeps() {
        for zoo in &MODELS {
            for float in [false, true] {
                let spec = ModelSpec {
                    width: 0.125,
                    full_precision: float,
                    ..ModelSpec::new(zoo.name, zoo.input, zoo.classes)
                };
                let model = spec.build().expect("it fits");
                let bits = 32 * (kept(&model, 64) - kept(&model, 32)) / 32;
                assert_eq!(model.summary().saved_bits, bits as u64, "{}, float: {float}", zoo.name);
            }
        }
    }
}
