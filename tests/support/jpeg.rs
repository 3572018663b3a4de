//! JPEG files of flat blocks: only DC coefficients, so that pixels of unsubsampled components are exact and every structure can be written.
#![allow(dead_code, reason = "each test file uses a part of it")]

/// A JPEG to be written. Components have the identifiers 1, 2, ...; with three they are YCbCr.
pub struct Jpeg<'a> {
    pub size: [usize; 2],
    /// Horizontal and vertical sampling factors by component.
    pub sampling: &'a [[usize; 2]],
    /// One scan per component instead of one for all.
    pub is_apart: bool,
    /// Segments behind the start.
    pub segments: Vec<u8>,
}

/// A segment of a marker.
pub fn segment(marker: u8, data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u16 + 2).to_be_bytes();
    [&[0xff, marker], &length[..], data].concat()
}

/// A segment of EXIF data with nothing but the orientation.
pub fn exif(orientation: u8) -> Vec<u8> {
    let tiff = [&b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0"[..], &[orientation], &[0; 6]].concat();
    segment(0xe1, &tiff)
}

/// Bits of a scan; a byte 0xff is followed by 0.
#[derive(Default)]
struct Bits(String);

impl Bits {
    /// A difference of DC coefficients, whose sizes 0 to 11 have codes of 4 bits; the end of the block is one bit.
    fn block(&mut self, difference: i32) {
        let size = (32 - difference.unsigned_abs().leading_zeros()) as usize;
        self.0 += &format!("{size:04b}");
        if size > 0 {
            let code = if difference < 0 { difference + (1 << size) - 1 } else { difference };
            self.0 += &format!("{code:0size$b}");
        }
        self.0.push('0');
    }

    fn bytes(mut self) -> Vec<u8> {
        self.0 += &"1".repeat((8 - self.0.len() % 8) % 8);
        let byte = |bits: &[u8]| bits.iter().fold(0, |byte, bit| byte << 1 | (bit - b'0'));
        let stuffed = |byte| if byte == 0xff { vec![0xff, 0] } else { vec![byte] };
        self.0.as_bytes().chunks(8).map(byte).flat_map(stuffed).collect()
    }
}

impl Jpeg<'_> {
    /// Returns the bytes of a file whose block `x`, `y` of a component has the value that `level` gives.
    pub fn bytes(&self, level: impl Fn(usize, usize, usize) -> u8) -> Vec<u8> {
        let [height, width] = self.size;
        let most = |axis: usize| self.sampling.iter().map(|factors| factors[axis]).max().unwrap();
        let (hmax, vmax) = (most(0), most(1));
        let count = self.sampling.len() as u8;
        let mut file = vec![0xff, 0xd8];
        file.extend(&self.segments);
        // The DC coefficient is 8 times the value; divided by the quantiser 8 it is the value.
        file.extend(segment(0xdb, &[&[0][..], &[8; 64]].concat()));
        let mut frame = vec![8, (height >> 8) as u8, height as u8, (width >> 8) as u8, width as u8, count];
        for (c, [h, v]) in (1..).zip(self.sampling) {
            frame.extend([c, (h << 4 | v) as u8, 0]);
        }
        file.extend(segment(0xc0, &frame));
        let (mut dc, mut ac) = ([0; 17], [0; 17]);
        (dc[4], ac[0], ac[1]) = (12, 0x10, 1);
        file.extend(segment(0xc4, &[&dc[..], &(0..12).collect::<Vec<u8>>()].concat()));
        file.extend(segment(0xc4, &[&ac[..], &[0]].concat()));
        let mcus = [width.div_ceil(8 * hmax), height.div_ceil(8 * vmax)];
        let components: Vec<usize> = (0..self.sampling.len()).collect();
        if self.is_apart || count == 1 {
            for &c in &components {
                let [h, v] = self.sampling[c];
                let [columns, rows] = [(width * h).div_ceil(hmax).div_ceil(8), (height * v).div_ceil(vmax).div_ceil(8)];
                let blocks = (0..rows).flat_map(|y| (0..columns).map(move |x| (c, x, y)));
                file.extend(scan(&[c], blocks, &level));
            }
        } else {
            let blocks = (0..mcus[1]).flat_map(|my| (0..mcus[0]).map(move |mx| (mx, my))).flat_map(|(mx, my)| {
                components.iter().flat_map(move |&c| {
                    let [h, v] = self.sampling[c];
                    (0..v).flat_map(move |y| (0..h).map(move |x| (c, mx * h + x, my * v + y)))
                })
            });
            file.extend(scan(&components, blocks, &level));
        }
        file.extend([0xff, 0xd9]);
        file
    }
}

fn scan(
    components: &[usize],
    blocks: impl Iterator<Item = (usize, usize, usize)>,
    level: &impl Fn(usize, usize, usize) -> u8,
) -> Vec<u8> {
    let mut head = vec![components.len() as u8];
    components.iter().for_each(|&c| head.extend([c as u8 + 1, 0]));
    head.extend([0, 63, 0]);
    let (mut bits, mut before) = (Bits::default(), [0; 4]);
    for (c, x, y) in blocks {
        let value = i32::from(level(c, x, y)) - 128;
        bits.block(value - before[c]);
        before[c] = value;
    }
    [segment(0xda, &head), bits.bytes()].concat()
}
