//! Pooling over windows of images.

use crate::error::{Error, Result};
use crate::graph::{Backward, Bound, Op, Producer, Value, share};
use crate::ops::epilogues::contract::{Extent, Output};
use crate::ops::epilogues::registry::Epilogue;
use crate::ops::geometry::{geometry_of, matrix, params};
use crate::ops::pool::max_pool_bits::record_bits;
use crate::ops::pool::window::{MAX_TAPS, TILE, check, geometry, pool_params, pooled};
use crate::ops::products::patches::Patches;
use crate::runtime::interface::ops::pool::{avg_pool, avg_pool_backward, max_pool_backward};
use crate::runtime::interface::shared::conv::Params;
use crate::runtime::{Grid, Kernel, NamedBuffers, Product, Recording, Task, kernel::kernel, with_scratch};
use crate::tensor::{DType, Geometry, Layout, PANEL, TensorType, Window, image_of, words_of};

kernel!(
    /// The maximum of a window, and its tap.
    MAX_POOL = ops::max_pool::{ max_pool }, task = max_twin
);
kernel!(
    /// [`MAX_POOL`] of integers with statistics.
    MAX_POOL_STATISTICS = producers::max_pool::{ max_pool_statistics }, task = max_twin
);
kernel!(
    /// Sign of batch norm of [`MAX_POOL`] of integers. A negative scale reverses the order, so the maximum of the integers is normalised;
    /// the maximum of the signs would be wrong.
    MAX_POOL_THRESHOLD = producers::max_pool::{ max_pool_threshold }, task = max_twin
);
kernel!(
    /// Routes dy to the tap of the maximum.
    MAX_POOL_BACKWARD = ops::pool::{ max_pool_backward }, twin = max_backward_twin
);
kernel!(
    /// The mean of a window.
    AVG_POOL = ops::pool::{ avg_pool }, twin = mean_twin
);
kernel!(
    /// Distributes dy evenly to all taps.
    AVG_POOL_BACKWARD = ops::pool::{ avg_pool_backward }, twin = mean_backward_twin
);

/// y = the maximum of each window of an image, of integers or floats. A second output holds the tap of the maximum, the first of equals.
/// Applied to signs, whose maximum is an OR of bits, it outputs signs only and has no gradient.
#[derive(Clone, Copy, Debug)]
pub struct MaxPool(pub Window);

impl MaxPool {
    fn geometry(&self, x: &TensorType) -> Geometry {
        geometry("max_pool", self.0, image_of("max_pool", x).expect("checked")).expect("checked when the node was made")
    }
}

impl Producer for MaxPool {
    fn shader(&self) -> &'static str {
        "max_pool"
    }

    fn kernels(&self) -> &'static [(&'static str, &'static Kernel)] {
        const { &[("", &MAX_POOL), ("statistics", &MAX_POOL_STATISTICS), ("threshold", &MAX_POOL_THRESHOLD)] }
    }

    fn product(&self, bound: &Bound<'_>) -> Product {
        let (x, ty) = bound.inputs[0];
        let g = self.geometry(ty);
        Product {
            params: bytemuck::pod_collect_to_vec(&[pool_params(&g, ty.dtype)]),
            buffers: vec![("x", x.into())],
            grid: matrix(ty.columns(), g.out_rows()),
            tasks: g.out_rows().div_ceil(TILE),
            tile: None,
            scratch: TILE * PANEL,
            multiply_adds: 0,
        }
    }

    fn rows_per_task(&self, _bound: &Bound<'_>) -> Option<usize> {
        Some(TILE)
    }

    fn stored(&self, bound: &Bound<'_>) -> NamedBuffers {
        let panels = words_of(bound.inputs[0].1.columns());
        let chosen = bound.output(1).per_task_in_each_panel(panels, TILE * PANEL / 4);
        vec![("y", share(bound.outputs[0], Some(TILE))), ("chosen", chosen)]
    }

    /// Records the kernel that covers words of chosen taps instead of tiles.
    fn record_alone(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let words = Grid::Linear(bound.outputs[0].1.words() as u64);
        let product = Product { grid: words, ..self.product(bound) };
        recording.dispatch_behind(&MAX_POOL, product, Vec::new(), self.stored(bound));
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

    fn producer(&self) -> Option<&dyn Producer> {
        Some(self)
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let ty = bound.inputs[0].1;
        if ty.dtype == DType::Bits {
            return record_bits(recording, bound, &self.geometry(ty));
        }
        self.record_alone(recording, bound);
    }

    fn backward(&self, cx: &mut Backward<'_>) -> Result<Vec<Option<Value>>> {
        let Some(dy) = cx.grad(0) else { return Ok(vec![None]) };
        if cx.input_type(0).dtype == DType::Bits {
            return Err(Error::shape("max_pool", "numbers for training", cx.input_type(0)));
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

/// y = the mean of each window of an image, padding counted as 0; floats. A kernel of 1 subsamples every `stride`-th pixel.
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

/// Returns row `row` of panel `panel`.
fn row<T>(x: &[T], rows: usize, panel: usize, row: usize) -> &[T] {
    &x[(panel * rows + row) * PANEL..][..PANEL]
}

/// A task covers 256 pixels of all channels, also in the other twins.
fn max_twin(task: &mut Task<'_>) {
    let (x, params): (&[u32], &Params) = (task.named("x"), task.params());
    let (g, index, is_integer) = (&geometry_of(params), task.index(), params.integer == 1);
    let pixels = (g.out_height * g.out_width) as usize;
    let valid = task.step().valid_rows as usize * pixels;
    let extent = Extent { rows: g.out_rows(), columns: g.out_channels as usize, valid };
    let rows = TILE.min(g.out_rows() - index * TILE);
    let patches = Patches::new(g, index * TILE, rows);
    let [y, mut chosen] = ["y", "chosen"].map(|name| task.position(name).map(|at| task.panels::<u32>(at)));
    let mut epilogue = Epilogue::take(task, extent);
    with_scratch(rows * PANEL, |tile| {
        let mut y = y.map_or(Output::Passing(tile), Output::Stored);
        for panel in 0..words_of(g.out_channels as usize) {
            let y = y.tile(panel);
            let from = |pixel| row(x, g.in_rows(), panel, pixel);
            match &mut chosen {
                Some(chosen) => largest(&patches, from, is_integer, y, bytemuck::cast_slice_mut(chosen.panel(panel))),
                None => largest_integers(&patches, from, bytemuck::cast_slice_mut(y)),
            }
            epilogue.integers(panel, index * TILE, bytemuck::cast_slice(y));
        }
    });
}

/// Writes the maxima of the windows of a panel, and their taps. `from` returns the numbers of a pixel.
fn largest<'a>(
    patches: &Patches<'_>,
    from: impl Fn(usize) -> &'a [u32],
    is_integer: bool,
    y: &mut [u32],
    chosen: &mut [u8],
) {
    // Integers order like the bits of non-negative floats; the sign reverses the order of negative ones.
    let key = |word: u32| if is_integer { word.cast_signed() as f32 } else { f32::from_bits(word) };
    let mut met = [false; TILE];
    for tap in 0..patches.taps() {
        patches.sources(tap, |i, pixel| {
            let Some(pixel) = pixel else { return };
            let (y, chosen) = (&mut y[i * PANEL..][..PANEL], &mut chosen[i * PANEL..][..PANEL]);
            if !std::mem::replace(&mut met[i], true) {
                y.copy_from_slice(from(pixel));
                chosen.fill(tap as u8);
                return;
            }
            for ((y, chosen), &x) in y.iter_mut().zip(chosen).zip(from(pixel)) {
                let larger = key(x) > key(*y);
                *y = if larger { x } else { *y };
                *chosen = if larger { tap as u8 } else { *chosen };
            }
        });
    }
}

/// Writes the maxima of the windows of a panel of integers.
fn largest_integers<'a>(patches: &Patches<'_>, from: impl Fn(usize) -> &'a [u32], y: &mut [i32]) {
    y.fill(i32::MIN);
    for tap in 0..patches.taps() {
        patches.sources(tap, |i, pixel| {
            let Some(pixel) = pixel else { return };
            let y = y[i * PANEL..][..PANEL].iter_mut();
            y.zip(from(pixel)).for_each(|(y, x)| *y = (*y).max(x.cast_signed()));
        });
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
        assert!(error.contains("at least one tap on the image") && error.contains("on 2x2"), "{error}");
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
        assert!(error.contains("max_pool") && error.contains("numbers for training"), "{error}");
    }
}
