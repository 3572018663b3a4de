//! Files that may be gzipped.

use crate::error::{Error, Result};
use std::io::Read;
use std::path::Path;

/// Reads a file; unpacks it if it is gzipped, whatever its name says.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path).map_err(Error::file("reading", path))?;
    if !is_gzip(&bytes) {
        return Ok(bytes);
    }
    unpacked(&bytes).map_err(|error| Error::Format {
        path: path.to_path_buf(),
        expected: "a complete gzip file".into(),
        got: error.to_string(),
    })
}

fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// Unpacks all members of a gzip file. Like zcat, ignores what follows the last one, such as padding.
fn unpacked(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let (mut rest, mut all) = (bytes, Vec::new());
    while is_gzip(rest) {
        let mut member = flate2::bufread::GzDecoder::new(rest);
        member.read_to_end(&mut all)?;
        rest = member.into_inner();
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, GzBuilder, read::GzEncoder};

    fn packed(text: &str) -> Vec<u8> {
        let mut all = Vec::new();
        GzEncoder::new(text.as_bytes(), Compression::default()).read_to_end(&mut all).unwrap();
        all
    }

    #[test]
    fn every_form_is_unpacked() {
        let members = [packed("one "), packed(""), packed("two")].concat();
        assert_eq!(unpacked(&members).unwrap(), b"one two");
        assert_eq!(unpacked(&[&members[..], &[0; 100]].concat()).unwrap(), b"one two", "padded");
        let mut with_names = Vec::new();
        GzBuilder::new()
            .filename("x.idx")
            .comment("text")
            .extra(b"more".as_slice())
            .read(&b"three"[..], Compression::none())
            .read_to_end(&mut with_names)
            .unwrap();
        assert_eq!(unpacked(&with_names).unwrap(), b"three");
        let first = packed("one ");
        (2..first.len()).for_each(|cut| assert!(unpacked(&first[..cut]).is_err(), "{cut} bytes"));
        let mut damaged = packed("some text that is packed");
        let last = damaged.len() - 6;
        damaged[last] ^= 1;
        assert!(unpacked(&damaged).is_err(), "a wrong checksum");
    }

    #[test]
    fn the_content_decides() {
        let folder = tempfile::tempdir().unwrap();
        let (plain, zipped) = (folder.path().join("plain.gz"), folder.path().join("zipped"));
        std::fs::write(&plain, "as it is").unwrap();
        std::fs::write(&zipped, packed("packed")).unwrap();
        assert_eq!((read(&plain).unwrap(), read(&zipped).unwrap()), (b"as it is".to_vec(), b"packed".to_vec()));
        std::fs::write(&zipped, &packed("packed")[..20]).unwrap();
        assert!(read(&zipped).unwrap_err().to_string().contains("a complete gzip file"));
    }
}
