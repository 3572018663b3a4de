//! Dropout.

use super::layer::{Builder, Cost, Layer, Mode, Shape};
use crate::error::Result;
use crate::graph::Value;
use crate::ops;
use crate::tensor::stream_word;

/// In training sets each float to 0 with this probability, in [0, 1), and divides the others by its complement; in evaluation it is the
/// identity (Srivastava et al. 2014). The run's seed, the step and the layer's name determine what is dropped.
///
/// It is for the input of layers with float input. Before sign it would have no effect except that dropped values become +1: sign(0) is +1,
/// and a positive factor keeps the sign. For these layers [`super::Quantizer::DroppedSign`] drops signs.
#[derive(Clone, Copy, Debug)]
pub struct Dropout(pub f32);

impl Layer for Dropout {
    fn kind(&self) -> &'static str {
        "dropout"
    }

    fn build(&self, builder: &mut Builder<'_>, x: Value) -> Result<Value> {
        ops::check_share(format!("layer `{}`", builder.name), self.0)?;
        if builder.mode == Mode::Eval || self.0 == 0.0 {
            return Ok(x);
        }
        let stream = stream_word(&format!("{}.keep", builder.name));
        builder.graph.add(ops::Dropout { probability: self.0, stream }, &[x], &[])
    }

    fn shape(&self, input: Shape) -> Result<Shape> {
        Ok(input)
    }

    fn cost(&self, _input: Shape) -> Cost {
        Cost::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::{Model, PixelScale};
    use super::super::{BatchNorm, Dense, Quantizer};
    use super::*;
    use crate::graph::Graph;

    #[test]
    fn it_is_there_in_training_alone_and_each_layer_has_numbers_of_its_own() {
        let dense = |units| Dense { units, input: Quantizer::Float, weight: Quantizer::Float };
        let model = Model::new("test", [5, 4, 1], PixelScale::to_unit(1));
        let model = model.with(Dropout(0.2)).with(dense(8)).with(Dropout(0.5)).with(Dropout(0.0)).with(dense(2));
        let ops = |mode: Mode| {
            let mut graph = Graph::new();
            model.build(&mut graph, mode, 4).expect("it fits");
            let ops = graph.nodes().iter().filter(|node| node.op.name() == "dropout");
            ops.map(|node| format!("{:?}", node.op)).collect::<Vec<_>>()
        };
        let drops = ops(Mode::Train);
        assert!(drops.len() == 2 && drops[0].contains("0.2") && drops[1].contains("0.5"), "{drops:?}");
        for (op, layer) in drops.iter().zip(["dropout1", "dropout2"]) {
            assert!(op.contains(&stream_word(&format!("{layer}.keep")).to_string()), "{layer}: {op}");
        }
        assert_eq!(ops(Mode::Eval), [""; 0]);
        for wrong in [1.0, -0.1, f32::NAN] {
            let model = Model::new("test", [5, 4, 1], PixelScale::to_unit(1)).with(Dropout(wrong));
            let error = model.build(&mut Graph::new(), Mode::Eval, 4).expect_err("out of range").to_string();
            assert!(error.contains("`dropout1`") && error.contains("[0, 1)"), "{error}");
        }
    }

    #[test]
    fn signs_are_dropped_in_training_alone() {
        let dense = |share: f32| {
            let Quantizer::Sign(surrogate) = Quantizer::sign() else { unreachable!("it is the sign") };
            Dense { units: 8, input: Quantizer::DroppedSign(surrogate, share), weight: Quantizer::sign() }
        };
        let model = |share: f32| {
            Model::new("test", [5, 4, 1], PixelScale::to_unit(1)).with(dense(share)).with(BatchNorm::default())
        };
        let ops = |share: f32, mode: Mode| {
            let mut graph = Graph::new();
            model(share).build(&mut graph, mode, 4).map(|_| {
                let count = |name: &str| graph.nodes().iter().filter(|node| node.op.name() == name).count();
                ["drop_signs", "xnor_matmul", "join_dropped"].map(count)
            })
        };
        assert_eq!(ops(0.5, Mode::Train).expect("it fits"), [1, 2, 1]);
        assert_eq!(ops(0.0, Mode::Train).expect("it fits"), [0, 1, 0]);
        assert_eq!(ops(0.5, Mode::Eval).expect("it fits"), [0, 1, 0]);
        let error = ops(1.0, Mode::Train).expect_err("all are dropped").to_string();
        assert!(error.contains("`dense1`") && error.contains("[0, 1)"), "{error}");
    }
}
