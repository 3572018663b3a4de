//! Image files as bytes: the size of an image and its pixels, whatever the format.

#[cfg(feature = "images-extra")]
mod bmp;
mod contract;
mod exif;
mod file;
#[cfg(feature = "images-extra")]
mod gif;
mod guard;
mod jpeg;
mod markers;
mod pixels;
mod png;
#[cfg(feature = "images-extra")]
mod tiff;
#[cfg(feature = "images-extra")]
mod webp;

pub(super) use contract::Header;
pub(super) use file::{ENDINGS, decode, header};
pub(super) use pixels::Background;
