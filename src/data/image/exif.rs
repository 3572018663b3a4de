//! Tags of EXIF data, which have the structure of TIFF files.

use super::pixels::Orientation;

/// Returns the orientation that EXIF data (a TIFF header and its first directory) tells; upright if they tell none or are damaged.
pub(super) fn orientation(exif: &[u8]) -> Orientation {
    entry(exif, 0x0112).map_or(Orientation::UPRIGHT, |(_, number)| Orientation::of(number))
}

/// Returns where the value of a tag of the first directory lies, and the value, if it is one 16-bit number.
pub(super) fn entry(tiff: &[u8], wanted: u16) -> Option<(usize, u32)> {
    const SHORT: u16 = 3;
    const ENTRY: usize = 12;
    let is_little = match tiff.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let short = |at: usize| -> Option<u16> {
        let bytes = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if is_little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let (first, second) = (u32::from(short(4)?), u32::from(short(6)?));
    let directory = if is_little { second << 16 | first } else { first << 16 | second } as usize;
    let place = |i: usize| directory.checked_add(2 + ENTRY * i);
    let at = (0..usize::from(short(directory)?)).filter_map(place).find(|&at| short(at) == Some(wanted))?;
    if short(at + 2)? == SHORT { Some((at + 8, short(at + 8)?.into())) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_byte_orders_and_damaged_data() {
        let big = b"MM\0*\0\0\0\x08\0\x02\x01\x00\0\x03\0\0\0\x01\0\x09\0\0\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        let little = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x08\0\0\0\0\0\0\0";
        assert_eq!((orientation(big), orientation(little)), (Orientation::of(6), Orientation::of(8)));
        for length in 0..big.len() - 6 {
            assert_eq!(orientation(&big[..length]), Orientation::UPRIGHT, "{length} bytes");
        }
        let mut far = big.to_vec();
        far[4..8].fill(0xff);
        assert_eq!(orientation(&far), Orientation::UPRIGHT);
    }
}
