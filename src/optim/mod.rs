//! Optimizers: filters whose sign is the weight, and the usual rules for float parameters.

mod adam;
mod filter;
mod optimizer;
mod roll_call;
mod schedule;
mod sgd;
mod spec;

pub use adam::{Adam, AdamUpdate};
pub use filter::{CascadedEma, Ema, Filter};
pub use optimizer::{Knobs, Optimizer, Slot};
pub use roll_call::KERNELS;
pub use schedule::Schedule;
pub use sgd::{Sgd, SgdUpdate};
pub use spec::{BINARY_RULES, BinaryRule, FLOAT_RULES, FloatRule};
