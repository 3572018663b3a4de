//! Every kernel of this folder, for tests, benchmarks and translation.

use super::{adam, filter, sgd};
use crate::runtime::Kernel;

/// Every kernel of `shaders/optim/`.
pub static KERNELS: &[&Kernel] = &[&adam::ADAM, &filter::CASCADE, &filter::EMA, &sgd::SGD];
