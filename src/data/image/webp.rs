//! WEBP: lossy and lossless, the first frame of an animation.

use super::contract::{Header, Opened, one_line};
use super::exif::orientation;
use super::pixels::{Orientation, Pixels};
use image_webp::WebPDecoder;
use std::io::Cursor;

/// Whether the first bytes are those of a WEBP file.
pub(super) fn is_webp(bytes: &[u8]) -> bool {
    bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP")
}

struct Webp<'a> {
    decoder: WebPDecoder<Cursor<&'a [u8]>>,
    header: Header,
}

/// Opens a WEBP file.
pub(super) fn open(bytes: &[u8]) -> Result<Box<dyn Opened + '_>, String> {
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(one_line)?;
    let exif = decoder.exif_metadata().map_err(one_line)?;
    // Some programs write the prefix of JPEG's EXIF segment.
    let upright =
        exif.map_or(Orientation::UPRIGHT, |exif| orientation(exif.strip_prefix(b"Exif\0\0").unwrap_or(&exif)));
    let (width, height) = decoder.dimensions();
    let header = Header::new([height as usize, width as usize], true, decoder.has_alpha(), upright);
    Ok(Box::new(Webp { decoder, header }))
}

impl Opened for Webp<'_> {
    fn header(&self) -> Header {
        self.header
    }

    fn pixels(mut self: Box<Self>, _is_grey: bool) -> Result<Pixels, String> {
        let (width, height) = self.decoder.dimensions();
        let mut bytes = vec![0; self.decoder.output_buffer_size().ok_or("too large")?];
        self.decoder.read_image(&mut bytes).map_err(one_line)?;
        let samples = if self.decoder.has_alpha() { 4 } else { 3 };
        Ok(Pixels { height: height as usize, width: width as usize, samples, bytes })
    }
}
