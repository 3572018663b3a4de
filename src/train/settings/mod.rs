//! Settings: one table (`table`), from which come flags, files, merging (`merge`), help, and the resolved configuration (`resolve`, `config`).

mod config;
mod declare;
mod file;
mod hyperparameters;
mod merge;
mod optimizer;
mod resolve;
mod setting;
mod sizes;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod value;

#[cfg(feature = "cli")]
pub(crate) use optimizer::refuse_old_name;
pub use optimizer::{LayerRule, OptimizerTable};
pub use setting::{Form, NumberRange, Owner, Setting};
pub use table::{LOSSES, Settings, TrainConfig};
