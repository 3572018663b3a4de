//! `plusminus sweep`: trains over a grid of settings and seeds.

use super::args::{Common, SweepArgs};
use super::output::{json, line};
use super::picture::{HeatMap, draw_heat_map};
use super::signals::Signals;
use super::train::settings;
use crate::error::Result;
use crate::train::{Axis, Cell, GridPoint, Sweep};
use comfy_table::{CellAlignment, Table};

/// Runs the grid, prints a table and the best point, and draws a heat map of two axes.
pub async fn run(args: SweepArgs, common: &Common) -> Result<()> {
    let axes = args.grid.iter().map(|text| Axis::parse(text)).collect::<Result<Vec<_>>>()?;
    let base = settings(args.config.as_deref(), *args.flags.settings, common)?;
    let sweep = Sweep::new(&args.run, base, axes, args.seeds)?;
    let signals = Signals::watch(|| ());
    signals.begin();
    let mut number = 0;
    let cells = sweep
        .run(&signals.stop_handle(), |cell, is_new| {
            number += 1;
            show(cell, is_new, number, &sweep, common);
        })
        .await?;
    let points = sweep.summary(&cells);
    let interrupted = cells.len() < sweep.runs();
    let best = GridPoint::best(&points);
    if let ([rows, columns], false) = (sweep.axes(), interrupted) {
        draw_heat_map(&args.run.join("heat-map.svg"), &heat_map(rows, columns, &points))?;
    }
    if common.json {
        points
            .iter()
            .for_each(|point| json(&serde_json::json!({ "event": "point", "axes": names(&sweep), "point": point })));
        json(&serde_json::json!({ "event": "done", "best": best, "interrupted": interrupted, "run": args.run }));
        return Ok(());
    }
    line(&table(&sweep, &points));
    if let Some(best) = best {
        let settings: Vec<String> = names(&sweep).iter().zip(&best.values).map(|(n, v)| format!("{n} {v}")).collect();
        let by = best.validation_accuracy.map_or(String::new(), |v| format!("validation {:.2} %, test ", 100.0 * v));
        line(&format!("best     {}: {by}{}", settings.join(", "), accuracy(best)));
    }
    if best.is_none() && !interrupted {
        line(&format!(
            "best     none: every run diverged; for the reasons see {}",
            args.run.join("results.csv").display()
        ));
    }
    if interrupted {
        line(&format!("stopped after {} of {} runs; the same command resumes", cells.len(), sweep.runs()));
    }
    line(&format!("saved    {}", args.run.display()));
    Ok(())
}

fn names(sweep: &Sweep) -> Vec<String> {
    sweep.axes().iter().map(|axis| axis.name.clone()).collect()
}

fn show(cell: &Cell, is_new: bool, number: usize, sweep: &Sweep, common: &Common) {
    if common.json {
        return json(&serde_json::json!({ "event": "cell", "new": is_new, "cell": cell }));
    }
    if common.quiet {
        return;
    }
    let settings: Vec<String> = names(sweep).iter().zip(&cell.values).map(|(n, v)| format!("{n} {v}")).collect();
    let result = cell.test_accuracy.map_or("diverged".to_string(), |a| format!("test accuracy {:.2} %", 100.0 * a));
    let note = if is_new { "" } else { " (earlier run)" };
    line(&format!(
        "{number:>4} of {}   {}, seed {}: {result} in {:.1} s{note}",
        sweep.runs(),
        settings.join(", "),
        cell.seed,
        cell.seconds
    ));
}

/// Returns whether the runs have a validation accuracy.
fn are_validated(points: &[GridPoint]) -> bool {
    points.iter().any(|point| point.validation_accuracy.is_some())
}

fn accuracy(point: &GridPoint) -> String {
    let spread = if point.runs > 1 { format!(" ± {:.2}", 100.0 * point.standard_error) } else { String::new() };
    point.test_accuracy.map_or("-".into(), |a| format!("{:.2}{spread} %", 100.0 * a))
}

fn table(sweep: &Sweep, points: &[GridPoint]) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    let validated = are_validated(points);
    let first = validated.then_some("validation");
    let fixed = first.into_iter().chain(["test accuracy", "runs", "diverged", "flip ratio"]).map(String::from);
    table.set_header(names(sweep).into_iter().chain(fixed));
    for point in points {
        let validation = point.validation_accuracy.map_or("-".into(), |v| format!("{:.2} %", 100.0 * v));
        let flips = point.flip_ratio.map_or("-".into(), |f| format!("{f:.1e}"));
        let numbers = [accuracy(point), point.runs.to_string(), point.diverged.to_string(), flips];
        table.add_row(point.values.iter().cloned().chain(validated.then_some(validation)).chain(numbers));
    }
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

fn heat_map(rows: &Axis, columns: &Axis, points: &[GridPoint]) -> HeatMap {
    let note = |point: &GridPoint| point.flip_ratio.map_or(String::new(), |f| format!("flips {f:.1e}"));
    HeatMap {
        title: format!("{} accuracy", if are_validated(points) { "validation" } else { "test" }),
        rows: (rows.name.clone(), rows.values.clone()),
        columns: (columns.name.clone(), columns.values.clone()),
        cells: points.iter().map(|point| (point.score(), note(point))).collect(),
    }
}
