//! A hash of a file's content.

/// Returns a 64-bit hash of bytes: per word of eight bytes a multiplication and a shift, as in FNV. The same on every platform and in every
/// version, since runs store it; not a cryptographic hash.
pub(super) fn content_hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, word: u64| {
        let hash = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^ (hash >> 32)
    };
    let (words, rest) = bytes.as_chunks::<8>();
    let whole = words.iter().fold(bytes.len() as u64, |hash, word| step(hash, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    // Once more, so that the last word reaches every bit.
    step(step(whole, u64::from_le_bytes(last)), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_depends_on_every_byte_and_the_length() {
        assert_eq!(content_hash(b""), 0x9e37_79b9_e17d_05ac, "stored hashes stay valid");
        let bytes: Vec<u8> = (0..37).collect();
        let mut hashes: Vec<u64> = (0..37).map(|length| content_hash(&bytes[..length])).collect();
        hashes.extend((0..37 * 8).map(|bit| {
            let mut other = bytes.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            content_hash(&other)
        }));
        hashes.push(content_hash(&[0, 0]));
        let count = hashes.len();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), count);
    }
}
