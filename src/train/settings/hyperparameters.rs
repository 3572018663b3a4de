//! The optimizer of binary weights that settings add up to: its table, the flags beside it, published values, initial states.

use super::super::rules::Rules;
use super::optimizer::{
    DEFAULT_SCALE, DEFAULT_SCALE_OF_GIVEN_WEIGHTS, LayerRule, OptimizerTable, STATE_INIT_SCALE, hold_rate,
};
use super::setting::Owner;
use super::table::{Settings, TABLE};
use super::value::Value;
use crate::error::{Error, Result};
use crate::optim::{BinaryOptimizer, BinaryRule, FilterSpec, Hyperparameter};
use std::collections::BTreeMap;

impl Settings {
    /// The rule of the binary weights.
    pub fn binary_optimizer(&self) -> Result<BinaryOptimizer> {
        self.check_values()?;
        self.optimizer_table()?.make()
    }

    /// Values that are set and belong to an owner, by name.
    fn owned(&self, owner: Owner) -> impl Iterator<Item = (&'static str, &dyn Value)> {
        let rows = TABLE.iter().filter(move |row| row.owner == Some(owner));
        rows.filter_map(|row| Some((row.name.as_str(), self.value(&row.field())?)))
    }

    /// Hyperparameters of the float optimizer that are set.
    pub(super) fn float_hyperparameters(&self) -> Vec<(&'static str, f64)> {
        self.owned(Owner::FloatOptimizer).filter_map(|(name, value)| Some((name, value.number()?))).collect()
    }

    /// The filter that is set beside the optimizer's table.
    pub(super) fn filter(&self) -> Option<FilterSpec> {
        let Self { design, order, poles, b, a, .. } = self.clone();
        let filter = FilterSpec { design, order, poles, b, a };
        (filter != FilterSpec::default()).then_some(filter)
    }

    /// The rule with all of its hyperparameters: those beside the table win over those in it.
    pub(super) fn optimizer_table(&self) -> Result<OptimizerTable> {
        let OptimizerTable { name, state_dtype, mut hyperparameters, filter, mut rules } =
            self.optimizer.clone().unwrap_or_default();
        if let Some(layers) = &self.layer_optimizer {
            rules.clone_from(layers);
        }
        Rules::check_count(rules.len(), self.target_flip_ratio.is_some())?;
        let rule = BinaryRule::named(&name)?;
        let filter = match (self.filter(), filter) {
            (Some(set), Some(filter)) => Some(set.over(filter)),
            (set, filter) => set.or(filter).or(rule.is_filter.then(FilterSpec::default)),
        };
        let set = self.owned(Owner::Optimizer).filter_map(|(name, value)| Some((name, value.hyperparameter()?)));
        hyperparameters.extend(set.map(|(name, hyperparameter)| (name.to_string(), hyperparameter.clone())));
        self.publish(rule, &mut hyperparameters)?;
        self.start(rule, !rules.is_empty(), &mut hyperparameters)?;
        if self.target_flip_ratio.is_some() {
            hold_rate(rule, &mut hyperparameters);
            rules.iter_mut().try_for_each(LayerRule::hold_rate)?;
        }
        let state_init = self.state_init.as_deref();
        let scale = self.default_scale();
        let rules = rules.into_iter().map(|rule| rule.resolved(state_init, scale)).collect::<Result<_>>()?;
        let state_dtype = self.state_dtype.unwrap_or(state_dtype);
        let table =
            OptimizerTable { name, state_dtype, hyperparameters, filter: filter.map(FilterSpec::filled), rules };
        let hyperparameters =
            table.make()?.settings().map(|(name, hyperparameter)| (name.to_string(), hyperparameter.clone())).collect();
        Ok(OptimizerTable { hyperparameters, ..table })
    }

    /// Adds published values of hyperparameters that are not set, if they are asked for.
    fn publish(&self, rule: &BinaryRule, hyperparameters: &mut BTreeMap<String, Hyperparameter>) -> Result<()> {
        if self.hyperparameters.as_deref() != Some("paper") {
            return Ok(());
        }
        if rule.paper.is_empty() {
            let got = format!("paper for {}, whose paper gives no values", rule.name);
            return Err(Error::setting("hyperparameters", "defaults", got));
        }
        for (name, hyperparameter) in rule.paper {
            hyperparameters.entry((*name).into()).or_insert(hyperparameter.parse()?);
        }
        Ok(())
    }

    /// Scale of initial states in units of the first update, unless another is set.
    fn default_scale(&self) -> f32 {
        if self.init_from.is_some() { DEFAULT_SCALE_OF_GIVEN_WEIGHTS } else { DEFAULT_SCALE }
    }

    /// Applies `state_init` to the rule's hyperparameters.
    fn start(
        &self,
        rule: &BinaryRule,
        has_layer_rules: bool,
        hyperparameters: &mut BTreeMap<String, Hyperparameter>,
    ) -> Result<()> {
        let has_scale = rule.hyperparameters.iter().any(|spec| spec.name == STATE_INIT_SCALE);
        let Some(init) = self.state_init.as_deref().or(has_scale.then_some("scaled")) else { return Ok(()) };
        match (init, self.state_init_scale.as_ref().map(|scale| scale.value)) {
            ("zero", Some(set)) if set != 0.0 => {
                Err(Error::setting("state-init", format!("scaled beside {STATE_INIT_SCALE} {set}"), init))
            }
            ("scaled", Some(0.0)) if self.state_init.is_some() => {
                Err(Error::setting("state-init", format!("zero beside {STATE_INIT_SCALE} 0"), init))
            }
            ("zero", _) if has_scale => {
                hyperparameters.entry(STATE_INIT_SCALE.into()).or_insert(0.0.into()).value = 0.0;
                Ok(())
            }
            (_, _) if has_scale => {
                hyperparameters.entry(STATE_INIT_SCALE.into()).or_insert(self.default_scale().into());
                Ok(())
            }
            // Rules of single layers may have such states, and latent weights are initialised from given weights.
            _ if self.init_from.is_some() || has_layer_rules => Ok(()),
            _ => {
                let expected = format!("a rule whose states start at zero or scaled, not {}", rule.name);
                Err(Error::setting("state-init", expected, init))
            }
        }
    }
}
