//! The contract of a layer: it adds its nodes to a graph, and reports its cost.

use super::quantizer::Quantizer;
use crate::error::Result;
use crate::graph::{Graph, Init, Purpose, Role, Value};
use crate::ops::{Activation, DropSigns, JoinDropped, Sign, check_share};
use crate::tensor::{TensorType, stream_word};
use std::fmt;
use std::sync::Arc;

/// The purpose of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Uses batch statistics, and updates the running ones.
    Train,
    /// Uses running statistics.
    Eval,
}

/// Height, width and channels of a sample; a row of features is `[1, 1, features]`.
pub type Shape = [usize; 3];

/// A graph under construction, in the scope of one layer.
pub struct Builder<'a> {
    /// The graph that nodes are added to.
    pub graph: &'a mut Graph,
    /// The purpose of the graph.
    pub mode: Mode,
    /// Name of the layer.
    pub name: &'a str,
    /// Whether the parameters are frozen: parameters and statistics are then states of a teacher, which no optimizer trains and no file of
    /// weights contains.
    pub frozen: bool,
}

impl Builder<'_> {
    /// Returns the layer's parameter of that name: `dense1.weight`.
    pub fn parameter(&mut self, name: &str, ty: TensorType, role: Role, init: Init) -> Value {
        let name = format!("{}.{name}", self.name);
        match self.frozen {
            true => self.graph.state(&name, ty, Purpose::Teacher, init),
            false => self.graph.parameter(&name, ty, role, init),
        }
    }

    /// Returns a value that the layer holds or measures, saved with its parameters: `norm1.running_mean`.
    pub fn statistic(&mut self, name: &str, ty: TensorType, init: Init) -> Value {
        let purpose = if self.frozen { Purpose::Teacher } else { Purpose::Statistic };
        self.graph.state(&format!("{}.{name}", self.name), ty, purpose, init)
    }

    /// Adds a layer's product with its quantised input; with dropped signs, the products with both copies of them.
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

/// Size and work of a layer for one sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Binary weights.
    pub weights_1bit: u64,
    /// Float parameters, including statistics.
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

/// A row of a summary.
#[derive(Clone, Debug, PartialEq)]
pub struct SummaryRow {
    /// Name of the layer, as patterns of layers match it.
    pub layer: String,
    /// Shape of its output.
    pub output: Shape,
    /// Precision of input and weights.
    pub precision: String,
    /// Cost of the layer.
    pub cost: Cost,
    /// Bits kept for its backward pass. They depend on the adjacent layers, so the model's summary sets them.
    pub saved_bits: u64,
}

impl SummaryRow {
    /// Creates a layer's row with a given cost and no saved bits.
    pub(super) fn new(layer: &(impl Layer + ?Sized), name: &str, input: Shape, cost: Cost) -> Self {
        let output = layer.shape(input).unwrap_or(input);
        Self { layer: name.into(), output, precision: layer.precision(), cost, saved_bits: 0 }
    }
}

/// Returns the features of a sample.
pub fn features(shape: Shape) -> u64 {
    shape.iter().map(|&extent| extent as u64).product()
}

/// A layer. Layers outside the crate implement this trait and are added to a [`super::Model`].
pub trait Layer: fmt::Debug + Send + Sync {
    /// Returns the kind in a single word: `dense`. A model numbers its layers by kind.
    fn kind(&self) -> &'static str;

    /// Adds the layer's nodes behind `x`, `[batch, features]` or `[batch, height, width, channels]`. Returns its output.
    fn build(&self, builder: &mut Builder<'_>, x: Value) -> Result<Value>;

    /// Returns the shape of the output for a shape of the input. The error says what does not fit.
    fn shape(&self, input: Shape) -> Result<Shape>;

    /// Returns the cost for an input of a valid shape. Default: nothing that is counted.
    fn cost(&self, _input: Shape) -> Cost {
        Cost::default()
    }

    /// Returns the quantisers of input and weights for the summary: `sign x sign`.
    fn precision(&self) -> String {
        "float".into()
    }

    /// Returns its rows in the summary. A simple layer has one row under its name. A composed layer has the rows of its layers, then its
    /// own with the remaining cost. The costs of the rows sum to the cost of the layer.
    fn rows(&self, name: &str, input: Shape) -> Vec<SummaryRow> {
        vec![SummaryRow::new(self, name, input, self.cost(input))]
    }

    /// Whether it takes images instead of rows of features. The first layer determines the input of the model.
    fn is_spatial(&self) -> bool {
        false
    }
}
