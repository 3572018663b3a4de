//! Draws curves and heat maps as SVG, and curves in the terminal.

use crate::error::{Error, Result};
use crate::train::write_whole;
use plotters::prelude::*;
use std::path::Path;

/// A named line through points.
#[derive(Clone, Debug)]
pub struct Curve {
    /// Its name in the legend.
    pub name: String,
    /// Points (x, y); a y that is NaN or infinite is a gap.
    pub points: Vec<(f64, f64)>,
}

/// The x axis.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    /// Its name.
    pub name: &'static str,
    /// Whether the scale is logarithmic, in which case points with x <= 0 are not drawn.
    pub is_logarithmic: bool,
}

impl Axis {
    /// Creates a linear axis.
    pub const fn linear(name: &'static str) -> Self {
        Self { name, is_logarithmic: false }
    }

    /// Creates a logarithmic axis.
    pub const fn logarithmic(name: &'static str) -> Self {
        Self { name, is_logarithmic: true }
    }
}

/// Curves over a common x axis.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Name of the y axis.
    pub title: String,
    /// The x axis.
    pub x: Axis,
    /// Whether the y scale is logarithmic, in which case points with y <= 0 are not drawn.
    pub is_logarithmic: bool,
    /// Its curves.
    pub curves: Vec<Curve>,
}

fn failed<E: std::error::Error + Send + Sync>(path: &Path) -> impl Fn(DrawingAreaErrorKind<E>) -> Error + '_ {
    |error| Error::File { doing: "drawing", path: path.to_path_buf(), source: std::io::Error::other(error.to_string()) }
}

/// Returns the smallest and the largest value, widened if they are equal.
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

impl Panel {
    /// Returns the drawn points of a curve, split at gaps; log10 of the values on logarithmic scales.
    fn segments(&self, curve: &Curve) -> Vec<Vec<(f64, f64)>> {
        let of = |is_logarithmic: bool, v: f64| if is_logarithmic { v.log10() } else { v };
        let visible = |is_logarithmic: bool, v: f64| !is_logarithmic || v > 0.0;
        let drawn = |segment: &[(f64, f64)]| -> Vec<(f64, f64)> {
            let seen =
                segment.iter().filter(|p| visible(self.x.is_logarithmic, p.0) && visible(self.is_logarithmic, p.1));
            seen.map(|p| (of(self.x.is_logarithmic, p.0), of(self.is_logarithmic, p.1))).collect()
        };
        let segments = curve.points.split(|p| !p.1.is_finite()).map(drawn);
        segments.filter(|segment| !segment.is_empty()).collect()
    }
}

/// Fails for a file whose name does not end in .svg.
pub fn check_svg(path: &Path) -> Result<()> {
    if path.extension().is_some_and(|end| end == "svg") {
        return Ok(());
    }
    Err(Error::setting("out", "a file whose name ends in .svg", path.display()))
}

/// Draws panels in a column to an SVG file. If writing fails, an existing file is unchanged.
pub fn draw(path: &Path, panels: &[Panel]) -> Result<()> {
    let mut svg = String::new();
    draw_panels(&mut svg, panels, path)?;
    write_whole(path, svg.as_bytes())
}

fn draw_panels(svg: &mut String, panels: &[Panel], path: &Path) -> Result<()> {
    let failed = failed(path);
    let root = SVGBackend::with_string(svg, (900, 260 * panels.len().max(1) as u32)).into_drawing_area();
    root.fill(&WHITE).map_err(&failed)?;
    // The legend is to the right of the curves and as wide as the longest name.
    let longest = panels.iter().flat_map(|panel| &panel.curves).map(|curve| curve.name.chars().count()).max();
    let room = (36 + 6 * longest.unwrap_or(0)).min(320);
    for (area, panel) in root.split_evenly((panels.len().max(1), 1)).iter().zip(panels) {
        let (area, names) = area.split_horizontally(900 - room as i32);
        let curves: Vec<_> = panel.curves.iter().map(|curve| panel.segments(curve)).collect();
        let points = || curves.iter().flatten().flatten();
        let (left, right) = range(points().map(|p| p.0));
        let (low, high) = range(points().map(|p| p.1));
        let mut chart = ChartBuilder::on(&area)
            .caption(&panel.title, ("sans-serif", 18))
            .margin(8)
            .x_label_area_size(28)
            .y_label_area_size(72)
            .build_cartesian_2d(left..right, low..high)
            .map_err(&failed)?;
        let power = |v: &f64| format!("{:.1e}", 10_f64.powf(*v));
        let label = |v: &f64| if panel.is_logarithmic { power(v) } else { format!("{v:.4}") };
        let x_label = |v: &f64| if panel.x.is_logarithmic { power(v) } else { format!("{v}") };
        chart
            .configure_mesh()
            .x_desc(panel.x.name)
            .x_label_formatter(&x_label)
            .y_label_formatter(&label)
            .light_line_style(WHITE)
            .draw()
            .map_err(&failed)?;
        for (number, (curve, segments)) in panel.curves.iter().zip(&curves).enumerate() {
            let style = Palette99::pick(number).stroke_width(2);
            let y = 40 + number as i32 * 16.min(212 / panel.curves.len() as i32);
            names.draw(&PathElement::new([(2, y), (18, y)], style)).map_err(&failed)?;
            names.draw(&Text::new(curve.name.clone(), (24, y - 6), ("sans-serif", 12))).map_err(&failed)?;
            for segment in segments {
                // A line through a single point is invisible, so draw a circle.
                if let [point] = segment[..] {
                    chart.draw_series([Circle::new(point, 2, style.filled())]).map_err(&failed)?;
                }
                chart.draw_series(LineSeries::new(segment.iter().copied(), style)).map_err(&failed)?;
            }
        }
    }
    root.present().map_err(&failed)
}

/// Values by row and column. Larger values are darker; cells without a value are marked as diverged.
pub struct HeatMap {
    /// Title.
    pub title: String,
    /// Name and values of the vertical axis.
    pub rows: (String, Vec<String>),
    /// Name and values of the horizontal axis.
    pub columns: (String, Vec<String>),
    /// Value and note of each cell, in row-major order.
    pub cells: Vec<(Option<f64>, String)>,
}

/// Draws a heat map as an SVG file, written as [`draw`] does.
pub fn draw_heat_map(path: &Path, map: &HeatMap) -> Result<()> {
    let mut svg = String::new();
    draw_cells(&mut svg, map, path)?;
    write_whole(path, svg.as_bytes())
}

fn draw_cells(svg: &mut String, map: &HeatMap, path: &Path) -> Result<()> {
    const CELL: i32 = 110;
    const LEFT: i32 = 130;
    const TOP: i32 = 80;
    let failed = failed(path);
    let (rows, columns) = (map.rows.1.len() as i32, map.columns.1.len() as i32);
    let root = SVGBackend::with_string(svg, ((LEFT + CELL * columns + 20) as u32, (TOP + CELL / 2 * rows + 20) as u32))
        .into_drawing_area();
    root.fill(&WHITE).map_err(&failed)?;
    let text = |text: &str, at: (i32, i32), size: i32, color: &RGBColor| {
        root.draw_text(text, &("sans-serif", size).into_text_style(&root).color(color), at).map_err(&failed)
    };
    text(&map.title, (12, 10), 18, &BLACK)?;
    text(&format!("{} vertical, {} horizontal", map.rows.0, map.columns.0), (12, 34), 13, &BLACK)?;
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

/// Formats a panel as text for the terminal.
pub fn in_terminal(panel: &Panel) -> String {
    use textplots::{Chart, Plot, Shape};
    let of = |segment: Vec<(f64, f64)>| segment.into_iter().map(|p| (p.0 as f32, p.1 as f32)).collect();
    let segments = panel.curves.iter().flat_map(|curve| panel.segments(curve));
    let lines: Vec<Vec<(f32, f32)>> = segments.map(of).collect();
    let (left, right) = range(lines.iter().flatten().map(|p| f64::from(p.0)));
    let shapes: Vec<Shape<'_>> =
        lines.iter().map(|line| if line.len() == 1 { Shape::Points(line) } else { Shape::Lines(line) }).collect();
    let mut chart = Chart::new(120, 40, left as f32, right as f32);
    let mut plot = &mut chart;
    for shape in &shapes {
        plot = plot.lineplot(shape);
    }
    plot.axis();
    plot.figures();
    let scale = |is_logarithmic: bool| if is_logarithmic { ", logarithm to base 10" } else { "" };
    let (x, y) = (scale(panel.x.is_logarithmic), scale(panel.is_logarithmic));
    // Curves are indistinguishable in a terminal; their last points identify them.
    let end = |curve: &Curve| {
        let (x, y) = curve.points.iter().rfind(|p| p.1.is_finite())?;
        Some(format!("  {}: {y:.4e} at {x}\n", curve.name))
    };
    let ends = if panel.curves.len() > 1 { panel.curves.iter().filter_map(end).collect() } else { String::new() };
    format!("{}{y}; over {}{x}\n{plot}{ends}", panel.title, panel.x.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_breaks_where_there_is_no_number() {
        let points = vec![(1.0, 2.0), (2.0, f64::NAN), (3.0, 10.0), (4.0, 0.0), (5.0, 100.0), (6.0, f64::INFINITY)];
        let curve = Curve { name: "loss".into(), points };
        let panel = |is_logarithmic| {
            let curves = vec![curve.clone()];
            Panel { title: "loss".into(), x: Axis::linear("epoch"), is_logarithmic, curves }
        };
        assert_eq!(panel(false).segments(&curve), [vec![(1.0, 2.0)], vec![(3.0, 10.0), (4.0, 0.0), (5.0, 100.0)]]);
        assert_eq!(panel(true).segments(&curve)[1], [(3.0, 1.0), (5.0, 2.0)], "no logarithm of 0");
        let file = tempfile::NamedTempFile::new().expect("a file");
        draw(file.path(), &[panel(false)]).expect("it is drawn");
        let svg = std::fs::read_to_string(file.path()).expect("it is text");
        assert!(svg.contains("<circle") && !svg.contains("NaN"), "a single point is visible: {svg}");
    }
}
