//! Normalisation of pixels: constants by data set. The first node of every network computes it.

use crate::error::{Error, Result};
use std::borrow::Cow;

/// Maximum number of channels, a limit of the first kernel.
const MAX_CHANNELS: usize = 4;

/// x = (byte / largest byte - mean) / std, by channel; a single number applies to all channels.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalisation {
    mean: Cow<'static, [f32]>,
    std: Cow<'static, [f32]>,
}

impl Normalisation {
    /// To -1..=1, as in Courbariaux et al. 2016.
    pub const UNIT: Self = Self::constants(&[0.5], &[0.5]);
    /// Mean and standard deviation of CIFAR-10's training images.
    pub const CIFAR10: Self = Self::constants(&[0.4914, 0.4822, 0.4465], &[0.2470, 0.2435, 0.2616]);
    /// Mean and standard deviation of CIFAR-100's training images.
    pub const CIFAR100: Self = Self::constants(&[0.5071, 0.4865, 0.4409], &[0.2673, 0.2564, 0.2762]);
    /// Mean and standard deviation of SVHN's training images.
    pub const SVHN: Self = Self::constants(&[0.4377, 0.4438, 0.4728], &[0.1980, 0.2010, 0.1970]);
    /// Mean and standard deviation of ImageNet's training images, customary for photographs.
    pub const IMAGENET: Self = Self::constants(&[0.485, 0.456, 0.406], &[0.229, 0.224, 0.225]);

    const fn constants(mean: &'static [f32], std: &'static [f32]) -> Self {
        Self { mean: Cow::Borrowed(mean), std: Cow::Borrowed(std) }
    }

    /// Returns the normalisation with the given constants replaced.
    pub fn with(&self, mean: Option<&[f32]>, std: Option<&[f32]>) -> Self {
        let or =
            |given: Option<&[f32]>, own: &Cow<'static, [f32]>| given.map_or(own.clone(), |v| Cow::Owned(v.to_vec()));
        Self { mean: or(mean, &self.mean), std: or(std, &self.std) }
    }

    /// Returns mean and standard deviation of a channel, which [`Normalisation::check`] has validated.
    pub fn channel(&self, channel: usize) -> (f32, f32) {
        (self.mean[channel % self.mean.len()], self.std[channel % self.std.len()])
    }

    /// Fails unless the constants match the number of channels.
    pub fn check(&self, channels: usize) -> Result<()> {
        for (name, values) in [("mean", &self.mean), ("std", &self.std)] {
            numbers(name, values)?;
            if ![1, channels].contains(&values.len()) {
                let expected = format!("1 number, or {channels}, one per channel");
                return Err(Error::setting(name, expected, format!("{} numbers", values.len())));
            }
        }
        Ok(())
    }
}

/// Fails for values that are invalid for all images.
pub(super) fn numbers(name: &str, values: &[f32]) -> Result<()> {
    if !(1..=MAX_CHANNELS).contains(&values.len()) {
        let expected = format!("1 to {MAX_CHANNELS} numbers, one per channel or one for all");
        return Err(Error::setting(name, expected, format!("{} numbers", values.len())));
    }
    // Constants are often published for bytes of 0 to 255.
    let is_fine = |v: &&f32| (0.0..=1.0).contains(*v) && (name != "std" || **v > 0.0);
    match values.iter().find(|v| !is_fine(v)) {
        Some(wrong) => {
            let least = if name == "std" { "above 0 and at most 1" } else { "from 0 to 1" };
            Err(Error::setting(name, format!("numbers {least}, as fractions of the largest byte"), wrong))
        }
        None => Ok(()),
    }
}
