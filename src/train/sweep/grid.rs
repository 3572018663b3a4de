//! A sweep: trains every point of a grid of settings with several seeds, in order. An interrupted sweep resumes.

use super::super::event::{Event, StopHandle};
use super::super::files::write_whole;
use super::super::run::Run;
use super::super::settings::{Settings, TrainConfig};
use super::super::trainer::Trainer;
use super::axis::Axis;
use super::results::{self, Cell, GridPoint};
use crate::error::{Error, Result};
use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// A grid of settings and seeds in a folder.
pub struct Sweep {
    folder: PathBuf,
    base: Settings,
    axes: Vec<Axis>,
    seeds: u64,
}

impl Sweep {
    /// Creates a sweep of `base` over the axes with `seeds` seeds, counted from the base's. The settings of every point are checked here.
    /// Settings that depend on data and layers, such as patterns of layers, are checked when a run begins.
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
            return Err(Error::setting("seeds", "1 with a grid of seeds", seeds));
        }
        let sweep = Self { folder: folder.to_path_buf(), base, axes, seeds };
        sweep.refuse_another()?;
        let mut folders = BTreeSet::new();
        for point in sweep.points() {
            let folder = sweep.run_folder(&point, sweep.config(&point, seeds - 1)?.seed);
            if !folders.insert(folder.clone()) {
                let expected = "values that differ in letters, digits or -.+, since folders are named after them";
                return Err(Error::setting("grid", expected, format!("two values for {}", folder.display())));
            }
        }
        Ok(sweep)
    }

    /// Fails for a folder with a run, or with results of a sweep over other settings; other values of the same settings are valid.
    fn refuse_another(&self) -> Result<()> {
        Run::refuse_files(&self.folder)?;
        let path = self.folder.join("results.json");
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return self.refuse_foreign(),
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
        let expected = format!("an empty folder, or one of a sweep over {}", ours.join(", "));
        let got = format!("{} of a sweep over {}", self.folder.display(), theirs.join(", "));
        Err(Error::setting("run", expected, got))
    }

    /// Returns the axes.
    pub fn axes(&self) -> &[Axis] {
        &self.axes
    }

    /// Returns the number of runs.
    pub fn runs(&self) -> usize {
        self.points().len() * self.seeds as usize
    }

    /// Returns every combination of values; the last axis varies fastest.
    fn points(&self) -> Vec<Vec<String>> {
        self.axes.iter().fold(vec![Vec::new()], |points, axis| {
            let extended =
                |point: Vec<String>| axis.values.iter().map(move |v| [point.clone(), vec![v.clone()]].concat());
            points.into_iter().flat_map(extended).collect()
        })
    }

    fn config(&self, point: &[String], seed: u64) -> Result<TrainConfig> {
        let mut settings = self.base.clone();
        for first in [true, false] {
            let now = |(axis, _): &(&Axis, &String)| Settings::drops_others(&axis.name) == first;
            for (axis, value) in self.axes.iter().zip(point).filter(now) {
                settings = Settings::parse(&axis.name, value)?.over(settings);
            }
        }
        // Seeds are counted from the point's own seed.
        let first = settings.seed.unwrap_or(1);
        let seed = first.checked_add(seed);
        settings.seed =
            Some(seed.ok_or_else(|| Error::setting("seed", "a seed from which all seeds can be counted", first))?);
        settings.resolve()
    }

    fn run_folder(&self, point: &[String], seed: u64) -> PathBuf {
        let clean = |text: &str| text.replace(|c: char| !c.is_alphanumeric() && !"-.+".contains(c), "_");
        let names = self.axes.iter().zip(point).map(|(axis, value)| format!("{}={}", axis.name, clean(value)));
        self.folder.join(names.collect::<Vec<_>>().join(",")).join(format!("seed-{seed}"))
    }

    /// Trains every run that has not finished before, and calls `on_cell` with each result and whether it is new. A run that diverges is
    /// recorded, and the sweep continues. Returns all results; fewer than [`Sweep::runs`] if it was stopped. `results.json` and `results.csv`
    /// are written after each run. The folder is locked meanwhile: a second sweep in it is an error.
    pub async fn run(&self, stop: &StopHandle, on_cell: impl FnMut(&Cell, bool)) -> Result<Vec<Cell>> {
        let lock = self.lock()?;
        let outcome = self.run_locked(stop, on_cell).await;
        // A sweep that fails before its first result leaves no folder of a sweep behind.
        if outcome.is_err() && !self.folder.join("results.json").exists() {
            drop(lock);
            let removed = std::fs::remove_file(self.folder.join(LOCK)).and_then(|()| std::fs::remove_dir(&self.folder));
            log::debug!("{}: {removed:?}", self.folder.display());
        }
        outcome
    }

    async fn run_locked(&self, stop: &StopHandle, mut on_cell: impl FnMut(&Cell, bool)) -> Result<Vec<Cell>> {
        // Another sweep may have written to the folder since this one was created.
        self.refuse_another()?;
        let mut cells = Vec::new();
        for point in self.points() {
            for seed in 0..self.seeds {
                if stop.is_stopped() {
                    return Ok(cells);
                }
                let config = self.config(&point, seed)?;
                let folder = self.run_folder(&point, config.seed);
                let before = finished(&folder, &config, &point)?;
                let is_new = before.is_none();
                let cell = match before {
                    Some(cell) => cell,
                    None => match train(&config, &folder, &point, stop).await? {
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

    /// Fails for a folder with files that a sweep would overwrite and no sweep wrote.
    fn refuse_foreign(&self) -> Result<()> {
        match ["results.csv", "heat-map.svg"].iter().find(|name| self.folder.join(name).exists()) {
            Some(name) => {
                let got = format!("{} with {name}", self.folder.display());
                Err(Error::setting("run", "a folder without files of another program", got))
            }
            None => Ok(()),
        }
    }

    /// Locks a file while it is open. The operating system releases the lock even if the program crashes.
    fn lock(&self) -> Result<File> {
        let path = self.folder.join(LOCK);
        std::fs::create_dir_all(&self.folder).map_err(Error::file("creating the folder", &self.folder))?;
        let file = File::create(&path).map_err(Error::file("creating the file", &path))?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                let got = format!("{}, which a running sweep has locked", self.folder.display());
                Err(Error::setting("run", "a folder without a running sweep", got))
            }
            Err(TryLockError::Error(error)) if error.kind() != std::io::ErrorKind::Unsupported => {
                Err(Error::file("locking the file", &path)(error))
            }
            _ => Ok(file),
        }
    }

    /// Returns the means over seeds, in the order of the grid.
    pub fn summary(&self, cells: &[Cell]) -> Vec<GridPoint> {
        self.points().into_iter().map(|values| GridPoint::of(values, cells)).collect()
    }

    fn write(&self, cells: &[Cell]) -> Result<()> {
        let names: Vec<&str> = self.axes.iter().map(|axis| axis.name.as_str()).collect();
        let json = serde_json::json!({ "axes": self.axes, "cells": cells, "points": self.summary(cells) });
        write_whole(&self.folder.join("results.json"), format!("{json:#}\n").as_bytes())?;
        write_whole(&self.folder.join("results.csv"), results::csv(&names, cells).as_bytes())
    }
}

const FAILED: &str = "failed.txt";
const LOCK: &str = "sweep.lock";

/// Returns the result of an earlier finished run with the same configuration. Removes an unfinished run.
fn finished(folder: &Path, config: &TrainConfig, point: &[String]) -> Result<Option<Cell>> {
    if !folder.exists() {
        return Ok(None);
    }
    let has_events = folder.join("metrics.jsonl").exists();
    let events = if has_events { Run::whole_events(folder)?.0 } else { Vec::new() };
    // The run has the sizes that follow from its number of images.
    let images =
        events.iter().find_map(|e| if let Event::Start { train_images, .. } = e { Some(*train_images) } else { None });
    if folder.join("config.toml").exists() {
        let theirs = Run::settings(folder)?.resolve()?;
        let ours = match images {
            Some(images) => config.clone().sized(images).0,
            None => TrainConfig {
                batch_size: config.batch_size.or(theirs.batch_size),
                epochs: config.epochs.or(theirs.epochs),
                ..config.clone()
            },
        };
        if ours != theirs {
            let expected = "a folder whose runs have the settings of this sweep";
            return Err(Error::setting("run", expected, format!("other settings in {}", folder.display())));
        }
    }
    let failed = std::fs::read_to_string(folder.join(FAILED)).ok();
    let done = matches!(events.last(), Some(Event::Done { interrupted: false, .. }));
    if done || failed.is_some() {
        return Ok(Some(Cell::of(&events, config, point, failed)));
    }
    Run::clear(folder)?;
    Ok(None)
}

/// Trains one run; `None` if it was stopped.
async fn train(config: &TrainConfig, folder: &Path, point: &[String], stop: &StopHandle) -> Result<Option<Cell>> {
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
    Ok(Some(Cell::of(&Run::events(folder)?, config, point, failed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_has_every_combination_and_is_checked_before_it_runs() {
        let axes = |texts: &[&str]| texts.iter().map(|t| Axis::parse(t).unwrap()).collect::<Vec<_>>();
        let new = |texts: &[&str], seeds| Sweep::new(Path::new("nowhere"), Settings::default(), axes(texts), seeds);
        let sweep = new(&["alpha=1e-3,1e-2", "gamma=0.1,0.2,0.3"], 2).unwrap();
        assert_eq!(sweep.runs(), 12);
        assert_eq!(sweep.points()[1], ["1e-3", "0.2"]);
        // In either order of the axes, another rule drops the file's hyperparameters and keeps the grid's.
        let file = toml::from_str("optimizer = \"bop\"\nthreshold = 1e-8").unwrap();
        let sweep = Sweep::new(Path::new("nowhere"), file, axes(&["alpha=0.5", "optimizer=cema,bop"]), 1).unwrap();
        let hyperparameters =
            sweep.points().into_iter().map(|point| sweep.config(&point, 0).unwrap().optimizer.hyperparameters);
        let [cema, bop] = &hyperparameters.collect::<Vec<_>>()[..] else { panic!("two points") };
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
        assert!(sweep().unwrap().lock().is_err_and(|e| e.to_string().contains("running sweep")));
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
