//! Results of a sweep: one cell per run, means over seeds, and the best point of the grid.

use super::super::event::Event;
use super::super::files::csv_cell;
use super::super::settings::TrainConfig;
use serde::Serialize;

/// The result of one run of a sweep.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// Value of each axis.
    pub values: Vec<String>,
    /// Seed.
    pub seed: u64,
    /// Test accuracy of the last epoch, a fraction; `None` if the run diverged.
    pub test_accuracy: Option<f64>,
    /// Validation accuracy of the last epoch; `None` without validation images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_accuracy: Option<f64>,
    /// Fraction of the binary weights that flipped per step, mean of the last epoch.
    pub flip_ratio: Option<f64>,
    /// Seconds.
    pub seconds: f64,
    /// Reason why the run has no accuracy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

impl Cell {
    /// Creates the result from the events of a run.
    pub(super) fn of(events: &[Event], config: &TrainConfig, point: &[String], failed: Option<String>) -> Self {
        let mut cell = Self {
            values: point.to_vec(),
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

/// Means over the seeds of one point of the grid.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GridPoint {
    /// Value of each axis.
    pub values: Vec<String>,
    /// Number of runs with an accuracy.
    pub runs: usize,
    /// Number of runs that diverged.
    pub diverged: usize,
    /// Mean test accuracy.
    pub test_accuracy: Option<f64>,
    /// Standard error of that mean; 0 for one run.
    pub standard_error: f64,
    /// Mean validation accuracy; `None` without validation images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_accuracy: Option<f64>,
    /// Mean flip ratio of the last epoch.
    pub flip_ratio: Option<f64>,
}

impl GridPoint {
    /// Returns the means of the cells with these values.
    pub(super) fn of(values: Vec<String>, cells: &[Cell]) -> Self {
        let of_point = || cells.iter().filter(|cell| cell.values == values);
        let ended = || of_point().filter(|cell| cell.test_accuracy.is_some());
        let accuracies: Vec<f64> = ended().filter_map(|cell| cell.test_accuracy).collect();
        let validation: Vec<f64> = ended().filter_map(|cell| cell.validation_accuracy).collect();
        let flips: Vec<f64> = ended().filter_map(|cell| cell.flip_ratio).collect();
        let mean = |values: &[f64]| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
        let n = accuracies.len() as f64;
        let spread = mean(&accuracies).map_or(0.0, |m| accuracies.iter().map(|a| (a - m).powi(2)).sum::<f64>());
        Self {
            runs: accuracies.len(),
            diverged: of_point().filter(|cell| cell.failed.is_some()).count(),
            test_accuracy: mean(&accuracies),
            standard_error: if n > 1.0 { (spread / (n - 1.0) / n).sqrt() } else { 0.0 },
            validation_accuracy: mean(&validation),
            flip_ratio: mean(&flips),
            values,
        }
    }

    /// Returns the point with the highest [`GridPoint::score`], the first of several. Points with a diverged run count only if there are no
    /// others. `None` if no run has an accuracy.
    pub fn best(points: &[Self]) -> Option<&Self> {
        let has_whole = points.iter().any(|point| point.score().is_some() && point.diverged == 0);
        let scored = points.iter().filter(|point| point.score().is_some() && (point.diverged == 0 || !has_whole));
        scored.reduce(|best, point| if point.score() > best.score() { point } else { best })
    }

    /// Returns the accuracy that points are compared by: on validation images if there are some, otherwise on test images.
    pub fn score(&self) -> Option<f64> {
        self.validation_accuracy.or(self.test_accuracy)
    }
}

/// Formats cells as CSV; `names` are those of the axes.
pub(super) fn csv(names: &[&str], cells: &[Cell]) -> String {
    let mut csv = format!("{},seed,test_accuracy,validation_accuracy,flip_ratio,seconds,failed\n", names.join(","));
    for cell in cells {
        let number = |value: Option<f64>| value.map_or(String::new(), |v| v.to_string());
        let values: Vec<String> = cell.values.iter().map(|v| csv_cell(v)).collect();
        let numbers = [cell.test_accuracy, cell.validation_accuracy, cell.flip_ratio].map(number).join(",");
        let failed = csv_cell(cell.failed.as_deref().unwrap_or_default());
        csv += &format!("{},{},{numbers},{},{failed}\n", values.join(","), cell.seed, cell.seconds);
    }
    csv
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_point_is_chosen_by_validation_if_there_is_some() {
        let point = |test_accuracy, validation_accuracy| GridPoint {
            values: vec![],
            runs: 1,
            diverged: 0,
            test_accuracy,
            standard_error: 0.0,
            validation_accuracy,
            flip_ratio: None,
        };
        let of = |points: &[GridPoint]| GridPoint::best(points).map(|best| best.test_accuracy);
        assert_eq!(of(&[point(None, None)]), None);
        assert_eq!(of(&[point(Some(0.5), None), point(None, None), point(Some(0.7), None)]), Some(Some(0.7)));
        assert_eq!(of(&[point(Some(0.5), Some(0.6)), point(Some(0.7), Some(0.4))]), Some(Some(0.5)));
        assert_eq!(of(&[point(Some(0.1), Some(0.6)), point(Some(0.2), Some(0.6))]), Some(Some(0.1)), "the first");
        let torn = GridPoint { diverged: 2, ..point(Some(0.9), None) };
        assert_eq!(of(&[torn.clone(), point(Some(0.5), None)]), Some(Some(0.5)));
        assert_eq!(of(&[torn]), Some(Some(0.9)));
    }
}
