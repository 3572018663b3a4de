//! What a sweep found: a cell a run, means over seeds, and the best place.

use super::super::config::TrainConfig;
use super::super::event::Event;
use serde::Serialize;

/// How a run of a sweep ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// Value of each axis.
    pub values: Vec<String>,
    /// Seed.
    pub seed: u64,
    /// Share of the test images that are right at the end; `None` when the run diverged.
    pub test_accuracy: Option<f64>,
    /// The same of the validation images, where some are held back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_accuracy: Option<f64>,
    /// Share of the binary weights that flipped a step, mean of the last epoch.
    pub flip_ratio: Option<f64>,
    /// Seconds.
    pub seconds: f64,
    /// Why there is no accuracy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

impl Cell {
    /// From what a run told.
    pub(super) fn of(events: &[Event], config: &TrainConfig, place: &[String], failed: Option<String>) -> Self {
        let mut cell = Self {
            values: place.to_vec(),
            seed: config.seed,
            test_accuracy: None,
            validation_accuracy: None,
            flip_ratio: None,
            seconds: 0.0,
            failed,
        };
        for event in events {
            match event {
                Event::Epoch { flip_ratio, validation_accuracy, seconds, .. } => {
                    (cell.flip_ratio, cell.seconds) = (Some(*flip_ratio), *seconds);
                    cell.validation_accuracy = *validation_accuracy;
                }
                Event::Done { test_accuracy, seconds, .. } => {
                    (cell.test_accuracy, cell.seconds) = (Some(*test_accuracy), *seconds)
                }
                _ => {}
            }
        }
        cell
    }
}

/// Means over the seeds of one place of the grid.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Place {
    /// Value of each axis.
    pub values: Vec<String>,
    /// Runs that ended with an accuracy.
    pub runs: usize,
    /// Runs that diverged.
    pub diverged: usize,
    /// Mean test accuracy.
    pub test_accuracy: Option<f64>,
    /// Standard error of that mean; 0 for one run.
    pub standard_error: f64,
    /// Mean validation accuracy, where images are held back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_accuracy: Option<f64>,
    /// Mean flip ratio of the last epoch.
    pub flip_ratio: Option<f64>,
}

impl Place {
    /// Of the cells that have these values.
    pub(super) fn of(values: Vec<String>, cells: &[Cell]) -> Self {
        let of_place = || cells.iter().filter(|cell| cell.values == values);
        let ended = || of_place().filter(|cell| cell.test_accuracy.is_some());
        let accuracies: Vec<f64> = ended().filter_map(|cell| cell.test_accuracy).collect();
        let validation: Vec<f64> = ended().filter_map(|cell| cell.validation_accuracy).collect();
        let flips: Vec<f64> = ended().filter_map(|cell| cell.flip_ratio).collect();
        let mean = |values: &[f64]| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
        let n = accuracies.len() as f64;
        let spread = mean(&accuracies).map_or(0.0, |m| accuracies.iter().map(|a| (a - m).powi(2)).sum::<f64>());
        Self {
            runs: accuracies.len(),
            diverged: of_place().filter(|cell| cell.failed.is_some()).count(),
            test_accuracy: mean(&accuracies),
            standard_error: if n > 1.0 { (spread / (n - 1.0) / n).sqrt() } else { 0.0 },
            validation_accuracy: mean(&validation),
            flip_ratio: mean(&flips),
            values,
        }
    }

    /// The one with the highest [`Place::judged`], the first of several, of those where no run diverged, if there are any; `None` where no
    /// run ended with an accuracy.
    pub fn best(places: &[Self]) -> Option<&Self> {
        let is_whole = places.iter().any(|place| place.judged().is_some() && place.diverged == 0);
        let judged = places.iter().filter(|place| place.judged().is_some() && (place.diverged == 0 || !is_whole));
        judged.reduce(|best, place| if place.judged() > best.judged() { place } else { best })
    }

    /// What places are compared by: images held back to validate where there are some, else the test images.
    pub fn judged(&self) -> Option<f64> {
        self.validation_accuracy.or(self.test_accuracy)
    }
}

/// Cells as CSV; `names` are those of the axes.
pub(super) fn csv(names: &[&str], cells: &[Cell]) -> String {
    let mut csv = format!("{},seed,test_accuracy,validation_accuracy,flip_ratio,seconds,failed\n", names.join(","));
    for cell in cells {
        let number = |value: Option<f64>| value.map_or(String::new(), |v| v.to_string());
        let values: Vec<String> = cell.values.iter().map(|v| quoted(v)).collect();
        let numbers = [cell.test_accuracy, cell.validation_accuracy, cell.flip_ratio].map(number).join(",");
        let failed = quoted(cell.failed.as_deref().unwrap_or_default());
        csv += &format!("{},{},{numbers},{},{failed}\n", values.join(","), cell.seed, cell.seconds);
    }
    csv
}

/// A cell of CSV.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_place_is_named_by_validation_where_there_is_some() {
        let place = |test_accuracy, validation_accuracy| Place {
            values: vec![],
            runs: 1,
            diverged: 0,
            test_accuracy,
            standard_error: 0.0,
            validation_accuracy,
            flip_ratio: None,
        };
        let of = |places: &[Place]| Place::best(places).map(|best| best.test_accuracy);
        assert_eq!(of(&[place(None, None)]), None);
        assert_eq!(of(&[place(Some(0.5), None), place(None, None), place(Some(0.7), None)]), Some(Some(0.7)));
        assert_eq!(of(&[place(Some(0.5), Some(0.6)), place(Some(0.7), Some(0.4))]), Some(Some(0.5)));
        assert_eq!(of(&[place(Some(0.1), Some(0.6)), place(Some(0.2), Some(0.6))]), Some(Some(0.1)), "the first");
        let torn = Place { diverged: 2, ..place(Some(0.9), None) };
        assert_eq!(of(&[torn.clone(), place(Some(0.5), None)]), Some(Some(0.5)));
        assert_eq!(of(&[torn]), Some(Some(0.9)));
    }
}
