//! How bytes of pixels become numbers: constants by data set. The arithmetic is the first node of every network.

use crate::error::{Error, Result};
use std::borrow::Cow;

/// Most channels of an image: what the first kernel has constants for.
const MAX_CHANNELS: usize = 4;

/// x = (byte / largest byte - mean) / std, by channel; one number stands for all channels.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalisation {
    mean: Cow<'static, [f32]>,
    std: Cow<'static, [f32]>,
}

impl Normalisation {
    /// To -1..=1, as Courbariaux et al. 2016.
    pub const UNIT: Self = Self::constants(&[0.5], &[0.5]);
    /// Mean and standard deviation of CIFAR-10's training images.
    pub const CIFAR10: Self = Self::constants(&[0.4914, 0.4822, 0.4465], &[0.2470, 0.2435, 0.2616]);
    /// Of CIFAR-100's.
    pub const CIFAR100: Self = Self::constants(&[0.5071, 0.4865, 0.4409], &[0.2673, 0.2564, 0.2762]);
    /// Of SVHN's.
    pub const SVHN: Self = Self::constants(&[0.4377, 0.4438, 0.4728], &[0.1980, 0.2010, 0.1970]);
    /// Of ImageNet's, which everybody uses for photographs.
    pub const IMAGENET: Self = Self::constants(&[0.485, 0.456, 0.406], &[0.229, 0.224, 0.225]);

    const fn constants(mean: &'static [f32], std: &'static [f32]) -> Self {
        Self { mean: Cow::Borrowed(mean), std: Cow::Borrowed(std) }
    }

    /// These constants where they are given.
    pub fn with(&self, mean: Option<&[f32]>, std: Option<&[f32]>) -> Self {
        let or =
            |given: Option<&[f32]>, own: &Cow<'static, [f32]>| given.map_or(own.clone(), |v| Cow::Owned(v.to_vec()));
        Self { mean: or(mean, &self.mean), std: or(std, &self.std) }
    }

    /// Mean and standard deviation of a channel, below [`Normalisation::check`]ed channels.
    pub fn channel(&self, channel: usize) -> (f32, f32) {
        (self.mean[channel % self.mean.len()], self.std[channel % self.std.len()])
    }

    /// Refuses constants that images of so many channels cannot have.
    pub fn check(&self, channels: usize) -> Result<()> {
        for (name, values) in [("mean", &self.mean), ("std", &self.std)] {
            numbers(name, values)?;
            if ![1, channels].contains(&values.len()) {
                let expected = format!("1 number or {channels}, one a channel");
                return Err(Error::setting(name, expected, format!("{} numbers", values.len())));
            }
        }
        Ok(())
    }
}

/// Refuses numbers that no images can have.
pub(super) fn numbers(name: &str, values: &[f32]) -> Result<()> {
    if !(1..=MAX_CHANNELS).contains(&values.len()) {
        let expected = format!("1 to {MAX_CHANNELS} numbers, one a channel or one for all");
        return Err(Error::setting(name, expected, format!("{} numbers", values.len())));
    }
    let is_fine = |v: &&f32| v.is_finite() && (name != "std" || **v > 0.0);
    match values.iter().find(|v| !is_fine(v)) {
        Some(wrong) if name == "std" => {
            Err(Error::setting(name, "positive numbers, as shares of the largest byte", wrong))
        }
        Some(wrong) => Err(Error::setting(name, "finite numbers, as shares of the largest byte", wrong)),
        None => Ok(()),
    }
}
