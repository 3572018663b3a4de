//! PNG.

use super::contract::{Header, Opened, one_line};
use super::exif::orientation;
use super::pixels::{Orientation, Pixels};
use ::png::{BitDepth, ColorType, Decoder, Reader, Transformations};
use std::io::Cursor;

pub(super) const MAGIC: &[u8] = b"\x89PNG";

struct Png<'a> {
    reader: Reader<Cursor<&'a [u8]>>,
    header: Header,
}

/// Opens a PNG file.
pub(super) fn open(bytes: &[u8]) -> Result<Box<dyn Opened + '_>, String> {
    let mut decoder = Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let reader = decoder.read_info().map_err(one_line)?;
    let info = reader.info();
    let is_colour = matches!(info.color_type, ColorType::Rgb | ColorType::Rgba | ColorType::Indexed);
    let has_alpha = info.trns.is_some() || matches!(info.color_type, ColorType::GrayscaleAlpha | ColorType::Rgba);
    let upright = chunk(bytes, b"eXIf").map_or(Orientation::UPRIGHT, orientation);
    let header = Header::new([info.height as usize, info.width as usize], is_colour, has_alpha, upright);
    Ok(Box::new(Png { reader, header }))
}

impl Opened for Png<'_> {
    fn header(&self) -> Header {
        self.header
    }

    fn pixels(mut self: Box<Self>, _is_grey: bool) -> Result<Pixels, String> {
        let mut bytes = vec![0; self.reader.output_buffer_size().ok_or("too large")?];
        let info = self.reader.next_frame(&mut bytes).map_err(one_line)?;
        self.reader.finish().map_err(one_line)?;
        if info.bit_depth != BitDepth::Eight {
            return Err(format!("{:?} bits", info.bit_depth));
        }
        bytes.truncate(info.buffer_size());
        let (height, width) = (info.height as usize, info.width as usize);
        Ok(Pixels { height, width, samples: info.color_type.samples(), bytes })
    }
}

/// Returns the data of the first chunk of that kind. It may stand behind the pixels, where the decoder has not read it yet.
fn chunk<'a>(bytes: &'a [u8], kind: &[u8]) -> Option<&'a [u8]> {
    let mut rest = bytes.get(8..)?;
    loop {
        let length = u32::from_be_bytes(rest.get(..4)?.try_into().ok()?) as usize;
        if rest.get(4..8)? == kind {
            return rest.get(8..)?.get(..length);
        }
        rest = rest.get(length.checked_add(12)?..)?;
    }
}
