//! What all poolings share: the geometry of a window, its checks, and the types that come out.

use crate::error::{Error, Result};
use crate::ops::geometry::params;
use crate::runtime::interface::shared::conv::Params;
use crate::tensor::{ConvShape, DType, Geometry, Layout, PadValue, TensorType, Window, image_of};

/// Pixels of a task.
pub(in crate::ops) const TILE: usize = 256;

/// Most taps of a maximum, as the chosen one is a byte; and of a side of any window.
pub(in crate::ops) const MAX_TAPS: usize = crate::runtime::interface::shared::conv::MAX_TAPS as usize;

/// The geometry of a window on images; the same number of channels comes out.
pub(in crate::ops) fn geometry(op: &str, window: Window, image: [usize; 4]) -> Result<Geometry> {
    let shape = ConvShape { window, channels: image[3], groups: image[3].max(1), pad: PadValue::Zero };
    let g = shape.on(op, image)?;
    if window.padding * 2 > window.kernel[0].min(window.kernel[1]) {
        return Err(Error::shape(op, "padding of at most half the kernel", window.padding));
    }
    if window.kernel.into_iter().max() > Some(MAX_TAPS) {
        let got = format!("{}x{}", window.kernel[0], window.kernel[1]);
        return Err(Error::shape(op, format!("a window of sides of at most {MAX_TAPS}"), got));
    }
    let sides = [(image[1], g.out_height, window.kernel[0]), (image[2], g.out_width, window.kernel[1])];
    // A dilated window may step over a small image.
    let sees = |at: usize, size: usize, kernel: usize| {
        let taps = (0..kernel).map(|k| at * window.stride + k * window.dilation);
        taps.into_iter().any(|tap| (window.padding..window.padding + size).contains(&tap))
    };
    if !sides.into_iter().all(|(size, out, kernel)| (0..out as usize).all(|at| sees(at, size, kernel))) {
        let expected = "windows that each see a pixel";
        return Err(Error::shape(op, expected, format!("{window:?} on {}x{}", image[1], image[2])));
    }
    Ok(g)
}

/// Parameters of a pooling of images of a type.
pub(in crate::ops) fn pool_params(g: &Geometry, dtype: DType) -> Params {
    Params { integer: u32::from(dtype == DType::I32), ..params(g) }
}

pub(in crate::ops) fn pooled(g: &Geometry, dtype: DType) -> TensorType {
    let image = [g.batch, g.out_height, g.out_width, g.out_channels].map(|v| v as usize);
    TensorType::new(dtype, Layout::Panels, &image)
}

pub(in crate::ops) fn check(op: &'static str, x: &TensorType) -> Result<[usize; 4]> {
    if !matches!(x.dtype, DType::F32 | DType::I32) {
        return Err(Error::shape(op, "images of numbers", x));
    }
    image_of(op, x)
}
