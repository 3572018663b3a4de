//! The contract of a rule for binary weights: what its table row says of it.

use super::hyperparameter::{HyperparameterSpec, Range};
use super::optimizer::Hyperparameters;
use super::storage::StateType;
use crate::runtime::Kernel;

/// A rule's kernel for states of one type.
#[derive(Clone, Copy, Debug)]
pub struct RuleKernel {
    /// How states are stored.
    pub storage: StateType,
    /// Numbers of a weight in each state's tensor: 1 but for filters.
    pub planes: usize,
    /// The kernel.
    pub kernel: &'static Kernel,
}

/// Where a state starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateInit {
    /// At 0.
    Zero,
    /// At -`state-init-scale` times the weight, so that the first gradients do not decide every weight.
    Scaled,
    /// At the weight's sign times a number drawn from [0, `init`): a latent weight.
    Latent,
}

impl StateInit {
    /// The hyperparameter that says how far, which the rule must have.
    pub(super) fn hyperparameter(self) -> Option<&'static str> {
        match self {
            Self::Zero => None,
            Self::Scaled => Some(STATE_INIT_SCALE.name),
            Self::Latent => Some("init"),
        }
    }
}

/// A state of a rule: numbers that it keeps for each weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct State {
    /// The name that follows the parameter's.
    pub name: &'static str,
    /// Where it starts.
    pub init: StateInit,
    /// The hyperparameter whose value is the share of the gradient (or of the state before) that one step adds to it: the first unit of integers follows
    /// from it. `None`: all of it.
    pub rate: Option<&'static str>,
}

impl State {
    /// Its binding in the shader.
    pub(super) fn binding(&self) -> String {
        format!("state_{}", self.name.replace('-', "_"))
    }

    /// A state that one step adds all of the gradient to.
    pub const fn new(name: &'static str, init: StateInit) -> Self {
        Self { name, init, rate: None }
    }

    /// The same, moved at the rate of a hyperparameter.
    pub const fn at_rate(self, rate: &'static str) -> Self {
        Self { rate: Some(rate), ..self }
    }
}

/// A rule for binary weights: a table row beside one function in WGSL and in Rust, which `kernels` joins with the loop and the storage.
/// `hyperparameters` reach the function in their order unless `pack` says otherwise.
#[derive(Clone, Copy, Debug)]
pub struct BinaryRule {
    /// Name in flags and files.
    pub name: &'static str,
    /// What it does, in a line.
    pub doc: &'static str,
    /// Its hyperparameters.
    pub hyperparameters: &'static [HyperparameterSpec],
    /// Its states; at most three where the update is fused with the product that makes the gradient.
    pub states: &'static [State],
    /// The state whose sign is the weight; where storage is narrow, its sign as it is stored.
    pub decides: usize,
    /// The scale that `--state-init scaled` uses where none is set; 0 where the rule has no such hyperparameter.
    pub scaled_init: f32,
    /// Whether gradients times any positive number give the same weights.
    pub is_scale_invariant: bool,
    /// Whether it is made of a [`FilterSpec`], whose coefficients are then the hyperparameters of its kernel.
    pub is_filter: bool,
    /// Hyperparameters as its paper has them, as texts; none where the paper gives none.
    pub paper: &'static [(&'static str, &'static str)],
    /// Its kernels, for each storage of states that it supports.
    pub kernels: &'static [RuleKernel],
    /// The hyperparameters of step `step` (from 0), as values in their order, for the kernel.
    pub pack: fn(values: &[f32], step: u64) -> Hyperparameters,
}

/// Hyperparameter of rules whose states can start along the weights.
pub(super) const STATE_INIT_SCALE: HyperparameterSpec = HyperparameterSpec::new(
    "state-init-scale",
    "states start at -SCALE times the weight; 0: the first step decides",
    Range::NotNegative,
    0.0,
);

/// The first eight values in their order; a limit that is off is the largest number.
pub fn in_order(values: &[f32], _step: u64) -> Hyperparameters {
    let at = |i: usize| values.get(i).map_or(0.0, |v| v.min(f32::MAX));
    [[0, 1, 2, 3].map(at), [4, 5, 6, 7].map(at), [0.0; 4], [0.0; 4]]
}

impl BinaryRule {
    /// Its kernel for states of a type, with as many planes a state.
    pub fn kernel(&self, storage: StateType, planes: usize) -> Option<&'static Kernel> {
        let found = self.kernels.iter().find(|kernel| (kernel.storage, kernel.planes) == (storage, planes));
        found.map(|found| found.kernel)
    }
}
