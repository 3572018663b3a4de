//! Convolution of floats, and its two gradients, in any number of groups.

use crate::error::{Error, Result};
use crate::graph::{Backward, Bound, Op, Value};
use crate::ops::geometry::{geometry_of, matrix, params, tiles};
use crate::ops::products::conv_weights::weight_type;
use crate::ops::products::patches::Patches;
use crate::runtime::interface::ops::conv_float::{conv_float, conv_float_input};
use crate::runtime::interface::ops::conv_float_weight::conv_float_weight;
use crate::runtime::product::{Matrix, product};
use crate::runtime::{Recording, kernel::kernel, with_scratch};
use crate::tensor::{ConvShape, DType, Geometry, Layout, PANEL, TensorType, image_of, words_of};
use std::ops::Range;

kernel!(
    /// y(p, o) = sum over taps and channels of x(source(p, t), c) * w(t, o, c).
    CONV_FLOAT = ops::conv_float::{ conv_float }, twin = twin
);
kernel!(
    /// dx(p, c) = sum over taps and outputs of dy(sink(p, t), o) * w(t, o, c).
    CONV_FLOAT_INPUT = ops::conv_float::{ conv_float_input }, twin = input_twin
);
kernel!(
    /// dw(t, o, c) = sum over pixels of dy(p, o) * x(source(p, t), c).
    CONV_FLOAT_WEIGHT = ops::conv_float_weight::{ conv_float_weight | conv_float_weight_split }, twin = weight_twin
);

/// Pixels of a task.
const TILE: usize = 128;

/// Inputs: images of floats `[batch, height, width, channels]`, float weights as [`weight_type`] has them. Output: images of floats.
#[derive(Clone, Copy, Debug)]
pub struct ConvFloat(pub ConvShape);

impl ConvFloat {
    fn geometry(&self, x: &TensorType) -> Result<Geometry> {
        self.0.on("conv_float", image_of("conv_float", x)?)
    }
}

impl Op for ConvFloat {
    fn name(&self) -> &'static str {
        "conv_float"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let (x, w) = (inputs[0], inputs[1]);
        let g = self.geometry(x)?;
        let expected = weight_type(DType::F32, &self.0, g.in_channels as usize);
        if x.dtype != DType::F32 || *w != expected {
            return Err(Error::shape("conv_float", format!("floats, weights {expected}"), format!("{x}, {w}")));
        }
        let image = [g.batch, g.out_height, g.out_width, g.out_channels].map(|v| v as usize);
        Ok(vec![TensorType::new(DType::F32, Layout::Panels, &image)])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let ((x, ty), w) = (bound.inputs[0], bound.input(1));
        let g = self.geometry(ty).expect("checked when the node was made");
        let (rows, channels) = (g.out_rows(), self.0.channels);
        let buffers =
            conv_float::Buffers { x, w, y: bound.output(0).per_task_in_each_panel(words_of(channels), TILE * PANEL) };
        recording.dispatch(&CONV_FLOAT, params(&g), buffers, matrix(channels, rows), rows.div_ceil(TILE));
        recording.set_multiply_adds(g.multiply_adds());
        recording.set_scratch(scratch(TILE, g.taps() * g.depth()));
    }

    fn backward(&self, cx: &mut Backward<'_>) -> Result<Vec<Option<Value>>> {
        let Some(dy) = cx.grad(0) else { return Ok(vec![None, None]) };
        let (x, w) = (cx.input(0)?, cx.input(1)?);
        let image = image_of("conv_float", cx.ty(x))?;
        let dx = if cx.needs(0) { Some(cx.push(ConvFloatInput(self.0, image), &[dy, w])?[0]) } else { None };
        let dw = if cx.needs(1) { Some(cx.push(ConvFloatWeight(self.0), &[dy, x])?[0]) } else { None };
        Ok(vec![dx, dw])
    }
}

/// The gradient for the images. Inputs: dy, weights.
#[derive(Clone, Copy, Debug)]
pub struct ConvFloatInput(pub ConvShape, pub [usize; 4]);

impl Op for ConvFloatInput {
    fn name(&self) -> &'static str {
        "conv_float_input"
    }

    fn outputs(&self, _inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![TensorType::new(DType::F32, Layout::Panels, &self.1)])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let g = self.0.on("conv_float_input", self.1).expect("checked when the node was made");
        let (rows, channels) = (g.in_rows(), self.1[3]);
        let dx = bound.output(0).per_task_in_each_panel(words_of(channels), TILE * PANEL);
        let buffers = conv_float_input::Buffers { w: bound.input(1), dy: bound.input(0), dx };
        let grid = matrix(channels, rows);
        recording.dispatch(&CONV_FLOAT_INPUT, params(&g), buffers, grid, rows.div_ceil(TILE));
        recording.set_multiply_adds(g.multiply_adds());
        recording.set_scratch(scratch(TILE, g.taps() * g.outputs()));
    }
}

/// The gradient for the weights. Inputs: dy, images.
#[derive(Clone, Copy, Debug)]
pub struct ConvFloatWeight(pub ConvShape);

impl Op for ConvFloatWeight {
    fn name(&self) -> &'static str {
        "conv_float_weight"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![weight_type(DType::F32, &self.0, inputs[1].columns())])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (x, ty) = bound.inputs[1];
        let g = self.0.on("conv_float_weight", image_of("", ty).expect("checked")).expect("checked");
        let (taps, channels, pitch) = (g.taps(), self.0.channels, g.words as usize * PANEL);
        let buffers =
            conv_float_weight::Buffers { x, dy: bound.input(0), dw: bound.output(0).per_task(channels * pitch) };
        let grid = tiles(pitch, channels, taps);
        recording.dispatch(&CONV_FLOAT_WEIGHT, params(&g), buffers, grid, taps);
        recording.set_multiply_adds(g.multiply_adds());
        recording.set_scratch(STRETCH * g.depth());
    }
}

/// Stretches of `columns` that lie in one group of `size` each: the group, and the stretch.
fn by_group(columns: Range<usize>, size: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
    let groups = columns.start / size..columns.end.div_ceil(size);
    groups.map(move |group| (group, columns.start.max(group * size)..columns.end.min((group + 1) * size)))
}

/// Words of the patches of so many rows, and of the weights of a panel.
fn scratch(rows: usize, terms: usize) -> usize {
    (rows + PANEL) * terms
}

/// A task has 128 output pixels, all channels.
fn twin(mut args: conv_float::Args<'_>) {
    let g = geometry_of(args.params);
    let (taps, depth, pitch) = (g.taps(), g.depth(), g.words as usize * PANEL);
    let (rows, channels, terms) = (args.y.length() / PANEL, g.out_channels as usize, taps * depth);
    let patches = Patches::new(&g, args.index * TILE, rows);
    with_scratch(scratch(rows, terms), |scratch| {
        let (input, weights) = bytemuck::cast_slice_mut::<_, f32>(scratch).split_at_mut(rows * terms);
        let mut filled = None;
        for panel in 0..args.y.panels() {
            let y = args.y.panel(panel);
            y.fill(0.0);
            let columns = panel * PANEL..channels.min((panel + 1) * PANEL);
            for (group, outputs) in by_group(columns, g.outputs()) {
                if filled != Some(group) {
                    for tap in 0..taps {
                        let channels = group * depth..(group + 1) * depth;
                        patches.channels(args.x, tap, channels, &mut input[tap * depth..], terms);
                    }
                    filled = Some(group);
                }
                for (weights, o) in weights.chunks_exact_mut(terms).zip(outputs.clone()) {
                    for (tap, weights) in weights.chunks_exact_mut(depth).enumerate() {
                        weights.copy_from_slice(&args.w[(tap * channels + o) * pitch..][..depth]);
                    }
                }
                let x = Matrix { data: input, row: terms, column: 1 };
                let w = Matrix { data: weights, row: 1, column: terms };
                product(x, w, &mut y[outputs.start % PANEL..], PANEL, [rows, outputs.len(), terms]);
            }
        }
    });
}

/// A task has 128 input pixels, all channels.
fn input_twin(mut args: conv_float_input::Args<'_>) {
    let g = geometry_of(args.params);
    let (taps, depth, pitch) = (g.taps(), g.depth(), g.words as usize * PANEL);
    let (rows, channels, outputs) = (args.dx.length() / PANEL, g.in_channels as usize, g.outputs());
    let terms = taps * outputs;
    let patches = Patches::new(&g, args.index * TILE, rows);
    with_scratch(scratch(rows, terms), |scratch| {
        let (gradients, weights) = bytemuck::cast_slice_mut::<_, f32>(scratch).split_at_mut(rows * terms);
        let mut filled = None;
        for panel in 0..args.dx.panels() {
            let dx = args.dx.panel(panel);
            dx.fill(0.0);
            let columns = panel * PANEL..channels.min((panel + 1) * PANEL);
            for (group, inputs) in by_group(columns, depth) {
                let first = group * outputs;
                if filled != Some(group) {
                    for tap in 0..taps {
                        let out = &mut gradients[tap * outputs..];
                        patches.outputs(args.dy, tap, first..first + outputs, out, terms);
                    }
                    filled = Some(group);
                }
                let width = inputs.len();
                for (i, weights) in weights.chunks_exact_mut(width).take(terms).enumerate() {
                    let row = i / outputs * g.out_channels as usize + first + i % outputs;
                    weights.copy_from_slice(&args.w[row * pitch + inputs.start % depth..][..width]);
                }
                let dy = Matrix { data: gradients, row: terms, column: 1 };
                let w = Matrix { data: weights, row: width, column: 1 };
                product(dy, w, &mut dx[inputs.start % PANEL..], PANEL, [rows, width, terms]);
            }
        }
    });
}

/// Output pixels whose channels are packed at once.
const STRETCH: usize = 512;

/// A task has one tap.
fn weight_twin(args: conv_float_weight::Args<'_>) {
    let g = geometry_of(args.params);
    let (rows, depth, pitch, tap) = (g.out_rows(), g.depth(), g.words as usize * PANEL, args.index);
    let dw = args.dw;
    dw.fill(0.0);
    with_scratch(STRETCH * depth, |scratch| {
        let input: &mut [f32] = bytemuck::cast_slice_mut(scratch);
        for start in (0..rows).step_by(STRETCH) {
            let count = STRETCH.min(rows - start);
            let patches = Patches::new(&g, start, count);
            for group in 0..g.groups as usize {
                patches.channels(args.x, tap, group * depth..(group + 1) * depth, input, depth);
                let x = Matrix { data: input, row: depth, column: 1 };
                let (mut o, end) = (group * g.outputs(), (group + 1) * g.outputs());
                while o < end {
                    let here = (PANEL - o % PANEL).min(end - o);
                    let dy = &args.dy[((o / PANEL) * rows + start) * PANEL + o % PANEL..];
                    let dy = Matrix { data: dy, row: 1, column: PANEL };
                    product(dy, x, &mut dw[o * pitch..(o + here) * pitch], pitch, [here, depth, count]);
                    o += here;
                }
            }
        }
    });
}
