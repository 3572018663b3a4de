//! Filter theory: design, second-order sections, and translation to and from latent SGD.

pub(crate) mod biquad;
pub(crate) mod design;
pub(crate) mod translate;
