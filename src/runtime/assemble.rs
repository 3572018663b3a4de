//! The shader assembler that the build script and the library share, over the shader files that are compiled into the binary.

use super::interface::PIECES;

#[path = "../../shaders/assemble.rs"]
#[allow(dead_code, reason = "the build script and tests use the rest of it")]
mod text;

pub use text::*;

/// Returns the text of a shader file by its path.
pub fn piece(path: &str) -> Option<&'static str> {
    PIECES.binary_search_by(|(known, _)| (*known).cmp(path)).ok().map(|at| PIECES[at].1)
}

/// Returns the names of the files of `shaders/shared/`, without folder and extension.
pub fn shared_names() -> Vec<&'static str> {
    PIECES.iter().filter_map(|(path, _)| path.strip_prefix("shared/")).collect()
}
