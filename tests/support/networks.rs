//! Small networks of the zoo, and a batch of random images.
#![allow(dead_code, reason = "each test file uses a part of it")]

use plusminus::data::Batch;
use plusminus::nn::{MODELS, Model, ModelSpec};
use plusminus::tensor::Stream;

/// Returns a network of the zoo in the smallest size at which no layer degenerates.
pub fn small(name: &str, float: bool) -> ModelSpec {
    let zoo = MODELS.iter().find(|zoo| zoo.name == name).unwrap();
    let input = if zoo.input[0] == 224 { [64, 64, 3] } else { zoo.input };
    ModelSpec {
        hidden: (name == "mlp").then(|| vec![320, 264]),
        width: 0.125,
        full_precision: float,
        ..ModelSpec::new(name, input, 10)
    }
}

/// Returns a batch of random images.
pub fn batch_for(model: &Model, rows: usize) -> Batch {
    let stream = Stream::new(3, "pixels");
    Batch {
        pixels: (0..(rows * model.features()).div_ceil(4) as u64).map(|i| stream.word(i)).collect(),
        labels: (0..rows as u64).map(|i| stream.below(1000 + i, model.outputs() as u32)).collect(),
        valid: rows as u32,
        ..Batch::default()
    }
}
