//! Writing of whole files: under a temporary name, then renamed, so that readers see the old file or the new one, never a part.

use crate::error::{Error, Result};
use std::path::Path;

/// Prefix of the names of files that are being written.
pub(super) const WRITING: &str = ".writing-";

/// Returns a text as a cell of CSV, quoted if necessary.
pub(super) fn csv_cell(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_string() }
}

/// Writes a file under a temporary name in the same folder, then renames it.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || {
        // A link is kept; a device or another special file is not replaced.
        let target = path.canonicalize().unwrap_or_else(|_| path.into());
        if target.metadata().is_ok_and(|there| !there.is_file()) {
            return Err(std::io::Error::other("it exists and is not a regular file"));
        }
        written(&target, bytes)?.persist(&target).map(drop).map_err(|e| e.error)
    };
    write().map_err(Error::file("writing", path))
}

/// Writes a file that does not exist yet; one of several concurrent writers succeeds.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || written(path, bytes)?.persist_noclobber(path).map(drop).map_err(|e| e.error);
    write().map_err(Error::file("writing", path))
}

/// Creates a temporary file in the folder of `path`, synced to disk, with the permissions of a new file.
#[cfg(not(target_arch = "wasm32"))]
fn written(path: &Path, bytes: &[u8]) -> std::io::Result<tempfile::NamedTempFile> {
    use std::io::Write;
    let mut builder = tempfile::Builder::new();
    builder.prefix(WRITING);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// A browser has no files.
#[cfg(target_arch = "wasm32")]
pub(crate) fn write_whole(path: &Path, _bytes: &[u8]) -> Result<()> {
    Err(Error::file("writing", path)(std::io::ErrorKind::Unsupported.into()))
}

/// A browser has no files.
#[cfg(target_arch = "wasm32")]
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    write_whole(path, bytes)
}
