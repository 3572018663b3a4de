//! From settings to a configuration: defaults, ranges, and which settings go together.

use super::table::{Settings, TrainConfig};
use crate::error::{Error, Result};
use crate::nn::PixelScale;
use crate::optim::FloatRule;

impl Settings {
    /// The configuration: defaults are filled in, ranges and combinations are checked.
    pub fn resolve(mut self) -> Result<TrainConfig> {
        self.check_values()?;
        let table = if self.init_from.is_some() { self.table_for_given_weights()? } else { self.optimizer_table()? };
        FloatRule::named(self.float_optimizer())?.settings(&self.float_hyperparameters())?;
        self.optimizer = Some(table);
        // The table says how states start. Where weights are given, its zeros would be taken for defaults, so the setting stays.
        let init = self.state_init.take().unwrap_or_else(|| "scaled".into());
        self.state_init = self.init_from.is_some().then_some(init);
        let config = self.filled();
        config.check()?;
        Ok(config)
    }
}

impl TrainConfig {
    /// Refuses settings that do not go together.
    fn check(&self) -> Result<()> {
        if self.label_smoothing != 0.0 && self.loss != "cross-entropy" {
            let got = format!("{} with {}", self.label_smoothing, self.loss);
            return Err(Error::setting("label-smoothing", "0, or the loss cross-entropy", got));
        }
        let is_taught = self.teacher.is_some() || self.teacher_logits.is_some();
        for (name, value) in [("teacher-weight", self.teacher_weight), ("temperature", self.temperature)] {
            if let Some(value) = value.filter(|_| !is_taught) {
                return Err(Error::setting(name, "a teacher beside it", value));
            }
        }
        if self.teacher.is_some() && self.teacher_logits.is_some() {
            return Err(Error::setting("teacher", "a run or a file of logits", "both"));
        }
        if is_taught && self.loss != "cross-entropy" {
            return Err(Error::setting("loss", "cross-entropy, with a teacher", &self.loss));
        }
        self.data().check()?;
        self.rules()?;
        self.model_spec([1, 1, 1], 2, PixelScale::to_unit(1)).check()?;
        Ok(())
    }
}
