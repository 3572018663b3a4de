//! A training step before it is recorded: nodes and values, their gradients as additional nodes, and the memory plan.

mod autodiff;
mod bound;
mod build;
mod fuse;
mod hoist;
mod initial;
mod op;
mod plan;
mod producer;
mod value;

pub use autodiff::backward;
pub use bound::Bound;
pub use build::{Graph, Node};
pub use fuse::{Fused, Fusion, fuse};
pub use hoist::hoist;
pub use initial::{FromSigns, Init, StateContext};
pub use op::{Backward, Op, Port, Signs};
pub use plan::{Plan, plan};
pub use producer::{AsEpilogue, Producer, share};
pub use value::{Parameter, Purpose, Role, State, Value, ValueInfo, ValueKind};
