//! Every kernel of this folder, for tests, benchmarks and translation.

use super::{adam, bop, diode, filter, iir, latent, narrow, sgd};
use crate::runtime::Kernel;

/// Every kernel of `shaders/optim/`.
pub static KERNELS: &[&Kernel] = &[
    &adam::ADAM,
    &bop::FIRST,
    &bop::SECOND,
    &filter::CASCADE,
    &filter::AVERAGE,
    &diode::DIODE,
    &iir::SECTION,
    &latent::ADAM,
    &latent::SGD,
    &latent::SIGN,
    &narrow::CASCADE_F16,
    &narrow::CASCADE_I16,
    &narrow::CASCADE_I8,
    &narrow::AVERAGE_F16,
    &narrow::AVERAGE_I16,
    &narrow::AVERAGE_I8,
    &sgd::SGD,
];
