//! The program `plusminus`: one file per subcommand. Only this folder prints or reads arguments.

mod args;
mod bench;
mod bench_case;
mod bench_cases;
mod bench_convolutions;
mod devices;
mod eval;
mod output;
mod picture;
mod plot;
mod plot_filter;
mod plot_layers;
mod program;
mod setting_flags;
mod signals;
mod summary;
mod sweep;
mod train;
mod translate;

pub use args::Cli;
pub use picture::{Axis, Curve, Panel, draw};
pub use program::main;
