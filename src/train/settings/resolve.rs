//! From settings to a configuration: defaults, ranges, and which settings go together.

use super::optimizer::OptimizerTable;
use super::setting::{BINARY, Setting};
use super::table::{Settings, TABLE, TrainConfig};
use crate::error::{Error, Result};
use crate::nn::PixelScale;
use crate::optim::FloatRule;

impl Settings {
    /// The configuration: defaults are filled in, ranges and combinations are checked.
    pub fn resolve(mut self) -> Result<TrainConfig> {
        self.check_values()?;
        let is_float = self.full_precision == Some(true);
        let table = if is_float { self.default_table_alone()? } else { self.optimizer_table()? };
        FloatRule::named(self.float_optimizer())?.settings(&self.float_hyperparameters())?;
        self.optimizer = Some(table);
        // The table says how states start.
        self.state_init = None;
        let config = self.filled();
        config.check()?;
        Ok(config)
    }

    /// The default optimizer of binary weights, which a full-precision configuration stores. An error if one is set.
    fn default_table_alone(&self) -> Result<OptimizerTable> {
        let default = Self::default().optimizer_table()?;
        let is_set = |row: &&Setting| row.heading == BINARY && self.value(&row.field()).is_some();
        let mut set = TABLE
            .iter()
            .filter(is_set)
            .filter(|row| row.name != "optimizer" || self.optimizer.as_ref() != Some(&default));
        match set.next() {
            Some(row) => {
                let got = self.value(&row.field()).map_or(String::new(), |value| value.text());
                Err(Error::setting(&*row.name, "no setting of binary weights beside full-precision", got))
            }
            None => Ok(default),
        }
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
        self.check_class_weights()?;
        self.data().check()?;
        self.rules()?;
        self.model_spec([1, 1, 1], 2, PixelScale::to_unit(1)).check()?;
        Ok(())
    }
}
