//! Pooling over windows of images.

use crate::error::{Error, Result};
use crate::graph::{Backward, Bound, Op, Value};
use crate::ops::pool::pool_bits::record_bits;
use crate::ops::products::geometry::{ConvShape, Geometry, PadValue, Window, image_of};
use crate::ops::products::patches::Patches;
use crate::runtime::interface::ops::pool::{max_pool, max_pool_backward, mean_pool, mean_pool_backward};
use crate::runtime::{
    Grid, Recording,
    kernel::{Pieces, kernel},
};
use crate::tensor::{DType, Layout, PANEL, TensorType, words_of};

kernel!(
    /// The largest of a window, and which it was.
    MAX_POOL = ops::pool::{ max_pool }, twin = max_twin
);
kernel!(
    /// dy to the tap that was the largest.
    MAX_POOL_BACKWARD = ops::pool::{ max_pool_backward }, twin = max_backward_twin
);
kernel!(
    /// The mean of a window.
    MEAN_POOL = ops::pool::{ mean_pool }, twin = mean_twin
);
kernel!(
    /// A share of dy to every tap.
    MEAN_POOL_BACKWARD = ops::pool::{ mean_pool_backward }, twin = mean_backward_twin
);

/// Pixels of a task.
pub(in crate::ops) const TILE: usize = 256;

/// Most taps of a maximum, as the chosen one is a byte; and of a side of any window.
const MAX_TAPS: usize = 256;

/// The geometry of a window on images; the same number of channels comes out.
pub(in crate::ops) fn geometry(op: &str, window: Window, image: [usize; 4], dtype: DType) -> Result<Geometry> {
    let shape = ConvShape { window, channels: image[3], groups: image[3].max(1), pad: PadValue::Zero };
    let mut g = shape.on(op, image)?;
    if window.padding * 2 > window.kernel[0].min(window.kernel[1]) {
        return Err(Error::shape(op, "padding of at most half the kernel", window.padding));
    }
    if window.kernel.into_iter().max() > Some(MAX_TAPS) {
        let got = format!("{}x{}", window.kernel[0], window.kernel[1]);
        return Err(Error::shape(op, format!("a window of sides of at most {MAX_TAPS}"), got));
    }
    let sides = [(image[1], g.out_height, window.kernel[0]), (image[2], g.out_width, window.kernel[1])];
    // A dilated window may step over a small image.
    let sees = |at: usize, size: usize, kernel: usize| {
        let taps = (0..kernel).map(|k| at * window.stride + k * window.dilation);
        taps.into_iter().any(|tap| (window.padding..window.padding + size).contains(&tap))
    };
    if !sides.into_iter().all(|(size, out, kernel)| (0..out as usize).all(|at| sees(at, size, kernel))) {
        let expected = "windows that each see a pixel";
        return Err(Error::shape(op, expected, format!("{window:?} on {}x{}", image[1], image[2])));
    }
    g.integer = u32::from(dtype == DType::I32);
    Ok(g)
}

pub(in crate::ops) fn pooled(g: &Geometry, dtype: DType) -> TensorType {
    let image = [g.batch, g.out_height, g.out_width, g.out_channels].map(|v| v as usize);
    TensorType::new(dtype, Layout::Panels, &image)
}

fn check(op: &'static str, x: &TensorType) -> Result<[usize; 4]> {
    if !matches!(x.dtype, DType::F32 | DType::I32) {
        return Err(Error::shape(op, "images of numbers", x));
    }
    image_of(op, x)
}

/// y = the largest of each window of an image, of integers or floats; a second output says which tap it was, the first of equals. Of signs, whose largest
/// is an OR of bits, it gives signs and nothing else, and has no gradient.
#[derive(Clone, Copy, Debug)]
pub struct MaxPool(pub Window);

impl Op for MaxPool {
    fn name(&self) -> &'static str {
        "max_pool"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let x = inputs[0];
        if x.dtype == DType::Bits {
            return Ok(vec![pooled(&geometry("max_pool", self.0, image_of("max_pool", x)?, x.dtype)?, x.dtype)]);
        }
        let g = geometry("max_pool", self.0, check("max_pool", x)?, x.dtype)?;
        if g.taps() > MAX_TAPS {
            return Err(Error::shape("max_pool", format!("a window of at most {MAX_TAPS} taps"), g.taps()));
        }
        let chosen = TensorType::plain(DType::U32, &[words_of(x.columns()), g.out_rows(), PANEL / 4]);
        Ok(vec![pooled(&g, x.dtype), chosen])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (x, ty) = bound.inputs[0];
        let g = geometry("max_pool", self.0, image_of("", ty).expect("checked"), ty.dtype).expect("checked");
        if ty.dtype == DType::Bits {
            return record_bits(recording, bound, &g);
        }
        let panels = words_of(ty.columns());
        let buffers = max_pool::Buffers {
            x,
            y: bound.output(0).per_task_in_each_panel(panels, TILE * PANEL),
            chosen: bound.output(1).per_task_in_each_panel(panels, TILE * PANEL / 4),
        };
        let grid = Grid::Linear(bound.outputs[0].1.words() as u64);
        recording.dispatch(&MAX_POOL, bytemuck::cast(g), buffers, grid, g.out_rows().div_ceil(TILE));
    }

    fn backward(&self, cx: &mut Backward<'_>) -> Result<Vec<Option<Value>>> {
        let Some(dy) = cx.grad(0) else { return Ok(vec![None]) };
        if cx.input_type(0).dtype == DType::Bits {
            return Err(Error::shape("max_pool", "numbers, to train through", cx.input_type(0)));
        }
        let image = image_of("max_pool", cx.input_type(0))?;
        let chosen = cx.output(1);
        Ok(vec![Some(cx.push(MaxPoolBackward(self.0, image), &[chosen, dy])?[0])])
    }
}

/// Inputs: chosen taps, dy. Output: dx, of that image's shape.
#[derive(Clone, Copy, Debug)]
pub struct MaxPoolBackward(pub Window, pub [usize; 4]);

impl Op for MaxPoolBackward {
    fn name(&self) -> &'static str {
        "max_pool_backward"
    }

    fn outputs(&self, _inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![TensorType::new(DType::F32, Layout::Panels, &self.1)])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (dx, ty) = bound.outputs[0];
        let g = geometry("max_pool", self.0, self.1, DType::F32).expect("checked");
        let dx = dx.per_task_in_each_panel(words_of(ty.columns()), TILE * PANEL);
        let buffers = max_pool_backward::Buffers { taken: bound.input(0), dy: bound.input(1), dx };
        let grid = Grid::Linear(ty.words() as u64);
        recording.dispatch(&MAX_POOL_BACKWARD, bytemuck::cast(g), buffers, grid, g.in_rows().div_ceil(TILE));
    }
}

/// y = the mean of each window of an image, padding counted as 0; floats. A kernel of 1 takes every `stride`-th pixel.
#[derive(Clone, Copy, Debug)]
pub struct AvgPool(pub Window);

impl Op for AvgPool {
    fn name(&self) -> &'static str {
        "mean_pool"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let x = inputs[0];
        Ok(vec![pooled(&geometry("mean_pool", self.0, check("mean_pool", x)?, x.dtype)?, DType::F32)])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let ((x, ty), (y, out)) = (bound.inputs[0], bound.outputs[0]);
        let g = geometry("mean_pool", self.0, image_of("", ty).expect("checked"), ty.dtype).expect("checked");
        let buffers = mean_pool::Buffers { x, y: y.per_task_in_each_panel(words_of(ty.columns()), TILE * PANEL) };
        let grid = Grid::Linear(out.words() as u64);
        recording.dispatch(&MEAN_POOL, bytemuck::cast(g), buffers, grid, g.out_rows().div_ceil(TILE));
    }

    fn backward(&self, cx: &mut Backward<'_>) -> Result<Vec<Option<Value>>> {
        let Some(dy) = cx.grad(0) else { return Ok(vec![None]) };
        let image = image_of("mean_pool", cx.input_type(0))?;
        Ok(vec![Some(cx.push(MeanPoolBackward(self.0, image), &[dy])?[0])])
    }
}

/// Input: dy. Output: dx, of that image's shape.
#[derive(Clone, Copy, Debug)]
pub struct MeanPoolBackward(pub Window, pub [usize; 4]);

impl Op for MeanPoolBackward {
    fn name(&self) -> &'static str {
        "mean_pool_backward"
    }

    fn outputs(&self, _inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![TensorType::new(DType::F32, Layout::Panels, &self.1)])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (dx, ty) = bound.outputs[0];
        let g = geometry("mean_pool", self.0, self.1, DType::F32).expect("checked");
        let buffers = mean_pool_backward::Buffers {
            dy: bound.input(0),
            dx: dx.per_task_in_each_panel(words_of(ty.columns()), TILE * PANEL),
        };
        let grid = Grid::Linear(ty.words() as u64);
        recording.dispatch(&MEAN_POOL_BACKWARD, bytemuck::cast(g), buffers, grid, g.in_rows().div_ceil(TILE));
    }
}

/// Row `row` of panel `panel`.
fn row<T>(x: &[T], rows: usize, panel: usize, row: usize) -> &[T] {
    &x[(panel * rows + row) * PANEL..][..PANEL]
}

/// A task has 256 pixels, all channels; so have the others.
fn max_twin(mut args: max_pool::Args<'_>) {
    let g = bytemuck::cast(*args.params);
    largest(&g, args.index, args.x, [&mut args.y, &mut args.chosen], |_, _| {});
}

/// The largest, and which they were, of the pixels of task `index`; `made` sees each panel of the largest.
pub(in crate::ops) fn largest(
    g: &Geometry,
    index: usize,
    x: &[u32],
    [y, chosen]: [&mut Pieces<'_, u32>; 2],
    mut made: impl FnMut(usize, &[u32]),
) {
    let patches = Patches::new(g, index * TILE, y.length() / PANEL);
    // The order of integers is that of floats that are not negative; the sign turns it round.
    let key = |word: u32| if g.integer == 1 { word.cast_signed() as f32 } else { f32::from_bits(word) };
    for panel in 0..y.parts() {
        let (y, chosen) = (y.piece(panel), chosen.piece(panel));
        let chosen: &mut [u8] = bytemuck::cast_slice_mut(chosen);
        let mut met = [false; TILE];
        for tap in 0..g.taps() {
            patches.sources(tap, |i, pixel| {
                let Some(pixel) = pixel else { return };
                let x = row(x, g.in_rows(), panel, pixel);
                let (y, chosen) = (&mut y[i * PANEL..][..PANEL], &mut chosen[i * PANEL..][..PANEL]);
                if !std::mem::replace(&mut met[i], true) {
                    y.copy_from_slice(x);
                    chosen.fill(tap as u8);
                    return;
                }
                for ((y, chosen), &x) in y.iter_mut().zip(chosen).zip(x) {
                    let larger = key(x) > key(*y);
                    *y = if larger { x } else { *y };
                    *chosen = if larger { tap as u8 } else { *chosen };
                }
            });
        }
        made(panel, y);
    }
}

fn max_backward_twin(mut args: max_pool_backward::Args<'_>) {
    let g: Geometry = bytemuck::cast(*args.params);
    let patches = Patches::new(&g, args.index * TILE, args.dx.length() / PANEL);
    let taken: &[u8] = bytemuck::cast_slice(args.taken);
    for panel in 0..args.dx.parts() {
        let dx = args.dx.piece(panel);
        dx.fill(0.0);
        for tap in 0..g.taps() {
            patches.sinks(tap, |i, pixel| {
                let Some(pixel) = pixel else { return };
                let of = (row(taken, g.out_rows(), panel, pixel), row(args.dy, g.out_rows(), panel, pixel));
                for ((dx, &taken), dy) in dx[i * PANEL..][..PANEL].iter_mut().zip(of.0).zip(of.1) {
                    *dx += if taken == tap as u8 { *dy } else { 0.0 };
                }
            });
        }
    }
}

fn mean_twin(mut args: mean_pool::Args<'_>) {
    let g: Geometry = bytemuck::cast(*args.params);
    let patches = Patches::new(&g, args.index * TILE, args.y.length() / PANEL);
    let number = |word: u32| if g.integer == 1 { word.cast_signed() as f32 } else { f32::from_bits(word) };
    let taps = g.taps() as f32;
    for panel in 0..args.y.parts() {
        let y: &mut [f32] = bytemuck::cast_slice_mut(args.y.piece(panel));
        y.fill(0.0);
        for tap in 0..g.taps() {
            patches.sources(tap, |i, pixel| {
                let Some(pixel) = pixel else { return };
                let x = row(args.x, g.in_rows(), panel, pixel);
                y[i * PANEL..][..PANEL].iter_mut().zip(x).for_each(|(y, &x)| *y += number(x));
            });
        }
        y.iter_mut().for_each(|y| *y /= taps);
    }
}

fn mean_backward_twin(mut args: mean_pool_backward::Args<'_>) {
    let g: Geometry = bytemuck::cast(*args.params);
    let patches = Patches::new(&g, args.index * TILE, args.dx.length() / PANEL);
    let taps = g.taps() as f32;
    for panel in 0..args.dx.parts() {
        let dx = args.dx.piece(panel);
        dx.fill(0.0);
        for tap in 0..g.taps() {
            patches.sinks(tap, |i, pixel| {
                let Some(pixel) = pixel else { return };
                let dy = row(args.dy, g.out_rows(), panel, pixel);
                dx[i * PANEL..][..PANEL].iter_mut().zip(dy).for_each(|(dx, dy)| *dx += dy);
            });
        }
        dx.iter_mut().for_each(|dx| *dx /= taps);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Graph, Init, Purpose, Role, backward};
    use crate::ops::{Flatten, Sign, SquaredHinge, Surrogate, UnpackSigns, join};

    #[test]
    fn windows_that_see_nothing_are_refused() {
        let window = |kernel, dilation, padding| Window { kernel: [kernel; 2], stride: 1, dilation, padding };
        let on = |window, side| geometry("max_pool", window, [1, side, side, 1], DType::F32).map_err(|e| e.to_string());
        let error = on(window(2, 3, 1), 2).expect_err("its taps lie on both sides of the image");
        assert!(error.contains("windows that each see a pixel") && error.contains("on 2x2"), "{error}");
        assert!(on(window(2, 3, 1), 3).is_ok() && on(window(3, 1, 1), 1).is_ok());
        let error = on(window(300, 1, 0), 400).expect_err("too wide");
        assert!(error.contains("at most 256") && error.contains("300x300"), "{error}");
    }

    #[test]
    fn bits_are_pooled_but_not_trained_through() {
        let mut graph = Graph::new();
        let ty = TensorType::new(DType::F32, Layout::Panels, &[2, 4, 4, 3]);
        let x = graph.parameter("x", ty, Role::Float, Init::Fill(0.0));
        let surrogate = Surrogate::named("clip").expect("there is one");
        let signs = graph.add(Sign { surrogate }, &[x], &[]);
        let bits = graph.add(MaxPool(Window::valid(2, 2)), &[signs.expect("floats")], &[]).expect("signs");
        assert_eq!(graph.ty(bits).to_string(), TensorType::new(DType::Bits, Layout::Panels, &[2, 2, 2, 3]).to_string());
        let numbers = graph.add(UnpackSigns(Layout::Panels), &[bits], &[]).expect("signs");
        let rows = graph.add(Flatten, &[numbers], &[]).expect("images");
        let labels = graph.input("labels", TensorType::plain(DType::U32, &[2]));
        let correct = graph.state("correct", TensorType::plain(DType::U32, &[12]), Purpose::Counter, Init::Words(0));
        let loss = graph.add(SquaredHinge, &[rows, labels], &[correct]).expect("logits and labels");
        let error = backward(&mut graph, loss, &join).expect_err("a gradient of an OR").to_string();
        assert!(error.contains("max_pool") && error.contains("numbers, to train through"), "{error}");
    }
}
