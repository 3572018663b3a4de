//! The contract of a rule for binary weights: the entry in its table.

use super::hyperparameter::{HyperparameterSpec, Range};
use super::optimizer::Hyperparameters;
use super::storage::StateType;
use crate::runtime::Kernel;

/// A rule's kernels for states of one type.
#[derive(Clone, Copy, Debug)]
pub struct RuleKernel {
    /// Storage of its states.
    pub storage: StateType,
    /// Numbers per weight in each state's tensor: 1 except for filters.
    pub planes: usize,
    /// Its kernels by the producer of the gradient; the first reads it from memory.
    pub behind: &'static [(&'static str, &'static Kernel)],
}

/// The producer of a gradient that is in memory.
pub(super) const GRADIENT: &str = "gradient";

/// The initial content of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateInit {
    /// 0.
    Zero,
    /// -`state-init-scale` times the weight, so that the first gradients do not decide every weight; for rules with
    /// [`BinaryRule::first_update`] in units of it.
    Scaled,
    /// The weight's sign times a number drawn from [0, `init`): a latent weight.
    Latent,
}

impl StateInit {
    /// Returns the name of the hyperparameter that scales the initial content; the rule must have it.
    pub(super) fn hyperparameter(self) -> Option<&'static str> {
        match self {
            Self::Zero => None,
            Self::Scaled => Some(STATE_INIT_SCALE.name),
            Self::Latent => Some("init"),
        }
    }
}

/// A state of a rule: numbers that it keeps per weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct State {
    /// Suffix of its name after the parameter's.
    pub name: &'static str,
    /// Initial content.
    pub init: StateInit,
    /// The hyperparameter whose value is the fraction of the gradient (or of the previous state) that one step adds to the state. The first
    /// unit of integer storage is derived from it. `None`: all of it.
    pub rate: Option<&'static str>,
}

impl State {
    /// Returns the name of its binding in the shader.
    pub(super) fn binding(&self) -> String {
        format!("state_{}", self.name.replace('-', "_"))
    }

    /// Declares a state to which one step adds the whole gradient.
    pub const fn new(name: &'static str, init: StateInit) -> Self {
        Self { name, init, rate: None }
    }

    /// Sets the hyperparameter that is the state's rate.
    pub const fn at_rate(self, rate: &'static str) -> Self {
        Self { rate: Some(rate), ..self }
    }
}

/// A first update, of hyperparameters in their order and the root mean square of the gradients.
pub type FirstUpdate = fn(values: &[f32], gradient_rms: f32) -> f32;

/// A rule for binary weights: a table entry for a function in WGSL and in Rust, which `kernels` composes with the loop and the storage. The
/// function receives the `hyperparameters` in their order unless `pack` arranges them differently.
#[derive(Clone, Copy, Debug)]
pub struct BinaryRule {
    /// Name in flags and files.
    pub name: &'static str,
    /// Description in one line.
    pub doc: &'static str,
    /// Its hyperparameters.
    pub hyperparameters: &'static [HyperparameterSpec],
    /// Its states; at most three if the update is fused with the product that computes the gradient.
    pub states: &'static [State],
    /// Index of the state whose sign is the weight; with narrow storage, the sign of the stored value.
    pub decides: usize,
    /// Returns the magnitude by which the first step moves the deciding state from 0, of its hyperparameters and the root mean square of the
    /// gradients: the unit of `state-init-scale`, which training measures before its first step. For a filter, per coefficient `b0` of
    /// its sections. `None`: scaled states are absolute, or the rule has none.
    pub first_update: Option<FirstUpdate>,
    /// Whether the weights are invariant under a positive scale of the gradients.
    pub is_scale_invariant: bool,
    /// Whether it is defined by a [`FilterSpec`](super::FilterSpec), whose coefficients are then the hyperparameters of its kernel.
    pub is_filter: bool,
    /// Hyperparameters of its paper as texts; empty if the paper has none.
    pub paper: &'static [(&'static str, &'static str)],
    /// Its kernels, one per supported storage of states.
    pub kernels: &'static [RuleKernel],
    /// Returns the hyperparameters of step `step` (from 0) for the kernel, from values in their order.
    pub pack: fn(values: &[f32], step: u64) -> Hyperparameters,
}

/// The hyperparameter of rules whose states can be initialised from the weights.
pub(super) const STATE_INIT_SCALE: HyperparameterSpec = HyperparameterSpec::new(
    "state-init-scale",
    "initial states are -SCALE times the weight, in units of the first update; 0: the first step decides",
    Range::NotNegative,
    0.0,
);

/// Returns the first eight values in their order; a limit that is off becomes the largest number.
pub fn in_order(values: &[f32], _step: u64) -> Hyperparameters {
    let at = |i: usize| values.get(i).map_or(0.0, |v| v.min(f32::MAX));
    [[0, 1, 2, 3].map(at), [4, 5, 6, 7].map(at), [0.0; 4], [0.0; 4]]
}

impl BinaryRule {
    /// Returns its kernel for states of a type, with `planes` planes per state.
    pub fn kernel(&self, storage: StateType, planes: usize) -> Option<&'static Kernel> {
        self.kernel_behind(GRADIENT, storage, planes)
    }

    /// Returns its kernel for a gradient that this producer computes tile by tile.
    pub fn kernel_behind(&self, producer: &str, storage: StateType, planes: usize) -> Option<&'static Kernel> {
        let found = self.kernels.iter().find(|kernel| (kernel.storage, kernel.planes) == (storage, planes))?;
        found.behind.iter().find(|(name, _)| *name == producer).map(|(_, kernel)| *kernel)
    }
}
