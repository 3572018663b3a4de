//! JPEG, by two decoders: the faster one reads most files, the other one those that it reads wrongly or not at all.

use super::contract::{Header, Opened, one_line};
use super::exif::orientation;
use super::markers::Structure;
use super::pixels::{Orientation, Pixels, from_cmyk};
use jpeg_decoder::{ColorTransform, PixelFormat};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};

pub(super) const MAGIC: &[u8] = &[0xff, 0xd8];

/// Opens a JPEG file.
pub(super) fn open(bytes: &[u8]) -> Result<Box<dyn Opened + '_>, String> {
    let structure = Structure::of(bytes).ok_or("the file is truncated")?;
    let upright = structure.exif.map_or(Orientation::UPRIGHT, orientation);
    let bytes = &bytes[..structure.length];
    // zune-jpeg gives sequential files with one scan per component wrong colours, has no lossless mode, and refuses bytes between segments.
    let is_sequential = [0xc0, 0xc1].contains(&structure.frame);
    let is_in_parts = is_sequential && structure.of_first_scan < structure.components;
    let is_rare = structure.frame == 0xc3 || is_in_parts || structure.has_stray_bytes;
    if is_rare { Rare::open(bytes, &structure, upright) } else { Usual::open(bytes, upright) }
}

struct Usual<'a> {
    decoder: JpegDecoder<ZCursor<&'a [u8]>>,
    header: Header,
}

impl<'a> Usual<'a> {
    fn open(bytes: &'a [u8], upright: Orientation) -> Result<Box<dyn Opened + 'a>, String> {
        let options = DecoderOptions::default().set_strict_mode(true);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
        decoder.decode_headers().map_err(one_line)?;
        let (width, height) = decoder.dimensions().ok_or("no dimensions")?;
        let is_colour = decoder.input_colorspace() != Some(ColorSpace::Luma);
        Ok(Box::new(Self { decoder, header: Header::new([height, width], is_colour, false, upright) }))
    }
}

impl Opened for Usual<'_> {
    fn header(&self) -> Header {
        self.header
    }

    fn pixels(mut self: Box<Self>, is_grey: bool) -> Result<Pixels, String> {
        let (width, height) = self.decoder.dimensions().ok_or("no dimensions")?;
        // Most JPEG files contain luma, which needs no conversion.
        let is_luma = is_grey && matches!(self.decoder.input_colorspace(), Some(ColorSpace::Luma | ColorSpace::YCbCr));
        let (colours, samples) = if is_luma { (ColorSpace::Luma, 1) } else { (ColorSpace::RGB, 3) };
        let options = self.decoder.options().jpeg_set_out_colorspace(colours);
        self.decoder.set_options(options);
        let bytes = self.decoder.decode().map_err(one_line)?;
        Ok(Pixels { height, width, samples, bytes })
    }
}

struct Rare<'a> {
    decoder: jpeg_decoder::Decoder<&'a [u8]>,
    header: Header,
}

impl<'a> Rare<'a> {
    fn open(bytes: &'a [u8], structure: &Structure, upright: Orientation) -> Result<Box<dyn Opened + 'a>, String> {
        let mut decoder = jpeg_decoder::Decoder::new(bytes);
        // As libjpeg decides; the decoder's own rules differ.
        match (structure.components, structure.is_jfif, structure.adobe) {
            (3, false, Some(0)) => decoder.set_color_transform(ColorTransform::RGB),
            (3, true, _) | (3, _, Some(_)) => decoder.set_color_transform(ColorTransform::YCbCr),
            (4, _, Some(2)) => decoder.set_color_transform(ColorTransform::YCCK),
            (4, ..) => decoder.set_color_transform(ColorTransform::CMYK),
            _ => {}
        }
        decoder.read_info().map_err(one_line)?;
        let info = decoder.info().ok_or("no dimensions")?;
        let is_colour = matches!(info.pixel_format, PixelFormat::RGB24 | PixelFormat::CMYK32);
        let header = Header::new([info.height.into(), info.width.into()], is_colour, false, upright);
        Ok(Box::new(Self { decoder, header }))
    }
}

impl Opened for Rare<'_> {
    fn header(&self) -> Header {
        self.header
    }

    fn pixels(mut self: Box<Self>, _is_grey: bool) -> Result<Pixels, String> {
        let bytes = self.decoder.decode().map_err(one_line)?;
        let info = self.decoder.info().ok_or("no dimensions")?;
        let (height, width) = (info.height.into(), info.width.into());
        let (samples, bytes) = match info.pixel_format {
            PixelFormat::L8 => (1, bytes),
            // The high byte; the decoder writes them in the machine's order.
            PixelFormat::L16 => {
                (1, bytes.chunks_exact(2).map(|two| u16::from_ne_bytes([two[0], two[1]]).to_be_bytes()[0]).collect())
            }
            PixelFormat::RGB24 => (3, bytes),
            PixelFormat::CMYK32 => (3, bytes.chunks_exact(4).flat_map(from_cmyk).collect()),
        };
        Ok(Pixels { height, width, samples, bytes })
    }
}
