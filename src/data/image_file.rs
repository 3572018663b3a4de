//! PNG and JPEG files: headers, and pixels as bytes, grey or colour.

use png::{BitDepth, ColorType, Transformations};
use std::io::Cursor;
use std::path::Path;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};

/// Maximum number of pixels of an image; a header may claim more than memory holds.
const MAX_PIXELS: usize = 1 << 27;

/// The header of a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Header {
    pub height: usize,
    pub width: usize,
    pub is_colour: bool,
}

/// A file whose header is read and whose pixels are not decoded yet.
enum Opened<'a> {
    Png(Box<png::Reader<Cursor<&'a [u8]>>>),
    Jpeg(Box<JpegDecoder<ZCursor<&'a [u8]>>>),
}

/// Whether a file's name has the extension of an image.
pub(super) fn is_image(path: &Path) -> bool {
    let ending = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    ending.is_some_and(|ending| ["png", "jpg", "jpeg"].contains(&&*ending))
}

/// Reads the header; `Err` contains the reason of a failure.
pub(super) fn header(path: &Path) -> Result<Header, String> {
    open(&read(path)?).map(|(header, _)| header)
}

/// Reads header and pixels, channel last: 1 channel (luma as defined by JPEG) or 3.
pub(super) fn decode(path: &Path, channels: usize) -> Result<(Header, Vec<u8>), String> {
    let bytes = read(path)?;
    let (header, opened) = open(&bytes)?;
    match opened {
        Opened::Png(reader) => png_pixels(*reader, channels).map(|pixels| (header, pixels)),
        Opened::Jpeg(decoder) => {
            // A truncated file may end within its last blocks, which the decoder fills without an error.
            let last = bytes.windows(2).rev().find(|two| two[0] == 0xff && [0xd9, 0xda].contains(&two[1]));
            if last.is_none_or(|two| two[1] == 0xda) {
                return Err("the file is truncated".into());
            }
            jpeg_pixels(*decoder, channels).map(|pixels| (header, pixels))
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(one_line)
}

/// Joins a message to one line; messages of decoders may have several.
fn one_line(error: impl ToString) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Detects the format by the first bytes, not by the file name.
fn open(bytes: &[u8]) -> Result<(Header, Opened<'_>), String> {
    let (header, opened) = if bytes.starts_with(b"\x89PNG") {
        let mut decoder = png::Decoder::new(Cursor::new(bytes));
        decoder.set_transformations(Transformations::normalize_to_color8());
        let reader = decoder.read_info().map_err(one_line)?;
        let info = reader.info();
        let is_colour = matches!(info.color_type, ColorType::Rgb | ColorType::Rgba | ColorType::Indexed);
        (Header { height: info.height as usize, width: info.width as usize, is_colour }, Opened::Png(Box::new(reader)))
    } else if bytes.starts_with(&[0xff, 0xd8]) {
        let options = DecoderOptions::default().set_strict_mode(true);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
        decoder.decode_headers().map_err(one_line)?;
        let (width, height) = decoder.dimensions().ok_or("no dimensions")?;
        let is_colour = decoder.input_colorspace() != Some(ColorSpace::Luma);
        (Header { height, width, is_colour }, Opened::Jpeg(Box::new(decoder)))
    } else {
        return Err("neither PNG nor JPEG".into());
    };
    match header.height * header.width {
        1..=MAX_PIXELS => Ok((header, opened)),
        _ => Err(format!("{} x {} pixels", header.height, header.width)),
    }
}

fn png_pixels(mut reader: png::Reader<Cursor<&[u8]>>, channels: usize) -> Result<Vec<u8>, String> {
    let mut pixels = vec![0; reader.output_buffer_size().ok_or("too large")?];
    let info = reader.next_frame(&mut pixels).map_err(one_line)?;
    reader.finish().map_err(one_line)?;
    if info.bit_depth != BitDepth::Eight {
        return Err(format!("{:?} bits", info.bit_depth));
    }
    let samples = info.color_type.samples();
    Ok(convert(&pixels, samples, channels))
}

fn jpeg_pixels(mut decoder: JpegDecoder<ZCursor<&[u8]>>, channels: usize) -> Result<Vec<u8>, String> {
    // Most JPEG files contain luma, which needs no conversion.
    let is_luma = channels == 1 && matches!(decoder.input_colorspace(), Some(ColorSpace::Luma | ColorSpace::YCbCr));
    let (colours, samples) = if is_luma { (ColorSpace::Luma, 1) } else { (ColorSpace::RGB, 3) };
    let options = decoder.options().jpeg_set_out_colorspace(colours);
    decoder.set_options(options);
    let pixels = decoder.decode().map_err(one_line)?;
    Ok(convert(&pixels, samples, channels))
}

/// Converts samples of grey, grey and alpha, colour, or colour and alpha; drops alpha.
fn convert(pixels: &[u8], samples: usize, channels: usize) -> Vec<u8> {
    if samples == channels {
        return pixels.to_vec();
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
