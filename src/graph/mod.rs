//! A training step before it is recorded: nodes and values, their gradients as additional nodes, and the memory plan.

mod autodiff;
mod build;
mod fuse;
mod hoist;
mod initial;
mod op;
mod plan;
mod value;

pub use autodiff::backward;
pub use build::{Graph, Node};
pub use fuse::{Fused, Fusion, fuse};
pub use hoist::hoist;
pub use initial::{FromSigns, Init, StateContext};
pub use op::{Backward, Bound, Op, Port, Signs, Tiles};
pub use plan::{Plan, plan};
pub use value::{Parameter, Purpose, Role, State, Value, ValueInfo, ValueKind};
