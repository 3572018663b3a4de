//! The optimizer of binary weights as files and flags have it: a rule, or a table with its hyperparameters and rules of some layers.

use super::super::rules::Pattern;
use crate::error::{Error, Result};
use crate::optim::{BinaryOptimizer, BinaryRule, FilterSpec, Hyperparameter, Optimizer, Schedule, StateType};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

/// A rule with its hyperparameters: in a file `"bop"`, or
/// `{ name = "cema", state-dtype = "i16", hyperparameters = { alpha = "0.001,linear", gamma = 0.1 }, rules = [...] }`, for `iir` with
/// `filter = { design = "bessel", order = 4 }`. Absent keys take their defaults. A resolved configuration has the whole table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "kebab-case", deny_unknown_fields)]
pub struct OptimizerTable {
    /// Name of the rule.
    #[serde(default = "default_rule")]
    pub name: String,
    /// Storage format of its states.
    #[serde(default)]
    pub state_dtype: StateType,
    /// Its hyperparameters by name.
    #[serde(default)]
    pub hyperparameters: BTreeMap<String, Hyperparameter>,
    /// Its filter, of the rule `iir`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<FilterSpec>,
    /// Rules of some layers; the first whose pattern matches wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<LayerRule>,
}

fn default_rule() -> String {
    "cema".into()
}

impl Default for OptimizerTable {
    fn default() -> Self {
        Self::named(&default_rule())
    }
}

impl OptimizerTable {
    /// The rule of that name with default hyperparameters.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_string(),
            state_dtype: StateType::F32,
            hyperparameters: BTreeMap::new(),
            filter: None,
            rules: Vec::new(),
        }
    }

    /// The rule; an error for hyperparameters and formats that it does not have.
    pub fn make(&self) -> Result<BinaryOptimizer> {
        make(&self.name, &self.hyperparameters, self.state_dtype, self.filter.as_ref())
    }

    /// Removes scales of initial states that are defaults of a run without given weights.
    pub(super) fn drop_default_scales(&mut self) {
        let rules = self.rules.iter_mut().map(|rule| &mut rule.hyperparameters);
        for hyperparameters in rules.chain([&mut self.hyperparameters]) {
            hyperparameters.retain(|name, scale| name != STATE_INIT_SCALE || scale.value != DEFAULT_SCALE);
        }
    }

    /// `set` if it is set, else `other`. A name alone keeps the table of the same rule, and the layers' rules of another one.
    pub(super) fn over(set: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (set, other) {
            (Some(set), Some(other)) if set == Self::named(&set.name) => {
                Some(if set.name == other.name { other } else { Self { rules: other.rules, ..set } })
            }
            (set, other) => set.or(other),
        }
    }
}

fn make(
    name: &str,
    hyperparameters: &BTreeMap<String, Hyperparameter>,
    state_dtype: StateType,
    filter: Option<&FilterSpec>,
) -> Result<BinaryOptimizer> {
    let made = BinaryRule::named(name)?.make(hyperparameters)?.with_state(state_dtype)?;
    match filter {
        Some(filter) => made.with_filter(filter),
        None => Ok(made),
    }
}

/// A rate that a controller moves stays where it starts, unless a schedule is asked for.
pub(super) fn hold_rate(rule: &BinaryRule, hyperparameters: &mut BTreeMap<String, Hyperparameter>) {
    if let Some(spec) = rule.hyperparameters.first() {
        let rate = hyperparameters.entry(spec.name.into()).or_insert_with(|| spec.default.into());
        rate.schedule.get_or_insert_with(Schedule::constant);
    }
}

/// The rule of some layers: in a file `{ layers = "conv*", name = "bop", hyperparameters = { alpha = 1e-4 } }`, there or as a flag
/// `conv*=bop,alpha=1e-4`. The text has hyperparameters and `state-dtype`; a filter needs the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "kebab-case", deny_unknown_fields)]
pub struct LayerRule {
    /// Pattern of the layers' names: `*` is any text, `?` any one character.
    pub layers: String,
    /// Name of the rule.
    pub name: String,
    /// Storage format of its states.
    #[serde(default)]
    pub state_dtype: StateType,
    /// Its hyperparameters by name.
    #[serde(default)]
    pub hyperparameters: BTreeMap<String, Hyperparameter>,
    /// Its filter, of the rule `iir`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<FilterSpec>,
}

impl LayerRule {
    /// With every hyperparameter of the rule. `state_init` is the setting of that name, `default_scale` that of its scaled states.
    pub(super) fn resolved(mut self, state_init: Option<&str>, default_scale: f32) -> Result<Self> {
        let rule = BinaryRule::named(&self.name).map_err(|error| self.within(error))?;
        let scale = self.hyperparameters.get_mut(STATE_INIT_SCALE);
        match (state_init, scale) {
            (Some("zero"), Some(scale)) => scale.value = 0.0,
            (Some("zero"), None) | (_, Some(_)) => {}
            (_, None) if rule.first_update.is_some() => {
                self.hyperparameters.insert(STATE_INIT_SCALE.into(), default_scale.into());
            }
            _ => {}
        }
        self.filter = self.filter.take().or(rule.is_filter.then(FilterSpec::default)).map(FilterSpec::filled);
        let made = make(&self.name, &self.hyperparameters, self.state_dtype, self.filter.as_ref())
            .map_err(|error| self.within(error))?;
        self.hyperparameters =
            made.settings().map(|(name, hyperparameter)| (name.to_string(), hyperparameter.clone())).collect();
        Ok(self)
    }

    /// [`hold_rate`] of its rule.
    pub(super) fn hold_rate(&mut self) -> Result<()> {
        let rule = BinaryRule::named(&self.name).map_err(|error| self.within(error))?;
        hold_rate(rule, &mut self.hyperparameters);
        Ok(())
    }

    /// The pattern of the layers, and the rule.
    pub(in crate::train) fn make(&self) -> Result<(Pattern, Box<dyn Optimizer>)> {
        let rule = make(&self.name, &self.hyperparameters, self.state_dtype, self.filter.as_ref())?;
        Ok((Pattern::new(&self.layers), Box::new(rule)))
    }

    /// Sets the format of states, or a hyperparameter, from its text.
    fn set(&mut self, name: &str, text: &str) -> Result<()> {
        if name == "state-dtype" {
            self.state_dtype = text.parse()?;
            return Ok(());
        }
        refuse_old_name(name)?;
        if FilterSpec::KEYS.contains(&name) {
            let expected = format!("a filter in a file, [[optimizer.rules]] with filter = {{ {name} = ... }}");
            return Err(Error::setting(name, expected, format!("{name}={text}")));
        }
        let hyperparameter = parse_hyperparameter(text).map_err(|error| error.within(name))?;
        self.hyperparameters.insert(name.to_string(), hyperparameter);
        Ok(())
    }

    /// Says which rule an error is about.
    fn within(&self, error: Error) -> Error {
        error.within(&format!("rule of layers `{}`", self.layers))
    }
}

/// A hyperparameter from its text; an error that is not about the schedule has an empty `what`.
pub(super) fn parse_hyperparameter(text: &str) -> Result<Hyperparameter> {
    text.parse().map_err(|error| match error {
        Error::Setting { what, expected, got } if what == "hyperparameter" => Error::setting("", expected, got),
        other => other,
    })
}

/// The hyperparameter for the initial states of filters.
pub(super) const STATE_INIT_SCALE: &str = "state-init-scale";

/// Its default, in units of the first update. Measured (docs/filters.md): from 3 on every seed of small sets learns, from 30 on accuracy falls.
pub(super) const DEFAULT_SCALE: f32 = 5.0;

/// Its default where weights are given: the gradient of one batch must not undo what they have learned.
pub(super) const DEFAULT_SCALE_OF_GIVEN_WEIGHTS: f32 = 100.0;

/// Former names of settings, of keys in the optimizer's table and of hyperparameters, and what they are called now.
pub(super) const RENAMED: [(&str, &str); 8] = [
    ("rule", "layer-optimizer"),
    ("state", "state-dtype"),
    ("float", "full-precision"),
    ("start", "state-init"),
    ("hold", STATE_INIT_SCALE),
    ("preset", "hyperparameters"),
    ("knobs", "hyperparameters"),
    ("alpha-schedule", "alpha NUMBER,SCHEDULE"),
];

/// Refuses a former name with a line that says the new one.
pub(crate) fn refuse_old_name(name: &str) -> Result<()> {
    match RENAMED.iter().find(|(old, _)| *old == name) {
        Some((old, new)) => Err(Error::setting(*old, format!("`{new}`, which replaces `{old}`"), format!("`{old}`"))),
        None => Ok(()),
    }
}

impl FromStr for LayerRule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong =
            || Error::setting("", "LAYERS=RULE[,NAME=VALUE...] such as conv*=bop,alpha=1e-4", format!("`{text}`"));
        let (layers, rest) = text.split_once('=').ok_or_else(wrong)?;
        let mut parts = rest.split(',').map(str::trim);
        let name = parts.next().filter(|name| !name.is_empty() && !name.contains('=')).ok_or_else(wrong)?;
        // Schedules contain commas: a part without `=` belongs to the hyperparameter before it.
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
            return Err(Error::setting("", "each hyperparameter once", format!("`{text}`")));
        }
        let mut rule = Self {
            layers: layers.trim().to_string(),
            name: name.to_string(),
            hyperparameters: BTreeMap::new(),
            state_dtype: StateType::F32,
            filter: None,
        };
        for (name, value) in texts {
            rule.set(name, &value).map_err(|error| rule.within(error))?;
        }
        Ok(rule)
    }
}

impl fmt::Display for LayerRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.layers, self.name)?;
        if self.state_dtype != StateType::F32 {
            write!(f, ",state-dtype={}", self.state_dtype)?;
        }
        self.hyperparameters.iter().try_for_each(|(name, hyperparameter)| write!(f, ",{name}={hyperparameter}"))
    }
}

impl FromStr for OptimizerTable {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Ok(Self::named(name))
    }
}

impl fmt::Display for OptimizerTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Reads what is a text or a table in a file. Written by hand, since an untagged enum loses the reason of an error inside the table.
struct TextOrTable<T>(PhantomData<T>);

trait FromTable: FromStr<Err = Error> {
    const EXPECTED: &str;

    fn from_table<'de, D: Deserializer<'de>>(table: D) -> std::result::Result<Self, D::Error>;
}

impl FromTable for OptimizerTable {
    const EXPECTED: &str = "the name of a rule, or a table { name, state-dtype, hyperparameters, filter, rules }";

    fn from_table<'de, D: Deserializer<'de>>(table: D) -> std::result::Result<Self, D::Error> {
        Self::deserialize(table)
    }
}

impl FromTable for LayerRule {
    const EXPECTED: &str =
        "LAYERS=RULE[,NAME=VALUE...], or a table { layers, name, state-dtype, hyperparameters, filter }";

    fn from_table<'de, D: Deserializer<'de>>(table: D) -> std::result::Result<Self, D::Error> {
        Self::deserialize(table)
    }
}

impl<'de, T: FromTable> Visitor<'de> for TextOrTable<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<T, A::Error> {
        T::from_table(MapAccessDeserializer::new(map))
    }
}

/// With `remote`, serde's derive makes functions instead of the traits' implementations.
macro_rules! text_or_table {
    ($($ty:ty),*) => {$(
        impl<'de> Deserialize<'de> for $ty {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                deserializer.deserialize_any(TextOrTable(PhantomData))
            }
        }

        impl Serialize for $ty {
            fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                Self::serialize(self, serializer)
            }
        }
    )*};
}

text_or_table!(OptimizerTable, LayerRule);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_a_rule_with_hyperparameters_and_their_schedules() {
        let rule: LayerRule =
            "residual?.conv* = bop,alpha=1e-4,warmup:5,cosine:0.00001,threshold=0".parse().expect("a rule");
        assert_eq!((&*rule.layers, &*rule.name, rule.hyperparameters.len()), ("residual?.conv*", "bop", 2));
        assert_eq!(rule.hyperparameters["alpha"].to_string(), "0.0001,warmup:5,cosine:0.00001");
        assert_eq!("dense1=ema".parse::<LayerRule>().expect("a rule").hyperparameters.len(), 0);
        for wrong in ["conv*", "conv*=", "conv*=alpha=1", "conv*=bop,linear", "conv*=bop,alpha=x"] {
            assert!(wrong.parse::<LayerRule>().is_err_and(|e| e.is_usage()), "{wrong}");
        }
        let text = "conv*=bop,state-dtype=i16,alpha=0.5,linear";
        assert_eq!(text.parse::<LayerRule>().expect("a rule").to_string(), text);
        let stored: LayerRule = "conv*=ema,state-dtype=i16,alpha=1e-4".parse().expect("a rule");
        assert_eq!((stored.state_dtype, stored.hyperparameters.len()), (StateType::I16, 1));
        for (wrong, words) in [
            ("conv*=ema,state-dtype=i4", ["`conv*`: state-dtype: expected f32", "got i4"]),
            ("conv*=ema,alpha=x", ["`conv*`: alpha: expected NUMBER", "got x"]),
            ("conv*=ema,alpha=1,nope", ["`conv*`: alpha: schedule: expected constant", "got nope"]),
            ("conv*=iir,design=bessel", ["`conv*`: design: expected a filter in a file", "got design=bessel"]),
        ] {
            let error = wrong.parse::<LayerRule>().expect_err(wrong).to_string();
            assert!(words.into_iter().all(|word| error.contains(word)), "expected {words:?} in: {error}");
        }
        let error = "conv*=bop,state-dtype=i16"
            .parse::<LayerRule>()
            .and_then(|r| r.resolved(None, DEFAULT_SCALE))
            .expect_err("no such type");
        assert!(
            error.to_string().contains("`conv*`: state-dtype") && error.to_string().contains("f32 for bop, got i16"),
            "{error}"
        );
        let error = "conv*=bop,gamma=1"
            .parse::<LayerRule>()
            .and_then(|r| r.resolved(None, DEFAULT_SCALE))
            .expect_err("no such hyperparameter");
        assert!(error.to_string().contains("conv*") && error.to_string().contains("bop"), "{error}");
    }
}
