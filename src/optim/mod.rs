//! Optimizers: filters whose sign is the weight, and the usual rules for float parameters.

mod binary;
mod elementwise;
mod filter;
mod from_signs;
mod hyperparameter;
mod kernels;
mod narrow;
mod optimizer;
mod rules;
mod schedule;
mod spec;

pub use binary::{BinaryOptimizer, BinaryRule, BinaryUpdate, StateInit, in_order};
pub use elementwise::ElementwiseFilter;
pub use filter::biquad::{Biquad, Biquads, MAX_BIQUADS};
pub use filter::design::{DESIGNS, Filter, FilterSpec, Poles};
pub use filter::translate::{LatentSgd, Response};
pub use from_signs::{random_scaled_sign, scaled_sign};
pub use hyperparameter::{Hyperparameter, HyperparameterSpec, Range};
pub use kernels::KERNELS;
pub use narrow::{Narrow, StateType};
pub use optimizer::{Decision, Hyperparameters, Optimizer, UpdateTarget};
pub use rules::adam::{Adam, AdamUpdate};
pub use rules::bop::{BOP, BOP2};
pub use rules::cascade::{CEMA, EMA};
pub use rules::diode::RULE as DIODE;
pub use rules::iir::IIR;
pub use rules::latent::{LATENT_ADAM, LATENT_SGD, SIGNUM};
pub use rules::sgd::{Sgd, SgdUpdate};
pub use schedule::Schedule;
pub use spec::{BINARY_RULES, FLOAT_RULES, FloatHyperparameter, FloatRule};
