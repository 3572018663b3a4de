//! Assignment of rules to parameters: one for binary weights, one for float parameters, and others for some layers.

use crate::error::{Error, Result};
use crate::graph::Role;
use crate::optim::{FlipControl, Hyperparameters, Optimizer};
use crate::runtime::StepParams;
use std::fmt;

/// Maximum number of rules, given by the hyperparameters of a step.
const MAX: usize = size_of::<StepParams>() / size_of::<Hyperparameters>();

/// Number of vec4 of a rule's hyperparameters.
const HYPERPARAMETERS: usize = size_of::<Hyperparameters>() / size_of::<[f32; 4]>();

/// A pattern of layer names such as `conv2` or `residual3.conv1`: `*` is any text, `?` any one character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Creates a pattern from its text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether the whole name matches.
    pub fn matches(&self, name: &str) -> bool {
        fn matches(pattern: &[u8], name: &[u8]) -> bool {
            match (pattern, name) {
                ([], []) => true,
                ([b'*', rest @ ..], _) => (0..=name.len()).any(|skip| matches(rest, &name[skip..])),
                ([b'?', pattern @ ..], [_, name @ ..]) => matches(pattern, name),
                ([p, pattern @ ..], [n, name @ ..]) => p == n && matches(pattern, name),
                _ => false,
            }
        }
        matches(self.0.as_bytes(), name.as_bytes())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The rules of a model's parameters.
#[derive(Debug)]
pub struct Rules {
    /// Rule of the binary weights.
    pub binary: Box<dyn Optimizer>,
    /// Rule of the float parameters.
    pub float: Box<dyn Optimizer>,
    /// Rules of layers, for parameters of the rule's role. The first pattern that matches wins; other layers take the rules above.
    pub layers: Vec<(Pattern, Box<dyn Optimizer>)>,
    /// Controller of the rates of binary weights.
    pub control: Option<FlipControl>,
}

impl Rules {
    /// Creates rules with the same two rules for all layers.
    pub fn new(binary: impl Optimizer + 'static, float: impl Optimizer + 'static) -> Self {
        Self { binary: Box::new(binary), float: Box::new(float), layers: Vec::new(), control: None }
    }

    /// Sets another rule for the layers that match a pattern and no earlier one.
    pub fn with(mut self, layers: &str, rule: impl Optimizer + 'static) -> Self {
        self.layers.push((Pattern::new(layers), Box::new(rule)));
        self
    }

    /// Sets a controller of the rates of binary weights.
    pub fn with_control(self, control: FlipControl) -> Self {
        Self { control: Some(control), ..self }
    }

    /// Returns the rules in the order of their hyperparameters in a step's values.
    fn all(&self) -> impl Iterator<Item = &dyn Optimizer> {
        [&self.binary, &self.float].into_iter().chain(self.layers.iter().map(|(_, rule)| rule)).map(Box::as_ref)
    }

    /// Returns the rule of a layer's parameters of a role, and the index of the first vec4 of its hyperparameters in the step's values.
    pub(super) fn of(&self, layer: &str, role: Role) -> (&dyn Optimizer, u32) {
        let matching = |(pattern, rule): &(Pattern, Box<dyn Optimizer>)| rule.role() == role && pattern.matches(layer);
        let number = match self.layers.iter().position(matching) {
            Some(position) => 2 + position,
            None => usize::from(role == Role::Float),
        };
        (self.all().nth(number).expect("the number of a rule"), (HYPERPARAMETERS * number) as u32)
    }

    /// Returns the index of the first vec4 of the controller's hyperparameters, which follow those of the rules.
    pub(super) fn control_offset(&self) -> u32 {
        (HYPERPARAMETERS * (2 + self.layers.len())) as u32
    }

    /// Returns the largest value of a rule's rate, for a controller. Fails for a rule without a rate.
    pub(super) fn rate_limit(&self, rule: &dyn Optimizer) -> Result<f32> {
        match rule.rate_limit() {
            None if self.control.is_some() => {
                Err(Error::setting("target-flip-ratio", "rules that have a rate", rule.name()))
            }
            limit => Ok(limit.unwrap_or(f32::MAX)),
        }
    }

    /// Writes the hyperparameters of step `step` (from 0) of `total`.
    pub(super) fn hyperparameters(&self, values: &mut StepParams, step: u64, total: u64) {
        let (slots, _) = values.hyperparameters.as_chunks_mut::<HYPERPARAMETERS>();
        let rules = self.all().map(|rule| rule.hyperparameters(step, total));
        let control = self.control.as_ref().map(|control| control.hyperparameters(step, total));
        slots.iter_mut().zip(rules.chain(control)).for_each(|(slot, values)| *slot = values);
    }

    /// Fails for hyperparameters whose schedules leave their ranges in a run of `total` steps.
    pub(super) fn check_steps(&self, total: u64) -> Result<()> {
        self.all().try_for_each(|rule| rule.check_steps(total))?;
        self.control.as_ref().map_or(Ok(()), |control| control.check_steps(total))
    }

    /// Describes schedules whose pieces do not fit into a run of `total` steps.
    pub(super) fn misfits(&self, total: u64) -> Vec<String> {
        self.all().flat_map(|rule| rule.misfits(total)).collect()
    }

    /// Fails for rules of the wrong role, too many rules, and patterns that match no layer with parameters of the rule's role.
    pub(super) fn check(&self, parameters: &[(&str, Role)]) -> Result<()> {
        for (rule, role) in [(&self.binary, Role::Binary), (&self.float, Role::Float)] {
            if rule.role() != role {
                return Err(Error::setting("rules", format!("a rule for {role:?} parameters"), rule.name()));
            }
        }
        Self::check_count(self.layers.len(), self.control.is_some())?;
        for (number, (pattern, rule)) in self.layers.iter().enumerate() {
            let layers = || parameters.iter().filter(|(_, role)| *role == rule.role()).map(|(layer, _)| *layer);
            if !layers().any(|layer| pattern.matches(layer)) {
                let names = layers().collect::<Vec<_>>().join(", ");
                let expected = match (&*names, rule.role()) {
                    ("", Role::Binary) => format!("no rule {}, since no layer has binary weights", rule.name()),
                    ("", Role::Float) => format!("no rule {}, since no layer has float parameters", rule.name()),
                    _ => format!("a pattern of layers that {} trains: {names}", rule.name()),
                };
                return Err(Error::setting("layer-optimizer", expected, format!("`{pattern}`, which matches none")));
            }
            // The first pattern that matches wins.
            let earlier: Vec<&Pattern> = self.layers[..number]
                .iter()
                .filter(|(_, other)| other.role() == rule.role())
                .map(|(pattern, _)| pattern)
                .collect();
            let is_taken = |layer: &str| earlier.iter().any(|pattern| pattern.matches(layer));
            if layers().filter(|layer| pattern.matches(layer)).all(is_taken) {
                let earlier: Vec<String> = earlier.iter().map(|pattern| format!("`{pattern}`")).collect();
                let got = format!("`{pattern}` behind {}", earlier.join(", "));
                return Err(Error::setting(
                    "layer-optimizer",
                    "a pattern with a layer that no earlier pattern takes",
                    got,
                ));
            }
        }
        Ok(())
    }

    /// Fails for more patterns than a step has hyperparameters for, given a controller or none.
    pub(super) fn check_count(patterns: usize, is_controlled: bool) -> Result<()> {
        let most = MAX - 2 - usize::from(is_controlled);
        if patterns > most {
            return Err(Error::setting("layer-optimizer", format!("at most {most} patterns"), patterns));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::{Adam, BOP, CEMA, EMA, Schedule};

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, expected) in [
            ("conv*", "conv2", true),
            ("conv*", "residual1.conv2", false),
            ("*conv?", "residual1.conv2", true),
            ("*conv?", "conv12", false),
            ("residual?.*.conv1", "residual1.shortcut.conv1", true),
            ("dense1", "dense1", true),
            ("dense1", "dense12", false),
            ("*", "", true),
            ("?", "", false),
            ("", "dense1", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), expected, "`{pattern}` and `{name}`");
        }
    }

    #[test]
    fn the_first_match_wins_and_hyperparameters_have_slots() {
        let adam = Adam::new(0.5, Schedule::constant()).expect("in range");
        let with =
            |rule: &'static crate::optim::BinaryRule, alpha: f32| rule.with([("alpha", alpha)]).expect("in range");
        let rules = Rules::new(with(&CEMA, 0.1), adam).with("dense2", with(&BOP, 0.2)).with("dense*", with(&EMA, 0.3));
        for (layer, name, hyperparameter) in [("conv1", "cema", 0), ("dense2", "bop", 8), ("dense1", "ema", 12)] {
            let (rule, at) = rules.of(layer, Role::Binary);
            assert_eq!((rule.name(), at), (name, hyperparameter), "{layer}");
        }
        assert_eq!(rules.of("dense2", Role::Float).1, 4);
        let mut values = StepParams::default();
        rules.hyperparameters(&mut values, 0, 10);
        assert_eq!([0, 8, 12].map(|at| values.hyperparameters[at][0]), [0.1, 0.2, 0.3]);
        let parameters = [("dense1", Role::Binary), ("dense2", Role::Binary), ("norm1", Role::Float)];
        rules.check(&parameters).expect("all of them match");
        for wrong in ["conv*", "norm1"] {
            let rules = Rules { layers: vec![(Pattern::new(wrong), Box::new(with(&EMA, 0.1)))], ..rules_of_nothing() };
            let error = rules.check(&parameters).expect_err("no such layer").to_string();
            assert!(error.contains(wrong) && error.contains("dense1, dense2"), "{error}");
        }
        // A pattern that no layer reaches; a float rule takes none of its layers.
        let hidden = |first: &str| rules_of_nothing().with(first, with(&BOP, 0.1)).with("dense1", with(&EMA, 0.1));
        hidden("dense2").check(&parameters).expect("each has a layer");
        let error = hidden("dense*").check(&parameters).expect_err("no layer remains").to_string();
        assert!(error.contains("no earlier pattern takes") && error.contains("`dense1` behind `dense*`"), "{error}");
        let rules = rules_of_nothing().with("*", Adam::new(0.5, Schedule::constant()).expect("in range"));
        rules.with("dense1", with(&EMA, 0.1)).check(&parameters).expect("of another role");
        let rules = rules_of_nothing().with("*", with(&EMA, 0.1));
        let error = rules.check(&parameters[2..]).expect_err("nothing binary").to_string();
        assert!(error.contains("no layer has binary weights") && error.contains("`*`"), "{error}");
        let many = (0..7).fold(rules_of_nothing(), |rules, _| rules.with("*", with(&EMA, 0.1)));
        assert!(many.check(&parameters).is_err_and(|e| e.to_string().contains("at most 6 patterns, got 7")));
    }

    fn rules_of_nothing() -> Rules {
        let adam = Adam::new(0.5, Schedule::constant()).expect("in range");
        Rules::new(CEMA.with::<f32>([]).expect("defaults"), adam)
    }
}
