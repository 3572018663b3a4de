//! TIFF: the first image, of 1 to 16 bits per sample.

use super::contract::{Header, Opened, one_line};
use super::exif::entry;
use super::pixels::{Orientation, Pixels, from_cmyk};
use ::tiff::ColorType;
use ::tiff::decoder::{Decoder, DecodingResult, Limits};
use ::tiff::tags::Tag;
use std::borrow::Cow;
use std::io::Cursor;

/// Whether the first bytes are those of a TIFF or BigTIFF file.
pub(super) fn is_tiff(bytes: &[u8]) -> bool {
    [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"].iter().any(|magic| bytes.starts_with(*magic))
}

struct Tiff<'a> {
    decoder: Decoder<Cursor<Cow<'a, [u8]>>>,
    kind: ColorType,
    header: Header,
    /// Pixels are indices into a map of colours.
    is_palette: bool,
}

/// The decoder refuses images with a map of colours. This tells it that they are grey; `None` for other images.
fn with_grey_indices(bytes: &[u8]) -> Option<Vec<u8>> {
    const PHOTOMETRIC_INTERPRETATION: u16 = 0x0106;
    const PALETTE: u32 = 3;
    const BLACK_IS_ZERO: u8 = 1;
    let (at, value) = entry(bytes, PHOTOMETRIC_INTERPRETATION)?;
    (value == PALETTE).then(|| {
        let mut bytes = bytes.to_vec();
        let low = if bytes[0] == b'I' { at } else { at + 1 };
        bytes[low] = BLACK_IS_ZERO;
        bytes
    })
}

/// Opens a TIFF file.
pub(super) fn open(bytes: &[u8]) -> Result<Box<dyn Opened + '_>, String> {
    let mut limits = Limits::default();
    // Twice the bytes of the largest image of 16 bits, which the header's check bounds.
    limits.decoding_buffer_size = 1 << 31;
    let grey = with_grey_indices(bytes);
    let is_palette = grey.is_some();
    let bytes = grey.map_or(Cow::Borrowed(bytes), Cow::Owned);
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(one_line)?.with_limits(limits);
    let (width, height) = decoder.dimensions().map_err(one_line)?;
    let kind = match decoder.colortype().map_err(one_line)? {
        // The decoder's word for grey with a further sample.
        ColorType::Multiband { bit_depth, num_samples: 2 } => ColorType::GrayA(bit_depth),
        kind => kind,
    };
    let is_grey = !is_palette && matches!(kind, ColorType::Gray(_) | ColorType::GrayA(_));
    let has_alpha = matches!(kind, ColorType::GrayA(_) | ColorType::RGBA(_));
    let number = decoder.find_tag_unsigned::<u32>(Tag::Orientation).map_err(one_line)?.unwrap_or(1);
    let header = Header::new([height as usize, width as usize], !is_grey, has_alpha, Orientation::of(number));
    Ok(Box::new(Tiff { decoder, kind, header, is_palette }))
}

impl Opened for Tiff<'_> {
    fn header(&self) -> Header {
        self.header
    }

    fn pixels(mut self: Box<Self>, _is_grey: bool) -> Result<Pixels, String> {
        let (width, height) = self.decoder.dimensions().map_err(one_line)?;
        let (width, height) = (width as usize, height as usize);
        let mut result = DecodingResult::U8(Vec::new());
        self.decoder.read_image_to_buffer(&mut result).map_err(one_line)?;
        let bytes = match result {
            DecodingResult::U8(bytes) => bytes,
            // The high byte.
            DecodingResult::U16(numbers) => numbers.into_iter().map(|number| number.to_be_bytes()[0]).collect(),
            _ => return Err("neither 8 nor 16 bits per sample".into()),
        };
        let (samples, bits) = match self.kind {
            ColorType::Gray(bits) => (1, bits),
            ColorType::GrayA(bits) => (2, bits),
            ColorType::RGB(bits) | ColorType::YCbCr(bits) => (3, bits),
            ColorType::RGBA(bits) | ColorType::CMYK(bits) => (4, bits),
            other => return Err(format!("colours of the kind {other:?}")),
        };
        let bytes = unpacked(bytes, height, width * samples, bits, self.is_palette)?;
        let planes = self.decoder.find_tag_unsigned::<u16>(Tag::PlanarConfiguration).map_err(one_line)?;
        let bytes = if planes == Some(2) && samples > 1 { interleaved(&bytes, samples) } else { bytes };
        let (samples, bytes) = match self.kind {
            ColorType::Gray(_) if self.is_palette => (3, self.coloured(&bytes)?),
            ColorType::CMYK(_) => (3, bytes.chunks_exact(4).flat_map(from_cmyk).collect()),
            _ => (samples, bytes),
        };
        Ok(Pixels { height, width, samples, bytes })
    }
}

impl Tiff<'_> {
    /// Looks indices up in the map of colours: all reds, then all greens, then all blues, of 16 bits.
    fn coloured(&mut self, indices: &[u8]) -> Result<Vec<u8>, String> {
        let map = self.decoder.get_tag_u16_vec(Tag::ColorMap).map_err(one_line)?;
        let size = map.len() / 3;
        let colour = |&index: &u8| -> Result<[u8; 3], String> {
            let index = usize::from(index);
            let wrong = || "an index beyond the map of colours".to_string();
            let channel = |i: usize| map.get(i * size + index).filter(|_| index < size).map(|v| v.to_be_bytes()[0]);
            Ok([channel(0).ok_or_else(wrong)?, channel(1).ok_or_else(wrong)?, channel(2).ok_or_else(wrong)?])
        };
        let colours: Vec<[u8; 3]> = indices.iter().map(colour).collect::<Result<_, _>>()?;
        Ok(colours.into_flattened())
    }
}

/// Expands samples of less than 8 bits, whose rows begin on a byte. Grey levels are scaled to 0..=255, indices are not.
fn unpacked(bytes: Vec<u8>, height: usize, per_row: usize, bits: u8, is_palette: bool) -> Result<Vec<u8>, String> {
    match bits {
        8 | 16 => return Ok(bytes),
        1 | 2 | 4 => {}
        _ => return Err(format!("{bits} bits per sample")),
    }
    let (bits, max) = (usize::from(bits), (1_u32 << bits) - 1);
    let row_bytes = (per_row * bits).div_ceil(8);
    let mut out = Vec::with_capacity(height * per_row);
    for row in bytes.chunks_exact(row_bytes).take(height) {
        out.extend((0..per_row).map(|i| {
            let value = u32::from(row[i * bits / 8]) >> (8 - bits - i * bits % 8) & max;
            if is_palette { value as u8 } else { (value * 255 / max) as u8 }
        }));
    }
    Ok(out)
}

/// Joins planes to pixels.
fn interleaved(planes: &[u8], samples: usize) -> Vec<u8> {
    let plane = planes.len() / samples;
    (0..plane).flat_map(|i| (0..samples).map(move |sample| planes[sample * plane + i])).collect()
}
