//! Layers, models made of them, and their weights by name.

mod apply;
mod batch_norm;
mod dense;
mod layer;
mod model;
mod quantizer;
mod weights;
mod zoo;

pub use apply::Apply;
pub use batch_norm::BatchNorm;
pub use dense::Dense;
pub use layer::{Builder, Cost, Layer, Mode};
pub use model::{Model, PixelScale, Summary, SummaryRow};
pub use quantizer::Quantizer;
pub use weights::{Tensor, Weights, owner};
pub use zoo::{MODELS, ModelSpec};
