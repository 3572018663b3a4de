//! Pooling over windows of images.

use crate::error::{Error, Result};
use crate::graph::{Backward, Bound, Op, Value};
use crate::ops::epilogue::{Epilogue, Epilogues};
use crate::ops::geometry::{geometry_of, matrix, params};
use crate::ops::pool::max_pool_bits::record_bits;
use crate::ops::pool::window::{MAX_TAPS, TILE, check, geometry, pool_params, pooled};
use crate::ops::producer::{Chain, Producer};
use crate::ops::products::patches::Patches;
use crate::runtime::interface::ops::max_pool::max_pool;
use crate::runtime::interface::ops::pool::{avg_pool, avg_pool_backward, max_pool_backward};
use crate::runtime::{Grid, Kernel, Recording, Task, kernel::kernel};
use crate::tensor::{DType, Layout, PANEL, TensorType, Window, image_of, words_of};

kernel!(
    /// The largest of a window, and which it was.
    MAX_POOL = ops::max_pool::{ max_pool }, task = max_twin
);
kernel!(
    /// [`MAX_POOL`] of integers with statistics.
    MAX_POOL_STATISTICS = producers::max_pool::{ max_pool_statistics }, task = max_twin
);
kernel!(
    /// dy to the tap that was the largest.
    MAX_POOL_BACKWARD = ops::pool::{ max_pool_backward }, twin = max_backward_twin
);
kernel!(
    /// The mean of a window.
    AVG_POOL = ops::pool::{ avg_pool }, twin = mean_twin
);
kernel!(
    /// A share of dy to every tap.
    AVG_POOL_BACKWARD = ops::pool::{ avg_pool_backward }, twin = mean_backward_twin
);

/// y = the largest of each window of an image, of integers or floats; a second output says which tap it was, the first of equals. Of signs, whose largest
/// is an OR of bits, it gives signs and nothing else, and has no gradient.
#[derive(Clone, Copy, Debug)]
pub struct MaxPool(pub Window);

impl Producer for MaxPool {
    fn kernels(&self) -> &'static [(Epilogues, &'static Kernel)] {
        const { &[(Epilogues::Store, &MAX_POOL), (Epilogues::Statistics, &MAX_POOL_STATISTICS)] }
    }

    fn rows_per_task(&self, _bound: &Bound<'_>) -> Option<usize> {
        Some(TILE)
    }

    fn record_chain(&self, recording: &mut Recording, bound: &Bound<'_>, chain: Chain) {
        let (x, ty) = bound.inputs[0];
        let g = geometry("max_pool", self.0, image_of("", ty).expect("checked")).expect("checked");
        let panels = words_of(ty.columns());
        let buffers = max_pool::Buffers {
            x,
            y: bound.output(0).per_task_in_each_panel(panels, TILE * PANEL),
            chosen: bound.output(1).per_task_in_each_panel(panels, TILE * PANEL / 4),
        };
        // Alone it goes by words of chosen taps, with epilogues by tiles.
        let grid = match chain.buffers[..] {
            [] => Grid::Linear(bound.outputs[0].1.words() as u64),
            _ => matrix(ty.columns(), g.out_rows()),
        };
        let tasks = g.out_rows().div_ceil(TILE);
        recording.dispatch_with(chain.kernel, pool_params(&g, ty.dtype), buffers, chain.buffers, grid, tasks);
    }
}

impl Op for MaxPool {
    fn name(&self) -> &'static str {
        "max_pool"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let x = inputs[0];
        if x.dtype == DType::Bits {
            return Ok(vec![pooled(&geometry("max_pool", self.0, image_of("max_pool", x)?)?, x.dtype)]);
        }
        let g = geometry("max_pool", self.0, check("max_pool", x)?)?;
        if g.taps() > MAX_TAPS {
            return Err(Error::shape("max_pool", format!("a window of at most {MAX_TAPS} taps"), g.taps()));
        }
        let chosen = TensorType::plain(DType::U32, &[words_of(x.columns()), g.out_rows(), PANEL / 4]);
        Ok(vec![pooled(&g, x.dtype), chosen])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let ty = bound.inputs[0].1;
        let g = geometry("max_pool", self.0, image_of("", ty).expect("checked")).expect("checked");
        if ty.dtype == DType::Bits {
            return record_bits(recording, bound, &g);
        }
        self.record_alone(recording, bound);
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
        let g = geometry("max_pool", self.0, self.1).expect("checked");
        let dx = dx.per_task_in_each_panel(words_of(ty.columns()), TILE * PANEL);
        let buffers = max_pool_backward::Buffers { taken: bound.input(0), dy: bound.input(1), dx };
        let grid = Grid::Linear(ty.words() as u64);
        recording.dispatch(&MAX_POOL_BACKWARD, params(&g), buffers, grid, g.in_rows().div_ceil(TILE));
    }
}

/// y = the mean of each window of an image, padding counted as 0; floats. A kernel of 1 takes every `stride`-th pixel.
#[derive(Clone, Copy, Debug)]
pub struct AvgPool(pub Window);

impl Op for AvgPool {
    fn name(&self) -> &'static str {
        "avg_pool"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let x = inputs[0];
        Ok(vec![pooled(&geometry("avg_pool", self.0, check("avg_pool", x)?)?, DType::F32)])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let ((x, ty), (y, out)) = (bound.inputs[0], bound.outputs[0]);
        let g = geometry("avg_pool", self.0, image_of("", ty).expect("checked")).expect("checked");
        let buffers = avg_pool::Buffers { x, y: y.per_task_in_each_panel(words_of(ty.columns()), TILE * PANEL) };
        let grid = Grid::Linear(out.words() as u64);
        recording.dispatch(&AVG_POOL, pool_params(&g, ty.dtype), buffers, grid, g.out_rows().div_ceil(TILE));
    }

    fn backward(&self, cx: &mut Backward<'_>) -> Result<Vec<Option<Value>>> {
        let Some(dy) = cx.grad(0) else { return Ok(vec![None]) };
        let image = image_of("avg_pool", cx.input_type(0))?;
        Ok(vec![Some(cx.push(AvgPoolBackward(self.0, image), &[dy])?[0])])
    }
}

/// Input: dy. Output: dx, of that image's shape.
#[derive(Clone, Copy, Debug)]
pub struct AvgPoolBackward(pub Window, pub [usize; 4]);

impl Op for AvgPoolBackward {
    fn name(&self) -> &'static str {
        "avg_pool_backward"
    }

    fn outputs(&self, _inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![TensorType::new(DType::F32, Layout::Panels, &self.1)])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (dx, ty) = bound.outputs[0];
        let g = geometry("avg_pool", self.0, self.1).expect("checked");
        let buffers = avg_pool_backward::Buffers {
            dy: bound.input(0),
            dx: dx.per_task_in_each_panel(words_of(ty.columns()), TILE * PANEL),
        };
        let grid = Grid::Linear(ty.words() as u64);
        recording.dispatch(&AVG_POOL_BACKWARD, params(&g), buffers, grid, g.in_rows().div_ceil(TILE));
    }
}

/// Row `row` of panel `panel`.
fn row<T>(x: &[T], rows: usize, panel: usize, row: usize) -> &[T] {
    &x[(panel * rows + row) * PANEL..][..PANEL]
}

/// A task has 256 pixels, all channels; so have the others.
fn max_twin(task: &mut Task<'_>) {
    let max_pool::Args { index, x, mut y, mut chosen, params, .. } = max_pool::Args::take(task);
    let (g, is_integer) = (&geometry_of(params), params.integer == 1);
    let pixels = (g.out_height * g.out_width) as usize;
    let (extents, valid) = ([g.out_rows(), g.out_channels as usize], task.step().valid_rows as usize * pixels);
    let mut epilogue = Epilogue::take(task, extents, valid);
    let patches = Patches::new(g, index * TILE, y.length() / PANEL);
    // The order of integers is that of floats that are not negative; the sign turns it round.
    let key = |word: u32| if is_integer { word.cast_signed() as f32 } else { f32::from_bits(word) };
    for panel in 0..y.panels() {
        let (y, chosen) = (y.panel(panel), chosen.panel(panel));
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
        epilogue.integers(panel, index * TILE, bytemuck::cast_slice(y));
    }
}

fn max_backward_twin(mut args: max_pool_backward::Args<'_>) {
    let g = geometry_of(args.params);
    let patches = Patches::new(&g, args.index * TILE, args.dx.length() / PANEL);
    let taken: &[u8] = bytemuck::cast_slice(args.taken);
    for panel in 0..args.dx.panels() {
        let dx = args.dx.panel(panel);
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

fn mean_twin(mut args: avg_pool::Args<'_>) {
    let g = geometry_of(args.params);
    let patches = Patches::new(&g, args.index * TILE, args.y.length() / PANEL);
    let number = |word: u32| if args.params.integer == 1 { word.cast_signed() as f32 } else { f32::from_bits(word) };
    let taps = g.taps() as f32;
    for panel in 0..args.y.panels() {
        let y: &mut [f32] = bytemuck::cast_slice_mut(args.y.panel(panel));
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

fn mean_backward_twin(mut args: avg_pool_backward::Args<'_>) {
    let g = geometry_of(args.params);
    let patches = Patches::new(&g, args.index * TILE, args.dx.length() / PANEL);
    let taps = g.taps() as f32;
    for panel in 0..args.dx.panels() {
        let dx = args.dx.panel(panel);
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
        let on = |window, side| geometry("max_pool", window, [1, side, side, 1]).map_err(|e| e.to_string());
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
