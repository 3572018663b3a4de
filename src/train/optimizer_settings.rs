//! What settings say of the optimizer: hyperparameters beside its table, presets, starts, filters.

use super::optimizer_config::{LayerRule, OptimizerConfig, OptimizerTable};
use super::rules::Rules;
use super::settings::Settings;
use crate::error::{Error, Result};
use crate::optim::{BINARY_RULES, BinaryRule, FilterSpec, Hyperparameter};

impl Settings {
    /// The hyperparameters that are set beside the optimizer's table.
    fn hyperparameters(&self) -> impl Iterator<Item = (&'static str, &Hyperparameter)> {
        let all = [
            ("alpha", &self.alpha),
            ("gamma", &self.gamma),
            ("sigma", &self.sigma),
            ("threshold", &self.threshold),
            ("hold", &self.hold),
            ("lr", &self.lr),
            ("momentum", &self.momentum),
            ("beta1", &self.beta1),
            ("beta2", &self.beta2),
            ("weight-decay", &self.weight_decay),
            ("clip", &self.clip),
            ("init", &self.init),
            ("cutoff", &self.cutoff),
        ];
        all.into_iter().filter_map(|(name, hyperparameter)| Some((name, hyperparameter.as_ref()?)))
    }

    /// The hyperparameters of the float optimizer that are set.
    pub(super) fn float_hyperparameters(&self) -> Vec<(&'static str, f64)> {
        let all = [
            ("float-beta1", self.float_beta1),
            ("float-beta2", self.float_beta2),
            ("float-epsilon", self.float_epsilon),
            ("float-momentum", self.float_momentum),
            ("float-weight-decay", self.float_weight_decay),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// The filter that is set beside the optimizer's table.
    pub(super) fn filter(&self) -> Option<FilterSpec> {
        let Self { design, order, poles, b, a, .. } = self.clone();
        let filter = FilterSpec { design, order, poles, b, a };
        (filter != FilterSpec::default()).then_some(filter)
    }

    /// The rule with all of its hyperparameters: those beside the table win over those in it.
    pub(super) fn optimizer_table(&self) -> Result<OptimizerTable> {
        let OptimizerTable { name, mut hyperparameters, filter, state, mut rules } =
            match self.optimizer.clone().unwrap_or_default() {
                OptimizerConfig::Name(name) => OptimizerTable::named(&name),
                OptimizerConfig::Table(table) => table,
            };
        if let Some(texts) = &self.rule {
            rules = texts.iter().map(|text| text.parse()).collect::<Result<_>>()?;
        }
        Rules::check_count(rules.len())?;
        let rule = BinaryRule::named(&name)?;
        let filter = match (self.filter(), filter) {
            (Some(set), Some(filter)) => Some(set.over(filter)),
            (set, filter) => set.or(filter).or(rule.is_filter.then(FilterSpec::default)),
        };
        let filter = filter.map(FilterSpec::filled);
        hyperparameters
            .extend(self.hyperparameters().map(|(name, hyperparameter)| (name.to_string(), hyperparameter.clone())));
        match self.preset.as_deref() {
            None | Some("defaults") => {}
            Some("paper") if rule.paper.is_empty() => {
                let published: Vec<&str> =
                    BINARY_RULES.iter().filter(|r| !r.paper.is_empty()).map(|r| r.name).collect();
                let expected = format!("paper only for {}, whose papers give values", published.join(", "));
                return Err(Error::setting("preset", expected, format!("paper for {}", rule.name)));
            }
            Some("paper") => {
                for (name, hyperparameter) in rule.paper {
                    hyperparameters.entry((*name).into()).or_insert(hyperparameter.parse()?);
                }
            }
            Some(other) => return Err(Error::setting("preset", "defaults, paper", other)),
        }
        let starts = rule.hyperparameters.iter().any(|spec| spec.name == "hold");
        match (self.start.as_deref(), self.hold.as_ref().map(|hold| hold.value)) {
            (None, _) => {}
            (Some("zero"), Some(hold)) if hold != 0.0 => {
                return Err(Error::setting("start", "hold, with --hold above 0", "zero"));
            }
            (Some("hold"), Some(0.0)) => return Err(Error::setting("start", "zero, with --hold 0", "hold")),
            (Some("zero"), _) if starts => hyperparameters.entry("hold".into()).or_insert(0.0.into()).value = 0.0,
            (Some("hold"), _) if starts => drop(hyperparameters.entry("hold".into()).or_insert(rule.hold.into())),
            // Rules of single layers may have a start, and latent weights start from given ones.
            (Some("zero" | "hold"), _) if self.init_from.is_some() || !rules.is_empty() => {}
            (Some("zero" | "hold"), _) => {
                let expected = format!("a rule whose states start at zero or hold, not {}", rule.name);
                return Err(Error::setting("start", expected, self.start.as_deref().unwrap_or_default()));
            }
            (Some(other), _) => return Err(Error::setting("start", "zero, hold", other)),
        }
        let rules = rules.into_iter().map(|rule| rule.resolved(self.start.as_deref())).collect::<Result<_>>()?;
        let state = self.state.unwrap_or(state);
        let table = OptimizerTable { name, hyperparameters, filter, state, rules };
        let hyperparameters =
            table.make()?.settings().map(|(name, hyperparameter)| (name.to_string(), hyperparameter.clone())).collect();
        Ok(OptimizerTable { hyperparameters, ..table })
    }

    /// The table for a start from given weights: where nothing is said about the start of a filter it holds them, since states that
    /// start at 0 let the first gradient decide every weight.
    pub(super) fn holding_table(&self) -> Result<OptimizerTable> {
        let mut table = self.optimizer_table()?;
        if self.start.is_some() {
            return Ok(table);
        }
        // A hyperparameter of a flag is said; one of a file may be what was resolved.
        let texts =
            self.rule.iter().flatten().map(|text| Ok(text.parse::<LayerRule>()?.hyperparameters.contains_key("hold")));
        let said = texts.collect::<Result<Vec<bool>>>()?.into_iter().chain(std::iter::repeat(false));
        let rules = table.rules.iter_mut().zip(said).map(|(rule, said)| (&rule.name, &mut rule.hyperparameters, said));
        for (name, hyperparameters, said) in
            rules.chain([(&table.name, &mut table.hyperparameters, self.hold.is_some())])
        {
            if let Some(hold) = hyperparameters.get_mut("hold").filter(|hold| hold.value == 0.0 && !said) {
                hold.value = BinaryRule::named(name)?.hold;
            }
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sweep::{Axis, Sweep};
    use super::*;
    use std::path::Path;

    #[test]
    fn starts_take_no_schedule_wherever_they_are_set() {
        let file = |text: &str| toml::from_str::<Settings>(text).expect("it is TOML").resolve().map(drop);
        let flag = |rule: &str| Settings { rule: Some(vec![rule.into()]), ..Settings::default() }.resolve().map(drop);
        let swept = |rule: &str, grid: &str| {
            let optimizer = Some(OptimizerConfig::Name(rule.into()));
            let base = Settings { optimizer, ..Settings::default() };
            Axis::parse(grid).and_then(|axis| Sweep::new(Path::new("no-such-folder"), base, vec![axis], 1)).map(drop)
        };
        let hold = || Some("1e-3,linear".parse().expect("a hyperparameter"));
        let zero = Settings { hold: Some("0,linear".parse().expect("a hyperparameter")), ..Settings::default() };
        for (hyperparameter, refused) in [
            ("hold", Settings { hold: hold(), ..Settings::default() }.resolve().map(drop)),
            ("hold", Settings { start: Some("hold".into()), hold: hold(), ..Settings::default() }.resolve().map(drop)),
            ("hold", Settings { start: Some("zero".into()), ..zero }.resolve().map(drop)),
            ("hold", file("hold = \"1e-3,linear\"")),
            ("hold", file("[optimizer]\nname = \"diode\"\nhyperparameters = { hold = \"1e-3,warmup:5\" }")),
            ("init", file("[optimizer]\nname = \"latent-sgd\"\nhyperparameters = { init = \"0.1,cosine\" }")),
            (
                "init",
                file(
                    "[[optimizer.rules]]\nlayers = \"*\"\nname = \"signum\"\nhyperparameters = { init = \"1,linear\" }",
                ),
            ),
            ("hold", file("start = \"zero\"\nrule = [\"dense1=ema,hold=1,linear\"]")),
            ("hold", flag("dense1=bop,hold=1e-3,linear")),
            ("init", flag("dense1=latent-adam,init=1,exponential:0.1")),
            ("hold", swept("ema", "hold=0,\"1e-3,linear\"")),
            ("init", swept("latent-sgd", "init=\"0.1,linear\"")),
        ] {
            let error = refused.expect_err("a schedule for a start");
            let text = error.to_string();
            assert!(
                error.is_usage() && text.contains(&format!("{hyperparameter}: expected a number without a schedule")),
                "{text}"
            );
        }
        file("hold = \"1e-3,constant\"").expect("as resolved files have it");
        swept("ema", "hold=0,1e-3").expect("numbers");
    }
}
