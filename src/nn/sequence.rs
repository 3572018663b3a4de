//! Layers in sequence, and branches that are joined again.

use super::layer::{Builder, Cost, Layer, Shape, SummaryRow};
use crate::error::{Error, Result};
use crate::graph::Value;
use crate::ops::{Add, ShiftChannels};

/// Layers in sequence. Each is named after its kind and its number among its kind: `dense1`, `norm1`, `dense2`. An empty sequence is the
/// identity.
#[derive(Debug, Default)]
pub struct Sequence {
    layers: Vec<(String, Box<dyn Layer>)>,
}

impl Sequence {
    /// Creates an empty sequence.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a layer.
    pub fn push(&mut self, layer: impl Layer + 'static) -> &mut Self {
        let number = 1 + self.layers.iter().filter(|(_, l)| l.kind() == layer.kind()).count();
        self.layers.push((format!("{}{number}", layer.kind()), Box::new(layer)));
        self
    }

    /// Adds a layer, by value.
    pub fn with(mut self, layer: impl Layer + 'static) -> Self {
        self.push(layer);
        self
    }

    /// Returns the layers by name.
    pub fn layers(&self) -> impl Iterator<Item = (&str, &dyn Layer)> {
        self.layers.iter().map(|(name, layer)| (name.as_str(), layer.as_ref()))
    }

    /// Adds the nodes of all layers; a layer's name is `prefix` and its own name.
    pub fn build(&self, builder: &mut Builder<'_>, prefix: &str, x: Value) -> Result<Value> {
        self.layers().try_fold(x, |x, (name, layer)| {
            let name = format!("{prefix}{name}");
            builder.graph.set_scope(&name);
            layer.build(
                &mut Builder { graph: builder.graph, mode: builder.mode, name: &name, frozen: builder.frozen },
                x,
            )
        })
    }

    /// Returns the shape of the output.
    pub fn shape(&self, input: Shape) -> Result<Shape> {
        self.layers().try_fold(input, |shape, (name, layer)| {
            layer.shape(shape).map_err(|error| match error {
                Error::Shape { op, expected, got } => {
                    Error::Shape { op: format!("{op} of layer `{name}`"), expected, got }
                }
                other => other,
            })
        })
    }

    /// Returns the total cost of the layers.
    pub fn cost(&self, input: Shape) -> Cost {
        let (mut total, mut shape) = (Cost::default(), input);
        for (_, layer) in self.layers() {
            total += layer.cost(shape);
            shape = layer.shape(shape).unwrap_or(shape);
        }
        total
    }

    /// Returns the rows of all layers, with the names of [`Sequence::build`].
    pub fn rows(&self, prefix: &str, input: Shape) -> Vec<SummaryRow> {
        let (mut rows, mut shape) = (Vec::new(), input);
        for (name, layer) in self.layers() {
            rows.extend(layer.rows(&format!("{prefix}{name}"), shape));
            shape = layer.shape(shape).unwrap_or(shape);
        }
        rows
    }

    fn is_spatial(&self) -> bool {
        self.layers().next().is_some_and(|(_, layer)| layer.is_spatial())
    }
}

/// y = main(x) + shortcut(x) (He et al. 2016). Names of the inner layers: `residual1.conv1`, `residual1.shortcut.conv1`.
#[derive(Debug, Default)]
pub struct Residual {
    /// The layers that the shortcut bypasses.
    pub main: Sequence,
    /// The shortcut; an empty one is the identity.
    pub shortcut: Sequence,
}

impl Layer for Residual {
    fn kind(&self) -> &'static str {
        "residual"
    }

    fn build(&self, builder: &mut Builder<'_>, x: Value) -> Result<Value> {
        let name = builder.name.to_string();
        let main = self.main.build(builder, &format!("{name}."), x)?;
        let shortcut = self.shortcut.build(builder, &format!("{name}.shortcut."), x)?;
        builder.graph.set_scope(&name);
        builder.graph.add(Add, &[main, shortcut], &[])
    }

    fn shape(&self, input: Shape) -> Result<Shape> {
        let (main, shortcut) = (self.main.shape(input)?, self.shortcut.shape(input)?);
        if main != shortcut {
            return Err(Error::shape("residual", format!("a shortcut of {main:?}"), format!("{shortcut:?}")));
        }
        Ok(main)
    }

    fn cost(&self, input: Shape) -> Cost {
        let mut cost = self.main.cost(input);
        cost += self.shortcut.cost(input);
        cost
    }

    fn rows(&self, name: &str, input: Shape) -> Vec<SummaryRow> {
        let mut rows = self.main.rows(&format!("{name}."), input);
        rows.extend(self.shortcut.rows(&format!("{name}.shortcut."), input));
        // The join has no cost.
        rows.push(SummaryRow::new(self, name, input, Cost::default()));
        rows
    }

    fn is_spatial(&self) -> bool {
        self.main.is_spatial()
    }
}

/// Concatenates the outputs of several branches along the channels. Names of the inner layers: `concat1.1.conv1`.
#[derive(Debug, Default)]
pub struct Concat(pub Vec<Sequence>);

impl Layer for Concat {
    fn kind(&self) -> &'static str {
        "concat"
    }

    fn build(&self, builder: &mut Builder<'_>, x: Value) -> Result<Value> {
        let name = builder.name.to_string();
        let mut parts = Vec::new();
        for (i, branch) in self.0.iter().enumerate() {
            parts.push(branch.build(builder, &format!("{name}.{}.", i + 1), x)?);
        }
        builder.graph.set_scope(&name);
        let channels = parts.iter().map(|&part| builder.graph.ty(part).columns()).sum();
        let mut whole: Option<Value> = None;
        let mut first = 0;
        for part in parts {
            let width = builder.graph.ty(part).columns();
            let shift = ShiftChannels { channels, offset: -(first as isize) };
            let moved = builder.graph.add(shift, &[part], &[])?;
            whole = Some(match whole {
                Some(whole) => builder.graph.add(Add, &[whole, moved], &[])?,
                None => moved,
            });
            first += width;
        }
        whole.ok_or_else(|| Error::shape(format!("layer `{name}`"), "at least 1 branch", 0))
    }

    fn shape(&self, input: Shape) -> Result<Shape> {
        let shapes = self.0.iter().map(|branch| branch.shape(input)).collect::<Result<Vec<Shape>>>()?;
        let Some([height, width, _]) = shapes.first().copied() else {
            return Err(Error::shape("concat", "at least 1 branch", 0));
        };
        if let Some(other) = shapes.iter().find(|shape| shape[..2] != [height, width]) {
            return Err(Error::shape("concat", format!("branches of {height}x{width}"), format!("{other:?}")));
        }
        Ok([height, width, shapes.iter().map(|shape| shape[2]).sum()])
    }

    fn cost(&self, input: Shape) -> Cost {
        self.0.iter().fold(Cost::default(), |mut total, branch| {
            total += branch.cost(input);
            total
        })
    }

    fn rows(&self, name: &str, input: Shape) -> Vec<SummaryRow> {
        let branches = self.0.iter().enumerate();
        let mut rows: Vec<SummaryRow> =
            branches.flat_map(|(i, branch)| branch.rows(&format!("{name}.{}.", i + 1), input)).collect();
        // The join has no cost.
        rows.push(SummaryRow::new(self, name, input, Cost::default()));
        rows
    }

    fn is_spatial(&self) -> bool {
        self.0.first().is_some_and(Sequence::is_spatial)
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::{Model, PixelScale};
    use super::super::weights::parent_path;
    use super::super::zoo::MODELS;
    use super::super::{BatchNorm, Conv, Mode, ModelSpec, Quantizer};
    use super::*;
    use crate::graph::Graph;
    use crate::ops::Window;
    use std::collections::BTreeSet;

    /// Layers with weights: by the summary, and by the names that patterns of layers match.
    fn names(model: &Model) -> [BTreeSet<String>; 2] {
        let mut graph = Graph::new();
        model.build(&mut graph, Mode::Train, 2).expect("it fits");
        let trained = graph.trained().into_iter().map(|(value, _)| parent_path(&graph.info(value).name).to_string());
        let rows = model.summary().rows.into_iter().filter(|row| row.cost.weights_1bit + row.cost.weights_32bit > 0);
        [rows.map(|row| row.layer).collect(), trained.collect()]
    }

    #[test]
    fn summaries_name_layers_inside_others_as_rules_do() {
        for zoo in &MODELS {
            let model = ModelSpec::new(zoo.name, zoo.input, zoo.classes).build().expect("as published");
            let [rows, trained] = names(&model);
            assert_eq!(rows, trained, "{}", zoo.name);
        }
        let conv = || Conv::new(8, Window::same(3, 1), Quantizer::sign(), Quantizer::sign());
        let conv = || Sequence::new().with(conv()).with(BatchNorm::default());
        let inner = Sequence::new().with(Residual { main: conv(), shortcut: conv() });
        let model = Model::new("mine", [8, 8, 4], PixelScale::to_unit(255)).with(Concat(vec![conv(), inner]));
        let [rows, trained] = names(&model);
        assert!(rows == trained && rows.contains("concat1.2.residual1.shortcut.conv1"), "{rows:?}, {trained:?}");
        let summary = model.summary();
        let [row, ..] = &summary.rows[..] else { panic!("{summary:?}") };
        assert_eq!((&*row.precision, row.output, summary.rows.len()), ("sign x sign", [8, 8, 8], 8), "{summary:?}");
        assert_eq!(summary.total.weights_1bit, 3 * 9 * 4 * 8, "each once");
    }
}
