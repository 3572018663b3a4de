//! A run's folder: `config.toml`, `data.jsonl`, `metrics.jsonl`, `model.safetensors`. Files are written under a temporary name, then renamed.

use super::event::Event;
use super::settings::{Settings, TrainConfig};
use super::tensorboard::EventFile;
use crate::error::{Error, Result};
use crate::nn::Weights;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A run's folder.
#[derive(Debug)]
pub struct Run {
    folder: PathBuf,
    lines: String,
    board: Option<EventFile>,
}

/// Format version of `model.safetensors`.
const VERSION: &str = "1";

/// Prefix of files that are being written.
const WRITING: &str = ".writing-";

impl Run {
    /// Creates the folder and its `config.toml`. An error if the folder has a run: none is overwritten.
    pub fn create(folder: &Path, config: &TrainConfig) -> Result<Self> {
        if folder.join("config.toml").exists() || folder.join("model.safetensors").exists() {
            return Err(Error::setting("run", "a folder without a run", folder.display()));
        }
        let toml = config.to_toml()?;
        std::fs::create_dir_all(folder).map_err(Error::file("creating the folder", folder))?;
        // If several start at once, one creates the file; the others find a run.
        write_new(&folder.join("config.toml"), toml.as_bytes()).map_err(|error| match error {
            Error::File { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists => {
                Error::setting("run", "a folder without a run", folder.display())
            }
            other => other,
        })?;
        let board = config.tensorboard.then(|| EventFile::create(folder)).transpose()?;
        Ok(Self { folder: folder.to_path_buf(), lines: String::new(), board })
    }

    /// Creates the empty folder `runs/DATASET-MODEL-N` with the first free number N, which no other process gets.
    pub fn reserve(config: &TrainConfig) -> Result<PathBuf> {
        let runs = Path::new("runs");
        std::fs::create_dir_all(runs).map_err(Error::file("creating the folder", runs))?;
        let name = |n: u32| runs.join(format!("{}-{}-{n}", config.dataset, config.model));
        let mut n = 1;
        loop {
            let path = name(n);
            match std::fs::create_dir(&path).map_err(|error| (error.kind(), error)) {
                Ok(()) => return Ok(path),
                Err((std::io::ErrorKind::AlreadyExists, _)) => n += 1,
                // Another process removed the folder of runs, which was empty.
                Err((std::io::ErrorKind::NotFound, _)) => {
                    std::fs::create_dir_all(runs).map_err(Error::file("creating the folder", runs))?;
                }
                Err((_, error)) => return Err(Error::file("creating the folder", path)(error)),
            }
        }
    }

    /// Removes an unfinished run: its files and the folder. An error if the folder contains anything else.
    pub(super) fn clear(folder: &Path) -> Result<()> {
        let listing = Error::file("listing the folder", folder);
        let entries = std::fs::read_dir(folder).and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>());
        let names: Vec<_> = entries.map_err(listing)?.iter().map(std::fs::DirEntry::file_name).collect();
        let is_own = |name: &str| {
            ["config.toml", "data.jsonl", "metrics.jsonl", "model.safetensors", "curves.svg"].contains(&name)
                || [WRITING, "events.out.tfevents."].iter().any(|start| name.starts_with(start))
        };
        if let Some(other) = names.iter().find(|name| !name.to_str().is_some_and(is_own)) {
            let got = format!("{} with {}", folder.display(), other.display());
            return Err(Error::setting("run", "a folder with nothing but an unfinished run", got));
        }
        names.iter().map(|name| folder.join(name)).try_for_each(|path| {
            std::fs::remove_file(&path).map_err(Error::file("removing the unfinished run", &path))
        })?;
        std::fs::remove_dir(folder).map_err(Error::file("removing the unfinished run", folder))
    }

    /// Returns the folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Appends a line to `metrics.jsonl`, and to TensorBoard's file if there is one. A line of diagnostics is written together with the
    /// next line of another kind, since writing the file can take longer than a step.
    pub fn log(&mut self, event: &Event) -> Result<()> {
        self.lines += &serde_json::to_string(event).expect("events are plain values");
        self.lines.push('\n');
        if let Some(board) = &mut self.board {
            board.log(event)?;
        }
        if matches!(event, Event::Diagnostics { .. }) { Ok(()) } else { self.flush() }
    }

    /// Writes buffered lines.
    pub fn flush(&self) -> Result<()> {
        self.write("metrics.jsonl", self.lines.as_bytes())
    }

    /// Writes `model.safetensors`, with the names of the classes.
    pub fn save(&self, weights: &Weights, config: &TrainConfig, classes: &[String]) -> Result<()> {
        let notes = [
            ("format", "plusminus".to_string()),
            ("version", VERSION.to_string()),
            ("model", config.model.clone()),
            ("classes", serde_json::to_string(classes).expect("texts")),
        ];
        let bytes = weights.to_bytes(&notes).expect("tensors have their sizes");
        self.write("model.safetensors", &bytes)
    }

    /// Reads the settings and weights of a run.
    pub fn load(folder: &Path) -> Result<(Settings, Weights)> {
        let settings = Settings::read(&folder.join("config.toml"))?;
        Self::model(folder).map(|(weights, _)| (settings, weights))
    }

    /// Reads the names of the classes of a run, by label.
    pub fn classes(folder: &Path) -> Result<Vec<String>> {
        let (_, notes) = Self::model(folder)?;
        let list = notes.get("classes").map_or("[]", String::as_str);
        serde_json::from_str(list).map_err(|error| Error::Format {
            path: folder.join("model.safetensors"),
            expected: "a list of class names in the metadata".into(),
            got: error.to_string(),
        })
    }

    /// Reads weights and metadata of `model.safetensors`.
    fn model(folder: &Path) -> Result<(Weights, BTreeMap<String, String>)> {
        let path = folder.join("model.safetensors");
        let bytes = std::fs::read(&path).map_err(Error::file("reading", &path))?;
        let wrong = |expected: &str, got: String| Error::Format { path: path.clone(), expected: expected.into(), got };
        let (weights, notes) = Weights::from_bytes(&bytes).map_err(|got| wrong("the weights of a run", got))?;
        if let Some(name) = weights.not_finite() {
            return Err(wrong("finite numbers", format!("NaN or infinity in `{name}`")));
        }
        match notes.get("version").map(String::as_str) {
            Some(VERSION) => Ok((weights, notes)),
            other => Err(wrong("version 1 in the metadata", other.unwrap_or("none").into())),
        }
    }

    /// Reads the events of a run from its `metrics.jsonl`.
    pub fn events(folder: &Path) -> Result<Vec<Event>> {
        let (events, cut) = Self::whole_events(folder)?;
        cut.map_or(Ok(events), Err)
    }

    /// Reads the events of a run that may have been killed or is being copied. An incomplete last line is omitted and returned as an error.
    pub fn whole_events(folder: &Path) -> Result<(Vec<Event>, Option<Error>)> {
        let path = folder.join("metrics.jsonl");
        // The last character may be incomplete as well.
        let bytes = std::fs::read(&path).map_err(Error::file("reading", &path))?;
        let text = String::from_utf8_lossy(&bytes);
        let event = |(number, line): (usize, &str)| {
            serde_json::from_str(line).map_err(|e| Error::Format {
                path: path.clone(),
                expected: "one event per line".into(),
                got: format!("line {}: {e}", number + 1),
            })
        };
        let mut events: Vec<Result<Event>> = text.lines().enumerate().map(event).collect();
        let cut = events.pop_if(|last| last.is_err() && !text.ends_with('\n')).and_then(Result::err);
        Ok((events.into_iter().collect::<Result<_>>()?, cut))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        write_whole(&self.folder.join(name), bytes)
    }
}

/// Writes a file under a temporary name in the same folder, then renames it: readers see the old file or the new one, never a part.
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
fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
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
fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    write_whole(path, bytes)
}
