//! Every kernel of this folder, for tests, benchmarks and translation.

use super::{adam, bop, diode, filter, iir, latent, sgd};
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
    &sgd::SGD,
];
