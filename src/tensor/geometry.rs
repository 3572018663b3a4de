//! The geometry that convolutions and poolings share: windows over NHWC images, and which pixel a tap reads.

use super::bits::{PANEL, words_of};
use super::shape::TensorType;
use crate::error::{Error, Result};

/// What a tap in the padding of a binary convolution reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PadValue {
    /// Nothing: the tap is absent and adds 0, as zero padding after sign (PyTorch, and every paper).
    #[default]
    Zero,
    /// +1 in every channel: a border costs nothing then (Larq's `pad_values = 1`).
    One,
}

/// A window that slides over an image, its output `1 + (size + 2 padding - dilation (kernel - 1) - 1) / stride` wide (rounded down).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Height and width.
    pub kernel: [usize; 2],
    /// Pixels from one position to the next.
    pub stride: usize,
    /// Pixels from one tap to the next.
    pub dilation: usize,
    /// Padding on each side.
    pub padding: usize,
}

impl Window {
    /// A square window that keeps the size of the image at stride 1: padding `side / 2`.
    pub const fn same(side: usize, stride: usize) -> Self {
        Self { kernel: [side, side], stride, dilation: 1, padding: side / 2 }
    }

    /// A square window without padding.
    pub const fn valid(side: usize, stride: usize) -> Self {
        Self { kernel: [side, side], stride, dilation: 1, padding: 0 }
    }

    /// Taps.
    pub const fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Height and width of the output for those of the input.
    pub fn output(&self, op: &str, [height, width]: [usize; 2]) -> Result<[usize; 2]> {
        let Self { kernel, stride, dilation, padding } = *self;
        if kernel.contains(&0) || stride == 0 || dilation == 0 {
            return Err(Error::shape(
                op,
                "a kernel, a stride and a dilation of at least 1",
                format!("kernel {}x{}, stride {stride}, dilation {dilation}", kernel[0], kernel[1]),
            ));
        }
        let extent = |size: usize, kernel: usize| {
            let span = dilation.saturating_mul(kernel - 1).saturating_add(1);
            padding.saturating_mul(2).saturating_add(size).checked_sub(span).map(|rest| rest / stride + 1)
        };
        match (extent(height, kernel[0]), extent(width, kernel[1])) {
            (Some(height), Some(width)) => Ok([height, width]),
            _ => Err(Error::shape(
                op,
                format!("an image of at least the kernel, {}x{} with dilation {dilation}", kernel[0], kernel[1]),
                format!("{height}x{width} with padding {padding}"),
            )),
        }
    }
}

/// A convolution: a window, output channels, groups, and what the padding reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    /// The window.
    pub window: Window,
    /// Output channels.
    pub channels: usize,
    /// Parts that the channels are cut into; a part of the output sees the same part of the input. 1 sees everything, as many as input
    /// channels is a depthwise convolution.
    pub groups: usize,
    /// What a tap in the padding reads.
    pub pad: PadValue,
}

/// Batch, height, width and channels of an image tensor.
pub fn image_of(op: &str, ty: &TensorType) -> Result<[usize; 4]> {
    <[usize; 4]>::try_from(&ty.shape[..])
        .map_err(|_| Error::shape(op, "images [batch x height x width x channels]", ty))
}

impl ConvShape {
    /// The geometry on images `[batch, height, width, channels]`; says what does not fit.
    pub fn on(&self, op: &str, [batch, height, width, channels]: [usize; 4]) -> Result<Geometry> {
        let Self { window, groups, .. } = *self;
        if self.channels == 0 || channels == 0 {
            return Err(Error::shape(op, "at least 1 channel", self.channels.min(channels)));
        }
        if groups == 0 || !channels.is_multiple_of(groups) || !self.channels.is_multiple_of(groups) {
            let got = format!("{groups} groups of {channels} to {} channels", self.channels);
            return Err(Error::shape(op, "a number of groups that divides the channels of input and output", got));
        }
        let [out_height, out_width] = window.output(op, [height, width])?;
        let numbers = |height: usize, width: usize, channels: usize| {
            [height, width, words_of(channels) * PANEL].into_iter().fold(batch, usize::saturating_mul)
        };
        let most = numbers(height, width, channels).max(numbers(out_height, out_width, self.channels));
        let side = height.max(width).saturating_add(window.padding.saturating_mul(2));
        if most.max(side) > i32::MAX as usize {
            let got = format!("{batch} of {height}x{width}, {channels} to {} channels", self.channels);
            return Err(Error::shape(op, "images of fewer than 2^31 numbers", got));
        }
        let word = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        Ok(Geometry {
            batch: word(batch),
            in_height: word(height),
            in_width: word(width),
            in_channels: word(channels),
            out_height: word(out_height),
            out_width: word(out_width),
            out_channels: word(self.channels),
            groups: word(groups),
            kernel_height: word(window.kernel[0]),
            kernel_width: word(window.kernel[1]),
            stride: word(window.stride),
            dilation: word(window.dilation),
            padding: word(window.padding),
            pad_one: self.pad == PadValue::One,
            words: word(words_of(channels / groups)),
        })
    }
}

/// A convolution or pooling on images of a shape: extents of both sides, and the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Images.
    pub batch: u32,
    /// Height of the input.
    pub in_height: u32,
    /// Width of the input.
    pub in_width: u32,
    /// Channels of the input.
    pub in_channels: u32,
    /// Height of the output.
    pub out_height: u32,
    /// Width of the output.
    pub out_width: u32,
    /// Channels of the output.
    pub out_channels: u32,
    /// Groups; group g reads and writes the g-th part of the channels.
    pub groups: u32,
    /// Height of the window, in taps.
    pub kernel_height: u32,
    /// Width of the window, in taps.
    pub kernel_width: u32,
    /// Pixels from one position to the next.
    pub stride: u32,
    /// Pixels from one tap to the next.
    pub dilation: u32,
    /// Padding on each side, in pixels.
    pub padding: u32,
    /// Whether padded taps are +1 in every channel; else they are absent.
    pub pad_one: bool,
    /// Words that hold a group's input channels.
    pub words: u32,
}

impl Geometry {
    /// Positions of the window.
    pub fn taps(&self) -> usize {
        (self.kernel_height * self.kernel_width) as usize
    }

    /// Pixels of all input images.
    pub fn in_rows(&self) -> usize {
        (self.batch * self.in_height * self.in_width) as usize
    }

    /// Pixels of all output images.
    pub fn out_rows(&self) -> usize {
        (self.batch * self.out_height * self.out_width) as usize
    }

    /// Input channels of a group.
    pub fn depth(&self) -> usize {
        (self.in_channels / self.groups) as usize
    }

    /// Output channels of a group.
    pub fn outputs(&self) -> usize {
        (self.out_channels / self.groups) as usize
    }

    /// Extents whose product is the number of multiply-adds, forward and in both gradients.
    pub fn multiply_adds(&self) -> [usize; 4] {
        [self.out_rows(), self.out_channels as usize, self.taps(), self.depth()]
    }

    /// Whether every group is whole words of input bits and whole panels of output: what the kernels of bits want.
    pub fn is_aligned(&self) -> bool {
        self.groups == 1 || (self.depth().is_multiple_of(PANEL) && self.outputs().is_multiple_of(PANEL))
    }

    /// Input pixel that tap `tap` of output pixel `row` reads; `None` in the padding.
    pub fn source(&self, row: usize, tap: usize) -> Option<usize> {
        let (row, tap) = (row as u32, tap as u32);
        let (ox, oy) = (row % self.out_width, row / self.out_width % self.out_height);
        let image = row / (self.out_width * self.out_height);
        let y = (oy * self.stride + tap / self.kernel_width * self.dilation).wrapping_sub(self.padding);
        let x = (ox * self.stride + tap % self.kernel_width * self.dilation).wrapping_sub(self.padding);
        (y < self.in_height && x < self.in_width).then(|| ((image * self.in_height + y) * self.in_width + x) as usize)
    }

    /// Output pixel whose tap `tap` reads input pixel `row`; `None` where there is none.
    pub fn sink(&self, row: usize, tap: usize) -> Option<usize> {
        let (row, tap) = (row as u32, tap as u32);
        let (ix, iy) = (row % self.in_width, row / self.in_width % self.in_height);
        let image = row / (self.in_width * self.in_height);
        let y = (iy + self.padding).wrapping_sub(tap / self.kernel_width * self.dilation);
        let x = (ix + self.padding).wrapping_sub(tap % self.kernel_width * self.dilation);
        let (oy, ox) = (y / self.stride, x / self.stride);
        let met = y.is_multiple_of(self.stride) && x.is_multiple_of(self.stride);
        (met && oy < self.out_height && ox < self.out_width)
            .then(|| ((image * self.out_height + oy) * self.out_width + ox) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sinks_are_the_inverse_of_sources() {
        let window = Window { kernel: [3, 2], stride: 2, dilation: 2, padding: 2 };
        let shape = ConvShape { window, channels: 4, groups: 1, pad: PadValue::Zero };
        let g = shape.on("test", [2, 7, 9, 3]).expect("it fits");
        let forward = (0..g.out_rows()).flat_map(|o| (0..g.taps()).filter_map(move |t| Some((o, t, g.source(o, t)?))));
        let back = (0..g.in_rows()).flat_map(|i| (0..g.taps()).filter_map(move |t| Some((g.sink(i, t)?, t, i))));
        let (mut forward, mut back) = (forward.collect::<Vec<_>>(), back.collect::<Vec<_>>());
        forward.sort_unstable();
        back.sort_unstable();
        assert!(!forward.is_empty());
        assert_eq!(forward, back);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let window = Window::valid(3, 1);
        let shape = ConvShape { window, channels: 6, groups: 2, pad: PadValue::Zero };
        let image = [1, 5, 5, 4];
        shape.on("conv", image).expect("2 divides 4 and 6");
        let tall = Window { kernel: [6, 1], ..window };
        let spread = Window { dilation: 3, ..window };
        for (shape, image, words) in [
            (ConvShape { groups: 3, ..shape }, image, ["groups that divides", "3 groups of 4 to 6 channels"]),
            (ConvShape { groups: 4, ..shape }, image, ["groups that divides", "4 groups of 4 to 6 channels"]),
            (ConvShape { groups: 0, ..shape }, image, ["groups that divides", "0 groups"]),
            (ConvShape { channels: 0, ..shape }, image, ["at least 1 channel", "got 0"]),
            (shape, [1, 5, 5, 0], ["at least 1 channel", "got 0"]),
            (shape, [1, 2, 5, 4], ["at least the kernel, 3x3 with dilation 1", "2x5 with padding 0"]),
            (ConvShape { window: tall, ..shape }, image, ["6x1", "5x5 with padding 0"]),
            (ConvShape { window: spread, ..shape }, image, ["3x3 with dilation 3", "5x5 with padding 0"]),
            (ConvShape { window: Window { stride: 0, ..window }, ..shape }, image, ["a stride", "stride 0"]),
        ] {
            let error = shape.on("layer `conv1`", image).expect_err("does not fit").to_string();
            assert!(error.starts_with("layer `conv1`: "), "{error}");
            assert!(words.iter().all(|word| error.contains(word)), "{words:?} in {error}");
        }
    }
}
