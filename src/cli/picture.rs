//! Pictures: curves and heat maps as SVG, curves in the terminal.

use crate::error::{Error, Result};
use plotters::prelude::*;
use std::path::Path;

/// A named line through points.
#[derive(Clone, Debug)]
pub struct Curve {
    /// Its name in the legend.
    pub name: String,
    /// (x, y), finite.
    pub points: Vec<(f64, f64)>,
}

/// Curves over the same x.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What y is.
    pub title: String,
    /// Whether y is drawn on a logarithmic scale; points at 0 and below are left out then.
    pub logarithmic: bool,
    /// Its curves.
    pub curves: Vec<Curve>,
}

fn failed<E: std::error::Error + Send + Sync>(path: &Path) -> impl Fn(DrawingAreaErrorKind<E>) -> Error + '_ {
    |error| Error::File { doing: "drawing", path: path.to_path_buf(), source: std::io::Error::other(error.to_string()) }
}

/// Smallest and largest, a little apart where they are one.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        (0.0, 1.0)
    } else if low == high {
        (low - 0.5, high + 0.5)
    } else {
        (low, high)
    }
}

/// Panels below each other in an SVG file; x is the epoch.
pub fn draw(path: &Path, panels: &[Panel]) -> Result<()> {
    let failed = failed(path);
    let root = SVGBackend::new(path, (900, 260 * panels.len().max(1) as u32)).into_drawing_area();
    root.fill(&WHITE).map_err(&failed)?;
    for (area, panel) in root.split_evenly((panels.len().max(1), 1)).iter().zip(panels) {
        let y = |v: f64| if panel.logarithmic { v.log10() } else { v };
        let visible = |point: &&(f64, f64)| !panel.logarithmic || point.1 > 0.0;
        let points = || panel.curves.iter().flat_map(|curve| curve.points.iter().filter(visible));
        let (left, right) = range(points().map(|p| p.0));
        let (low, high) = range(points().map(|p| y(p.1)));
        let mut chart = ChartBuilder::on(area)
            .caption(&panel.title, ("sans-serif", 18))
            .margin(8)
            .x_label_area_size(28)
            .y_label_area_size(72)
            .build_cartesian_2d(left..right, low..high)
            .map_err(&failed)?;
        let label = |v: &f64| if panel.logarithmic { format!("{:.1e}", 10_f64.powf(*v)) } else { format!("{v:.4}") };
        chart
            .configure_mesh()
            .x_desc("epoch")
            .y_label_formatter(&label)
            .light_line_style(WHITE)
            .draw()
            .map_err(&failed)?;
        for (number, curve) in panel.curves.iter().enumerate() {
            let style = Palette99::pick(number).stroke_width(2);
            let line = curve.points.iter().filter(visible).map(|p| (p.0, y(p.1)));
            chart
                .draw_series(LineSeries::new(line, style))
                .map_err(&failed)?
                .label(&curve.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
        }
        // Where the curves do not end.
        let rises = panel.curves.first().and_then(|c| Some(c.points.last()?.1 > c.points.first()?.1)).unwrap_or(false);
        let place = if rises { SeriesLabelPosition::LowerRight } else { SeriesLabelPosition::UpperRight };
        let mut legend = chart.configure_series_labels();
        legend.position(place).background_style(WHITE.mix(0.8)).draw().map_err(&failed)?;
    }
    root.present().map_err(&failed)
}

/// A value by row and column, larger is darker; places without a value are crossed out.
pub struct HeatMap {
    /// What the values are.
    pub title: String,
    /// Name and values of the axis that goes down.
    pub rows: (String, Vec<String>),
    /// Name and values of the axis that goes right.
    pub columns: (String, Vec<String>),
    /// Row after row: the value, and what is written under it.
    pub cells: Vec<(Option<f64>, String)>,
}

/// An SVG file of a heat map.
pub fn draw_heat_map(path: &Path, map: &HeatMap) -> Result<()> {
    const CELL: i32 = 110;
    const LEFT: i32 = 130;
    const TOP: i32 = 80;
    let failed = failed(path);
    let (rows, columns) = (map.rows.1.len() as i32, map.columns.1.len() as i32);
    let root = SVGBackend::new(path, ((LEFT + CELL * columns + 20) as u32, (TOP + CELL / 2 * rows + 20) as u32))
        .into_drawing_area();
    root.fill(&WHITE).map_err(&failed)?;
    let text = |text: &str, at: (i32, i32), size: i32, color: &RGBColor| {
        root.draw_text(text, &("sans-serif", size).into_text_style(&root).color(color), at).map_err(&failed)
    };
    text(&map.title, (12, 10), 18, &BLACK)?;
    text(&format!("{} down, {} right", map.rows.0, map.columns.0), (12, 34), 13, &BLACK)?;
    for (c, name) in map.columns.1.iter().enumerate() {
        text(name, (LEFT + CELL * c as i32 + 8, TOP - 20), 14, &BLACK)?;
    }
    let (low, high) = range(map.cells.iter().filter_map(|(value, _)| *value));
    for (i, (value, note)) in map.cells.iter().enumerate() {
        let (r, c) = (i as i32 / columns, i as i32 % columns);
        let (x, y) = (LEFT + CELL * c, TOP + CELL / 2 * r);
        if c == 0 {
            text(&map.rows.1[r as usize], (12, y + 18), 14, &BLACK)?;
        }
        let share = value.map_or(0.0, |v| (v - low) / (high - low));
        let shade = |full: f64| (255.0 - share * (255.0 - full)) as u8;
        let color = RGBColor(shade(20.0), shade(70.0), shade(120.0));
        let corners = [(x, y), (x + CELL - 2, y + CELL / 2 - 2)];
        root.draw(&Rectangle::new(corners, color.filled())).map_err(&failed)?;
        let ink = if share > 0.5 { &WHITE } else { &BLACK };
        let value = value.map_or("diverged".to_string(), |v| format!("{:.2} %", 100.0 * v));
        text(&value, (x + 8, y + 10), 15, ink)?;
        text(note, (x + 8, y + 30), 11, ink)?;
    }
    root.present().map_err(&failed)
}

/// A curve as text, for the terminal; x is the epoch.
pub fn in_terminal(panel: &Panel) -> String {
    use textplots::{Chart, Plot, Shape};
    let y = |v: f64| if panel.logarithmic { v.log10() } else { v };
    let lines: Vec<Vec<(f32, f32)>> = panel
        .curves
        .iter()
        .map(|c| {
            c.points.iter().filter(|p| !panel.logarithmic || p.1 > 0.0).map(|p| (p.0 as f32, y(p.1) as f32)).collect()
        })
        .collect();
    let (left, right) = range(lines.iter().flatten().map(|p| f64::from(p.0)));
    let shapes: Vec<Shape<'_>> = lines.iter().map(|line| Shape::Lines(line)).collect();
    let mut chart = Chart::new(120, 40, left as f32, right as f32);
    let mut plot = &mut chart;
    for shape in &shapes {
        plot = plot.lineplot(shape);
    }
    plot.axis();
    plot.figures();
    let scale = if panel.logarithmic { ", logarithm to base 10" } else { "" };
    format!("{}{scale}\n{plot}", panel.title)
}
