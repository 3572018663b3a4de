//! The rules: one file for each family.

pub(crate) mod adam;
pub(crate) mod bop;
pub(crate) mod cascade;
pub(crate) mod diode;
pub(crate) mod iir;
pub(crate) mod latent;
pub(crate) mod lion;
pub(crate) mod sgd;
