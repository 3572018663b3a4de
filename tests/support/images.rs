//! Image files for tests: PNG, and JPEG of flat blocks.
#![allow(dead_code, unused_imports, reason = "each test file uses a part of it")]

#[path = "jpeg.rs"]
mod jpeg_file;

pub use jpeg_file::{Jpeg, exif, segment};
use std::fs;
use std::path::Path;

/// Writes a PNG of 8-bit samples, with 1 (grey), 2 (grey and alpha), 3 (colour) or 4 (colour and alpha) per pixel. Creates its folder.
pub fn png(path: &Path, [height, width]: [usize; 2], samples: usize, pixels: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut encoder = png::Encoder::new(fs::File::create(path).unwrap(), width as u32, height as u32);
    let colours =
        [png::ColorType::Grayscale, png::ColorType::GrayscaleAlpha, png::ColorType::Rgb, png::ColorType::Rgba];
    encoder.set_color(colours[samples - 1]);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header().unwrap().write_image_data(pixels).unwrap();
}

/// Writes a grey JPEG of blocks of 8 x 8 equal pixels, `blocks[rows][columns]`.
pub fn jpeg(path: &Path, blocks: &[&[u8]]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let size = [8 * blocks.len(), 8 * blocks[0].len()];
    let jpeg = Jpeg { size, sampling: &[[1, 1]], is_apart: false, segments: Vec::new() };
    fs::write(path, jpeg.bytes(|_, x, y| blocks[y][x])).unwrap();
}
