//! Images to rows of features, and back.

use crate::error::Result;
use crate::graph::{Backward, Bound, Op, Value};
use crate::ops::reduce::pixels;
use crate::runtime::interface::ops::flatten::{Params, flatten, unflatten};
use crate::runtime::{Grid, Recording, kernel::kernel};
use crate::tensor::{Layout, PANEL, TensorType, image_of, number_at, words_of};

kernel!(
    /// y\[b\]\[p * channels + c\] = x\[b * pixels + p\]\[c\].
    FLATTEN = ops::flatten::{ flatten }, twin = flatten_twin
);
kernel!(
    /// The inverse.
    UNFLATTEN = ops::flatten::{ unflatten }, twin = unflatten_twin
);

/// Images `[batch, height, width, channels]` of 32-bit numbers to `[batch, height * width * channels]`.
#[derive(Clone, Copy, Debug)]
pub struct Flatten;

impl Op for Flatten {
    fn name(&self) -> &'static str {
        "flatten"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let [batch, height, width, channels] = image_of("flatten", inputs[0])?;
        Ok(vec![TensorType::panels(inputs[0].dtype, batch, height * width * channels)])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let ((x, image), (y, ty)) = (bound.inputs[0], bound.outputs[0]);
        let buffers = flatten::Buffers { x, y: y.per_task_in_each_panel(1, ty.rows() * PANEL) };
        let grid = Grid::Linear(ty.words() as u64);
        recording.dispatch(&FLATTEN, params(image), buffers, grid, words_of(ty.columns()));
    }

    fn backward(&self, cx: &mut Backward<'_>) -> Result<Vec<Option<Value>>> {
        let Some(dy) = cx.grad(0) else { return Ok(vec![None]) };
        let image = image_of("flatten", cx.input_type(0))?;
        Ok(vec![Some(cx.push(Unflatten(image), &[dy])?[0])])
    }

    fn rematerialise(&self) -> bool {
        true
    }
}

/// The inverse of [`Flatten`], to that image's shape.
#[derive(Clone, Copy, Debug)]
pub struct Unflatten(pub [usize; 4]);

impl Op for Unflatten {
    fn name(&self) -> &'static str {
        "unflatten"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![TensorType::new(inputs[0].dtype, Layout::Panels, &self.0)])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (y, image) = bound.outputs[0];
        let buffers = unflatten::Buffers {
            x: bound.input(0),
            y: y.per_task_in_each_panel(words_of(image.columns()), pixels(image) * PANEL),
        };
        let grid = Grid::Linear(image.words() as u64);
        recording.dispatch(&UNFLATTEN, params(image), buffers, grid, self.0[0]);
    }
}

fn params(image: &TensorType) -> Params {
    let (samples, channels) = (image.shape[0] as u32, image.columns() as u32);
    Params { samples, pixels: pixels(image) as u32, channels }
}

/// A task has one panel of features.
fn flatten_twin(mut args: flatten::Args<'_>) {
    let Params { samples, pixels, channels, .. } = *args.params;
    let (samples, pixels, channels) = (samples as usize, pixels as usize, channels as usize);
    let (first, features) = (args.index * PANEL, pixels * channels);
    for (sample, y) in args.y.panel(0).chunks_exact_mut(PANEL).enumerate() {
        let at = |feature: usize| number_at(samples * pixels, sample * pixels + feature / channels, feature % channels);
        if channels.is_multiple_of(PANEL) {
            y.copy_from_slice(&args.x[at(first)..][..PANEL]);
            continue;
        }
        for (lane, y) in y.iter_mut().enumerate() {
            *y = if first + lane < features { args.x[at(first + lane)] } else { 0 };
        }
    }
}

/// A task has one sample.
fn unflatten_twin(mut args: unflatten::Args<'_>) {
    let Params { samples, channels, .. } = *args.params;
    let (samples, channels) = (samples as usize, channels as usize);
    for panel in 0..args.y.panels() {
        for (pixel, y) in args.y.panel(panel).chunks_exact_mut(PANEL).enumerate() {
            let at = |channel: usize| number_at(samples, args.index, pixel * channels + channel);
            if channels.is_multiple_of(PANEL) {
                y.copy_from_slice(&args.x[at(panel * PANEL)..][..PANEL]);
                continue;
            }
            for (lane, y) in y.iter_mut().enumerate() {
                let channel = panel * PANEL + lane;
                *y = if channel < channels { args.x[at(channel)] } else { 0 };
            }
        }
    }
}
