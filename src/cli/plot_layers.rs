//! Curves per layer: flip ratios, and diagnostics of a single run.

use super::picture::{Axis, Curve, Panel};
use crate::train::{Event, LayerDiagnostics};

pub(super) const EPOCH: Axis = Axis::linear("epoch");

/// Returns the flip ratios of several runs, with one panel per layer, since all curves in one panel would be indistinguishable. Layers are in the
/// order of the first run, followed by layers of other runs. A run without a layer has an empty curve there, so that runs keep their colours.
pub fn flip_panels(runs: &[(String, Vec<Event>)]) -> Vec<Panel> {
    let mut panels: Vec<Panel> = Vec::new();
    for (number, (_, events)) in runs.iter().enumerate() {
        for curve in flips(events).curves {
            let title = format!("flip ratio of {}", curve.name);
            let at = panels.iter().position(|panel| panel.title == title).unwrap_or_else(|| {
                let empty = |(name, _): &(String, _)| Curve { name: name.clone(), points: Vec::new() };
                let curves = runs.iter().map(empty).collect();
                panels.push(Panel { title, x: EPOCH, is_logarithmic: true, curves });
                panels.len() - 1
            });
            panels[at].curves[number].points = curve.points;
        }
    }
    panels
}

/// Returns one panel per diagnostic quantity of a run.
pub fn layer_panels(events: &[Event]) -> Vec<Panel> {
    let mut panels = vec![flips(events)];
    type Value = fn(&LayerDiagnostics) -> Option<f64>;
    let values: [(&str, bool, Value); 6] = [
        ("fraction of weights that never flipped", false, |layer| layer.never_flipped),
        ("fraction of weights that oscillate", true, |layer| layer.oscillating),
        ("RMS of the weight gradient", true, |layer| layer.gradient_rms),
        ("RMS of the state whose sign is the weight", true, |layer| layer.state_rms),
        ("fraction of gradients masked by the surrogate", false, |layer| layer.masked),
        ("fraction of channels with the same sign in the whole batch", false, |layer| layer.dead_channels),
    ];
    let measured = |(title, logarithmic, value): (&str, bool, Value)| Panel {
        title: title.into(),
        x: EPOCH,
        is_logarithmic: logarithmic,
        curves: curves(points(events, value)),
    };
    panels.extend(values.into_iter().map(measured).filter(|panel| !panel.curves.is_empty()));
    panels
}

fn flips(events: &[Event]) -> Panel {
    let of_epoch = |event: &Event| match event {
        Event::Epoch { epoch, flip_ratio_by_layer, .. } => {
            flip_ratio_by_layer.iter().map(|(layer, ratio)| (layer.clone(), f64::from(*epoch), *ratio)).collect()
        }
        _ => Vec::new(),
    };
    let curves = curves(events.iter().flat_map(of_epoch));
    Panel { title: "flip ratio by layer".into(), x: EPOCH, is_logarithmic: true, curves }
}

/// Returns `(layer, epoch, value)` of each measurement.
fn points(events: &[Event], value: fn(&LayerDiagnostics) -> Option<f64>) -> impl Iterator<Item = (String, f64, f64)> {
    let steps =
        events.iter().find_map(|event| if let Event::Start { steps, .. } = event { Some(*steps) } else { None });
    let steps = steps.unwrap_or(1).max(1) as f64;
    let of_event = move |event: &Event| match event {
        Event::Diagnostics { step, layers, .. } => {
            let point = |layer: &LayerDiagnostics| Some((layer.layer.clone(), *step as f64 / steps, value(layer)?));
            layers.iter().filter_map(point).collect()
        }
        _ => Vec::new(),
    };
    events.iter().flat_map(of_event)
}

/// Returns one curve per layer, in the order of the layers.
fn curves(points: impl Iterator<Item = (String, f64, f64)>) -> Vec<Curve> {
    let mut curves: Vec<Curve> = Vec::new();
    for (layer, x, y) in points {
        match curves.iter_mut().find(|curve| curve.name == layer) {
            Some(curve) => curve.points.push((x, y)),
            None => curves.push(Curve { name: layer, points: vec![(x, y)] }),
        }
    }
    curves
}
