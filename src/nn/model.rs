//! A model: layers in order behind a stack of pixels, and its summary.

use super::layer::{Builder, Cost, Layer, Mode, Shape, SummaryRow};
use super::saved::saved_bits;
use super::sequence::Sequence;
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
    /// Name in the zoo, or any.
    pub name: String,
    /// Height, width, channels.
    pub input: Shape,
    /// How pixels become numbers.
    pub pixels: PixelScale,
    layers: Sequence,
}

/// What a model costs, layer by layer and in all.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// By layer.
    pub rows: Vec<SummaryRow>,
    /// In all.
    pub total: Cost,
    /// Bits of a sample that are kept for the backward pass.
    pub saved_bits: u64,
}

impl Model {
    /// A model without layers.
    pub fn new(name: impl Into<String>, input: Shape, pixels: PixelScale) -> Self {
        Self { name: name.into(), input, pixels, layers: Sequence::new() }
    }

    /// Adds a layer.
    pub fn push(&mut self, layer: impl Layer + 'static) -> &mut Self {
        self.layers.push(layer);
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

    /// Shape of the output of one sample; says which layer does not fit.
    pub fn output(&self) -> Result<Shape> {
        self.layers.shape(self.input)
    }

    /// Features of the output: classes. 0 where the layers do not fit.
    pub fn outputs(&self) -> usize {
        self.output().map_or(0, |shape| shape.iter().product())
    }

    /// Adds the model's nodes behind an input `pixels` of bytes; gives the output `[batch, outputs]`. Layers are named with `prefix`.
    pub fn build(&self, graph: &mut Graph, mode: Mode, batch: usize) -> Result<Value> {
        self.build_as(graph, mode, batch, "", false)
    }

    /// The same, frozen: for evaluation, with a prefix before the names of all layers, beside another model on the same pixels. Its
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

    /// Costs, layer by layer, those inside others too.
    pub fn summary(&self) -> Summary {
        let mut rows = self.layers.rows("", self.input);
        // Nothing where the layers do not fit, or one of them cannot be trained through.
        let saved = saved_bits(&|graph, batch| self.build(graph, Mode::Train, batch)).unwrap_or_default();
        rows.iter_mut().for_each(|row| row.saved_bits = saved.get(&row.layer).copied().unwrap_or(0));
        let mut total = Cost::default();
        rows.iter().for_each(|row| total += row.cost);
        Summary { saved_bits: rows.iter().map(|row| row.saved_bits).sum(), rows, total }
    }
}
