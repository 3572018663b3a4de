//! The contract of a layer: adds its nodes to a graph, and tells what it costs.

use super::quantizer::Quantizer;
use crate::error::Result;
use crate::graph::{Graph, Init, Purpose, Role, Value};
use crate::ops::{Activation, DropSigns, JoinDropped, Sign, check_share};
use crate::tensor::{TensorType, stream_word};
use std::fmt;
use std::sync::Arc;

/// What a graph is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Batch statistics; running ones are moved.
    Train,
    /// Running statistics.
    Eval,
}

/// Height, width and channels of one sample; a row of features is `[1, 1, features]`.
pub type Shape = [usize; 3];

/// A graph under construction, seen from one layer.
pub struct Builder<'a> {
    /// Where nodes go.
    pub graph: &'a mut Graph,
    /// What for.
    pub mode: Mode,
    /// Name of the layer.
    pub name: &'a str,
    /// Whether nothing is trained: parameters and statistics are a teacher's states then, which no optimizer sees and no file of weights holds.
    pub frozen: bool,
}

impl Builder<'_> {
    /// The layer's parameter of that name: `dense1.weight`.
    pub fn parameter(&mut self, name: &str, ty: TensorType, role: Role, init: Init) -> Value {
        let name = format!("{}.{name}", self.name);
        match self.frozen {
            true => self.graph.state(&name, ty, Purpose::Teacher, init),
            false => self.graph.parameter(&name, ty, role, init),
        }
    }

    /// What the layer itself holds or measures, saved with its parameters: `norm1.running_mean`.
    pub fn statistic(&mut self, name: &str, ty: TensorType, init: Init) -> Value {
        let purpose = if self.frozen { Purpose::Teacher } else { Purpose::Statistic };
        self.graph.state(&format!("{}.{name}", self.name), ty, purpose, init)
    }

    /// A layer's product with its input as it sees it; where signs are dropped, from the products with both of their copies.
    pub fn product(
        &mut self,
        x: Value,
        quantizer: Quantizer,
        product: impl Fn(&mut Graph, Value) -> Result<Value>,
    ) -> Result<Value> {
        let (surrogate, probability) = match quantizer {
            Quantizer::Float => return product(self.graph, x),
            Quantizer::Relu => {
                let x = self.graph.add(Activation::Relu, &[x], &[])?;
                return product(self.graph, x);
            }
            Quantizer::Sign(surrogate) => (surrogate, 0.0),
            Quantizer::DroppedSign(surrogate, probability) => (surrogate, probability),
        };
        let signs = self.graph.push(Arc::new(Sign { surrogate }), &[x], &[])?[0];
        check_share(format!("layer `{}`", self.name), probability)?;
        if self.mode == Mode::Eval || probability == 0.0 {
            return product(self.graph, signs);
        }
        let drop = DropSigns { probability, stream: stream_word(&format!("{}.keep", self.name)) };
        let copies = self.graph.push(Arc::new(drop), &[signs], &[])?;
        let [up, down] = [product(self.graph, copies[0])?, product(self.graph, copies[1])?];
        self.graph.add(JoinDropped { probability }, &[up, down], &[])
    }
}

/// What a layer holds and does for one sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Binary weights.
    pub weights_1bit: u64,
    /// Float parameters, statistics included.
    pub weights_32bit: u64,
    /// Multiply-adds of signs by signs.
    pub macs_1bit: u64,
    /// Multiply-adds with a float operand.
    pub macs_32bit: u64,
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.weights_1bit += other.weights_1bit;
        self.weights_32bit += other.weights_32bit;
        self.macs_1bit += other.macs_1bit;
        self.macs_32bit += other.macs_32bit;
    }
}

/// One line of a summary.
#[derive(Clone, Debug, PartialEq)]
pub struct SummaryRow {
    /// Name of the layer, as rules by layer match it.
    pub layer: String,
    /// Shape of its output.
    pub output: Shape,
    /// Input by weight.
    pub precision: String,
    /// What it costs.
    pub cost: Cost,
    /// Bits that are kept for its backward pass, which depends on the layers around it: the model's summary says them.
    pub saved_bits: u64,
}

impl SummaryRow {
    /// A layer's row, of a given cost; nothing is kept yet.
    pub(super) fn new(layer: &(impl Layer + ?Sized), name: &str, input: Shape, cost: Cost) -> Self {
        let output = layer.shape(input).unwrap_or(input);
        Self { layer: name.into(), output, precision: layer.precision(), cost, saved_bits: 0 }
    }
}

/// Features of a sample.
pub fn features(shape: Shape) -> u64 {
    shape.iter().map(|&extent| extent as u64).product()
}

/// A layer. Layers from outside the crate implement this and are pushed on a [`super::Model`].
pub trait Layer: fmt::Debug + Send + Sync {
    /// One word: `dense`. A model numbers its layers by kind.
    fn kind(&self) -> &'static str;

    /// Adds the layer's nodes behind `x`, `[batch, features]` or `[batch, height, width, channels]`; gives its output.
    fn build(&self, builder: &mut Builder<'_>, x: Value) -> Result<Value>;

    /// Shape of the output for a shape of the input; an error says what does not fit.
    fn shape(&self, input: Shape) -> Result<Shape>;

    /// What it costs for an input of a shape that fits: nothing that is counted, by default.
    fn cost(&self, _input: Shape) -> Cost {
        Cost::default()
    }

    /// How its input and weights are quantised, for the summary: `sign x sign`.
    fn precision(&self) -> String {
        "float".into()
    }

    /// Its rows in the summary: one under its name, but of a layer made of others theirs before its own, which has what they have not.
    /// Together they cost what it costs.
    fn rows(&self, name: &str, input: Shape) -> Vec<SummaryRow> {
        vec![SummaryRow::new(self, name, input, self.cost(input))]
    }

    /// Whether it sees images rather than rows of features: a model whose first layer does is fed images.
    fn is_spatial(&self) -> bool {
        false
    }
}
