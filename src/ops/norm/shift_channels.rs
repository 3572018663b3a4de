//! Channels moved along: cut out, padded with zeros, or laid side by side.

use crate::error::{Error, Result};
use crate::graph::{Backward, Bound, Op, Value};
use crate::runtime::interface::ops::shift_channels::{Params, shift_channels};
use crate::runtime::{Grid, Recording, kernel::kernel};
use crate::tensor::{DType, Layout, PANEL, TensorType, number_at, words_of};

kernel!(
    /// y\[r\]\[c\] = x\[r\]\[c + offset\], or 0.
    SHIFT_CHANNELS = ops::shift_channels::{ shift_channels }, twin = twin
);

/// Rows of a task.
const TILE: usize = 256;

/// y\[r\]\[c\] = x\[r\]\[c + offset\] for floats in panels, 0 where x has no such channel.
#[derive(Clone, Copy, Debug)]
pub struct ShiftChannels {
    /// Channels of y.
    pub channels: usize,
    /// Which channel of x comes first; below 0, so many zeros come first.
    pub offset: isize,
}

impl Op for ShiftChannels {
    fn name(&self) -> &'static str {
        "shift_channels"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let x = inputs[0];
        if x.dtype != DType::F32 || x.layout != Layout::Panels || self.channels == 0 {
            return Err(Error::shape("shift_channels", "floats in panels, to at least 1 channel", x));
        }
        let mut shape = x.shape.clone();
        *shape.last_mut().expect("a tensor has axes") = self.channels;
        Ok(vec![TensorType { shape, ..x.clone() }])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let ((x, from), (y, ty)) = (bound.inputs[0], bound.outputs[0]);
        let params = Params {
            rows: ty.rows() as u32,
            x_columns: from.columns() as u32,
            y_columns: ty.columns() as u32,
            offset: self.offset as i32,
        };
        let buffers = shift_channels::Buffers { x, y: y.per_task_in_each_panel(words_of(ty.columns()), TILE * PANEL) };
        let grid = Grid::Linear(ty.words() as u64);
        recording.dispatch(&SHIFT_CHANNELS, params, buffers, grid, ty.rows().div_ceil(TILE));
    }

    fn backward(&self, cx: &mut Backward<'_>) -> Result<Vec<Option<Value>>> {
        let Some(dy) = cx.grad(0) else { return Ok(vec![None]) };
        let back = Self { channels: cx.input_type(0).columns(), offset: -self.offset };
        Ok(vec![Some(cx.push(back, &[dy])?[0])])
    }

    fn rematerialise(&self) -> bool {
        true
    }
}

/// A task has 256 rows, all channels.
fn twin(mut args: shift_channels::Args<'_>) {
    let Params { rows, x_columns, y_columns, offset } = *args.params;
    let (rows, x_columns, y_columns) = (rows as usize, x_columns as usize, y_columns as usize);
    for panel in 0..args.y.panels() {
        for (i, y) in args.y.panel(panel).chunks_exact_mut(PANEL).enumerate() {
            let row = args.index * TILE + i;
            for (lane, y) in y.iter_mut().enumerate() {
                let column = panel * PANEL + lane;
                let at = column.checked_add_signed(offset as isize).filter(|at| *at < x_columns && column < y_columns);
                *y = at.map_or(0.0, |at| args.x[number_at(rows, row, at)]);
            }
        }
    }
}
