//! Image files for tests: PNG, and JPEG of flat blocks.
#![allow(dead_code, reason = "each test file uses a part of it")]

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

/// Returns a grey JPEG of blocks of 8 x 8 equal pixels, `blocks[rows][columns]`: a constant block has only a DC coefficient.
pub fn jpeg(path: &Path, blocks: &[&[u8]]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let (height, width) = (8 * blocks.len() as u8, 8 * blocks[0].len() as u8);
    let mut file = vec![0xff, 0xd8, 0xff, 0xdb, 0, 67, 0];
    file.extend([8; 64]); // The DC coefficient is 8 times the value; divided by the quantiser 8 it is the value.
    file.extend([0xff, 0xc0, 0, 11, 8, 0, height, 0, width, 1, 1, 0x11, 0]);
    // DC sizes 0 to 11: codes of 4 bits. AC: 1 bit for end of block.
    file.extend([0xff, 0xc4, 0, 31, 0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    file.extend(0..12);
    file.extend([0xff, 0xc4, 0, 20, 0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    file.extend([0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0]);
    let (mut bits, mut before) = (String::new(), 0);
    for &value in blocks.iter().copied().flatten() {
        let value = i32::from(value) - 128;
        let difference = value - before;
        before = value;
        let size = (32 - difference.unsigned_abs().leading_zeros()) as usize;
        let code = if difference < 0 { difference + (1 << size) - 1 } else { difference };
        bits += &format!("{size:04b}");
        if size > 0 {
            bits += &format!("{code:0size$b}");
        }
        bits.push('0');
    }
    bits += &"1".repeat((8 - bits.len() % 8) % 8);
    for byte in bits.as_bytes().chunks(8) {
        let byte = byte.iter().fold(0, |byte, &bit| byte << 1 | (bit - b'0'));
        file.push(byte);
        if byte == 0xff {
            file.push(0);
        }
    }
    file.extend([0xff, 0xd9]);
    fs::write(path, file).unwrap();
}
