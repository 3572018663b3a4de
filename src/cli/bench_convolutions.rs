//! Convolution benchmarks on 50 images of 32 x 32.

use super::bench_case::{Case, Check, IDS, Record, compare, floats, places, sign};
use crate::graph::{Bound, Op};
use crate::ops::{ConvBits, ConvBitsInput, ConvBitsWeight, ConvShape, PadValue, Window, weight_type};
use crate::optim::Hyperparameters;
use crate::runtime::Recording;
use crate::tensor::{BitMatrix, DType, Layout, PANEL, Stream, TensorType, number_at, words_of};

/// Number and side length of images. Convolutions are 3x3 with padding 1 and have `channels` input and output channels.
const IMAGES: [usize; 2] = [50, 32];

fn convolution(channels: usize) -> ConvShape {
    ConvShape { window: Window::same(3, 1), channels, groups: 1, pad: PadValue::Zero }
}

/// Records an operation on tensors of its types: inputs, then outputs.
fn record_op(op: impl Op + 'static, inputs: Vec<TensorType>) -> (Record, usize) {
    let outputs = op.outputs(&inputs.iter().collect::<Vec<_>>()).expect("they fit");
    let words = outputs[0].words();
    let record = move |recording: &mut Recording| {
        let (first, rest) = IDS.split_at(inputs.len());
        let bound = Bound {
            inputs: first.iter().copied().zip(&inputs).collect(),
            updates: Vec::new(),
            outputs: rest.iter().copied().zip(&outputs).collect(),
        };
        op.record(recording, &bound);
    };
    (Box::new(record), words)
}

/// Returns the pixel that a tap reads for an output pixel; `None` outside the image.
fn neighbour(row: usize, tap: usize) -> Option<usize> {
    let side = IMAGES[1];
    let (y, x) = (row / side % side + tap / 3, row % side + tap % 3);
    ((1..=side).contains(&y) && (1..=side).contains(&x)).then(|| (row / (side * side) * side + y - 1) * side + x - 1)
}

fn conv_case(name: &'static str, channels: usize, operands: Vec<Vec<u32>>, record: Record, check: Check) -> Case {
    let shape = [IMAGES[0] * IMAGES[1] * IMAGES[1], channels, 9 * channels];
    let work = 2.0 * shape.iter().map(|&n| n as f64).product::<f64>();
    Case { name, shape, work, is_product: true, operands, hyperparameters: Hyperparameters::default(), record, check }
}

/// Returns the benchmark of the forward convolution of signs by signs.
pub(super) fn conv_bits(channels: usize) -> Case {
    let (rows, shape) = (IMAGES[0] * IMAGES[1] * IMAGES[1], convolution(channels));
    let a = BitMatrix::random(rows, channels, Stream::new(1, "a"));
    let w = BitMatrix::random(9 * channels, channels, Stream::new(1, "w"));
    let (packed, sums) = packed_weights(&w, channels);
    let image = TensorType::new(DType::Bits, Layout::Panels, &[IMAGES[0], IMAGES[1], IMAGES[1], channels]);
    let types = vec![
        image,
        weight_type(DType::Bits, &shape, channels),
        TensorType::bits(channels, 9 * words_of(channels) * PANEL),
        TensorType::plain(DType::I32, &[words_of(channels), 9, PANEL]),
    ];
    let (record, words) = record_op(ConvBits(shape), types);
    let operands = vec![a.panels().to_vec(), w.panels().to_vec(), packed, sums, vec![0; words]];
    let check = move |words: &[Vec<u32>]| {
        places(channels).take(300).enumerate().try_for_each(|(i, (_, o))| {
            let row = i * 163 % rows;
            let term = |tap: usize, p: usize, c: usize| sign(&a, p, c) * sign(&w, tap * channels + o, c);
            let taps = (0..9).filter_map(|tap| Some((tap, neighbour(row, tap)?)));
            let expected = taps.map(|(tap, p)| (0..channels).map(|c| term(tap, p, c)).sum::<f64>()).sum();
            compare((row, o), f64::from(words[4][number_at(rows, row, o)].cast_signed()), expected, 0.0)
        })
    };
    conv_case("conv_bits", channels, operands, record, Box::new(check))
}

/// Packs weights by panel of outputs and tap. Also returns the sum of the signs of each tap.
fn packed_weights(w: &BitMatrix, channels: usize) -> (Vec<u32>, Vec<u32>) {
    let words = words_of(channels);
    let (mut packed, mut sums) = (vec![0; words * 9 * words * PANEL], vec![0; words * 9 * PANEL]);
    for (o, tap) in (0..channels).flat_map(|o| (0..9).map(move |tap| (o, tap))) {
        let positive = |c: usize| w.is_positive(tap * channels + o, c);
        let at = (o / PANEL) * 9 + tap;
        for c in (0..channels).filter(|&c| positive(c)) {
            packed[(at * words + c / PANEL) * PANEL + o % PANEL] |= 1 << (c % PANEL);
        }
        let ones = (0..channels).filter(|&c| positive(c)).count() as i32;
        sums[at * PANEL + o % PANEL] = (2 * ones - channels as i32).cast_unsigned();
    }
    (packed, sums)
}

/// Returns the benchmark of the weight gradient or of the input gradient.
pub(super) fn conv_gradient(channels: usize, weight: bool) -> Case {
    let ([batch, side], shape) = (IMAGES, convolution(channels));
    let rows = batch * side * side;
    let (numbers, mut dy) = (floats(rows * channels, "dy"), vec![0; rows * words_of(channels) * PANEL]);
    for (i, number) in numbers.into_iter().enumerate() {
        dy[number_at(rows, i / channels, i % channels)] = number;
    }
    let out = TensorType::new(DType::F32, Layout::Panels, &[batch, side, side, channels]);
    let a = BitMatrix::random(rows, channels, Stream::new(1, "a"));
    let w = BitMatrix::random(9 * channels, channels, Stream::new(1, "w"));
    let image = [batch, side, side, channels];
    let (record, words, bits) = if weight {
        let ty = TensorType::new(DType::Bits, Layout::Panels, &image);
        let (record, words) = record_op(ConvBitsWeight(shape), vec![out, ty]);
        (record, words, a.panels().to_vec())
    } else {
        let ty = TensorType::bits(channels, 9 * words_of(channels) * PANEL);
        let (record, words) = record_op(ConvBitsInput(shape, image), vec![out, ty]);
        (record, words, packed_weights(&w, channels).0)
    };
    let operands = vec![dy.clone(), bits, vec![0; words]];
    let gradient = move |row: usize, o: usize| f64::from(f32::from_bits(dy[number_at(rows, row, o)]));
    let check = move |words: &[Vec<u32>]| {
        let got = |at: usize| f64::from(f32::from_bits(words[2][at]));
        places(channels).take(30).enumerate().try_for_each(|(i, (o, c))| {
            if weight {
                let tap = i % 9;
                let term = |row: usize| Some(gradient(row, o) * sign(&a, neighbour(row, tap)?, c));
                let expected = (0..rows).filter_map(term).sum();
                let at = (tap * channels + o) * words_of(channels) * PANEL + c;
                return compare((o, c), got(at), expected, 1e-6 * rows as f64);
            }
            // A pixel reads its neighbour through the opposite of the tap through which the neighbour reads the pixel.
            let row = i * 1637 % rows;
            let taps = (0..9).filter_map(|tap| Some((8 - tap, neighbour(row, tap)?)));
            let sum = |(tap, p): (usize, usize)| -> f64 {
                (0..channels).map(|o| gradient(p, o) * sign(&w, tap * channels + o, c)).sum()
            };
            compare((row, c), got(number_at(rows, row, c)), taps.map(sum).sum(), 1e-5 * channels as f64)
        })
    };
    let name = if weight { "conv_bits_weight" } else { "conv_bits_input" };
    conv_case(name, channels, operands, record, Box::new(check))
}
