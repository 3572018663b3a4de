//! Losses and their mean.

pub(crate) mod class_weights;
pub(crate) mod distillation;
pub(crate) mod mean_loss;
pub(crate) mod softmax_cross_entropy;
pub(crate) mod squared_hinge;
