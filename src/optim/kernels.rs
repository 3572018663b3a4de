//! Every kernel and rule of this folder: the build script lists what its files declare.

use super::rule::BinaryRule;
use crate::runtime::Kernel;

include!(concat!(env!("OUT_DIR"), "/kernels_optim.rs"));
include!(concat!(env!("OUT_DIR"), "/binary_rules.rs"));

/// Every kernel of this folder: those that files declare, and the updates of every rule.
pub fn kernels() -> Vec<&'static Kernel> {
    let updates = BINARY_RULES.iter().flat_map(|rule: &&BinaryRule| rule.kernels).map(|update| update.kernel);
    KERNELS.iter().copied().chain(updates).collect()
}
