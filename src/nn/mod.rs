//! Layers, models made of them, and their weights by name.

mod apply;
mod batch_norm;
mod build;
mod by_channel;
mod conv;
mod dense;
mod dropout;
mod layer;
mod model;
mod pool;
mod quantizer;
mod saved;
mod sequence;
mod spec;
mod weights;
mod zoo;

pub use apply::{Apply, PadChannels};
pub use batch_norm::BatchNorm;
pub use by_channel::ByChannel;
pub use conv::Conv;
pub use dense::Dense;
pub use dropout::Dropout;
pub use layer::{Builder, Cost, Layer, Mode, Shape, SummaryRow};
pub use model::{Model, PixelScale, Summary};
pub use pool::{AvgPool, Flatten, GlobalAvgPool, MaxPool};
pub use quantizer::Quantizer;
pub use sequence::{Concat, Residual, Sequence};
pub use spec::ModelSpec;
pub use weights::{Tensor, Weights, parent_path};
pub use zoo::{MODELS, ZooModel};
