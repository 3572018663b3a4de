//! The optimizer as a file has it: a name, or a table.

use super::rules::Pattern;
use crate::error::{Error, Result};
use crate::optim::{BinaryOptimizer, BinaryRule, FilterSpec, Hyperparameter, Optimizer, StateType};
use serde::de::{MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::str::FromStr;

/// A rule: its name, or a table with its hyperparameters.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum OptimizerConfig {
    /// Hyperparameters at their defaults, or beside it.
    Name(String),
    /// As a resolved configuration has it.
    Table(OptimizerTable),
}

/// `{ name, hyperparameters = { alpha = "0.001,linear", gamma = 0.1, ... }, rules = [...] }`, for `iir` with `filter = { design = "bessel", order = 4 }`;
/// what is left out takes its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerTable {
    /// Rule.
    #[serde(default = "usual_rule")]
    pub name: String,
    /// How its states are stored.
    #[serde(default)]
    pub state: StateType,
    /// Its hyperparameters.
    #[serde(default)]
    pub hyperparameters: BTreeMap<String, Hyperparameter>,
    /// Its filter, where it is made of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<FilterSpec>,
    /// Other rules for some layers; the first whose pattern matches wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<LayerRule>,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self::Name(usual_rule())
    }
}

impl OptimizerConfig {
    /// Name of the rule.
    pub fn name(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Table(table) => &table.name,
        }
    }

    /// `set` where it is set, else `other`. A name alone keeps the table of the rule that has it, and of another one's the rules of single
    /// layers.
    pub(super) fn over(set: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (set, other) {
            (Some(Self::Name(name)), Some(Self::Table(table))) if name == table.name => Some(Self::Table(table)),
            (Some(Self::Name(name)), Some(Self::Table(table))) => {
                Some(Self::Table(OptimizerTable { rules: table.rules, ..OptimizerTable::named(&name) }))
            }
            (set, other) => set.or(other),
        }
    }
}

impl Default for OptimizerTable {
    fn default() -> Self {
        Self::named(&usual_rule())
    }
}

fn usual_rule() -> String {
    "cema".into()
}

/// The rule of some layers: `{ layers = "conv*", name = "bop", hyperparameters = { alpha = 1e-4 } }`, or as a flag `conv*=bop,alpha=1e-4`, where `state=i16` says how
/// its states are stored; a filter has no flag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerRule {
    /// Pattern of the layers' names: `*` is any text, `?` any one character.
    pub layers: String,
    /// Rule.
    pub name: String,
    /// How its states are stored.
    #[serde(default)]
    pub state: StateType,
    /// Its hyperparameters.
    #[serde(default)]
    pub hyperparameters: BTreeMap<String, Hyperparameter>,
    /// Its filter, where it is made of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<FilterSpec>,
}

impl OptimizerTable {
    /// The rule of that name, at its defaults.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_string(),
            hyperparameters: BTreeMap::new(),
            filter: None,
            state: StateType::F32,
            rules: Vec::new(),
        }
    }

    /// The rule.
    pub fn make(&self) -> Result<BinaryOptimizer> {
        made(&self.name, &self.hyperparameters, self.state, self.filter.as_ref())
    }
}

fn made(
    name: &str,
    hyperparameters: &BTreeMap<String, Hyperparameter>,
    state: StateType,
    filter: Option<&FilterSpec>,
) -> Result<BinaryOptimizer> {
    let made = BinaryRule::named(name)?.make(hyperparameters)?.with_state(state)?;
    match filter {
        Some(filter) => made.with_filter(filter),
        None => Ok(made),
    }
}

impl LayerRule {
    /// With every hyperparameter of the rule. `start` is what the settings say of the start of filters' states.
    pub(super) fn resolved(mut self, start: Option<&str>) -> Result<Self> {
        let rule = BinaryRule::named(&self.name).map_err(|error| self.place(error))?;
        match start {
            Some("hold") if rule.hold != 0.0 => {
                drop(self.hyperparameters.entry("hold".into()).or_insert(rule.hold.into()))
            }
            Some("zero") => self.hyperparameters.get_mut("hold").into_iter().for_each(|hold| hold.value = 0.0),
            _ => {}
        }
        self.filter = self.filter.take().or(rule.is_filter.then(FilterSpec::default)).map(FilterSpec::filled);
        let made = made(&self.name, &self.hyperparameters, self.state, self.filter.as_ref())
            .map_err(|error| self.place(error))?;
        self.hyperparameters =
            made.settings().map(|(name, hyperparameter)| (name.to_string(), hyperparameter.clone())).collect();
        Ok(self)
    }

    /// The rule and the pattern of its layers.
    pub(super) fn make(&self) -> Result<(Pattern, Box<dyn Optimizer>)> {
        let rule = made(&self.name, &self.hyperparameters, self.state, self.filter.as_ref())?;
        Ok((Pattern::new(&self.layers), Box::new(rule)))
    }

    /// Sets how states are stored, or a hyperparameter, from its text.
    fn set(&mut self, name: &str, text: &str) -> Result<()> {
        if name == "state" {
            self.state = text.parse()?;
            return Ok(());
        }
        let hyperparameter = text.parse().map_err(|error| match error {
            Error::Setting { what, expected, got } => Error::Setting { what: format!("{name}: {what}"), expected, got },
            other => other,
        })?;
        self.hyperparameters.insert(name.to_string(), hyperparameter);
        Ok(())
    }

    /// Says of a setting's error which rule it is in.
    fn place(&self, error: Error) -> Error {
        match error {
            Error::Setting { what, expected, got } => {
                Error::Setting { what: format!("rule of layers `{}`: {what}", self.layers), expected, got }
            }
            other => other,
        }
    }
}

impl FromStr for LayerRule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong =
            || Error::setting("rule", "LAYERS=NAME,KNOB=VALUE,... such as conv*=bop,alpha=1e-4", format!("`{text}`"));
        let (layers, rest) = text.split_once('=').ok_or_else(wrong)?;
        let mut parts = rest.split(',').map(str::trim);
        let name = parts.next().filter(|name| !name.is_empty() && !name.contains('=')).ok_or_else(wrong)?;
        // A schedule has commas of its own: what has no `=` belongs to the hyperparameter before it.
        let mut texts: Vec<(&str, String)> = Vec::new();
        for part in parts {
            match (part.split_once('='), texts.last_mut()) {
                (Some((hyperparameter, value)), _) => texts.push((hyperparameter.trim(), value.trim().to_string())),
                (None, Some((_, value))) => *value = format!("{value},{part}"),
                (None, None) => return Err(wrong()),
            }
        }
        if texts
            .iter()
            .enumerate()
            .any(|(i, (hyperparameter, _))| texts[..i].iter().any(|(other, _)| other == hyperparameter))
        {
            return Err(Error::setting("rule", "each hyperparameter once", format!("`{text}`")));
        }
        let mut rule = Self {
            layers: layers.trim().to_string(),
            name: name.to_string(),
            hyperparameters: BTreeMap::new(),
            state: StateType::F32,
            filter: None,
        };
        for (name, value) in texts {
            rule.set(name, &value).map_err(|error| rule.place(error))?;
        }
        Ok(rule)
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
        f.write_str("the name of an optimizer, or a table { name, hyperparameters, rules }")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_a_rule_with_knobs_and_their_schedules() {
        let rule: LayerRule =
            "residual?.conv* = bop,alpha=1e-4,warmup:5,cosine:0.00001,threshold=0".parse().expect("a rule");
        assert_eq!((&*rule.layers, &*rule.name, rule.hyperparameters.len()), ("residual?.conv*", "bop", 2));
        assert_eq!(rule.hyperparameters["alpha"].to_string(), "0.0001,warmup:5,cosine:0.00001");
        assert_eq!("dense1=ema".parse::<LayerRule>().expect("a rule").hyperparameters.len(), 0);
        for wrong in ["conv*", "conv*=", "conv*=alpha=1", "conv*=bop,linear", "conv*=bop,alpha=x"] {
            assert!(wrong.parse::<LayerRule>().is_err_and(|e| e.is_usage()), "{wrong}");
        }
        let stored: LayerRule = "conv*=ema,state=i16,alpha=1e-4".parse().expect("a rule");
        assert_eq!((stored.state, stored.hyperparameters.len()), (StateType::I16, 1));
        for (wrong, words) in [
            ("conv*=ema,state=i4", ["`conv*`: state: expected f32", "got i4"]),
            ("conv*=ema,alpha=x", ["`conv*`: alpha: hyperparameter: expected NUMBER", "got x"]),
            ("conv*=ema,alpha=1,nope", ["`conv*`: alpha: schedule: expected constant", "got nope"]),
            ("conv*=iir,design=bessel", ["`conv*`: design: hyperparameter: expected NUMBER", "got bessel"]),
        ] {
            let error = wrong.parse::<LayerRule>().expect_err(wrong).to_string();
            assert!(words.into_iter().all(|word| error.contains(word)), "expected {words:?} in: {error}");
        }
        let error =
            "conv*=bop,state=i16".parse::<LayerRule>().and_then(|r| r.resolved(None)).expect_err("no such type");
        assert!(error.to_string().contains("`conv*`: state") && error.to_string().contains("i16 for bop"), "{error}");
        let error = "conv*=bop,gamma=1"
            .parse::<LayerRule>()
            .and_then(|r| r.resolved(None))
            .expect_err("no such hyperparameter");
        assert!(error.to_string().contains("conv*") && error.to_string().contains("bop"), "{error}");
    }
}
