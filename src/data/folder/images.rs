//! The images of a folder, decoded once or on access.

use super::super::dataset::{Dataset, ImageFile};
use super::super::image::{Background, decode};
use super::super::resample::{Region, resample};
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// What an image becomes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    /// Height, width, channels.
    pub shape: [usize; 3],
    pub background: Background,
}

impl Target {
    /// Decodes a file and scales the region that covers the shape.
    pub fn read(&self, path: &Path, out: &mut [u8]) -> std::result::Result<(), String> {
        let [height, width, channels] = self.shape;
        let bytes = read_file(path)?;
        let (header, image) = decode(&bytes, channels, self.background)?;
        let size = [header.height, header.width];
        if size == [height, width] {
            out.copy_from_slice(&image);
        } else {
            let region = Region::covering(size, [height, width]);
            resample(&image, [size[0], size[1], channels], region, [height, width], out);
        }
        Ok(())
    }
}

/// Reads a file whole. Pipes, which would wait for a writer, and files that no image is as large as are refused.
pub(super) fn read_file(path: &Path) -> std::result::Result<Vec<u8>, String> {
    const MAX_BYTES: u64 = 1 << 30;
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    match metadata.len() {
        _ if !metadata.is_file() => Err("not a regular file".into()),
        0..=MAX_BYTES => std::fs::read(path).map_err(|error| error.to_string()),
        bytes => Err(format!("a file of {bytes} bytes")),
    }
}

/// Pixels in memory, or the paths to read them from.
pub(super) enum Store {
    Memory(Vec<u8>),
    Disk { paths: Vec<PathBuf>, is_strict: bool },
}

/// Images of files.
pub(super) struct Images {
    pub target: Target,
    pub files: Vec<ImageFile>,
    pub labels: Vec<u32>,
    pub store: Store,
}

impl Dataset for Images {
    fn shape(&self) -> [usize; 3] {
        self.target.shape
    }

    fn len(&self) -> usize {
        self.labels.len()
    }

    fn image(&self, index: usize, out: &mut [u8]) -> Result<()> {
        match &self.store {
            Store::Memory(pixels) => {
                out.copy_from_slice(&pixels[index * out.len()..][..out.len()]);
                Ok(())
            }
            Store::Disk { paths, is_strict } => {
                self.target.read(&paths[index], out).map_err(|reason| match is_strict {
                    true => unreadable(&paths[index], reason),
                    false => Error::Unreadable { path: paths[index].clone(), reason },
                })
            }
        }
    }

    fn label(&self, index: usize) -> u32 {
        self.labels[index]
    }

    fn decodes_lazily(&self) -> bool {
        matches!(self.store, Store::Disk { .. })
    }

    fn file(&self, index: usize) -> Option<&ImageFile> {
        self.files.get(index)
    }
}

/// Returns the error of a file that must be readable.
pub(super) fn unreadable(path: &Path, reason: String) -> Error {
    Error::Format { path: path.to_path_buf(), expected: "an image that can be read".into(), got: reason }
}
