//! Augmentation of training images. Random numbers are a hash of seed, epoch and sample, so results do not depend on the threads.

use super::resample::{Region, resample};
use crate::error::{Error, Result};
use crate::tensor::Stream;

/// Names of the augmentations.
pub const AUGMENTATIONS: [&str; 4] = ["pad-crop", "random-resized-crop", "flip", "lighting"];

/// Pixels that `pad-crop` adds on each side (He et al. 2016).
const PAD: usize = 4;

/// Eigenvalues and, by channel, eigenvectors of the colours of ImageNet's training images (Krizhevsky et al. 2012; constants of
/// fb.resnet.torch), as fractions of the largest byte; and the standard deviation of their factors.
const COLOUR_VALUES: [f32; 3] = [0.2175, 0.0188, 0.0045];
const COLOUR_VECTORS: [[f32; 3]; 3] =
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]];
const COLOUR_DEVIATION: f32 = 0.1;

/// The crop of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Crop {
    /// Centre crop.
    #[default]
    Centre,
    /// Random crop, after padding with 4 black pixels per side.
    Padded,
    /// A random region of 8 to 100 % of the area with an aspect ratio of 3:4 to 4:3, scaled (Szegedy et al. 2015).
    Resized,
}

/// The augmentation of training images, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Augment {
    /// The crop.
    pub crop: Crop,
    /// Mirrors half of the images.
    pub flip: bool,
    /// Shifts colours along the principal components of ImageNet's.
    pub lighting: bool,
}

impl Augment {
    /// Creates the augmentation from names; `none` is the empty one.
    pub fn parse(names: &[String]) -> Result<Self> {
        let mut augment = Self::default();
        for name in names {
            match name.as_str() {
                "pad-crop" => augment.crop = Crop::Padded,
                "random-resized-crop" => augment.crop = Crop::Resized,
                "flip" => augment.flip = true,
                "lighting" => augment.lighting = true,
                "none" if names.len() == 1 => {}
                "none" => return Err(Error::setting("augment", "none by itself", names.join(","))),
                other => return Err(Error::setting("augment", format!("none, {}", AUGMENTATIONS.join(", ")), other)),
            }
        }
        let both = ["pad-crop", "random-resized-crop"].map(|crop| names.iter().any(|name| name == crop));
        if both == [true; 2] {
            return Err(Error::setting("augment", "one way to crop", names.join(",")));
        }
        Ok(augment)
    }

    /// Fails for augmentations that are not valid for images of `channels` channels.
    pub fn check(&self, channels: usize) -> Result<()> {
        match (self.lighting, channels) {
            (true, 3) | (false, _) => Ok(()),
            (true, _) => Err(Error::setting("augment", "images of 3 channels for lighting", format!("{channels}"))),
        }
    }
}

/// The random numbers of one image in one epoch.
pub(super) struct Draws {
    stream: Stream,
    next: u64,
}

impl Draws {
    /// Upper bound of the random numbers per image, which are 29 at most.
    const OF_AN_IMAGE: u64 = 32;

    pub fn new(stream: Stream, sample: u32) -> Self {
        Self { stream, next: Self::OF_AN_IMAGE * u64::from(sample) }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.next += 1;
        self.stream.below(self.next - 1, bound as u32) as usize
    }

    /// Draws a uniform number in [low, high).
    fn between(&mut self, low: f32, high: f32) -> f32 {
        self.next += 1;
        low + (high - low) * self.stream.unit(self.next - 1)
    }

    /// Draws a normal number of mean 0 and standard deviation 1 (Box-Muller).
    fn normal(&mut self) -> f32 {
        let (radius, angle) = (1.0 - self.between(0.0, 1.0), self.between(0.0, std::f32::consts::TAU));
        (-2.0 * radius.ln()).sqrt() * angle.cos()
    }
}

/// A view of stored images: a centre crop, or the augmentation's crop.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    from: [usize; 3],
    to: [usize; 2],
    augment: Augment,
}

impl View {
    /// Creates a view of size `[height, width]`. Images of shape `from` are at least as large.
    pub fn new(from: [usize; 3], to: [usize; 2], augment: Augment) -> Self {
        Self { from, to, augment }
    }

    /// Whether the view is the stored image.
    pub fn is_whole(&self) -> bool {
        self.from[..2] == self.to && self.augment == Augment::default()
    }

    /// Returns the bytes of a view.
    pub fn bytes(&self) -> usize {
        self.to[0] * self.to[1] * self.from[2]
    }

    /// Writes the view of `image`; the centre crop without random numbers.
    pub fn write(&self, image: &[u8], draws: Option<Draws>, out: &mut [u8]) {
        let middle = [(self.from[0] - self.to[0]) / 2, (self.from[1] - self.to[1]) / 2].map(|at| at as isize);
        let Some(mut draws) = draws else { return self.copy(image, middle, out) };
        match self.augment.crop {
            Crop::Centre => self.copy(image, middle, out),
            Crop::Padded => {
                let mut place =
                    |axis: usize| draws.below(self.from[axis] + 2 * PAD - self.to[axis] + 1) as isize - PAD as isize;
                let at = [place(0), place(1)];
                self.copy(image, at, out);
            }
            Crop::Resized => resample(image, self.from, self.part(&mut draws), self.to, out),
        }
        let channels = self.from[2];
        if self.augment.flip && draws.below(2) == 1 {
            for row in out.chunks_exact_mut(self.to[1] * channels) {
                row.reverse();
                row.chunks_exact_mut(channels).for_each(<[u8]>::reverse);
            }
        }
        if self.augment.lighting {
            let multiples = COLOUR_VALUES.map(|value| value * COLOUR_DEVIATION * draws.normal());
            let shifts = COLOUR_VECTORS.map(|vector| {
                let share: f32 = vector.iter().zip(&multiples).map(|(part, multiple)| part * multiple).sum();
                (255.0 * share).round() as i16
            });
            for pixel in out.chunks_exact_mut(3) {
                let shift = |(byte, shift): (&mut u8, &i16)| *byte = (i16::from(*byte) + shift).clamp(0, 255) as u8;
                pixel.iter_mut().zip(&shifts).for_each(shift);
            }
        }
    }

    /// Copies the region at `[row, column]`, black outside the image.
    fn copy(&self, image: &[u8], [top, left]: [isize; 2], out: &mut [u8]) {
        let [height, width, channels] = self.from;
        let pitch = self.to[1] * channels;
        // Columns of the output that the image covers.
        let first = (-left).clamp(0, self.to[1] as isize) as usize;
        let last = (width as isize - left).clamp(first as isize, self.to[1] as isize) as usize;
        for (row, out) in (top..).zip(out.chunks_exact_mut(pitch)) {
            out.fill(0);
            if (0..height as isize).contains(&row) && first < last {
                let start = (row as usize * width + (left + first as isize) as usize) * channels;
                let covered = &mut out[first * channels..last * channels];
                covered.copy_from_slice(&image[start..][..covered.len()]);
            }
        }
    }

    /// Draws a region of the image; after ten that do not fit, returns the largest centred one with the output's aspect ratio.
    fn part(&self, draws: &mut Draws) -> Region {
        let [height, width, _] = self.from;
        for _ in 0..10 {
            let area = (height * width) as f32 * draws.between(0.08, 1.0);
            let bound = (4.0_f32 / 3.0).ln();
            let ratio = draws.between(-bound, bound).exp();
            let [h, w] = [(area / ratio).sqrt(), (area * ratio).sqrt()].map(|side| side.round() as usize);
            if (1..=height).contains(&h) && (1..=width).contains(&w) {
                return Region { y: draws.below(height - h + 1), x: draws.below(width - w + 1), height: h, width: w };
            }
        }
        Region::covering([height, width], self.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split(',').map(String::from).collect()
    }

    fn draws(sample: u32) -> Draws {
        Draws::new(Stream::new(1, "augment"), sample)
    }

    /// An image whose pixel at row y and column x is (y, x, 200).
    fn coordinates(size: usize) -> Vec<u8> {
        (0..size * size).flat_map(|i| [(i / size) as u8, (i % size) as u8, 200]).collect()
    }

    #[test]
    fn names_are_checked() {
        assert_eq!(Augment::parse(&names("none")).unwrap(), Augment::default());
        let usual = Augment { crop: Crop::Padded, flip: true, lighting: false };
        assert_eq!(Augment::parse(&names("pad-crop,flip")).unwrap(), usual);
        for wrong in ["pad-crop,random-resized-crop", "blur", "none,flip", ""] {
            assert!(Augment::parse(&names(wrong)).is_err_and(|e| e.is_usage()), "{wrong}");
        }
        assert!(Augment::parse(&names("lighting")).unwrap().check(1).is_err());
    }

    #[test]
    fn a_padded_crop_is_a_shifted_image_with_a_black_border() {
        let augment = Augment { crop: Crop::Padded, ..Augment::default() };
        let view = View::new([32, 32, 3], [32, 32], augment);
        let (image, mut out) = (coordinates(32), vec![9; 32 * 32 * 3]);
        let mut seen = std::collections::BTreeSet::new();
        for sample in 0..400 {
            view.write(&image, Some(draws(sample)), &mut out);
            // The centre is always inside the image and encodes the shift.
            let middle = &out[(16 * 32 + 16) * 3..][..3];
            let (dy, dx) = (i32::from(middle[0]) - 16, i32::from(middle[1]) - 16);
            seen.insert((dy, dx));
            for (i, pixel) in out.chunks(3).enumerate() {
                let (y, x) = (i as i32 / 32 + dy, i as i32 % 32 + dx);
                let is_inside = (0..32).contains(&y) && (0..32).contains(&x);
                assert_eq!(
                    pixel,
                    if is_inside { [y as u8, x as u8, 200] } else { [0; 3] },
                    "sample {sample}, pixel {i}"
                );
            }
        }
        assert!(seen.iter().all(|&(y, x)| y.abs() <= 4 && x.abs() <= 4) && seen.len() > 75, "{} shifts", seen.len());
    }

    #[test]
    fn half_of_the_images_are_mirrored() {
        let view = View::new([8, 8, 3], [8, 8], Augment { flip: true, ..Augment::default() });
        let (image, mut out, mut mirrored) = (coordinates(8), vec![0; 8 * 8 * 3], 0);
        for sample in 0..400 {
            view.write(&image, Some(draws(sample)), &mut out);
            let is_mirrored = out[1] == 7;
            mirrored += usize::from(is_mirrored);
            let column = |x: u8| if is_mirrored { 7 - x } else { x };
            assert!(out.chunks(3).enumerate().all(|(i, p)| p == [(i / 8) as u8, column((i % 8) as u8), 200]));
        }
        assert!((160..240).contains(&mirrored), "{mirrored} of 400");
    }

    #[test]
    fn a_resized_crop_shows_a_part_and_judging_the_middle() {
        let augment = Augment { crop: Crop::Resized, ..Augment::default() };
        let view = View::new([20, 20, 3], [8, 8], augment);
        let (image, mut out) = (coordinates(20), vec![0; 8 * 8 * 3]);
        let mut firsts = std::collections::BTreeSet::new();
        for sample in 0..100 {
            view.write(&image, Some(draws(sample)), &mut out);
            let (first, last) = (&out[..3], &out[out.len() - 3..]);
            assert!(
                first[0] <= last[0] && first[1] <= last[1] && last[0] < 20 && first[2] == 200,
                "{first:?} {last:?}"
            );
            firsts.insert((first[0], first[1]));
        }
        assert!(firsts.len() > 30, "{} different parts", firsts.len());
        view.write(&image, None, &mut out);
        assert_eq!((&out[..3], &out[out.len() - 3..]), (&[6, 6, 200][..], &[13, 13, 200][..]));
    }

    #[test]
    fn lighting_shifts_each_channel_as_a_whole() {
        let view = View::new([4, 4, 3], [4, 4], Augment { lighting: true, ..Augment::default() });
        let mut out = [0; 48];
        let shifts: Vec<f32> = (0..500)
            .map(|sample| {
                view.write(&[100; 48], Some(draws(sample)), &mut out);
                assert!(out.chunks(3).all(|pixel| pixel == &out[..3]));
                f32::from(out[0]) - 100.0
            })
            .collect();
        // 255 * 0.1 * sqrt(sum of (vector * value)^2) of the red channel.
        let deviation = (shifts.iter().map(|s| s * s).sum::<f32>() / 500.0).sqrt();
        assert!((deviation / 3.17 - 1.0).abs() < 0.15, "{deviation}");
    }
}
