//! `plusminus plot RUN...`: curves of runs in one picture.

use super::args::{Common, PlotArgs};
use super::output::{json, line, note};
use super::picture::{Curve, Panel, check_svg, draw, in_terminal};
use super::plot_layers::{EPOCH, flip_panels, layer_panels};
use crate::error::{Error, Result};
use crate::train::{Event, Run};

/// Draws loss, accuracy and flip ratios of the runs, in total and by layer. A single run also has panels of its diagnostics.
pub fn run(args: &PlotArgs, common: &Common) -> Result<()> {
    let mut runs = Vec::new();
    for folder in &args.runs {
        if folder.join("config.toml").exists() {
            Run::settings(folder)?;
        }
        let (events, cut) = Run::whole_events(folder)?;
        if let Some(cut) = cut {
            note(&format!("plusminus: the last line is incomplete and ignored: {cut}"));
        }
        if !events.iter().any(|event| matches!(event, Event::Epoch { .. })) {
            return Err(Error::setting("run", "a run with at least one complete epoch", folder.display()));
        }
        runs.push((folder.display().to_string(), events));
    }
    if let Some((other, events)) = runs.iter().find(|(_, events)| data(events) != data(&runs[0].1)) {
        let expected = format!("runs on the same data as {}, {}", runs[0].0, data(&runs[0].1));
        return Err(Error::setting("plot", expected, format!("{other} on {}", data(events))));
    }
    // Different images may agree in number and shape. Runs without a fingerprint are accepted.
    let tested: Vec<_> = runs.iter().filter_map(|(name, events)| Some((name, test_data(events)?))).collect();
    if let Some((other, images)) = tested.iter().find(|(_, images)| *images != tested[0].1) {
        let (first, theirs) = &tested[0];
        let expected = format!("runs tested on the same images as {first}, {} {theirs}", data(&runs[0].1));
        let got = format!("{other} on {images}: different files or --split-seed");
        return Err(Error::setting("plot", expected, got));
    }
    args.out.as_deref().map_or(Ok(()), check_svg)?;
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
    line(&format!("saved    {}", out.display()));
    Ok(())
}

/// Describes the properties that compared runs must share: data set, shape of images, number of test images and classes.
fn data(events: &[Event]) -> String {
    let of_start = |event: &Event| match event {
        Event::Start { dataset, input: [height, width, channels], classes, test_images, .. } => {
            Some(format!("{dataset} ({test_images} test images of {height}x{width}x{channels}, {classes} classes)"))
        }
        _ => None,
    };
    events.iter().find_map(of_start).unwrap_or_else(|| "unknown data".into())
}

/// Returns the fingerprint of the test images.
fn test_data(events: &[Event]) -> Option<&str> {
    events.iter().find_map(|event| match event {
        Event::Start { test_data, .. } if !test_data.is_empty() => Some(test_data.as_str()),
        _ => None,
    })
}

/// Returns a value of each epoch over the epoch number.
fn curve(name: &str, events: &[Event], value: impl Fn(&Event) -> Option<f64>) -> Curve {
    let point = |event: &Event| match event {
        Event::Epoch { epoch, .. } => value(event).map(|v| (f64::from(*epoch), v)),
        _ => None,
    };
    Curve { name: name.to_string(), points: events.iter().filter_map(point).collect() }
}

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
    panels.extend(match runs {
        [(_, events)] => layer_panels(events),
        _ => flip_panels(runs),
    });
    panels
}
