//! The networks that the field is judged by. Each says where it was published; tests assert its exact number of binary weights.

use super::apply::{Apply, PadChannels};
use super::batch_norm::BatchNorm;
use super::by_channel::ByChannel;
use super::conv::Conv;
use super::dense::Dense;
use super::dropout::Dropout;
use super::layer::Shape;
use super::model::Model;
use super::pool::{AvgPool, Flatten, GlobalAvgPool, MaxPool};
use super::quantizer::Quantizer;
use super::sequence::{Concat, Residual, Sequence};
use super::spec::ModelSpec;
use crate::error::{Error, Result};
use crate::ops::{self, Activation, Window};
use std::sync::Arc;

/// A network of the zoo.
pub struct ZooModel {
    /// Name in flags and files.
    pub name: &'static str,
    /// Where it was published.
    pub source: &'static str,
    /// Images that it was published for, of all sizes that fit.
    pub input: Shape,
    /// Classes that it was published for.
    pub classes: usize,
    /// Surrogate of the derivative of sign, as published.
    pub surrogate: &'static str,
    /// Binary weights as published, on those images.
    pub weights_1bit: u64,
    /// Accuracy that was published, and how.
    pub published: &'static str,
    /// Adds its layers.
    pub(super) make: fn(&ModelSpec, Model) -> Result<Model>,
}

/// Every network.
pub static MODELS: [ZooModel; 10] = [
    ZooModel {
        name: "mlp",
        source: "Courbariaux et al. 2016, section 2.1; dropout where it is asked for",
        input: [28, 28, 1],
        classes: 10,
        surrogate: "clip",
        weights_1bit: 36_806_656,
        published: "MNIST 99.04 % (latent Adam, squared hinge, 1000 epochs)",
        make: mlp,
    },
    ZooModel {
        name: "binarynet",
        source: "Courbariaux et al. 2016, section 2.3",
        input: [32, 32, 3],
        classes: 10,
        surrogate: "clip",
        weights_1bit: 14_022_016,
        published: "CIFAR-10 88.6 % (latent Adam, squared hinge, 500 epochs)",
        make: |spec, model| binarynet(spec, model, true),
    },
    ZooModel {
        name: "binarynet-bop",
        source: "Helwegen et al. 2019, section 5.1: first convolution without padding, batch norm without scale",
        input: [32, 32, 3],
        classes: 10,
        surrogate: "clip",
        weights_1bit: 10_352_000,
        published: "CIFAR-10 91.3 % (Bop, 500 epochs), 91.9 % (Bop2ndOrder)",
        make: |spec, model| binarynet(spec, model, false),
    },
    ZooModel {
        name: "vgg-small",
        source: "Zhang et al. 2018, LQ-Nets; in the form of Qin et al. 2020, IR-Net, and Xu et al. 2021, ReCU",
        input: [32, 32, 3],
        classes: 10,
        surrogate: "clip",
        weights_1bit: 4_571_136,
        published: "CIFAR-10 90.4 % (IR-Net), 92.2 % (ReCU)",
        make: vgg_small,
    },
    ZooModel {
        name: "resnet20",
        source: "He et al. 2016, section 4.2; binary in the form of Qin et al. 2020, IR-Net",
        input: [32, 32, 3],
        classes: 10,
        surrogate: "clip",
        weights_1bit: 267_264,
        published: "CIFAR-10 85.4 % (IR-Net)",
        make: |spec, model| cifar_resnet(spec, model, &[16, 32, 64], 3, false),
    },
    ZooModel {
        name: "birealnet20",
        source: "the same with a shortcut around every convolution (Liu et al. 2018, Bi-Real Net)",
        input: [32, 32, 3],
        classes: 10,
        surrogate: "clip",
        weights_1bit: 267_264,
        published: "CIFAR-10 86.5 % (IR-Net), 87.5 % (ReCU)",
        make: |spec, model| cifar_resnet(spec, model, &[16, 32, 64], 3, true),
    },
    ZooModel {
        name: "resnet18",
        source: "He et al. 2016, for small images; binary in the form of Xu et al. 2021, ReCU",
        input: [32, 32, 3],
        classes: 10,
        surrogate: "clip",
        weights_1bit: 10_985_472,
        published: "CIFAR-10 91.5 % (IR-Net), 92.8 % (ReCU)",
        make: |spec, model| cifar_resnet(spec, model, &[64, 128, 256, 512], 2, false),
    },
    ZooModel {
        name: "birealnet18",
        source: "Liu et al. 2018, Bi-Real Net",
        input: [224, 224, 3],
        classes: 1000,
        surrogate: "polynomial",
        weights_1bit: 10_985_472,
        published: "ImageNet 56.4 % (latent Adam, 256 epochs), 56.6 % (Bop), 57.2 % (Bop2ndOrder)",
        make: |spec, model| birealnet18(spec, model, false),
    },
    ZooModel {
        name: "reactnet18",
        source: "Liu et al. 2020, ReActNet, on Bi-Real Net 18",
        input: [224, 224, 3],
        classes: 1000,
        surrogate: "polynomial",
        weights_1bit: 10_985_472,
        published: "ImageNet 65.9 % (two steps, distillation)",
        make: |spec, model| birealnet18(spec, model, true),
    },
    ZooModel {
        name: "reactnet-a",
        source: "Liu et al. 2020, ReActNet, on MobileNet's widths",
        input: [224, 224, 3],
        classes: 1000,
        surrogate: "polynomial",
        weights_1bit: 28_253_184,
        published: "ImageNet 69.4 % (two steps, distillation), 70.5 % (AdamBNN)",
        make: reactnet_a,
    },
];

/// What the layers of a network share.
struct Parts<'a> {
    spec: &'a ModelSpec,
    input: Quantizer,
    weight: Quantizer,
}

impl<'a> Parts<'a> {
    fn of(spec: &'a ModelSpec) -> Result<Self> {
        Ok(Self { spec, input: spec.input_quantizer()?, weight: spec.weight_quantizer() })
    }

    /// A binary convolution of a published number of channels.
    fn conv(&self, channels: usize, side: usize, stride: usize) -> Result<Conv> {
        Ok(Conv::new(self.spec.channels(channels)?, Window::same(side, stride), self.input, self.weight))
    }

    /// A convolution of floats, binary network or not.
    fn float_conv(&self, channels: usize, window: Window) -> Result<Conv> {
        Ok(Conv::new(self.spec.channels(channels)?, window, Quantizer::Float, Quantizer::Float))
    }

    /// What stands between a norm and the next sign. The clip surrogate masks where hardtanh is flat, so hardtanh only matters where its
    /// value goes elsewhere, too; the float network has its ReLU in place of sign.
    fn hardtanh(&self) -> Option<Apply> {
        (!self.spec.full_precision).then(|| Apply(Arc::new(Activation::Hardtanh)))
    }

    /// A dense layer of floats with bias, as every published classifier.
    fn classifier(&self, mut model: Model) -> Model {
        let units = self.spec.classes;
        model.push(Dense { units, input: Quantizer::Float, weight: Quantizer::Float });
        model.with(ByChannel(ops::ByChannel::Bias))
    }
}

/// Every product binary, the first with float input; batch norm after each, the last too; sign between, some of them dropped where dropout is
/// asked for.
fn mlp(spec: &ModelSpec, mut model: Model) -> Result<Model> {
    let parts = Parts::of(spec)?;
    let [of_input, of_hidden] = spec.dropout;
    let between = match parts.input {
        Quantizer::Sign(surrogate) if of_hidden > 0.0 => Quantizer::DroppedSign(surrogate, of_hidden),
        other => other,
    };
    let (mut input, mut dropped) = (Quantizer::Float, of_input);
    let hidden = spec.hidden.as_deref().unwrap_or(&[4096; 3]).iter();
    let hidden = hidden.map(|&units| spec.channels(units)).collect::<Result<Vec<usize>>>()?;
    for units in hidden.into_iter().chain([spec.classes]) {
        // Floats are dropped before ReLU, which changes nothing.
        if dropped > 0.0 && !input.is_binary() {
            model.push(Dropout(dropped));
        }
        model.push(Dense { units, input, weight: parts.weight }).push(BatchNorm::default());
        (input, dropped) = (between, of_hidden);
    }
    Ok(model)
}

/// 128C3-128C3-MP2-256C3-256C3-MP2-512C3-512C3-MP2-1024-1024-10, every product binary; pooling before batch norm.
fn binarynet(spec: &ModelSpec, mut model: Model, original: bool) -> Result<Model> {
    let parts = Parts::of(spec)?;
    let norm = BatchNorm { scale: original };
    let mut input = Quantizer::Float;
    for (i, channels) in [128, 128, 256, 256, 512, 512].into_iter().enumerate() {
        let window = if i == 0 && !original { Window::valid(3, 1) } else { Window::same(3, 1) };
        model.push(Conv::new(spec.channels(channels)?, window, input, parts.weight));
        if i % 2 == 1 {
            model.push(MaxPool(Window::valid(2, 2)));
        }
        model.push(norm);
        input = parts.input;
    }
    model.push(Flatten);
    for units in [spec.channels(1024)?, spec.channels(1024)?, spec.classes] {
        model.push(Dense { units, input, weight: parts.weight }).push(norm);
    }
    Ok(model)
}

/// Float convolution of 128, then 128-MP-256-256-MP-512-512-MP binary, then a float classifier.
fn vgg_small(spec: &ModelSpec, mut model: Model) -> Result<Model> {
    let parts = Parts::of(spec)?;
    model.push(parts.float_conv(128, Window::same(3, 1))?).push(BatchNorm::default());
    for (i, channels) in [128, 256, 256, 512, 512].into_iter().enumerate() {
        model.push(parts.conv(channels, 3, 1)?);
        if i % 2 == 0 {
            model.push(MaxPool(Window::valid(2, 2)));
        }
        model.push(BatchNorm::default());
    }
    let last = if spec.full_precision { Activation::Relu } else { Activation::Hardtanh };
    Ok(parts.classifier(model.with(Apply(Arc::new(last))).with(Flatten)))
}

/// Stem, stages of residual blocks of two convolutions, and a classifier behind batch norm. Shortcuts have no weights: where a stage begins
/// they take every second pixel (three stages, IR-Net) or the mean of four (four stages, ReCU), and pad channels with zeros.
fn cifar_resnet(spec: &ModelSpec, mut model: Model, stages: &[usize], blocks: usize, every: bool) -> Result<Model> {
    let parts = Parts::of(spec)?;
    model.push(parts.float_conv(stages[0], Window::same(3, 1))?).push(BatchNorm::default());
    push_some(&mut model, parts.hardtanh());
    for (stage, &channels) in stages.iter().enumerate() {
        for block in 0..blocks {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let shortcut = match stride {
                1 => Sequence::new(),
                _ => {
                    let window = Window::valid(if stages.len() == 3 { 1 } else { 2 }, 2);
                    Sequence::new().with(AvgPool(window)).with(PadChannels(spec.channels(channels)?))
                }
            };
            let first = Sequence::new().with(parts.conv(channels, 3, stride)?).with(BatchNorm::default());
            let second =
                |main: Sequence| Ok::<_, Error>(main.with(parts.conv(channels, 3, 1)?).with(BatchNorm::default()));
            if every {
                model.push(Residual { main: first, shortcut });
                push_some(&mut model, parts.hardtanh());
                model.push(Residual { main: second(Sequence::new())?, shortcut: Sequence::new() });
            } else {
                model.push(Residual { main: second(first)?, shortcut });
            }
            push_some(&mut model, parts.hardtanh());
        }
    }
    if spec.full_precision {
        model.push(Apply(Arc::new(Activation::Relu)));
    }
    Ok(parts.classifier(model.with(GlobalAvgPool).with(BatchNorm::default())))
}

fn push_some(model: &mut Model, layer: Option<Apply>) {
    if let Some(layer) = layer {
        model.push(layer);
    }
}

/// Bias, PReLU, bias: ReActNet's RPReLU.
fn rprelu(model: &mut Model) {
    for kind in [ops::ByChannel::Bias, ops::ByChannel::Prelu, ops::ByChannel::Bias] {
        model.push(ByChannel(kind));
    }
}

/// A learned threshold before sign, where the network is ReActNet.
fn rsign(react: bool) -> Sequence {
    if react { Sequence::new().with(ByChannel(ops::ByChannel::Bias)) } else { Sequence::new() }
}

/// Float stem, four stages of four single-convolution blocks, float 1x1 shortcuts behind mean pooling, float classifier.
fn birealnet18(spec: &ModelSpec, mut model: Model, react: bool) -> Result<Model> {
    let parts = Parts::of(spec)?;
    let stem = Window { kernel: [7, 7], stride: 2, dilation: 1, padding: 3 };
    model.push(parts.float_conv(64, stem)?).push(BatchNorm::default());
    model.push(MaxPool(Window { kernel: [3, 3], stride: 2, dilation: 1, padding: 1 }));
    for (stage, channels) in [64, 128, 256, 512].into_iter().enumerate() {
        for block in 0..4 {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let shortcut = match stride {
                1 => Sequence::new(),
                _ => Sequence::new()
                    .with(AvgPool(Window::valid(2, 2)))
                    .with(parts.float_conv(channels, Window::valid(1, 1))?)
                    .with(BatchNorm::default()),
            };
            let main = rsign(react).with(parts.conv(channels, 3, stride)?).with(BatchNorm::default());
            model.push(Residual { main, shortcut });
            if react {
                rprelu(&mut model);
            }
        }
    }
    if spec.full_precision && !react {
        model.push(Apply(Arc::new(Activation::Relu)));
    }
    Ok(parts.classifier(model.with(GlobalAvgPool)))
}

/// Thirteen blocks of a 3x3 and a 1x1 binary convolution, each with its own shortcut; where channels double, two 1x1 lie side by side.
fn reactnet_a(spec: &ModelSpec, mut model: Model) -> Result<Model> {
    // Every width is a multiple of the stem's, however that is rounded.
    let whole = ModelSpec { width: spec.channels(32)? as f64 / 32.0, ..spec.clone() };
    let parts = Parts::of(&whole)?;
    let stem = Window { kernel: [3, 3], stride: 2, dilation: 1, padding: 1 };
    model.push(parts.float_conv(32, stem)?).push(BatchNorm::default());
    let widths = [32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024];
    for pair in widths.windows(2) {
        let [before, after] = [pair[0], pair[1]];
        let stride = if after > before && before > 32 { 2 } else { 1 };
        let shortcut = match stride {
            1 => Sequence::new(),
            _ => Sequence::new().with(AvgPool(Window::valid(2, 2))),
        };
        let main = rsign(true).with(parts.conv(before, 3, stride)?).with(BatchNorm::default());
        model.push(Residual { main, shortcut });
        rprelu(&mut model);
        // Both halves see the same threshold and the same shortcut.
        let half = || Ok::<_, Error>(Sequence::new().with(parts.conv(before, 1, 1)?).with(BatchNorm::default()));
        if after == before {
            let main = rsign(true).with(parts.conv(before, 1, 1)?).with(BatchNorm::default());
            model.push(Residual { main, shortcut: Sequence::new() });
        } else {
            let main = rsign(true).with(Concat(vec![half()?, half()?]));
            let shortcut = Sequence::new().with(Concat(vec![Sequence::new(), Sequence::new()]));
            model.push(Residual { main, shortcut });
        }
        rprelu(&mut model);
    }
    Ok(parts.classifier(model.with(GlobalAvgPool)))
}
