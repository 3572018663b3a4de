//! Computation graphs, from which recordings are made: nodes and values, gradients as additional nodes, fusions, and the memory plan.

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
