//! Idx files, the format of MNIST and its variants: a big-endian header, then bytes; optionally gzipped.

use super::dataset::{Data, InMemory};
use crate::error::{Error, Result};
use std::{fs, io::Read, path::Path, path::PathBuf, sync::Arc};

const IMAGES: u32 = 0x0803;
const LABELS: u32 = 0x0801;

/// Reads MNIST (LeCun, Cortes, Burges 1998) or a set in its format, from the four files in `folder`.
pub fn mnist(name: &str, folder: &Path, classes: Vec<String>, published: &str) -> Result<Data> {
    let train = part(folder, "train", classes.len(), published)?;
    let test = part(folder, "t10k", classes.len(), published)?;
    if train.shape != test.shape {
        return Err(Error::Format {
            path: folder.to_path_buf(),
            expected: format!("test images of {} x {} pixels, as the training images", train.shape[0], train.shape[1]),
            got: format!("{} x {}", test.shape[0], test.shape[1]),
        });
    }
    Ok(Data::new(name, 255, classes, Arc::new(train), Arc::new(test)))
}

/// Images and labels of `train` or `t10k`.
fn part(folder: &Path, part: &str, classes: usize, published: &str) -> Result<InMemory> {
    let (image_path, image_bytes) = read(folder, &format!("{part}-images-idx3-ubyte"), published)?;
    let (label_path, label_bytes) = read(folder, &format!("{part}-labels-idx1-ubyte"), published)?;
    let (extents, pixels) = idx(&image_path, &image_bytes, IMAGES, 3)?;
    let (_, labels) = idx(&label_path, &label_bytes, LABELS, 1)?;
    if extents[0] != labels.len() {
        let (expected, got) = (format!("{} labels, one per image", extents[0]), format!("{} labels", labels.len()));
        return Err(Error::Format { path: label_path, expected, got });
    }
    if extents.contains(&0) {
        return Err(Error::Format {
            path: image_path,
            expected: "at least one image of one pixel".into(),
            got: format!("{extents:?}"),
        });
    }
    if let Some(at) = labels.iter().position(|&label| usize::from(label) >= classes) {
        let (expected, got) = (format!("labels below {classes}"), format!("label {} of image {at}", labels[at]));
        return Err(Error::Format { path: label_path, expected, got });
    }
    let labels = labels.iter().map(|&l| u32::from(l)).collect();
    Ok(InMemory { shape: [extents[1], extents[2], 1], pixels: pixels.to_vec(), labels })
}

/// Reads the file of that name or its gzipped form.
fn read(folder: &Path, name: &str, published: &str) -> Result<(PathBuf, Vec<u8>)> {
    let (plain, packed) = (folder.join(name), folder.join(format!("{name}.gz")));
    if plain.exists() {
        return fs::read(&plain).map(|bytes| (plain.clone(), bytes)).map_err(Error::file("reading", plain));
    }
    let bytes = fs::read(&packed).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => Error::Format {
            path: folder.to_path_buf(),
            expected: format!("a file `{name}` or `{name}.gz` ({published})"),
            got: "none".into(),
        },
        _ => Error::File { doing: "reading", path: packed.clone(), source },
    })?;
    let mut unpacked = Vec::new();
    match flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut unpacked) {
        Ok(_) => Ok((packed, unpacked)),
        Err(e) => Err(Error::Format { path: packed, expected: "a complete gzip file".into(), got: e.to_string() }),
    }
}

/// Returns extents and bytes of an idx file with that magic number.
fn idx<'a>(path: &Path, bytes: &'a [u8], magic: u32, axes: usize) -> Result<(Vec<usize>, &'a [u8])> {
    let wrong = |expected: String, got: String| Error::Format { path: path.to_path_buf(), expected, got };
    let header = 4 * (1 + axes);
    let Some((head, body)) = bytes.split_at_checked(header) else {
        return Err(wrong(format!("a header of {header} bytes"), format!("a file of {} bytes", bytes.len())));
    };
    let numbers: Vec<u32> = head.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]])).collect();
    if numbers[0] != magic {
        return Err(wrong(format!("magic number {magic:#010x}"), format!("{:#010x}", numbers[0])));
    }
    let extents: Vec<usize> = numbers[1..].iter().map(|&n| n as usize).collect();
    let size = extents.iter().try_fold(1_usize, |size, &n| size.checked_mul(n));
    if size != Some(body.len()) {
        return Err(wrong(format!("{extents:?} bytes behind the header"), format!("{} bytes", body.len())));
    }
    Ok((extents, body))
}
