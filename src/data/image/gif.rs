//! GIF: the first frame.

use super::contract::{Header, Opened, one_line};
use super::pixels::{Orientation, Pixels};
use ::gif::{ColorOutput, DecodeOptions, Decoder, MemoryLimit};

pub(super) const MAGIC: &[u8] = b"GIF8";

struct Gif<'a> {
    decoder: Decoder<&'a [u8]>,
    header: Header,
}

/// Opens a GIF file.
pub(super) fn open(bytes: &[u8]) -> Result<Box<dyn Opened + '_>, String> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::RGBA);
    options.check_frame_consistency(true);
    // The number of pixels is bounded by the header's check.
    options.set_memory_limit(MemoryLimit::Unlimited);
    let decoder = options.read_info(bytes).map_err(one_line)?;
    let size = [decoder.height().into(), decoder.width().into()];
    // Palettes are colour, and any frame may leave pixels transparent.
    Ok(Box::new(Gif { decoder, header: Header::new(size, true, true, Orientation::UPRIGHT) }))
}

impl Opened for Gif<'_> {
    fn header(&self) -> Header {
        self.header
    }

    fn pixels(mut self: Box<Self>, _is_grey: bool) -> Result<Pixels, String> {
        let Header { height, width, .. } = self.header;
        let frame = self.decoder.read_next_frame().map_err(one_line)?.ok_or("no frame")?;
        let (top, left, columns) = (usize::from(frame.top), usize::from(frame.left), usize::from(frame.width));
        // Pixels beside the frame are transparent.
        let mut bytes = vec![0; height * width * 4];
        for (row, line) in frame.buffer.chunks_exact(columns.max(1) * 4).enumerate() {
            bytes[((top + row) * width + left) * 4..][..line.len()].copy_from_slice(line);
        }
        Ok(Pixels { height, width, samples: 4, bytes })
    }
}
