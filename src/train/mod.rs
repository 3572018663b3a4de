//! Training: configuration, the compiled step, metrics, events, run folders, and the trainer that ties them together.

mod config;
mod event;
mod metrics;
mod optimizer_config;
mod run;
mod session;
mod sweep;
mod teacher;
mod trainer;

pub use config::{LOSSES, Settings, TrainConfig};
pub use event::{Best, Event, StopHandle};
pub use metrics::Interval;
pub use optimizer_config::{OptimizerConfig, OptimizerTable};
pub use run::Run;
pub use session::{Evaluation, Loss, Options, ReadBack, Rules, Session};
pub use sweep::{Axis, Cell, Place, Sweep};
pub use teacher::{Source, Teacher, write_logits};
pub use trainer::{Outcome, Trainer};
