//! Sweeps: the same training over a grid of settings and several seeds; an interrupted sweep resumes.

mod axis;
mod grid;
mod results;

pub use axis::Axis;
pub use grid::Sweep;
pub use results::{Cell, GridPoint};
