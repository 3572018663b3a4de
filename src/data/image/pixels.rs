//! Pixels of 8-bit samples: alpha, channels, orientation.

use crate::error::{Error, Result};
use std::str::FromStr;

/// Decoded samples, channel last: grey, grey and alpha, colour, or colour and alpha.
pub(super) struct Pixels {
    pub height: usize,
    pub width: usize,
    /// 1 to 4.
    pub samples: usize,
    pub bytes: Vec<u8>,
}

/// What transparent pixels are laid on; without it, alpha is dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) struct Background(Option<[u8; 3]>);

impl Default for Background {
    /// White, as most viewers show images.
    fn default() -> Self {
        Self(Some([255; 3]))
    }
}

impl FromStr for Background {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let hex = |at: usize| text.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (text, hex(1), hex(3), hex(5)) {
            ("none", ..) => Ok(Self(None)),
            ("white", ..) => Ok(Self(Some([255; 3]))),
            ("black", ..) => Ok(Self(Some([0; 3]))),
            (_, Some(red), Some(green), Some(blue)) if text.starts_with('#') && text.len() == 7 => {
                Ok(Self(Some([red, green, blue])))
            }
            _ => Err(Error::setting("background", "white, black, #RRGGBB or none", text)),
        }
    }
}

impl Background {
    /// Whether it makes grey images with transparent pixels colour images.
    pub fn is_colour(self) -> bool {
        self.0.is_some_and(|[red, green, blue]| red != green || green != blue)
    }
}

/// Orientation of a camera, as in EXIF: 1 to 8.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) struct Orientation(u8);

impl Orientation {
    /// As stored.
    pub const UPRIGHT: Self = Self(1);

    /// Returns the orientation of that number; other numbers than 1 to 8 mean nothing.
    pub fn of(number: u32) -> Self {
        if (1..=8).contains(&number) { Self(number as u8) } else { Self::UPRIGHT }
    }

    /// Whether rows become columns.
    pub fn is_transposed(self) -> bool {
        self.0 >= 5
    }
}

impl Pixels {
    /// Lays transparent pixels on the background, or drops alpha; converts to 1 channel (luma as defined by JPEG) or 3.
    pub fn flattened(self, channels: usize, background: Background) -> Self {
        let (height, width) = (self.height, self.width);
        let with_alpha = if self.samples.is_multiple_of(2) { background.0 } else { None };
        let (samples, bytes) = match with_alpha {
            Some(colour) if self.samples == 2 && !background.is_colour() => (1, over::<2, 1>(&self.bytes, [colour[0]])),
            Some(colour) if self.samples == 2 => {
                let coloured: Vec<u8> = self.bytes.chunks_exact(2).flat_map(|p| [p[0], p[0], p[0], p[1]]).collect();
                (3, over::<4, 3>(&coloured, colour))
            }
            Some(colour) => (3, over::<4, 3>(&self.bytes, colour)),
            None => (self.samples, self.bytes),
        };
        Self { height, width, samples: channels, bytes: converted(bytes, samples, channels) }
    }

    /// Turns and mirrors the stored image so that it is upright.
    pub fn oriented(self, orientation: Orientation) -> Self {
        let (height, width, samples) = (self.height, self.width, self.samples);
        if orientation == Orientation::UPRIGHT {
            return self;
        }
        let [to_height, to_width] = if orientation.is_transposed() { [width, height] } else { [height, width] };
        let mut bytes = Vec::with_capacity(self.bytes.len());
        for y in 0..to_height {
            for x in 0..to_width {
                let (row, column) = match orientation.0 {
                    2 => (y, width - 1 - x),
                    3 => (height - 1 - y, width - 1 - x),
                    4 => (height - 1 - y, x),
                    5 => (x, y),
                    6 => (height - 1 - x, y),
                    7 => (height - 1 - x, width - 1 - y),
                    _ => (x, width - 1 - y),
                };
                bytes.extend_from_slice(&self.bytes[(row * width + column) * samples..][..samples]);
            }
        }
        Self { height: to_height, width: to_width, samples, bytes }
    }
}

/// Composites pixels of `FROM` samples, the last of which is alpha, over a colour of `TO` samples.
fn over<const FROM: usize, const TO: usize>(pixels: &[u8], colour: [u8; TO]) -> Vec<u8> {
    let blend = |value: u8, under: u8, alpha: u8| {
        let (value, under, alpha) = (u32::from(value), u32::from(under), u32::from(alpha));
        ((value * alpha + under * (255 - alpha) + 127) / 255) as u8
    };
    let one = |pixel: &[u8]| std::array::from_fn::<u8, TO, _>(|i| blend(pixel[i], colour[i], pixel[FROM - 1]));
    pixels.chunks_exact(FROM).flat_map(one).collect()
}

/// Converts samples of grey, grey and alpha, colour, or colour and alpha; drops alpha.
fn converted(pixels: Vec<u8>, samples: usize, channels: usize) -> Vec<u8> {
    if samples == channels {
        return pixels;
    }
    let luma = |rgb: &[u8]| {
        let [red, green, blue] = [0, 1, 2].map(|i| u32::from(rgb[i]));
        ((19_595 * red + 38_470 * green + 7_471 * blue + 0x8000) >> 16) as u8
    };
    let pixels = pixels.chunks_exact(samples);
    match (samples < 3, channels) {
        (true, 1) => pixels.map(|pixel| pixel[0]).collect(),
        (true, _) => pixels.flat_map(|pixel| [pixel[0]; 3]).collect(),
        (false, 1) => pixels.map(luma).collect(),
        (false, _) => pixels.flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(),
    }
}

/// Converts cyan, magenta, yellow and black to red, green and blue; 0 is no ink.
pub(super) fn from_cmyk(pixel: &[u8]) -> [u8; 3] {
    let light = |ink: u8| ((u32::from(255 - ink) * u32::from(255 - pixel[3]) + 127) / 255) as u8;
    [light(pixel[0]), light(pixel[1]), light(pixel[2])]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turned(orientation: u32) -> (usize, Vec<u8>) {
        let stored = Pixels { height: 2, width: 3, samples: 1, bytes: b"abcdef".to_vec() };
        let upright = stored.oriented(Orientation::of(orientation));
        (upright.width, upright.bytes)
    }

    #[test]
    fn the_eight_orientations() {
        let expected = ["abcdef", "cbafed", "fedcba", "defabc", "adbecf", "daebfc", "fcebda", "cfbead"];
        for (number, expected) in (1..).zip(expected) {
            assert_eq!(turned(number), (if number < 5 { 3 } else { 2 }, expected.into()), "orientation {number}");
        }
        assert_eq!((turned(0), turned(9)), (turned(1), turned(1)), "numbers without a meaning");
    }

    #[test]
    fn alpha_is_laid_on_the_background() {
        let flat = |samples, bytes: &[u8], channels, background: &str| {
            let pixels = Pixels { height: 1, width: bytes.len() / samples, samples, bytes: bytes.to_vec() };
            pixels.flattened(channels, background.parse().unwrap()).bytes
        };
        assert_eq!(flat(4, &[0, 100, 200, 0, 0, 100, 200, 255], 3, "white"), [255, 255, 255, 0, 100, 200]);
        assert_eq!(flat(4, &[0, 100, 200, 51], 3, "#0a0b0c"), [8, 29, 50]);
        assert_eq!(flat(4, &[0, 100, 200, 0], 3, "none"), [0, 100, 200], "dropped");
        assert_eq!(flat(2, &[0, 0, 0, 128], 1, "black"), [0, 0]);
        assert_eq!(flat(2, &[0, 128], 1, "white"), [127]);
        assert_eq!(flat(2, &[0, 0], 3, "#ff0000"), [255, 0, 0]);
        assert_eq!(flat(2, &[7, 0], 3, "none"), [7; 3]);
        for wrong in ["#ff00", "red", "#gg0000", "ff0000", "#ff00000", "", "#\u{e9}\u{e9}\u{e9}"] {
            assert!(wrong.parse::<Background>().is_err(), "{wrong}");
        }
    }
}
