//! `plusminus plot RUN...`: curves of runs, in one picture.

use super::args::{Common, PlotArgs};
use super::output::{json, line};
use super::picture::{Axis, Curve, Panel, draw, in_terminal};
use crate::error::{Error, Result};
use crate::train::{Event, Run};

/// Draws loss, accuracy and flip ratios of the runs; flips by layer where there is one run.
pub fn run(args: &PlotArgs, common: &Common) -> Result<()> {
    let mut runs = Vec::new();
    for folder in &args.runs {
        let events = Run::events(folder)?;
        if !events.iter().any(|event| matches!(event, Event::Epoch { .. })) {
            return Err(Error::setting("run", "a run with at least one whole epoch", folder.display()));
        }
        runs.push((folder.display().to_string(), events));
    }
    let data = |events: &[Event]| {
        events.iter().find_map(|event| match event {
            Event::Start { dataset, .. } => Some(dataset.clone()),
            _ => None,
        })
    };
    if let Some((other, _)) = runs.iter().find(|(_, events)| data(events) != data(&runs[0].1)) {
        let (expected, got) = (format!("runs on the same data as {}", runs[0].0), format!("{other} on other data"));
        return Err(Error::setting("plot", expected, got));
    }
    let panels = panels(&runs);
    let out = args.out.clone().unwrap_or_else(|| args.runs[0].join("curves.svg"));
    draw(&out, &panels)?;
    if common.json {
        json(&serde_json::json!({ "picture": out, "runs": args.runs }));
        return Ok(());
    }
    if !common.quiet {
        panels.iter().for_each(|panel| line(&in_terminal(panel)));
    }
    line(&format!("drawn    {}", out.display()));
    Ok(())
}

/// Points of an epoch's number and something of it.
fn curve(name: &str, events: &[Event], value: impl Fn(&Event) -> Option<f64>) -> Curve {
    let point = |event: &Event| match event {
        Event::Epoch { epoch, .. } => value(event).filter(|v| v.is_finite()).map(|v| (f64::from(*epoch), v)),
        _ => None,
    };
    Curve { name: name.to_string(), points: events.iter().filter_map(point).collect() }
}

const EPOCH: Axis = Axis::linear("epoch");

fn panels(runs: &[(String, Vec<Event>)]) -> Vec<Panel> {
    type Value = fn(&Event) -> Option<f64>;
    let values: [(&str, bool, Value); 3] = [
        ("training loss", false, |e| if let Event::Epoch { train_loss, .. } = e { Some(*train_loss) } else { None }),
        (
            "test accuracy",
            false,
            |e| if let Event::Epoch { test_accuracy, .. } = e { Some(*test_accuracy) } else { None },
        ),
        ("flip ratio", true, |e| if let Event::Epoch { flip_ratio, .. } = e { Some(*flip_ratio) } else { None }),
    ];
    let panel = |(title, is_logarithmic, value): (&str, bool, Value)| Panel {
        title: title.to_string(),
        x: EPOCH,
        is_logarithmic,
        curves: runs.iter().map(|(name, events)| curve(name, events, value)).collect(),
    };
    let mut panels: Vec<Panel> = values.into_iter().map(panel).collect();
    if let [(_, events)] = runs {
        let layers = events.iter().find_map(|event| match event {
            Event::Epoch { flip_ratio_by_layer, .. } => {
                Some(flip_ratio_by_layer.iter().map(|(name, _)| name.clone()).collect())
            }
            _ => None,
        });
        let layers: Vec<String> = layers.unwrap_or_default();
        let of_layer = |i: usize| {
            move |event: &Event| match event {
                Event::Epoch { flip_ratio_by_layer, .. } => flip_ratio_by_layer.get(i).map(|(_, ratio)| *ratio),
                _ => None,
            }
        };
        let curves = layers.iter().enumerate().map(|(i, name)| curve(name, events, of_layer(i))).collect();
        panels.push(Panel { title: "flip ratio by layer".into(), x: EPOCH, is_logarithmic: true, curves });
    }
    panels
}
