//! A sweep: the same training over a grid of settings and several seeds, in order, going on where it stopped.

mod results;

pub use results::{Cell, Place};

use super::config::TrainConfig;
use super::event::{Event, StopHandle};
use super::run::{Run, write_whole};
use super::settings::Settings;
use super::trainer::Trainer;
use crate::error::{Error, Result};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// One axis of a grid: a setting by its name in files, and its values as they were written.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Axis {
    /// `alpha`.
    pub name: String,
    /// `["1e-4", "1e-3"]`.
    pub values: Vec<String>,
}

impl Axis {
    /// From `alpha=1e-4,1e-3`; what has commas of its own is quoted, `alpha="1e-3,cosine","1e-4"`, or a list, `hidden=8,[16,16]`.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || Error::setting("grid", "NAME=VALUE,VALUE,...", format!("`{text}`"));
        let (name, values) = text.split_once('=').ok_or_else(wrong)?;
        // Commas within brackets are a list's, within quotes a text's.
        let (mut depth, mut is_text) = (0, false);
        let between = |c: char| {
            depth += i32::from(c == '[') - i32::from(c == ']');
            is_text ^= c == '"';
            c == ',' && depth == 0 && !is_text
        };
        // Quotes are not the text's own: tables and folders do without.
        let plain = |value: &str| {
            let text = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            text.filter(|text| !text.contains('"')).unwrap_or(value).to_string()
        };
        let values: Vec<String> =
            values.split(between).map(str::trim).filter(|value| !value.is_empty()).map(plain).collect();
        let axis = Self { name: name.trim().to_string(), values };
        if axis.name.is_empty() || axis.values.is_empty() || text.contains(char::is_control) {
            return Err(wrong());
        }
        if axis.values.iter().enumerate().any(|(i, value)| axis.values[..i].contains(value)) {
            return Err(Error::setting("grid", "each value once", format!("`{text}`")));
        }
        axis.values.iter().try_for_each(|value| Settings::one("grid", &axis.name, value).map(drop))?;
        Ok(axis)
    }
}

/// A grid of settings and seeds in a folder.
pub struct Sweep {
    folder: PathBuf,
    base: Settings,
    axes: Vec<Axis>,
    seeds: u64,
}

impl Sweep {
    /// A sweep of `base` over the axes with `seeds` seeds from the base's on. The settings of every place are checked before the first run;
    /// what depends on data and layers, as the patterns of rules do, is where a run begins.
    pub fn new(folder: &Path, base: Settings, axes: Vec<Axis>, seeds: u64) -> Result<Self> {
        if axes.is_empty() {
            return Err(Error::setting("grid", "at least one NAME=VALUE,VALUE,...", "none"));
        }
        if seeds == 0 {
            return Err(Error::setting("seeds", "at least 1", 0));
        }
        if let Some(twice) = axes.iter().enumerate().find(|(i, axis)| axes[..*i].iter().any(|a| a.name == axis.name)) {
            return Err(Error::setting("grid", "each setting once", format!("`{}` twice", twice.1.name)));
        }
        if seeds > 1 && axes.iter().any(|axis| axis.name == "seed") {
            return Err(Error::setting("seeds", "1 beside a grid of seeds", seeds));
        }
        let sweep = Self { folder: folder.to_path_buf(), base, axes, seeds };
        sweep.refuse_another()?;
        let mut folders = BTreeSet::new();
        for place in sweep.places() {
            let folder = sweep.run_folder(&place, sweep.config(&place, seeds - 1)?.seed);
            if !folders.insert(folder.clone()) {
                let expected = "values that differ in letters, digits or -.+, of which folders are named";
                return Err(Error::setting("grid", expected, format!("two for {}", folder.display())));
            }
        }
        Ok(sweep)
    }

    /// The folder may have results of these settings, with whatever values, and no others.
    fn refuse_another(&self) -> Result<()> {
        let path = self.folder.join("results.json");
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            read => read.map_err(Error::file("reading", &path))?,
        };
        let json: serde_json::Value = serde_json::from_str(&text).map_err(|error| Error::Format {
            path: path.clone(),
            expected: "results of a sweep as JSON".into(),
            got: error.to_string(),
        })?;
        let name = |axis: &serde_json::Value| axis["name"].as_str().unwrap_or_default().to_string();
        let theirs: Vec<String> = json["axes"].as_array().into_iter().flatten().map(name).collect();
        let ours: Vec<String> = self.axes.iter().map(|axis| axis.name.clone()).collect();
        if theirs == ours {
            return Ok(());
        }
        let expected = format!("a folder without a sweep over other settings than {}", ours.join(", "));
        Err(Error::setting("run", expected, format!("{} with {}", self.folder.display(), theirs.join(", "))))
    }

    /// The axes.
    pub fn axes(&self) -> &[Axis] {
        &self.axes
    }

    /// Runs in all.
    pub fn runs(&self) -> usize {
        self.places().len() * self.seeds as usize
    }

    /// Every combination of values, the last axis fastest.
    fn places(&self) -> Vec<Vec<String>> {
        self.axes.iter().fold(vec![Vec::new()], |places, axis| {
            let longer =
                |place: Vec<String>| axis.values.iter().map(move |v| [place.clone(), vec![v.clone()]].concat());
            places.into_iter().flat_map(longer).collect()
        })
    }

    fn config(&self, place: &[String], seed: u64) -> Result<TrainConfig> {
        let mut settings = self.base.clone();
        for first in [true, false] {
            let now = |(axis, _): &(&Axis, &String)| Settings::DROPPING.contains(&&*axis.name) == first;
            for (axis, value) in self.axes.iter().zip(place).filter(now) {
                settings = Settings::one("grid", &axis.name, value)?.over(settings);
            }
        }
        // A swept seed counts seeds from there.
        let first = settings.seed.unwrap_or(1);
        let seed = first.checked_add(seed);
        settings.seed = Some(seed.ok_or_else(|| Error::setting("seed", "a first seed with room for all", first))?);
        settings.resolve()
    }

    fn run_folder(&self, place: &[String], seed: u64) -> PathBuf {
        let clean = |text: &str| text.replace(|c: char| !c.is_alphanumeric() && !"-.+".contains(c), "_");
        let names = self.axes.iter().zip(place).map(|(axis, value)| format!("{}={}", axis.name, clean(value)));
        self.folder.join(names.collect::<Vec<_>>().join(",")).join(format!("seed-{seed}"))
    }

    /// Runs what has not ended yet, and tells each run's end. A run that diverges is recorded, and the sweep goes on. Gives every cell
    /// so far; fewer than [`Sweep::runs`] when it was stopped. `results.json` and `results.csv` are written after each run. The folder is
    /// this sweep's alone meanwhile: another one is refused.
    pub async fn run(&self, stop: &StopHandle, mut on_cell: impl FnMut(&Cell, bool)) -> Result<Vec<Cell>> {
        let _lock = self.lock()?;
        // Another one may have been at work since this one was made.
        self.refuse_another()?;
        let mut cells = Vec::new();
        for place in self.places() {
            for seed in 0..self.seeds {
                if stop.is_stopped() {
                    return Ok(cells);
                }
                let config = self.config(&place, seed)?;
                let folder = self.run_folder(&place, config.seed);
                let before = ended(&folder, &config, &place)?;
                let is_new = before.is_none();
                let cell = match before {
                    Some(cell) => cell,
                    None => match train(&config, &folder, &place, stop).await? {
                        Some(cell) => cell,
                        None => return Ok(cells),
                    },
                };
                on_cell(&cell, is_new);
                cells.push(cell);
                self.write(&cells)?;
            }
        }
        Ok(cells)
    }

    /// A file that is locked as long as it is open: the system lets go of it however a program ends.
    fn lock(&self) -> Result<File> {
        let path = self.folder.join("sweep.lock");
        std::fs::create_dir_all(&self.folder).map_err(Error::file("making the folder", &self.folder))?;
        let file = File::create(&path).map_err(Error::file("making the file", &path))?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                let got = format!("{}, where one is running", self.folder.display());
                Err(Error::setting("run", "a folder that no other sweep works in", got))
            }
            Err(TryLockError::Error(error)) if error.kind() != std::io::ErrorKind::Unsupported => {
                Err(Error::file("locking the file", &path)(error))
            }
            _ => Ok(file),
        }
    }

    /// Means over seeds, in the order of the grid.
    pub fn summary(&self, cells: &[Cell]) -> Vec<Place> {
        self.places().into_iter().map(|values| Place::of(values, cells)).collect()
    }

    fn write(&self, cells: &[Cell]) -> Result<()> {
        let names: Vec<&str> = self.axes.iter().map(|axis| axis.name.as_str()).collect();
        let json = serde_json::json!({ "axes": self.axes, "cells": cells, "places": self.summary(cells) });
        write_whole(&self.folder.join("results.json"), format!("{json:#}\n").as_bytes())?;
        write_whole(&self.folder.join("results.csv"), results::csv(&names, cells).as_bytes())
    }
}

const FAILED: &str = "failed.txt";

/// The cell of a run that ended before, if its folder has one of the same configuration; what was cut off is cleared away.
fn ended(folder: &Path, config: &TrainConfig, place: &[String]) -> Result<Option<Cell>> {
    if !folder.exists() {
        return Ok(None);
    }
    let file = folder.join("config.toml");
    if file.exists() && Settings::read(&file).and_then(Settings::resolve)? != *config {
        let expected = "a folder whose runs have the settings of this sweep";
        return Err(Error::setting("run", expected, format!("other settings in {}", folder.display())));
    }
    let has_events = folder.join("metrics.jsonl").exists();
    let events = if has_events { Run::whole_events(folder)?.0 } else { Vec::new() };
    let failed = std::fs::read_to_string(folder.join(FAILED)).ok();
    let done = matches!(events.last(), Some(Event::Done { interrupted: false, .. }));
    if done || failed.is_some() {
        return Ok(Some(Cell::of(&events, config, place, failed)));
    }
    Run::clear(folder)?;
    Ok(None)
}

/// Trains one run; `None` when it was stopped.
async fn train(config: &TrainConfig, folder: &Path, place: &[String], stop: &StopHandle) -> Result<Option<Cell>> {
    let mut trainer = Trainer::new(config.clone(), Some(folder)).await?;
    trainer.set_stop_handle(stop.clone());
    let failed = match trainer.fit(|_| ()).await {
        Ok(outcome) if outcome.interrupted => return Ok(None),
        Ok(_) => None,
        Err(error @ (Error::Diverged { .. } | Error::NotFinite { .. })) => {
            let message = error.to_string();
            write_whole(&folder.join(FAILED), message.as_bytes())?;
            Some(message)
        }
        Err(error) => return Err(error),
    };
    Ok(Some(Cell::of(&Run::events(folder)?, config, place, failed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_checked() {
        assert_eq!(Axis::parse("alpha=1e-4, 1e-3").unwrap().values, ["1e-4", "1e-3"]);
        assert_eq!(Axis::parse("surrogate=clip,swish").unwrap().values, ["clip", "swish"]);
        assert_eq!(Axis::parse("hidden=8,[16,16]").unwrap().values, ["8", "[16,16]"]);
        assert_eq!(Axis::parse("augment=none,flip").unwrap().values, ["none", "flip"]);
        let moving = r#"alpha=1e-3,"1e-3,cosine""#;
        assert_eq!(Axis::parse(moving).unwrap().values, ["1e-3", "1e-3,cosine"]);
        for wrong in ["alpha", "alpha=", "=1", "alfa=1", "alpha=x", "epochs=-1", "alpha=1,2,1", "alpha=1\n2"] {
            assert!(Axis::parse(wrong).is_err_and(|e| e.is_usage()), "{wrong}");
        }
    }

    #[test]
    fn a_grid_has_every_combination_and_is_checked_before_it_runs() {
        let axes = |texts: &[&str]| texts.iter().map(|t| Axis::parse(t).unwrap()).collect::<Vec<_>>();
        let new = |texts: &[&str], seeds| Sweep::new(Path::new("nowhere"), Settings::default(), axes(texts), seeds);
        let sweep = new(&["alpha=1e-3,1e-2", "gamma=0.1,0.2,0.3"], 2).unwrap();
        assert_eq!(sweep.runs(), 12);
        assert_eq!(sweep.places()[1], ["1e-3", "0.2"]);
        // Whatever comes first, another rule drops the file's hyperparameters and keeps those of the grid.
        let file = toml::from_str("optimizer = \"bop\"\nthreshold = 1e-8").unwrap();
        let sweep = Sweep::new(Path::new("nowhere"), file, axes(&["alpha=0.5", "optimizer=cema,bop"]), 1).unwrap();
        let hyperparameters =
            sweep.places().into_iter().map(|place| sweep.config(&place, 0).unwrap().optimizer.hyperparameters);
        let [cema, bop] = &hyperparameters.collect::<Vec<_>>()[..] else { panic!("two places") };
        assert!(cema["alpha"].value == 0.5 && bop["alpha"].value == 0.5 && bop["threshold"].value == 1e-8);
        assert!(new(&["alpha=1e-3,2"], 1).is_err_and(|e| e.to_string().contains("alpha")));
        assert!(new(&["alpha=1e-3", "alpha=1e-2"], 1).is_err());
        assert!(new(&[], 1).is_err());
        assert!(new(&["alpha=1e-3"], 0).is_err());
        assert!(new(&["seed=1,2"], 2).is_err() && new(&["seed=1,2"], 1).is_ok());
        assert!(new(&["seed=18446744073709551615"], 1).is_ok());
        let last = Settings { seed: Some(u64::MAX), ..Settings::default() };
        assert!(Sweep::new(Path::new("nowhere"), last, axes(&["alpha=1e-3"]), 2).is_err_and(|e| e.is_usage()));
        let alike = new(&["init-from=a/b,a_b"], 1).err().map(|e| e.to_string());
        assert!(alike.is_some_and(|e| e.contains("folders are named")));
    }

    #[test]
    fn a_folder_is_one_sweeps_alone_and_nothing_else_is_cleared_away() {
        let folder = tempfile::tempdir().unwrap();
        let sweep = || Sweep::new(folder.path(), Settings::default(), vec![Axis::parse("alpha=1e-3").unwrap()], 1);
        let first = sweep().unwrap().lock().unwrap();
        assert!(sweep().unwrap().lock().is_err_and(|e| e.to_string().contains("no other sweep")));
        drop(first);
        assert!(sweep().unwrap().lock().is_ok());
        let run = folder.path().join("run");
        std::fs::create_dir(&run).unwrap();
        std::fs::write(run.join("config.toml"), "").unwrap();
        std::fs::write(run.join("thesis.txt"), "precious").unwrap();
        assert!(Run::clear(&run).is_err_and(|e| e.to_string().contains("thesis.txt")));
        assert!(run.join("config.toml").exists() && run.join("thesis.txt").exists());
        std::fs::remove_file(run.join("thesis.txt")).unwrap();
        Run::clear(&run).unwrap();
        assert!(!run.exists());
    }
}
