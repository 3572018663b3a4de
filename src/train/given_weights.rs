//! Weights of another run, with which a run begins.

use super::run::Run;
use super::session::Session;
use crate::data::Data;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::nn::{Mode, Model, Weights, parent_path};
use std::path::Path;

/// Weights of a run, and the tensors that are not taken from it.
pub(super) struct GivenWeights {
    weights: Weights,
    classes: Vec<String>,
    without: Vec<String>,
}

impl GivenWeights {
    /// Reads the weights of a run. If it has other classes than `data`, its last layer with weights, and what follows it, is not taken.
    pub(super) fn load(run: &Path, model: &Model, data: &Data) -> Result<Self> {
        let (_, weights) = Run::load(run)?;
        let classes = Run::classes(run)?;
        let without = if classes == data.classes { Vec::new() } else { last_layer(model)? };
        Ok(Self { weights, classes, without })
    }

    /// Says which layers are not taken, if any.
    pub(super) fn notice(&self) -> Option<String> {
        let mut layers: Vec<&str> = self.without.iter().map(|name| parent_path(name)).collect();
        layers.dedup();
        let classes = self.classes.len();
        (!layers.is_empty()).then(|| {
            format!("--init-from takes all layers but {}, since the run has {classes} other classes", layers.join(", "))
        })
    }

    /// Sets the weights of a session.
    pub(super) fn set(&self, session: &mut Session) -> Result<()> {
        let set = session.set_weights_without(&self.weights, &self.without);
        set.map_err(|error| Error::setting("init-from", "a run of the same network", error))
    }
}

/// Returns the saved tensors of the last layer with weights and of what follows it.
fn last_layer(model: &Model) -> Result<Vec<String>> {
    let mut graph = Graph::new();
    model.build(&mut graph, Mode::Eval, 1)?;
    let saved = graph.values().filter(|(_, info)| info.is_saved());
    let names: Vec<String> = saved.map(|(_, info)| info.name.clone()).collect();
    let last = names.iter().rposition(|name| name.ends_with(".weight")).map_or("", |at| parent_path(&names[at]));
    let first = names.iter().position(|name| parent_path(name) == last).unwrap_or(names.len());
    Ok(names[first..].to_vec())
}
