//! Training: configuration, the compiled step, metrics, events, run folders, and the trainer that combines them.

mod class_weights;
mod compile;
mod confusion;
mod diagnostics;
mod epoch;
mod event;
mod files;
mod first_gradients;
mod fusions;
mod given_weights;
mod load_teacher;
mod metrics;
mod options;
mod record;
mod rules;
mod run;
mod session;
mod settings;
mod sweep;
mod teacher;
mod tensorboard;
mod trainer;

pub use compile::{Loss, Options};
pub use confusion::Confusion;
pub use diagnostics::{LayerDiagnostics, OSCILLATION_WINDOW};
pub use event::{Best, Event, StopHandle};
#[cfg(feature = "cli")]
pub(crate) use files::write_whole;
pub use load_teacher::write_logits;
pub use metrics::Interval;
pub use record::{DataRecord, without_files};
pub use rules::{Pattern, Rules};
pub use run::Run;
pub use session::{Evaluation, Measurement, Memory, ReadBack, Session};
#[cfg(feature = "cli")]
pub(crate) use settings::refuse_old_name;
pub use settings::{Form, LOSSES, LayerRule, NumberRange, OptimizerTable, Owner, Setting, Settings, TrainConfig};
pub use sweep::{Axis, Cell, GridPoint, Sweep};
pub use teacher::{Source, Teacher};
pub use trainer::{Outcome, Trainer};
