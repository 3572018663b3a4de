//! A training step before it is recorded: nodes and values, their gradients as more nodes, and the plan of memory.

mod autodiff;
mod build;
mod fuse;
mod op;
mod plan;

pub use autodiff::backward;
pub use build::{Graph, Init, Node, Parameter, Role, Value, ValueInfo, ValueKind};
pub use fuse::{Fused, Fusion, fuse};
pub use op::{Backward, Bound, Op};
pub use plan::{Plan, plan};
