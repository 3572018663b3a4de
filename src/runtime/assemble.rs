//! The assembler that the build script and the library share, over the pieces that the binary ships.

use super::interface::PIECES;

#[path = "../../shaders/assemble.rs"]
#[allow(dead_code, reason = "the build script and tests use the rest of it")]
mod text;

pub use text::*;

/// A piece's text by its path.
pub fn piece(path: &str) -> Option<&'static str> {
    PIECES.binary_search_by(|(known, _)| (*known).cmp(path)).ok().map(|at| PIECES[at].1)
}

/// Files of `shaders/shared/`, without folder and ending.
pub fn shared_names() -> Vec<&'static str> {
    PIECES.iter().filter_map(|(path, _)| path.strip_prefix("shared/")).collect()
}
