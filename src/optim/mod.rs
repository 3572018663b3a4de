//! Optimizers: filters whose sign is the weight, and the usual rules for float parameters.

mod binary;
mod filter;
mod from_signs;
mod hyperparameter;
mod kernels;
mod optimizer;
mod outside;
mod registry;
mod rule;
mod rules;
mod schedule;
mod storage;
mod update;

pub use binary::BinaryOptimizer;
pub use filter::biquad::{Biquad, Biquads, MAX_BIQUADS};
pub use filter::design::{DESIGNS, Filter, FilterSpec, Poles};
pub use filter::translate::{LatentSgd, Response};
pub use from_signs::{random_scaled_sign, scaled_sign};
pub use hyperparameter::{Hyperparameter, HyperparameterSpec, Range};
pub use kernels::{BINARY_RULES, kernels};
pub use optimizer::{Decision, Hyperparameters, Optimizer, UpdateTarget};
pub use outside::ElementwiseFilter;
pub use registry::{FLOAT_RULES, FloatHyperparameter, FloatRule};
pub use rule::{BinaryRule, RuleKernel, State, StateInit, in_order};
pub use rules::adam::{Adam, AdamUpdate};
pub use rules::bop::{BOP, BOP2};
pub use rules::cascade::{CEMA, EMA};
pub use rules::diode::DIODE;
pub use rules::iir::IIR;
pub use rules::latent::{LATENT_ADAM, LATENT_SGD, SIGNUM};
pub use rules::lion::LION;
pub use rules::sgd::{Sgd, SgdUpdate};
pub use schedule::Schedule;
pub use storage::StateType;
pub use update::{BinaryUpdate, first_counters};
