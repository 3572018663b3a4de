//! Pooling layers, and the step from images to rows of features.

use super::layer::{Builder, Cost, Layer, Shape};
use crate::error::Result;
use crate::graph::Value;
use crate::ops::{self, Window, image_of};

/// The largest of each window.
#[derive(Clone, Copy, Debug)]
pub struct MaxPool(pub Window);

/// The mean of each window; a kernel of 1 takes every `stride`-th pixel.
#[derive(Clone, Copy, Debug)]
pub struct AvgPool(pub Window);

/// The mean of a whole image, as a row of features.
#[derive(Clone, Copy, Debug)]
pub struct GlobalAvgPool;

/// Images to rows of features: pixel by pixel, channel by channel. Rows stay as they are.
#[derive(Clone, Copy, Debug)]
pub struct Flatten;

fn pooled(window: Window, op: &str, [height, width, channels]: Shape) -> Result<Shape> {
    let [height, width] = window.output(op, [height, width])?;
    Ok([height, width, channels])
}

impl Layer for MaxPool {
    fn kind(&self) -> &'static str {
        "maxpool"
    }

    fn build(&self, builder: &mut Builder<'_>, x: Value) -> Result<Value> {
        Ok(builder.graph.push(std::sync::Arc::new(ops::MaxPool(self.0)), &[x], &[])?[0])
    }

    fn shape(&self, input: Shape) -> Result<Shape> {
        pooled(self.0, self.kind(), input)
    }

    fn is_spatial(&self) -> bool {
        true
    }
}

impl Layer for AvgPool {
    fn kind(&self) -> &'static str {
        "meanpool"
    }

    fn build(&self, builder: &mut Builder<'_>, x: Value) -> Result<Value> {
        builder.graph.add(ops::AvgPool(self.0), &[x], &[])
    }

    fn shape(&self, input: Shape) -> Result<Shape> {
        pooled(self.0, self.kind(), input)
    }

    fn is_spatial(&self) -> bool {
        true
    }
}

impl Layer for GlobalAvgPool {
    fn kind(&self) -> &'static str {
        "globalmean"
    }

    fn build(&self, builder: &mut Builder<'_>, x: Value) -> Result<Value> {
        let [_, height, width, _] = image_of(&format!("layer `{}`", builder.name), builder.graph.ty(x))?;
        let window = Window { kernel: [height, width], stride: height.max(width), dilation: 1, padding: 0 };
        let mean = builder.graph.add(ops::AvgPool(window), &[x], &[])?;
        builder.graph.add(ops::Flatten, &[mean], &[])
    }

    fn shape(&self, input: Shape) -> Result<Shape> {
        Ok([1, 1, input[2]])
    }

    fn is_spatial(&self) -> bool {
        true
    }
}

impl Layer for Flatten {
    fn kind(&self) -> &'static str {
        "flatten"
    }

    fn build(&self, builder: &mut Builder<'_>, x: Value) -> Result<Value> {
        match builder.graph.ty(x).shape.len() {
            2 => Ok(x),
            _ => builder.graph.add(ops::Flatten, &[x], &[]),
        }
    }

    fn shape(&self, input: Shape) -> Result<Shape> {
        Ok([1, 1, input.iter().product()])
    }

    fn cost(&self, _input: Shape) -> Cost {
        Cost::default()
    }
}
