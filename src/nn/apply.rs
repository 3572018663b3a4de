//! A layer of any operation with one input and one output.

use super::layer::{Builder, Cost, Layer, Shape};
use crate::error::Result;
use crate::graph::{Op, Value};
use crate::ops::ShiftChannels;
use std::sync::Arc;

/// y = op(x), where the output has the shape of the input: for custom operations, and for those without parameters.
#[derive(Clone, Debug)]
pub struct Apply(pub Arc<dyn Op>);

impl Layer for Apply {
    fn kind(&self) -> &'static str {
        self.0.name()
    }

    fn build(&self, builder: &mut Builder<'_>, x: Value) -> Result<Value> {
        Ok(builder.graph.push(self.0.clone(), &[x], &[])?[0])
    }

    fn shape(&self, input: Shape) -> Result<Shape> {
        Ok(input)
    }

    fn cost(&self, _input: Shape) -> Cost {
        Cost::default()
    }
}

/// Zero-pads the channels, with the same number on both sides (one more after them if it is odd): a shortcut to more channels without
/// weights (He et al. 2016, section 4.2, option A).
#[derive(Clone, Copy, Debug)]
pub struct PadChannels(pub usize);

impl Layer for PadChannels {
    fn kind(&self) -> &'static str {
        "pad"
    }

    fn build(&self, builder: &mut Builder<'_>, x: Value) -> Result<Value> {
        let channels = builder.graph.ty(x).columns();
        let offset = -((self.0.saturating_sub(channels) / 2) as isize);
        builder.graph.add(ShiftChannels { channels: self.0, offset }, &[x], &[])
    }

    fn shape(&self, [height, width, _]: Shape) -> Result<Shape> {
        Ok([height, width, self.0])
    }

    fn cost(&self, _input: Shape) -> Cost {
        Cost::default()
    }
}
