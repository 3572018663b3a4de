//! Dense layer y = q(x) wᵀ with binary or float input and binary or float weights.

use super::layer::{Builder, Cost, Layer, Shape, features};
use super::quantizer::Quantizer;
use crate::error::{Error, Result};
use crate::graph::{Init, Role, Value};
use crate::ops::{FloatByBits, Matmul, TransposeBits, UnpackSigns, XnorMatmul};
use crate::tensor::{DType, Layout, TensorType};

/// y\[r\]\[c\] = sum_k q(x\[r\]\[k\]) * w\[c\]\[k\], `[batch, inputs]` to `[batch, units]`; no bias, since batch norm follows.
///
/// The parameter `weight` is `[units, inputs]`. Binary weights are packed signs, initially random, each +1 with probability one half. Float
/// weights are initially uniform in +-1 / sqrt(inputs) (PyTorch's default).
#[derive(Clone, Copy, Debug)]
pub struct Dense {
    /// Number of outputs.
    pub units: usize,
    /// Quantiser of the input.
    pub input: Quantizer,
    /// Quantiser of the weights.
    pub weight: Quantizer,
}

impl Layer for Dense {
    fn kind(&self) -> &'static str {
        "dense"
    }

    fn build(&self, builder: &mut Builder<'_>, x: Value) -> Result<Value> {
        let ty = builder.graph.ty(x);
        if self.units == 0 {
            return Err(Error::shape(format!("layer `{}`", builder.name), "at least 1 unit", 0));
        }
        if ty.shape.len() != 2 {
            let expected = "rows of features (add `Flatten` before it)";
            return Err(Error::shape(format!("layer `{}`", builder.name), expected, ty));
        }
        let inputs = ty.columns();
        if self.weight.is_binary() {
            let ty = TensorType::bits(self.units, inputs);
            let weight = builder.parameter("weight", ty, Role::Binary, Init::Signs);
            if self.input.is_binary() {
                return builder.product(x, self.input, |graph, x| graph.add(XnorMatmul, &[x, weight], &[]));
            }
            let transposed = builder.graph.add(TransposeBits, &[weight], &[])?;
            let all = |x| [x, weight, transposed];
            return builder.product(x, self.input, |graph, x| graph.add(FloatByBits, &all(x), &[]));
        }
        let ty = TensorType::new(DType::F32, Layout::Rows, &[self.units, inputs]);
        let weight = builder.parameter("weight", ty, Role::Float, Init::Uniform(1.0 / (inputs as f32).sqrt()));
        builder.product(x, self.input, |graph, x| {
            let x = if self.input.is_binary() { graph.add(UnpackSigns(Layout::Panels), &[x], &[])? } else { x };
            graph.add(Matmul, &[x, weight], &[])
        })
    }

    fn shape(&self, _input: Shape) -> Result<Shape> {
        Ok([1, 1, self.units])
    }

    fn cost(&self, input: Shape) -> Cost {
        let weights = features(input) * self.units as u64;
        let (binary, both) = (self.weight.is_binary(), self.weight.is_binary() && self.input.is_binary());
        Cost {
            weights_1bit: if binary { weights } else { 0 },
            weights_32bit: if binary { 0 } else { weights },
            macs_1bit: if both { weights } else { 0 },
            macs_32bit: if both { 0 } else { weights },
        }
    }

    fn precision(&self) -> String {
        format!("{} x {}", self.input.name(), self.weight.name())
    }
}
