//! A run's folder: `config.toml`, `data.jsonl`, `metrics.jsonl`, `model.safetensors`. Lines are appended to `metrics.jsonl`; the other files
//! are written under a temporary name, then renamed.

use super::event::Event;
use super::files::{WRITING, write_new, write_whole};
use super::settings::{Settings, TrainConfig};
use super::tensorboard::EventFile;
use crate::error::{Error, Result};
use crate::nn::Weights;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A run's folder.
#[derive(Debug)]
pub struct Run {
    folder: PathBuf,
    /// Folders that were created for it, the innermost first.
    made: Vec<PathBuf>,
    /// `metrics.jsonl`; locked while the run is written, where that does not keep readers out.
    metrics: File,
    /// Lines that are not written yet.
    lines: String,
    board: Option<EventFile>,
}

/// Format version of `model.safetensors`.
const VERSION: &str = "1";

const CONFIG: &str = "config.toml";
const METRICS: &str = "metrics.jsonl";
const MODEL: &str = "model.safetensors";
const DATA: &str = "data.jsonl";
const BEST: &str = "best.safetensors";

/// Files by which a folder is that of a sweep.
const OF_SWEEPS: [&str; 2] = ["sweep.lock", "results.json"];

/// Last line of `config.toml`. A file that was cut lacks it, and its absent keys must not be taken for defaults.
const END: &str = "# end of the configuration";

impl Run {
    /// Creates the folder and its `config.toml`. An error if the folder has a run with a model, one that is being trained, or a sweep: none is
    /// overwritten. A run that ended before its first model was saved is replaced.
    pub fn create(folder: &Path, config: &TrainConfig) -> Result<Self> {
        Self::refuse_existing(folder)?;
        let toml = config.to_toml()?;
        let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
        let made = folder.ancestors().take_while(is_missing).map(Path::to_path_buf).collect();
        std::fs::create_dir_all(folder).map_err(Error::file("creating the folder", folder))?;
        let metrics = Self::claim(folder)?;
        // Where files are not locked, one of several that start at once creates the file; the others find a run.
        write_new(&folder.join(CONFIG), format!("{toml}{END}\n").as_bytes()).map_err(|error| match error {
            Error::File { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists => Self::taken(folder),
            other => other,
        })?;
        let board = config.tensorboard.then(|| EventFile::create(folder)).transpose()?;
        Ok(Self { folder: folder.to_path_buf(), made, metrics, lines: String::new(), board })
    }

    /// Fails for a folder that has a run with a model, or a sweep.
    pub fn refuse_existing(folder: &Path) -> Result<()> {
        if let Some(of_sweep) = OF_SWEEPS.iter().find(|name| folder.join(name).exists()) {
            let got = format!("{} with {of_sweep}", folder.display());
            return Err(Error::setting("run", "a folder without a sweep", got));
        }
        if folder.join(MODEL).exists() { Err(Self::taken(folder)) } else { Ok(()) }
    }

    /// Fails for a folder that has files of a run.
    pub(super) fn refuse_files(folder: &Path) -> Result<()> {
        match [CONFIG, METRICS, MODEL].iter().find(|name| folder.join(name).exists()) {
            Some(name) => {
                Err(Error::setting("run", "a folder without a run", format!("{} with {name}", folder.display())))
            }
            None => Ok(()),
        }
    }

    fn taken(folder: &Path) -> Error {
        Error::setting("run", "a folder without a run", folder.display())
    }

    /// Opens an empty `metrics.jsonl` and locks it, so that a run that is being trained is told from one that ended. Removes the files of one
    /// that ended without a model.
    #[cfg(unix)]
    fn claim(folder: &Path) -> Result<File> {
        let path = folder.join(METRICS);
        let is_new = !path.exists();
        let opened = File::options().append(true).create(true).open(&path);
        let metrics = opened.map_err(Error::file("creating the file", &path))?;
        let is_locked = match metrics.try_lock() {
            Ok(()) => true,
            Err(std::fs::TryLockError::WouldBlock) => return Err(Self::taken(folder)),
            // A file system without locks.
            Err(std::fs::TryLockError::Error(_)) => false,
        };
        let has_config = folder.join(CONFIG).exists();
        let is_ended = is_locked && !is_new && Self::ended_in_first_epoch(folder);
        if folder.join(MODEL).exists() || (has_config && !is_ended) {
            if is_new {
                remove(&path)?;
            }
            return Err(Self::taken(folder));
        }
        if has_config {
            let own = Self::entries(folder)?.into_iter().filter(|name| is_own(name) && name != METRICS);
            own.map(|name| folder.join(name)).try_for_each(|path| remove(&path))?;
        }
        metrics.set_len(0).map_err(Error::file("writing", &path))?;
        Ok(metrics)
    }

    /// Whether the files are those of a run without a finished epoch: settings that somebody has written, and metrics of a run whose model was
    /// removed, must not be taken for one.
    #[cfg(unix)]
    fn ended_in_first_epoch(folder: &Path) -> bool {
        let is_finished = |event: &Event| matches!(event, Event::Epoch { .. } | Event::Done { .. });
        let events = Self::whole_events(folder).is_ok_and(|(events, _)| !events.iter().any(is_finished));
        let config = std::fs::read_to_string(folder.join(CONFIG)).unwrap_or_default();
        events && config.trim_end().ends_with(END)
    }

    /// Opens an empty `metrics.jsonl`. Elsewhere than on Unix a lock would keep readers out, so whatever run is there stays.
    #[cfg(not(unix))]
    fn claim(folder: &Path) -> Result<File> {
        if folder.join(CONFIG).exists() {
            return Err(Self::taken(folder));
        }
        let path = folder.join(METRICS);
        File::create(&path).map_err(Error::file("creating the file", &path))
    }

    /// Names of what is in the folder.
    fn entries(folder: &Path) -> Result<Vec<String>> {
        let entries = std::fs::read_dir(folder).and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>());
        let entries = entries.map_err(Error::file("listing the folder", folder))?;
        Ok(entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
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
        let names = Self::entries(folder)?;
        if let Some(other) = names.iter().find(|name| !is_own(name)) {
            let got = format!("{} with {other}", folder.display());
            return Err(Error::setting("run", "a folder with nothing but an unfinished run", got));
        }
        names.iter().map(|name| folder.join(name)).try_for_each(|path| remove(&path))?;
        std::fs::remove_dir(folder).map_err(Error::file("removing the unfinished run", folder))
    }

    /// Removes the files of a run that took no step, and the folders that were created for it.
    pub(super) fn discard(self) -> Result<()> {
        let Self { folder, made, metrics, board, .. } = self;
        drop((metrics, board));
        let own = Self::entries(&folder)?.into_iter().filter(|name| is_own(name));
        own.map(|name| folder.join(name)).try_for_each(|path| remove(&path))?;
        // Folders with other content stay.
        made.iter().for_each(|folder| drop(std::fs::remove_dir(folder)));
        Ok(())
    }

    /// Returns the folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Appends a line to `metrics.jsonl`, and to TensorBoard's file if there is one. A line of diagnostics is written together with the
    /// next line of another kind, since writing can take longer than a step.
    pub fn log(&mut self, event: &Event) -> Result<()> {
        self.lines += &serde_json::to_string(event).expect("events are plain values");
        self.lines.push('\n');
        if let Some(board) = &mut self.board {
            board.log(event)?;
        }
        if matches!(event, Event::Diagnostics { .. }) { Ok(()) } else { self.flush() }
    }

    /// Writes buffered lines.
    pub fn flush(&mut self) -> Result<()> {
        let lines = std::mem::take(&mut self.lines);
        self.metrics.write_all(lines.as_bytes()).map_err(Error::file("writing", self.folder.join(METRICS)))
    }

    /// Writes `model.safetensors`, with the names of the classes.
    pub fn save(&self, weights: &Weights, config: &TrainConfig, classes: &[String]) -> Result<()> {
        self.save_as(MODEL, weights, config, classes)
    }

    /// Writes `best.safetensors`, likewise.
    pub fn save_best(&self, weights: &Weights, config: &TrainConfig, classes: &[String]) -> Result<()> {
        self.save_as(BEST, weights, config, classes)
    }

    fn save_as(&self, name: &str, weights: &Weights, config: &TrainConfig, classes: &[String]) -> Result<()> {
        let notes = [
            ("format", "plusminus".to_string()),
            ("version", VERSION.to_string()),
            ("model", config.model.clone()),
            ("classes", serde_json::to_string(classes).expect("texts")),
        ];
        let bytes = weights.to_bytes(&notes).expect("tensors have their sizes");
        write_whole(&self.folder.join(name), &bytes)
    }

    /// Reads the settings and weights of a run.
    pub fn load(folder: &Path) -> Result<(Settings, Weights)> {
        let settings = Self::settings(folder)?;
        Self::model(folder, MODEL).map(|(weights, _)| (settings, weights))
    }

    /// The same with the weights of the epoch with the highest validation accuracy.
    pub fn load_best(folder: &Path) -> Result<(Settings, Weights)> {
        let settings = Self::settings(folder)?;
        if !folder.join(BEST).exists() {
            let expected = format!("a run with validation images, which has {BEST}");
            return Err(Error::setting("best", expected, folder.display()));
        }
        Self::model(folder, BEST).map(|(weights, _)| (settings, weights))
    }

    /// Reads the settings of a run. A file that was cut is an error.
    pub fn settings(folder: &Path) -> Result<Settings> {
        let path = folder.join(CONFIG);
        let text = std::fs::read_to_string(&path).map_err(Error::file("reading", &path))?;
        let last = text.trim_end().lines().last().unwrap_or_default();
        let settings = Settings::read(&path);
        // Wrong settings of another version are reported as such.
        if last == END || (settings.is_err() && text.parse::<toml::Table>().is_ok()) {
            return settings;
        }
        let got = if last.is_empty() { "an empty file".into() } else { format!("a file that ends with `{last}`") };
        Err(Error::Format { path, expected: format!("the configuration of a run, which ends with `{END}`"), got })
    }

    /// Reads the names of the classes of a run, by label.
    pub fn classes(folder: &Path) -> Result<Vec<String>> {
        let (_, notes) = Self::model(folder, MODEL)?;
        let list = notes.get("classes").map_or("[]", String::as_str);
        serde_json::from_str(list).map_err(|error| Error::Format {
            path: folder.join(MODEL),
            expected: "a list of class names in the metadata".into(),
            got: error.to_string(),
        })
    }

    /// Reads weights and metadata of a file of weights.
    fn model(folder: &Path, name: &str) -> Result<(Weights, BTreeMap<String, String>)> {
        let path = folder.join(name);
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

    /// Reads the events of a run from its `metrics.jsonl`, without an incomplete last line.
    pub fn events(folder: &Path) -> Result<Vec<Event>> {
        Self::whole_events(folder).map(|(events, _)| events)
    }

    /// Reads the events of a run that may have been killed or is being copied. An incomplete last line is omitted and returned as an error.
    pub fn whole_events(folder: &Path) -> Result<(Vec<Event>, Option<Error>)> {
        let path = folder.join(METRICS);
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
}

/// Whether a file of this name in a run's folder is one that runs write.
fn is_own(name: &str) -> bool {
    [CONFIG, DATA, METRICS, MODEL, BEST, "curves.svg", "confusion.csv", "confusion.svg"].contains(&name)
        || [WRITING, "events.out.tfevents."].iter().any(|start| name.starts_with(start))
}

fn remove(path: &Path) -> Result<()> {
    std::fs::remove_file(path).map_err(Error::file("removing the unfinished run", path))
}
