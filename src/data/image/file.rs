//! The registry of formats: detects the format by the first bytes of a file, not by its name.

use super::contract::{Header, Opened};
use super::guard::guarded;
use super::pixels::Background;
#[cfg(feature = "images-extra")]
use super::{bmp, gif, tiff, webp};
use super::{jpeg, png};

/// Endings of names of image files.
#[cfg(not(feature = "images-extra"))]
pub(in super::super) const ENDINGS: [&str; 5] = ["png", "jpg", "jpeg", "jpe", "jfif"];
/// Endings of names of image files.
#[cfg(feature = "images-extra")]
pub(in super::super) const ENDINGS: [&str; 11] =
    ["png", "jpg", "jpeg", "jpe", "jfif", "webp", "bmp", "dib", "gif", "tif", "tiff"];

/// Maximum number of pixels of an image; a header may claim more than memory holds.
const MAX_PIXELS: usize = 1 << 27;

/// Reads the header; `Err` contains the reason of a failure.
pub(in super::super) fn header(bytes: &[u8]) -> Result<Header, String> {
    guarded(|| open(bytes).map(|opened| opened.header()))
}

/// Reads header and pixels, channel last: 1 channel (luma as defined by JPEG) or 3. Transparent pixels are laid on the background, and the
/// orientation is applied.
pub(in super::super) fn decode(
    bytes: &[u8],
    channels: usize,
    background: Background,
) -> Result<(Header, Vec<u8>), String> {
    guarded(|| {
        let opened = open(bytes)?;
        let header = opened.header();
        let pixels = opened.pixels(channels == 1)?.flattened(channels, background).oriented(header.orientation);
        // A decoder may return other pixels than its header promised.
        if (pixels.height, pixels.width) != (header.height, header.width)
            || pixels.bytes.len() != header.height * header.width * channels
        {
            return Err("the pixels do not match the header".into());
        }
        Ok((header, pixels.bytes))
    })
}

fn open(bytes: &[u8]) -> Result<Box<dyn Opened + '_>, String> {
    let opened = if bytes.starts_with(png::MAGIC) {
        png::open(bytes)?
    } else if bytes.starts_with(jpeg::MAGIC) {
        jpeg::open(bytes)?
    } else {
        other(bytes)?
    };
    let Header { height, width, .. } = opened.header();
    match height.checked_mul(width) {
        Some(1..=MAX_PIXELS) => Ok(opened),
        _ => Err(format!("{height} x {width} pixels")),
    }
}

#[cfg(feature = "images-extra")]
fn other(bytes: &[u8]) -> Result<Box<dyn Opened + '_>, String> {
    if webp::is_webp(bytes) {
        webp::open(bytes)
    } else if bytes.starts_with(gif::MAGIC) {
        gif::open(bytes)
    } else if tiff::is_tiff(bytes) {
        tiff::open(bytes)
    } else if bytes.starts_with(bmp::MAGIC) {
        bmp::open(bytes)
    } else {
        Err("none of PNG, JPEG, WEBP, BMP, GIF and TIFF".into())
    }
}

#[cfg(not(feature = "images-extra"))]
fn other(_bytes: &[u8]) -> Result<Box<dyn Opened + '_>, String> {
    Err("neither PNG nor JPEG".into())
}
