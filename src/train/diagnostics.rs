//! Diagnostics of training by layer: nodes that only measure, and the interpretation of their counters.

use super::metrics::Counters;
use crate::error::{Error, Result};
use crate::graph::{Graph, Init, Op, Plan, Port, Purpose, Signs, Value};
use crate::nn::parent_path;
use crate::ops::{
    BiquadMagnitudes, ConstantChannels, Magnitudes, NarrowMagnitudes, SampleFlips, Sign, SignBackward, Surrogate,
};
use crate::optim::{Decision, StateType};
use crate::runtime::BufferId;
use crate::tensor::{DType, TensorType};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Maximum number of steps between a flip and the flip back for a weight to count as oscillating.
pub const OSCILLATION_WINDOW: u32 = 100;

/// Bins of a histogram of the states.
const BINS: usize = 16;
/// Powers of two between the first bin's upper limit and the root mean square.
const BELOW: isize = 11;

/// The state of a layer at a step. Values that a layer does not have are absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LayerDiagnostics {
    /// Its name.
    pub layer: String,
    /// Fraction of its binary weights that flipped per step, mean since the last measurement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flip_ratio: Option<f64>,
    /// Fraction of its binary weights that have never flipped, in a sample of at most 8192.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub never_flipped: Option<f64>,
    /// Fraction of its binary weights that flipped back since the last measurement, within [`OSCILLATION_WINDOW`], in the same sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oscillating: Option<f64>,
    /// Root mean square of the weights' gradient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gradient_rms: Option<f64>,
    /// Root mean square of the state whose sign is the weight, after the step; of the filter's output if there is no such state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_rms: Option<f64>,
    /// Histogram of that state's magnitudes as fractions, 16 bins of a factor 2. With r the power of two at or below the root mean square,
    /// bin i has r 2^(i - 12) <= |state| < r 2^(i - 11). The first bin also has all smaller magnitudes, the last bin all larger ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_histogram: Option<Vec<f64>>,
    /// Fraction of the nonzero gradients of its input's signs that the surrogate sets to 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub masked: Option<f64>,
    /// Fraction of its input's channels with a constant sign over the batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_channels: Option<f64>,
}

impl LayerDiagnostics {
    /// Upper limit of the first bin of [`LayerDiagnostics::state_histogram`], as a power of two.
    pub const FIRST_LIMIT: f64 = -(BELOW as f64);
}

/// A tensor whose magnitudes are measured.
struct Probe {
    name: String,
    padding: usize,
    elements: usize,
    counters: Counters,
}

impl Probe {
    /// Adds the node that measures `x`, at the end or right behind another.
    fn new(graph: &mut Graph, name: String, x: Value, behind: Option<usize>) -> Result<Self> {
        Self::with(graph, name, (Magnitudes, &[x]), behind)
    }

    /// Adds a measuring node of a given operation with its inputs, the first of which has the size of what is measured.
    fn with(
        graph: &mut Graph,
        name: String,
        (op, inputs): (impl Op + 'static, &[Value]),
        behind: Option<usize>,
    ) -> Result<Self> {
        let ty = graph.ty(inputs[0]).clone();
        let counts = state(graph, &format!("{name}.counts"), Magnitudes::counts());
        let squares = state(graph, &format!("{name}.squares"), Magnitudes::squares(&ty));
        push(graph, behind, op, inputs, &[counts, squares])?;
        let counters = Counters::new(Magnitudes::counts().elements());
        let padding = ty.words() * ty.elements_a_word() - ty.elements();
        Ok(Self { name, padding, elements: ty.elements(), counters })
    }

    /// Returns the counts by exponent field since the last call, without padding.
    fn exponents(&mut self, counts: &[u32]) -> Vec<u64> {
        let mut counts = self.counters.growth(counts);
        counts[0] -= counts[0].min(self.padding as u64);
        counts
    }

    fn rms(&self, squares: &[u32]) -> f64 {
        let sum: f64 = squares.iter().map(|&word| f64::from(f32::from_bits(word))).sum();
        (sum / self.elements as f64).sqrt()
    }
}

/// Adds a state of a measurement, initially 0.
fn state(graph: &mut Graph, name: &str, ty: TensorType) -> Value {
    graph.state(name, ty, Purpose::Diagnostic, Init::Words(0))
}

fn push(
    graph: &mut Graph,
    behind: Option<usize>,
    op: impl Op + 'static,
    inputs: &[Value],
    states: &[Value],
) -> Result<()> {
    match behind {
        Some(node) => graph.push_behind(node, Arc::new(op), inputs, states).map(drop),
        None => graph.push(Arc::new(op), inputs, states).map(drop),
    }
}

/// Measured binary weights.
struct Weights {
    name: String,
    elements: u64,
    gradient: Probe,
    /// The node that measures the gradient, the last one before the update.
    before: usize,
    state: Option<Probe>,
}

/// Measured signs of a layer's input.
struct LayerSigns {
    layer: String,
    channels: usize,
    /// Gradient of the signs, and of the input of sign.
    gradients: [Probe; 2],
    constant: Counters,
}

/// The measured values, and the values of the counters at the last measurement.
#[derive(Default)]
pub(super) struct Diagnostics {
    weights: Vec<Weights>,
    signs: Vec<LayerSigns>,
    flips: Option<Counters>,
}

/// Adds the node that samples the weights at every step, before their update.
pub(super) fn follow(graph: &mut Graph, weight: Value, report: bool) -> Result<()> {
    let info = graph.info(weight).clone();
    let states =
        SampleFlips::states(&info.ty).map(|(name, ty)| state(graph, &format!("diagnostics.{}.{name}", info.name), ty));
    push(graph, None, SampleFlips { window: OSCILLATION_WINDOW, report }, &[weight], &states)
}

impl Diagnostics {
    /// Adds the node that measures a gradient, before the update of its weights.
    pub(super) fn gradient(&mut self, graph: &mut Graph, weight: Value, gradient: Value) -> Result<()> {
        let (name, elements) = (graph.info(weight).name.clone(), graph.ty(weight).elements() as u64);
        let gradient = Probe::new(graph, format!("diagnostics.{name}.gradient"), gradient, None)?;
        let before = graph.nodes().len() - 1;
        self.weights.push(Weights { name, elements, gradient, before, state: None });
        Ok(())
    }

    /// Adds the node that measures the value whose sign is the weight, for the last added weights: a state after the update, or the output
    /// of sections, whose hyperparameters begin at `hyperparameter`, before the update.
    pub(super) fn state(
        &mut self,
        graph: &mut Graph,
        decision: Option<Decision>,
        gradient: Value,
        hyper_offset: u32,
    ) -> Result<()> {
        let weights = self.weights.last_mut().expect("behind a gradient");
        let name = format!("diagnostics.{}.state", weights.name);
        let find = |tensor: &str| graph.find(&format!("{}.{tensor}", weights.name));
        let found = match decision {
            Some(Decision::Output { sections: tensor } | Decision::State { name: tensor, .. }) => find(tensor),
            None => None,
        };
        let (Some(decision), Some(state)) = (decision, found) else { return Ok(()) };
        let (dtype, units) = (graph.ty(state).dtype, find("row_state"));
        weights.state = Some(match (decision, dtype, units) {
            (Decision::Output { .. }, ..) => {
                let op = BiquadMagnitudes { hyper_offset };
                Probe::with(graph, name, (op, &[gradient, state]), Some(weights.before))?
            }
            (Decision::State { .. }, DType::I16 | DType::I8, None) => {
                return Err(Error::shape(name, "the state `row_state` for an integer state", "none"));
            }
            (Decision::State { place, .. }, DType::F16 | DType::I16 | DType::I8, units) => {
                let op = NarrowMagnitudes { unit: StateType::HALF_UNIT, state: place };
                let inputs: Vec<Value> = [state].into_iter().chain(units).collect();
                Probe::with(graph, name, (op, &inputs), None)?
            }
            _ => Probe::new(graph, name, state, None)?,
        });
        Ok(())
    }

    /// Adds the nodes that measure signs of activations, right behind those that produce them and their gradients. Signs belong to the
    /// layer that reads them, whatever layer's scope they are produced in.
    pub(super) fn signs(&mut self, graph: &mut Graph) -> Result<()> {
        let mut all: Vec<TrainedSigns> = (0..graph.nodes().len()).filter_map(|i| TrainedSigns::at(graph, i)).collect();
        // In descending order of the backward nodes, so that insertions do not move the positions of earlier nodes.
        all.sort_by_key(|found| std::cmp::Reverse(found.back));
        for TrainedSigns { signs, back, kept, gradient, masked, layer, .. } in &all {
            let name = |part: &str| format!("diagnostics.{layer}.{part}");
            let (dx, behind) = match masked {
                Some(masked) => (*masked, *back),
                // A fused backward never stores the gradient after the mask.
                None => {
                    let clip = SignBackward(Sign { surrogate: Surrogate::named("clip")? });
                    (graph.push_behind(*back, Arc::new(clip), &[*kept, *gradient], &[])?[0], back + 1)
                }
            };
            let below = Probe::new(graph, name("below"), dx, Some(behind))?;
            let above = Probe::new(graph, name("above"), *gradient, Some(*back))?;
            let (channels, constant) = (graph.ty(*signs).columns(), Counters::new(1));
            self.signs.push(LayerSigns { layer: layer.clone(), channels, gradients: [above, below], constant });
        }
        all.sort_by_key(|found| std::cmp::Reverse(found.forward));
        for TrainedSigns { signs, forward, layer, .. } in &all {
            let ty = TensorType::plain(DType::U32, &[1]);
            let constant = state(graph, &format!("diagnostics.{layer}.constant"), ty);
            push(graph, Some(*forward), ConstantChannels, &[*signs], &[constant])?;
        }
        if self.weights.is_empty() && self.signs.is_empty() {
            return Err(Error::setting("diagnostics", "a network with binary weights or activations", "one of floats"));
        }
        self.signs.reverse();
        self.flips = Some(Counters::new(self.weights.len().max(1)));
        Ok(())
    }

    /// Returns the tensors that a measurement reads back.
    pub(super) fn tensors(&self, plan: &Plan) -> Vec<BufferId> {
        let mut names = vec!["metrics.counters".to_string()];
        for weights in &self.weights {
            names.push(format!("diagnostics.{}.found", weights.name));
            for probe in [Some(&weights.gradient), weights.state.as_ref()].into_iter().flatten() {
                names.extend(["counts", "squares"].map(|part| format!("{}.{part}", probe.name)));
            }
        }
        for signs in &self.signs {
            names.extend(signs.gradients.iter().map(|probe| format!("{}.counts", probe.name)));
            names.push(format!("diagnostics.{}.constant", signs.layer));
        }
        names.iter().map(|name| plan.id(name)).collect()
    }

    /// Updates the flip counters between two measurements, which may be too far apart for 32-bit counters.
    pub(super) fn see_flips(&mut self, flips: &[u32]) {
        self.flips.as_mut().expect("a finished graph").see(flips);
    }

    /// Interprets the words of a measurement `steps` steps after the previous one.
    pub(super) fn read(&mut self, words: &[Vec<u32>], steps: u64) -> Vec<LayerDiagnostics> {
        let mut words = words.iter().map(Vec::as_slice);
        let mut next = || words.next().expect("as many as were asked for");
        let flips = self.flips.as_mut().expect("a finished graph").growth(&next()[..self.weights.len().max(1)]);
        let share = |part: u64, all: u64| part as f64 / all.max(1) as f64;
        let mut layers = Vec::new();
        for (weights, flips) in self.weights.iter_mut().zip(flips) {
            let [sample, ever, back] = [0, 1, 2].map({
                let found = next();
                move |i| u64::from(found[i])
            });
            let mut layer = LayerDiagnostics {
                layer: parent_path(&weights.name).to_string(),
                flip_ratio: Some(share(flips, weights.elements * steps)),
                never_flipped: Some(1.0 - share(ever, sample)),
                oscillating: Some(share(back, sample)),
                ..LayerDiagnostics::default()
            };
            // The gradient's histogram is discarded; only its scale is reported.
            weights.gradient.exponents(next());
            layer.gradient_rms = Some(weights.gradient.rms(next()));
            if let Some(state) = &mut weights.state {
                let exponents = state.exponents(next());
                let rms = state.rms(next());
                (layer.state_rms, layer.state_histogram) = (Some(rms), Some(histogram(&exponents, rms)));
            }
            layers.push(layer);
        }
        for signs in &mut self.signs {
            let [above, below] = [0, 1].map(|i| signs.gradients[i].exponents(next())[0]);
            let elements = signs.gradients[0].elements as u64;
            let constant = signs.constant.growth(next())[0];
            let at = layers.iter().position(|layer| layer.layer == signs.layer).unwrap_or_else(|| {
                layers.push(LayerDiagnostics { layer: signs.layer.clone(), ..LayerDiagnostics::default() });
                layers.len() - 1
            });
            layers[at].masked = Some(share(below.saturating_sub(above), elements.saturating_sub(above)));
            layers[at].dead_channels = Some(share(constant, signs.channels as u64));
        }
        layers
    }
}

/// Signs that gradients pass through.
struct TrainedSigns {
    signs: Value,
    /// The node that produces them, and the node of their gradient.
    forward: usize,
    back: usize,
    /// What backward reads, the gradient of the signs, and the gradient after the surrogate if it is stored.
    kept: Value,
    gradient: Value,
    masked: Option<Value>,
    /// The layer that reads them, whatever layer's scope they are produced in.
    layer: String,
}

impl TrainedSigns {
    /// Returns the signs that node `forward` produces.
    fn at(graph: &Graph, forward: usize) -> Option<Self> {
        let node = &graph.nodes()[forward];
        let Signs::Forward { kept } = node.op.signs()? else { return None };
        let kept = match kept {
            Port::Input(i) => node.inputs[i],
            Port::Output(i) => node.outputs[i],
        };
        let (signs, scope) = (node.outputs[0], &node.scope);
        let layer = graph.nodes()[*graph.consumers(signs).first()?].scope.clone();
        graph.nodes().iter().enumerate().find_map(|(back, node)| {
            let Signs::Backward { kept: input, gradient, masked } = node.op.signs()? else { return None };
            let (read, gradient, masked) = (node.inputs[input], node.inputs[gradient], masked.map(|i| node.outputs[i]));
            let layer = layer.clone();
            let found = Self { signs, forward, back, kept: read, gradient, masked, layer };
            // Backward nodes are in the scope of their forward node, which distinguishes signs of one value in two layers.
            (node.scope == *scope && graph.is_same(read, kept)).then_some(found)
        })
    }
}

/// Returns the fractions of magnitudes by bin relative to the power of two at or below `rms`.
fn histogram(exponents: &[u64], rms: f64) -> Vec<f64> {
    let middle = ((rms as f32).to_bits() >> 23 & 255) as isize;
    let mut bins = vec![0_u64; BINS];
    for (exponent, count) in exponents.iter().enumerate() {
        let bin = (exponent as isize - middle + BELOW + 1).clamp(0, BINS as isize - 1);
        // Zeros belong to the first bin at every scale.
        bins[if exponent == 0 { 0 } else { bin as usize }] += count;
    }
    let all = bins.iter().sum::<u64>().max(1) as f64;
    bins.into_iter().map(|count| count as f64 / all).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_relative_to_the_root_mean_square() {
        let exponent = |value: f32| (value.to_bits() >> 23) as usize;
        let mut exponents = vec![0; 256];
        // Half at the scale, a quarter at a factor of 1/256 of it, the others 0 and far above.
        for (value, count) in [(3e-6, 4), (3e-6 / 256.0, 2), (0.0, 1), (1.0, 1)] {
            exponents[exponent(value)] += count;
        }
        let bins = histogram(&exponents, 3.1e-6);
        assert_eq!((bins[12], bins[4], bins[0], bins[15]), (0.5, 0.25, 0.125, 0.125), "{bins:?}");
    }
}
