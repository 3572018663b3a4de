//! A model: layers in order behind a stack of pixels, and its summary.

use super::layer::{Builder, Cost, Layer, Mode};
use crate::data::Data;
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::ops::{MAX_CHANNELS, Normalise};
use crate::tensor::{DType, TensorType};

/// How bytes become numbers: x = scale * byte + shift, by channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PixelScale {
    /// By channel.
    pub scale: [f32; MAX_CHANNELS],
    /// By channel.
    pub shift: [f32; MAX_CHANNELS],
}

impl PixelScale {
    /// Maps 0..=max to -1..=1, as Courbariaux et al. 2016.
    pub fn to_unit(max: u8) -> Self {
        Self { scale: [2.0 / f32::from(max); MAX_CHANNELS], shift: [-1.0; MAX_CHANNELS] }
    }

    /// Normalises as a data set says.
    pub fn of(data: &Data) -> Self {
        let channels: [(f32, f32); MAX_CHANNELS] = std::array::from_fn(|channel| data.normalisation.channel(channel));
        let max = f32::from(data.pixel_max);
        Self { scale: channels.map(|(_, std)| 1.0 / (max * std)), shift: channels.map(|(mean, std)| -mean / std) }
    }
}

/// Layers in order. Each is named for its kind and its number among its kind: `dense1`, `norm1`, `dense2`.
#[derive(Debug)]
pub struct Model {
    /// Name in the zoo, or any.
    pub name: String,
    /// Height, width, channels.
    pub input: [usize; 3],
    /// How pixels become numbers.
    pub pixels: PixelScale,
    layers: Vec<(String, Box<dyn Layer>)>,
}

/// One line of a summary.
#[derive(Clone, Debug, PartialEq)]
pub struct SummaryRow {
    /// Name of the layer.
    pub layer: String,
    /// Features of its output.
    pub features: usize,
    /// Input by weight.
    pub precision: String,
    /// What it costs.
    pub cost: Cost,
}

/// What a model costs, layer by layer and in all.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// By layer.
    pub rows: Vec<SummaryRow>,
    /// In all.
    pub total: Cost,
}

impl Model {
    /// A model without layers.
    pub fn new(name: impl Into<String>, input: [usize; 3], pixels: PixelScale) -> Self {
        Self { name: name.into(), input, pixels, layers: Vec::new() }
    }

    /// Adds a layer.
    pub fn push(&mut self, layer: impl Layer + 'static) -> &mut Self {
        let number = 1 + self.layers.iter().filter(|(_, l)| l.kind() == layer.kind()).count();
        self.layers.push((format!("{}{number}", layer.kind()), Box::new(layer)));
        self
    }

    /// The same, by value.
    pub fn with(mut self, layer: impl Layer + 'static) -> Self {
        self.push(layer);
        self
    }

    /// Features of one sample.
    pub fn features(&self) -> usize {
        self.input.iter().product()
    }

    /// Features of the output: classes.
    pub fn outputs(&self) -> usize {
        self.layers.iter().fold(self.features(), |features, (_, layer)| layer.features(features))
    }

    /// Adds the model's nodes behind an input `pixels` of bytes `[batch, features]`; gives the output `[batch, outputs]`.
    pub fn build(&self, graph: &mut Graph, mode: Mode, batch: usize) -> Result<Value> {
        let pixels = graph.input("pixels", TensorType::plain(DType::U8, &[batch, self.features()]));
        graph.enter("input");
        let PixelScale { scale, shift } = self.pixels;
        let mut x = graph.push1(Normalise { scale, shift, channels: self.input[2] }, &[pixels], &[])?;
        for (name, layer) in &self.layers {
            graph.enter(name);
            x = layer.build(&mut Builder { graph, mode, name }, x)?;
        }
        Ok(x)
    }

    /// Costs, layer by layer.
    pub fn summary(&self) -> Summary {
        let (mut features, mut total, mut rows) = (self.features(), Cost::default(), Vec::new());
        for (name, layer) in &self.layers {
            let cost = layer.cost(features);
            total += cost;
            features = layer.features(features);
            rows.push(SummaryRow { layer: name.clone(), features, precision: layer.precision(), cost });
        }
        Summary { rows, total }
    }
}
