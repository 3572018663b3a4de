//! Settings over settings: flags over a file, a point of a sweep's grid over both.

use super::optimizer::OptimizerTable;
use super::setting::{BINARY, Owner};
use super::table::{Settings, TABLE};

impl Settings {
    /// These settings where they are set, else those of `other`. Another data set, network, optimizer or float optimizer drops the
    /// settings of `other` that belong to the one that it replaces, and full precision those of binary weights.
    pub fn over(mut self, mut other: Self) -> Self {
        let is_float = self.is_float() && !other.is_float();
        if is_float {
            other.optimizer = None;
        }
        // Given weights have another default, and the file may be the configuration of a run without them.
        if self.init_from.is_some() && other.init_from.is_none() {
            other.optimizer.iter_mut().for_each(OptimizerTable::drop_default_scales);
        }
        let dropped: Vec<Owner> = Owner::ALL.into_iter().filter(|owner| self.replaces(*owner, &other)).collect();
        // Ways to name a filter exclude each other.
        if let (Some(filter), Some(beneath)) = (self.filter(), other.filter()) {
            let filter = filter.over(beneath);
            (other.design, other.order, other.poles) = (filter.design, filter.order, filter.poles);
            (other.b, other.a) = (filter.b, filter.a);
        }
        self.optimizer = OptimizerTable::over(self.optimizer.take(), other.optimizer.take());
        let is_dropped = |field: &str| {
            let row = TABLE.iter().find(|row| row.field() == field);
            let belongs = row.and_then(|row| row.owner).is_some_and(|owner| dropped.contains(&owner));
            belongs || (is_float && row.is_some_and(|row| row.heading == BINARY))
        };
        self.or(other, |field| !is_dropped(field))
    }

    /// Whether these settings name another one than `other` does. Where `other` names none, its settings are for any data set or
    /// optimizer, but for the default network and float optimizer.
    fn replaces(&self, owner: Owner, other: &Self) -> bool {
        match owner {
            Owner::Dataset => {
                self.dataset.as_ref().zip(other.dataset.as_ref()).is_some_and(|(set, other)| set != other)
            }
            Owner::Optimizer => {
                self.optimizer.as_ref().zip(other.optimizer.as_ref()).is_some_and(|(set, other)| set.name != other.name)
            }
            Owner::Model => self.model.is_some() && self.model() != other.model(),
            Owner::FloatOptimizer => {
                self.float_optimizer.is_some() && self.float_optimizer() != other.float_optimizer()
            }
        }
    }

    fn is_float(&self) -> bool {
        self.full_precision == Some(true)
    }

    /// Whether another value of this setting drops others, so that of several it is set first.
    pub(in crate::train) fn drops_others(name: &str) -> bool {
        name == "full-precision" || Owner::ALL.into_iter().any(|owner| owner.name() == name)
    }
}
