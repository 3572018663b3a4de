//! The registry of epilogues. The build script lists the files of this folder that declare a `KIND`, in the order of the chains that the
//! shaders permit: `EPILOGUES`, and `Epilogue`, which holds those of a task.

use super::contract::{Consumer, EpilogueKind, Extent, TileAt};
use crate::runtime::Task;

include!(concat!(env!("OUT_DIR"), "/epilogues.rs"));

/// Returns the epilogue of that name.
pub fn epilogue(name: &str) -> Option<&'static EpilogueKind> {
    EPILOGUES.iter().copied().find(|kind| kind.name == name)
}
