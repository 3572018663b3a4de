//! Optimizers: filters whose sign is the weight, and the usual rules for float parameters.

mod adam;
mod binary;
mod bop;
mod design;
mod diode;
mod elementwise;
mod filter;
mod iir;
mod knob;
mod latent;
mod narrow;
mod optimizer;
mod roll_call;
mod schedule;
mod section;
mod sgd;
mod spec;
mod translate;

pub use adam::{Adam, AdamUpdate};
pub use binary::{BinaryOptimizer, BinaryRule, BinaryUpdate, Start, in_order};
pub use bop::{BOP, BOP2};
pub use design::{Filter, FilterSpec, Poles};
pub use diode::RULE as DIODE;
pub use elementwise::ElementwiseFilter;
pub use filter::{CEMA, EMA};
pub use iir::IIR;
pub use knob::{Knob, KnobSpec, Range};
pub use latent::{LATENT_ADAM, LATENT_SGD, SIGNUM};
pub use narrow::{Narrow, StateType};
pub use optimizer::{Knobs, Optimizer, Slot, Verdict};
pub use roll_call::KERNELS;
pub use schedule::Schedule;
pub use section::{SECTIONS, Section, Sections};
pub use sgd::{Sgd, SgdUpdate};
pub use spec::{BINARY_RULES, FLOAT_RULES, FloatKnob, FloatRule};
pub use translate::{LatentSgd, Response};
