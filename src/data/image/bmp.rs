//! BMP: 1 to 32 bits per pixel, run-length codes, bit masks. The format has no well-kept small decoder: those looked at lose the padding of
//! rows or take unused bytes for alpha.

use super::contract::{Header, Opened};
use super::pixels::{Orientation, Pixels};

pub(super) const MAGIC: &[u8] = b"BM";

/// How pixels are stored.
enum Coding {
    /// Indices into a palette of red, green, blue; run-length coded or not.
    Palette { colours: Vec<[u8; 3]>, is_run_length: bool },
    /// Bits of red, green, blue and alpha.
    Masks([u32; 4]),
}

struct Bmp<'a> {
    header: Header,
    coding: Coding,
    bits: usize,
    /// Rows come from the top.
    is_top_down: bool,
    data: &'a [u8],
}

/// Little-endian numbers of a file; an error if the file ends before.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u16(&self, at: usize) -> Result<usize, String> {
        let bytes = self.0.get(at..at + 2).ok_or("the file is truncated")?;
        Ok(usize::from(u16::from_le_bytes([bytes[0], bytes[1]])))
    }

    fn u32(&self, at: usize) -> Result<u32, String> {
        let bytes = self.0.get(at..at + 4).ok_or("the file is truncated")?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }
}

/// Opens a BMP file.
pub(super) fn open(bytes: &[u8]) -> Result<Box<dyn Opened + '_>, String> {
    const FILE_HEADER: usize = 14;
    let fields = Fields(bytes);
    let (data, size) = (fields.u32(10)? as usize, fields.u32(14)? as usize);
    let is_old = size == 12;
    if !is_old && !(40..=1 << 16).contains(&size) {
        return Err(format!("a header of {size} bytes"));
    }
    let (width, height, bits) = match is_old {
        true => (fields.u16(18)? as i64, fields.u16(20)? as i64, fields.u16(24)?),
        false => (i64::from(fields.u32(18)? as i32), i64::from(fields.u32(22)? as i32), fields.u16(28)?),
    };
    let compression = if is_old { 0 } else { fields.u32(30)? };
    let (width, rows) = (usize::try_from(width).map_err(|_| "a negative width")?, height.unsigned_abs() as usize);
    let coding = match (bits, compression) {
        (1 | 4 | 8, 0..=2) => {
            let used = if is_old { 0 } else { fields.u32(46)? as usize };
            let (count, entry) = (if used == 0 { 1 << bits } else { used.min(1 << bits) }, if is_old { 3 } else { 4 });
            let palette = bytes.get(FILE_HEADER + size..).unwrap_or_default().chunks_exact(entry);
            let colours = palette.take(count).map(|entry| [entry[2], entry[1], entry[0]]).collect();
            Coding::Palette { colours, is_run_length: compression != 0 }
        }
        (16, 0) => Coding::Masks([0x7c00, 0x03e0, 0x001f, 0]),
        (24 | 32, 0) => Coding::Masks([0xff_0000, 0xff00, 0xff, 0]),
        (16 | 32, 3 | 6) => {
            let alpha = if size >= 56 || compression == 6 { fields.u32(66)? } else { 0 };
            Coding::Masks([fields.u32(54)?, fields.u32(58)?, fields.u32(62)?, alpha])
        }
        _ => return Err(format!("{bits} bits per pixel with compression {compression}")),
    };
    let is_colour = match &coding {
        Coding::Palette { colours, .. } => colours.iter().any(|[red, green, blue]| red != green || green != blue),
        Coding::Masks(_) => true,
    };
    let has_alpha = matches!(coding, Coding::Masks([.., alpha]) if alpha != 0);
    let header = Header::new([rows, width], is_colour, has_alpha, Orientation::UPRIGHT);
    let data = bytes.get(data..).ok_or("the file is truncated")?;
    Ok(Box::new(Bmp { header, coding, bits, is_top_down: height < 0, data }))
}

impl Opened for Bmp<'_> {
    fn header(&self) -> Header {
        self.header
    }

    fn pixels(self: Box<Self>, _is_grey: bool) -> Result<Pixels, String> {
        let Header { height, width, .. } = self.header;
        let rows: Vec<Vec<u8>> = match &self.coding {
            Coding::Palette { colours, is_run_length } => {
                let indices = match is_run_length {
                    true => runs(self.data, [height, width], self.bits)?,
                    false => self.rows()?.map(|row| (0..width).map(|x| index(row, x, self.bits)).collect()).collect(),
                };
                let colour = |index: &u8| colours.get(usize::from(*index)).copied().unwrap_or_default();
                indices.iter().map(|row: &Vec<u8>| row.iter().flat_map(colour).collect()).collect()
            }
            Coding::Masks(masks) => self.rows()?.map(|row| masked(row, width, self.bits / 8, masks)).collect(),
        };
        let bytes = match self.is_top_down {
            true => rows.concat(),
            false => rows.into_iter().rev().collect::<Vec<_>>().concat(),
        };
        Ok(Pixels { height, width, samples: if self.header.has_alpha { 4 } else { 3 }, bytes })
    }
}

impl Bmp<'_> {
    /// Returns the stored rows, which are padded to four bytes.
    fn rows(&self) -> Result<impl Iterator<Item = &[u8]>, String> {
        let Header { height, width, .. } = self.header;
        let row = (width * self.bits).div_ceil(32) * 4;
        // The padding of the last row may be missing.
        let needed = (height - 1) * row + (width * self.bits).div_ceil(8);
        if self.data.len() < needed {
            return Err("the file is truncated".into());
        }
        Ok(self.data.chunks(row).take(height))
    }
}

/// Returns the index of pixel `x` of a row, the first pixel in the highest bits.
fn index(row: &[u8], x: usize, bits: usize) -> u8 {
    let per_byte = 8 / bits;
    let shift = 8 - bits * (x % per_byte + 1);
    (row[x / per_byte] >> shift) & (0xff >> (8 - bits)) as u8
}

/// Returns red, green, blue, and alpha if it has a mask, of a row.
fn masked(row: &[u8], width: usize, bytes: usize, masks: &[u32; 4]) -> Vec<u8> {
    let samples = if masks[3] == 0 { 3 } else { 4 };
    let channel = |pixel: u32, mask: u32| {
        let (shift, max) = (mask.trailing_zeros(), mask.checked_shr(mask.trailing_zeros()).unwrap_or(0));
        if max == 0 { 0 } else { (u64::from((pixel & mask) >> shift) * 255 / u64::from(max)) as u8 }
    };
    let pixels = row.chunks_exact(bytes).take(width);
    pixels
        .map(|pixel| pixel.iter().rev().fold(0, |all, &byte| all << 8 | u32::from(byte)))
        .flat_map(|pixel| masks[..samples].iter().map(move |&mask| channel(pixel, mask)))
        .collect()
}

/// Decodes runs of indices of 4 or 8 bits, in the order of the rows of the file. Pixels that no run reaches have index 0.
fn runs(data: &[u8], [height, width]: [usize; 2], bits: usize) -> Result<Vec<Vec<u8>>, String> {
    let mut rows = vec![vec![0; width]; height];
    let (mut x, mut y) = (0, 0);
    let mut set = |x: usize, y: usize, index: u8| {
        if let Some(pixel) = rows.get_mut(y).and_then(|row| row.get_mut(x)) {
            *pixel = index;
        }
    };
    // Of two indices in a byte, the first is in the upper half.
    let nth = |byte: u8, i: usize| match (bits, i % 2) {
        (4, 0) => byte >> 4,
        (4, _) => byte & 15,
        _ => byte,
    };
    let mut rest = data.iter().copied();
    let mut next = || rest.next().ok_or("the file is truncated");
    while y < height {
        match (usize::from(next()?), next()?) {
            (0, 0) => (x, y) = (0, y + 1),
            (0, 1) => break,
            (0, 2) => (x, y) = (x + usize::from(next()?), y + usize::from(next()?)),
            (0, count) => {
                let count = usize::from(count);
                let bytes = (count * bits).div_ceil(8);
                let literal: Vec<u8> = (0..bytes.next_multiple_of(2)).map(|_| next()).collect::<Result<_, _>>()?;
                (0..count).for_each(|i| set(x + i, y, nth(literal[i * bits / 8], i)));
                x += count;
            }
            (count, value) => {
                (0..count).for_each(|i| set(x + i, y, nth(value, i)));
                x += count;
            }
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(size: [i32; 2], bits: u16, compression: u32, after_header: &[u8], data: &[u8]) -> Vec<u8> {
        let mut bytes = b"BM".to_vec();
        let offset = 54 + after_header.len() as u32;
        [0, 0, offset, 40].iter().for_each(|number: &u32| bytes.extend(number.to_le_bytes()));
        size.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
        bytes.extend([1, 0]);
        bytes.extend(bits.to_le_bytes());
        [compression, 0, 0, 0, 0, 0].iter().for_each(|number: &u32| bytes.extend(number.to_le_bytes()));
        [&bytes, after_header, data].concat()
    }

    fn read(bytes: &[u8]) -> Result<Vec<u8>, String> {
        open(bytes)?.pixels(false).map(|pixels| pixels.bytes)
    }

    #[test]
    fn rows_are_padded_and_come_from_below() {
        let palette = [30, 20, 10, 0, 60, 50, 40, 0];
        // Two rows of three pixels: 101 below 011.
        let one_bit = |height| file([3, height], 1, 0, &palette, &[0b1010_0000, 0, 0, 0, 0b0110_0000]);
        let (dark, light) = ([10, 20, 30], [40, 50, 60]);
        let (first, second) = ([light, dark, light].concat(), [dark, light, light].concat());
        assert_eq!(read(&one_bit(2)).unwrap(), [&second[..], &first].concat());
        assert_eq!(read(&one_bit(-2)).unwrap(), [&first[..], &second].concat());
        let short = one_bit(2);
        assert_eq!(read(&short[..short.len() - 1]), Err("the file is truncated".into()));
    }

    #[test]
    fn masks_and_unused_bytes() {
        let pixels = file([1, 1], 32, 0, &[], &[3, 2, 1, 0]);
        assert_eq!(read(&pixels).unwrap(), [1, 2, 3], "the fourth byte is not alpha");
        assert_eq!(read(&file([1, 1], 16, 0, &[], &[0x1f, 0x7c])).unwrap(), [255, 0, 255]);
        let masks: Vec<u8> = [0xf800_u32, 0x07e0, 0x001f].iter().flat_map(|mask| mask.to_le_bytes()).collect();
        assert_eq!(read(&file([1, 1], 16, 3, &masks, &[0xe0, 0x07])).unwrap(), [0, 255, 0]);
        assert_eq!(read(&file([1, 1], 17, 0, &[], &[0; 4])), Err("17 bits per pixel with compression 0".into()));
    }

    #[test]
    fn runs_literals_and_jumps() {
        // Row 0: three of 1, literals 2 3 0 (padded); row 1: two pixels ahead, one of 2; the end.
        let data = [3, 1, 0, 3, 2, 3, 0, 0, 0, 0, 0, 2, 2, 0, 1, 2, 0, 1];
        assert_eq!(runs(&data, [2, 6], 8).unwrap(), [[1, 1, 1, 2, 3, 0], [0, 0, 2, 0, 0, 0]]);
        assert_eq!(runs(&[5, 0x12, 0, 1], [1, 5], 4).unwrap(), [[1, 2, 1, 2, 1]]);
        assert_eq!(runs(&[200, 1, 0, 1], [1, 3], 8).unwrap(), [[1, 1, 1]], "no further than the row");
        assert_eq!(runs(&data[..5], [2, 6], 8), Err("the file is truncated".into()));
    }
}
