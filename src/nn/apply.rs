//! Any operation of one input and one output as a layer.

use super::layer::{Builder, Cost, Layer};
use crate::error::Result;
use crate::graph::{Op, Value};
use std::sync::Arc;

/// y = op(x), where the output has as many features as the input: for operations of your own, and for those without parameters.
#[derive(Clone, Debug)]
pub struct Apply(pub Arc<dyn Op>);

impl Layer for Apply {
    fn kind(&self) -> &'static str {
        self.0.name()
    }

    fn build(&self, builder: &mut Builder<'_>, x: Value) -> Result<Value> {
        Ok(builder.graph.push(self.0.clone(), &[x], &[])?[0])
    }

    fn features(&self, input: usize) -> usize {
        input
    }

    fn cost(&self, _input: usize) -> Cost {
        Cost::default()
    }
}
