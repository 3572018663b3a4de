//! The optimizer as a file has it: a name, or a table.

use crate::error::Result;
use crate::optim::{BinaryOptimizer, BinaryRule, FilterSpec, Knob, StateType};
use serde::de::{MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// A rule: its name, or a table with its knobs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum OptimizerConfig {
    /// Knobs at their defaults, or beside it.
    Name(String),
    /// As a resolved configuration has it.
    Table(OptimizerTable),
}

/// `{ name, knobs = { alpha = "0.001,linear", gamma = 0.1, ... } }`, for `iir` with `filter = { design = "bessel", order = 4 }`; what is left
/// out takes its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerTable {
    /// Rule.
    pub name: String,
    /// How its states are stored.
    #[serde(default)]
    pub state: StateType,
    /// Its knobs.
    #[serde(default)]
    pub knobs: BTreeMap<String, Knob>,
    /// Its filter, where it is made of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<FilterSpec>,
}

impl OptimizerTable {
    /// The rule of that name, at its defaults.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_string(), knobs: BTreeMap::new(), filter: None, state: StateType::F32 }
    }

    /// The rule.
    pub fn make(&self) -> Result<BinaryOptimizer> {
        let made = BinaryRule::named(&self.name)?.make(&self.knobs)?.with_state(self.state)?;
        match &self.filter {
            Some(filter) => made.with_filter(filter),
            None => Ok(made),
        }
    }
}

/// By hand, since an untagged enum forgets what was wrong inside the table.
impl<'de> Deserialize<'de> for OptimizerConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(OptimizerVisitor)
    }
}

struct OptimizerVisitor;

impl<'de> Visitor<'de> for OptimizerVisitor {
    type Value = OptimizerConfig;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the name of an optimizer, or a table { name, knobs }")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> std::result::Result<OptimizerConfig, E> {
        Ok(OptimizerConfig::Name(name.to_string()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<OptimizerConfig, A::Error> {
        OptimizerTable::deserialize(MapAccessDeserializer::new(map)).map(OptimizerConfig::Table)
    }
}

impl OptimizerConfig {
    /// From a flag: a name.
    #[cfg(feature = "cli")]
    pub(super) fn parse(name: &str) -> std::result::Result<Self, String> {
        Ok(Self::Name(name.to_string()))
    }
}
