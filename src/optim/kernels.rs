//! The registry of this folder's kernels and rules; the build script lists what its files declare.

use super::rule::BinaryRule;
use crate::runtime::Kernel;

include!(concat!(env!("OUT_DIR"), "/kernels_optim.rs"));
include!(concat!(env!("OUT_DIR"), "/binary_rules.rs"));

/// Returns the kernels of this folder: those that files declare, and the updates of every rule.
pub fn kernels() -> Vec<&'static Kernel> {
    let updates = BINARY_RULES.iter().flat_map(|rule: &&BinaryRule| rule.kernels).flat_map(|update| update.behind);
    let updates = updates.map(|(_, kernel)| *kernel);
    KERNELS.iter().copied().chain(updates).collect()
}
