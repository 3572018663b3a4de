//! The product with signs under dropout, computed from the products with the two copies of [`crate::ops::DropSigns`].

use crate::error::{Error, Result};
use crate::graph::{AsEpilogue, Backward, Bound, Op, Value};
use crate::ops::activation::dropout::check_share;
use crate::runtime::interface::epilogues::join_dropped::JoinParams;
use crate::runtime::interface::ops::join_dropped::{Params, join_dropped, join_dropped_backward};
use crate::runtime::{Grid, Recording, kernel::kernel};
use crate::tensor::{DType, Layout, TensorType};

kernel!(
    /// The product from the two products.
    JOIN_DROPPED = ops::join_dropped::{ join_dropped }, twin = twin
);
kernel!(
    /// The gradient of either product.
    JOIN_DROPPED_BACKWARD = ops::join_dropped::{ join_dropped_backward }, twin = backward_twin
);

/// Words of a task.
const CHUNK: usize = 4096;

/// y = (u + d) / (2 (1 - p)) for the products u and d with the two copies of [`crate::ops::DropSigns`]: the product with the kept signs,
/// divided by the probability that a sign is kept. u and d are integers or floats; a sum of integers is exact.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JoinDropped {
    /// p, in [0, 1): the probability that a sign was dropped.
    pub probability: f32,
}

impl JoinDropped {
    /// Returns 1 / (2 (1 - p)).
    fn scale(self) -> f32 {
        0.5 / (1.0 - self.probability)
    }

    fn params(self, integer: bool) -> Params {
        Params { scale: self.scale(), integer: u32::from(integer) }
    }
}

impl Op for JoinDropped {
    fn name(&self) -> &'static str {
        "join_dropped"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        check_share("join_dropped", self.probability)?;
        let ty = inputs[0];
        if !matches!(ty.dtype, DType::F32 | DType::I32) || ty.layout != Layout::Panels || ty != inputs[1] {
            return Err(Error::shape("join_dropped", "two products in panels", format!("{ty}, {}", inputs[1])));
        }
        Ok(vec![TensorType::new(DType::F32, Layout::Panels, &ty.shape)])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (y, words) = (bound.output(0).per_task(CHUNK), bound.outputs[0].1.words());
        let params = self.params(bound.inputs[0].1.dtype == DType::I32);
        let buffers = join_dropped::Buffers { up: bound.input(0), down: bound.input(1), y };
        recording.dispatch(&JOIN_DROPPED, params, buffers, Grid::Linear(words as u64), words.div_ceil(CHUNK));
    }

    fn as_epilogue(&self, _input: usize) -> Option<AsEpilogue> {
        let params = bytemuck::pod_collect_to_vec(&[JoinParams { scale: self.scale() }]);
        Some(AsEpilogue { name: "join_dropped", params })
    }

    fn backward(&self, cx: &mut Backward<'_>) -> Result<Vec<Option<Value>>> {
        let Some(dy) = cx.grad(0) else { return Ok(vec![None; 2]) };
        let either = cx.push(JoinDroppedBackward(*self), &[dy])?[0];
        Ok(vec![Some(either); 2])
    }
}

/// The gradient of either product: dy / (2 (1 - p)).
#[derive(Clone, Copy, Debug)]
pub struct JoinDroppedBackward(pub JoinDropped);

impl Op for JoinDroppedBackward {
    fn name(&self) -> &'static str {
        "join_dropped_backward"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        if inputs[0].dtype != DType::F32 {
            return Err(Error::shape("join_dropped_backward", "floats", inputs[0]));
        }
        Ok(vec![inputs[0].clone()])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let words = bound.outputs[0].1.words();
        let buffers = join_dropped_backward::Buffers { dy: bound.input(0), dx: bound.output(0).per_task(CHUNK) };
        let grid = Grid::Linear(words as u64);
        recording.dispatch(&JOIN_DROPPED_BACKWARD, self.0.params(false), buffers, grid, words.div_ceil(CHUNK));
    }
}

fn twin(args: join_dropped::Args<'_>) {
    let (first, scale) = (args.index * CHUNK, args.params.scale);
    let products = args.up[first..].iter().zip(&args.down[first..]);
    if args.params.integer == 0 {
        let sum = |(up, down): (&u32, &u32)| (f32::from_bits(*up) + f32::from_bits(*down)) * scale;
        args.y.iter_mut().zip(products).for_each(|(y, both)| *y = sum(both));
    } else {
        let sum = |(up, down): (&u32, &u32)| (up.cast_signed() + down.cast_signed()) as f32 * scale;
        args.y.iter_mut().zip(products).for_each(|(y, both)| *y = sum(both));
    }
}

fn backward_twin(args: join_dropped_backward::Args<'_>) {
    let (dy, scale) = (&args.dy[args.index * CHUNK..], args.params.scale);
    args.dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx = dy * scale);
}
