//! Epilogues: what is done with a tile of a product while it is in registers or in cache.

pub(crate) mod add;
pub(crate) mod contract;
pub(crate) mod join_dropped;
pub(crate) mod mask;
pub(crate) mod registry;
pub(crate) mod statistics;
pub(crate) mod threshold;
