//! A model: a sequence of layers that starts from pixels, and its summary.

use super::layer::{Builder, Cost, Layer, Mode, Shape, SummaryRow};
use super::saved::saved_bits;
use super::sequence::Sequence;
use crate::data::Data;
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::ops::{MAX_CHANNELS, Normalise};
use crate::tensor::{DType, TensorType};

/// Normalisation of bytes: x = scale * byte + shift, by channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PixelScale {
    /// Scale by channel.
    pub scale: [f32; MAX_CHANNELS],
    /// Shift by channel.
    pub shift: [f32; MAX_CHANNELS],
}

impl PixelScale {
    /// Maps 0..=max to -1..=1, as in Courbariaux et al. 2016.
    pub fn to_unit(max: u8) -> Self {
        Self { scale: [2.0 / f32::from(max); MAX_CHANNELS], shift: [-1.0; MAX_CHANNELS] }
    }

    /// Returns the normalisation of a data set.
    pub fn of(data: &Data) -> Self {
        let channels: [(f32, f32); MAX_CHANNELS] = std::array::from_fn(|channel| data.normalisation.channel(channel));
        let max = f32::from(data.pixel_max);
        Self { scale: channels.map(|(_, std)| 1.0 / (max * std)), shift: channels.map(|(mean, std)| -mean / std) }
    }
}

/// Layers in order, named as in a [`Sequence`].
///
/// ```
/// use plusminus::nn::{BatchNorm, Conv, Dense, Flatten, MaxPool, Model, PixelScale, Quantizer, Residual, Sequence};
/// use plusminus::ops::Window;
///
/// let (float, sign) = (Quantizer::Float, Quantizer::sign());
/// let conv = |channels, input| Conv::new(channels, Window::same(3, 1), input, sign);
/// let main = Sequence::new().with(conv(64, sign)).with(BatchNorm::default());
/// let model = Model::new("mine", [32, 32, 3], PixelScale::to_unit(255))
///     .with(conv(64, float)) // binary weights on pixels
///     .with(BatchNorm::default())
///     .with(Residual { main, shortcut: Sequence::new() })
///     .with(MaxPool(Window::valid(2, 2)))
///     .with(Flatten)
///     .with(Dense { units: 10, input: sign, weight: sign })
///     .with(BatchNorm::default());
/// assert_eq!(model.outputs(), 10);
/// assert_eq!(model.summary().total.weights_1bit, (3 + 64) * 64 * 9 + 16 * 16 * 64 * 10);
/// ```
#[derive(Debug)]
pub struct Model {
    /// Name in the zoo, or any other name.
    pub name: String,
    /// Height, width, channels.
    pub input: Shape,
    /// Normalisation of pixels.
    pub pixels: PixelScale,
    layers: Sequence,
}

/// The cost of a model, by layer and in total.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// By layer.
    pub rows: Vec<SummaryRow>,
    /// Total cost.
    pub total: Cost,
    /// Bits per sample that are kept for the backward pass.
    pub saved_bits: u64,
}

impl Model {
    /// Creates a model without layers.
    pub fn new(name: impl Into<String>, input: Shape, pixels: PixelScale) -> Self {
        Self { name: name.into(), input, pixels, layers: Sequence::new() }
    }

    /// Adds a layer.
    pub fn push(&mut self, layer: impl Layer + 'static) -> &mut Self {
        self.layers.push(layer);
        self
    }

    /// Adds a layer, by value.
    pub fn with(mut self, layer: impl Layer + 'static) -> Self {
        self.push(layer);
        self
    }

    /// Returns the features of a sample.
    pub fn features(&self) -> usize {
        self.input.iter().product()
    }

    /// Returns the shape of the output of a sample. The error names the layer that does not fit.
    pub fn output(&self) -> Result<Shape> {
        self.layers.shape(self.input)
    }

    /// Returns the features of the output, the number of classes; 0 if the layers do not fit.
    pub fn outputs(&self) -> usize {
        self.output().map_or(0, |shape| shape.iter().product())
    }

    /// Adds the model's nodes behind an input `pixels` of bytes. Returns the output `[batch, outputs]`.
    pub fn build(&self, graph: &mut Graph, mode: Mode, batch: usize) -> Result<Value> {
        self.build_as(graph, mode, batch, "", false)
    }

    /// Adds the frozen model for evaluation next to another model on the same pixels. `prefix` precedes the names of its layers. Its
    /// parameters are states of those names.
    pub fn build_frozen(&self, graph: &mut Graph, batch: usize, prefix: &str) -> Result<Value> {
        self.build_as(graph, Mode::Eval, batch, prefix, true)
    }

    fn build_as(&self, graph: &mut Graph, mode: Mode, batch: usize, prefix: &str, frozen: bool) -> Result<Value> {
        self.output()?;
        let [height, width, channels] = self.input;
        let pixels = graph.input("pixels", TensorType::plain(DType::U8, &[batch, height, width, channels]));
        graph.set_scope(&format!("{prefix}input"));
        let PixelScale { scale, shift } = self.pixels;
        let images = self.layers.layers().next().is_some_and(|(_, layer)| layer.is_spatial());
        let x = graph.add(Normalise { scale, shift, images }, &[pixels], &[])?;
        self.layers.build(&mut Builder { graph, mode, name: prefix, frozen }, prefix, x)
    }

    /// Returns the costs by layer, including layers inside others.
    pub fn summary(&self) -> Summary {
        let mut rows = self.layers.rows("", self.input);
        // Empty if the layers do not fit, or if one of them has no backward.
        let saved = saved_bits(&|graph, batch| self.build(graph, Mode::Train, batch)).unwrap_or_default();
        rows.iter_mut().for_each(|row| row.saved_bits = saved.get(&row.layer).copied().unwrap_or(0));
        let mut total = Cost::default();
        rows.iter().for_each(|row| total += row.cost);
        Summary { saved_bits: rows.iter().map(|row| row.saved_bits).sum(), rows, total }
    }
}
