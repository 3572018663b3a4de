//! The structure of a JPEG file: its markers, from the first to the end of the image. What follows the end (a film behind a photograph,
//! further images) is not part of it.

/// What the markers of a file tell.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Structure<'a> {
    /// Number of bytes up to the end of the image.
    pub length: usize,
    /// The marker of the frame header: 0xc0 and 0xc1 sequential, 0xc2 progressive, 0xc3 lossless.
    pub frame: u8,
    /// Components of the frame.
    pub components: usize,
    /// Components of the first scan.
    pub of_first_scan: usize,
    /// EXIF data.
    pub exif: Option<&'a [u8]>,
    pub is_jfif: bool,
    /// Adobe's colour transform: 0 none, 1 YCbCr, 2 YCCK.
    pub adobe: Option<u8>,
    /// Whether bytes that belong to nothing lie between segments, which libjpeg and most viewers pass over.
    pub has_stray_bytes: bool,
}

const START: u8 = 0xd8;
const END: u8 = 0xd9;
const SCAN: u8 = 0xda;
const JFIF: u8 = 0xe0;
const EXIF: u8 = 0xe1;
const ADOBE: u8 = 0xee;

impl<'a> Structure<'a> {
    /// Walks the markers; `None` if the file ends before the image does.
    pub fn of(bytes: &'a [u8]) -> Option<Self> {
        let mut structure = Self::default();
        let (mut at, mut is_in_scan) = (0, false);
        loop {
            let before = at;
            let marker = next_marker(bytes, &mut at)?;
            structure.has_stray_bytes |= !is_in_scan && bytes[before..at - 1].iter().any(|&byte| byte != 0xff);
            is_in_scan = marker == SCAN || is_in_scan && (0xd0..=0xd7).contains(&marker);
            match marker {
                END => {
                    structure.length = at;
                    return Some(structure);
                }
                // Markers without data: start of image, restarts, TEM.
                START | 0xd0..=0xd7 | 0x01 => {}
                _ => {
                    let length = usize::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
                    let segment = bytes.get(at + 2..at + length.max(2))?;
                    at += length.max(2);
                    structure.note(marker, segment);
                }
            }
        }
    }

    fn note(&mut self, marker: u8, segment: &'a [u8]) {
        match marker {
            // Frame headers; 0xc4, 0xc8 and 0xcc are other segments.
            0xc0..=0xcf if ![0xc4, 0xc8, 0xcc].contains(&marker) => {
                (self.frame, self.components) = (marker, segment.get(5).map_or(0, |&count| count.into()));
            }
            SCAN if self.of_first_scan == 0 => self.of_first_scan = segment.first().map_or(0, |&count| count.into()),
            JFIF => self.is_jfif |= segment.starts_with(b"JFIF\0"),
            ADOBE if segment.starts_with(b"Adobe") => self.adobe = segment.get(11).copied(),
            EXIF if self.exif.is_none() => self.exif = segment.strip_prefix(b"Exif\0\0"),
            _ => {}
        }
    }
}

/// Returns the next marker and moves behind it. Skips the coded data of a scan, where a byte 0xff that is no marker is followed by 0, and
/// fill bytes.
fn next_marker(bytes: &[u8], at: &mut usize) -> Option<u8> {
    loop {
        *at += bytes.get(*at..)?.iter().position(|&byte| byte == 0xff)? + 1;
        match *bytes.get(*at)? {
            0 => *at += 1,
            0xff => {}
            marker => {
                *at += 1;
                return Some(marker);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_that_of_the_image() {
        // An end marker within a segment, as a preview image has one, and two more behind the end of the image.
        let file = b"\xff\xd8\xff\xe1\0\x0cExif\0\0\xff\xd9\xff\xda\xff\xff\xc0\0\x11\x08\0\x08\0\x08\x03\x01\x22\0\x02\x11\0\x03\x11\0\
            \xff\xda\0\x08\x01\x01\0\0\x3f\0\x12\xff\0\x34\xff\xd0\x56\xff\xff\xd9film\xff\xd9\xff\xda";
        let structure = Structure::of(file).unwrap();
        assert_eq!(&file[structure.length..], b"film\xff\xd9\xff\xda");
        assert_eq!((structure.frame, structure.components, structure.of_first_scan), (0xc0, 3, 1));
        assert_eq!(structure.exif, Some(&b"\xff\xd9\xff\xda"[..]));
        assert!(!structure.has_stray_bytes, "fill bytes and coded data are none");
        let stray = [&file[..2], b"\0\0", &file[2..]].concat();
        assert!(Structure::of(&stray).unwrap().has_stray_bytes);
        for length in 0..structure.length {
            assert_eq!(Structure::of(&file[..length]), None, "{length} bytes");
        }
    }
}
