//! Idx files, the format of MNIST and its variants: a big-endian header, then bytes; optionally gzipped.

use super::dataset::{Data, InMemory};
use super::gzip::read;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const IMAGES: u32 = 0x0803;
const LABELS: u32 = 0x0801;

/// A data set in four idx files.
pub struct IdxSet {
    pub(super) name: &'static str,
    /// Beginnings of the names of training and test files: `train`, `t10k`.
    parts: [&'static str; 2],
    /// Folders that programs unpack the files into, below the data set's.
    folders: &'static [&'static str],
    published: &'static str,
    /// Class names by label.
    classes: &'static str,
    /// Label of the first class.
    first_label: u8,
    /// Whether images are stored column by column.
    is_transposed: bool,
}

const DIGITS: &str = "0 1 2 3 4 5 6 7 8 9";
const MNIST_PARTS: [&str; 2] = ["train", "t10k"];

/// MNIST (LeCun, Cortes, Burges 1998).
const MNIST: IdxSet = IdxSet {
    name: "mnist",
    parts: MNIST_PARTS,
    folders: &["MNIST/raw", "raw"],
    published: "yann.lecun.com/exdb/mnist",
    classes: DIGITS,
    first_label: 0,
    is_transposed: false,
};

/// Fashion-MNIST (Xiao, Rasul, Vollgraf 2017).
const FASHION_MNIST: IdxSet = IdxSet {
    name: "fashion-mnist",
    folders: &["FashionMNIST/raw", "raw"],
    published: "github.com/zalandoresearch/fashion-mnist",
    classes: "t-shirt trouser pullover dress coat sandal shirt sneaker bag boot",
    ..MNIST
};

/// A set of EMNIST (Cohen et al. 2017), whose images are stored column by column.
const fn emnist(name: &'static str, parts: [&'static str; 2], classes: &'static str, first_label: u8) -> IdxSet {
    IdxSet {
        name,
        parts,
        folders: &["gzip", "EMNIST/raw", "raw"],
        published: "www.nist.gov/itl/products-and-services/emnist-dataset",
        classes,
        first_label,
        is_transposed: true,
    }
}

const CAPITALS: &str = "A B C D E F G H I J K L M N O P Q R S T U V W X Y Z";
const MERGED: &str = "0 1 2 3 4 5 6 7 8 9 A B C D E F G H I J K L M N O P Q R S T U V W X Y Z a b d e f g h n q r t";
const ALL: &str = "0 1 2 3 4 5 6 7 8 9 A B C D E F G H I J K L M N O P Q R S T U V W X Y Z \
                   a b c d e f g h i j k l m n o p q r s t u v w x y z";

/// The sets of this format.
pub const IDX_SETS: [IdxSet; 8] = [
    MNIST,
    FASHION_MNIST,
    emnist("emnist-balanced", ["emnist-balanced-train", "emnist-balanced-test"], MERGED, 0),
    emnist("emnist-byclass", ["emnist-byclass-train", "emnist-byclass-test"], ALL, 0),
    emnist("emnist-bymerge", ["emnist-bymerge-train", "emnist-bymerge-test"], MERGED, 0),
    emnist("emnist-digits", ["emnist-digits-train", "emnist-digits-test"], DIGITS, 0),
    emnist("emnist-letters", ["emnist-letters-train", "emnist-letters-test"], CAPITALS, 1),
    emnist("emnist-mnist", ["emnist-mnist-train", "emnist-mnist-test"], DIGITS, 0),
];

impl IdxSet {
    /// Reads the set from its four files, in `folder` or in one of the folders that programs unpack them into.
    pub fn load(&self, folder: &Path) -> Result<Data> {
        let [train, test] = [self.part(folder, self.parts[0])?, self.part(folder, self.parts[1])?];
        if train.shape != test.shape {
            return Err(Error::Format {
                path: folder.to_path_buf(),
                expected: format!(
                    "test images of {} x {} pixels, as the training images",
                    train.shape[0], train.shape[1]
                ),
                got: format!("{} x {}", test.shape[0], test.shape[1]),
            });
        }
        let classes = self.classes.split_whitespace().map(String::from).collect();
        Ok(Data::new(self.name, 255, classes, Arc::new(train), Arc::new(test)))
    }

    /// Images and labels of a part.
    fn part(&self, folder: &Path, part: &str) -> Result<InMemory> {
        let image_path = self.find(folder, &format!("{part}-images-idx3-ubyte"))?;
        let label_path = self.find(folder, &format!("{part}-labels-idx1-ubyte"))?;
        let (image_bytes, label_bytes) = (read(&image_path)?, read(&label_path)?);
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
        let (first, count) = (self.first_label, self.classes.split_whitespace().count());
        let class = |label: u8| label.checked_sub(first).map(u32::from).filter(|&class| (class as usize) < count);
        if let Some(at) = labels.iter().position(|&label| class(label).is_none()) {
            let bounds = if first == 0 { String::new() } else { format!("from {first} and ") };
            let expected = format!("labels {bounds}below {}", usize::from(first) + count);
            return Err(Error::Format {
                path: label_path,
                expected,
                got: format!("label {} of image {at}", labels[at]),
            });
        }
        let labels = labels.iter().filter_map(|&label| class(label)).collect();
        let [height, width] = [extents[1], extents[2]];
        Ok(match self.is_transposed {
            false => InMemory { shape: [height, width, 1], pixels: pixels.to_vec(), labels },
            true => InMemory { shape: [width, height, 1], pixels: transposed(pixels, [height, width]), labels },
        })
    }

    /// Finds a file by its name in any case, with `.` or `-` before `idx`, gzipped or not; also within a folder of that name.
    fn find(&self, folder: &Path, name: &str) -> Result<PathBuf> {
        let is_named = |path: &PathBuf| {
            let own = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
            own.strip_suffix(".gz").unwrap_or(&own).replace(".idx", "-idx") == name
        };
        let named_in = |folder: &Path| -> Vec<PathBuf> {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_named).collect();
            // The published name before others, whatever the order of the folder.
            paths.sort_by_key(|path| (path.file_name() != Some(name.as_ref()), path.clone()));
            paths
        };
        let folders = [folder.to_path_buf()].into_iter().chain(self.folders.iter().map(|inner| folder.join(inner)));
        let candidates = folders.flat_map(|folder| named_in(&folder));
        let files = candidates.flat_map(|path| if path.is_dir() { named_in(&path) } else { vec![path] });
        files.into_iter().find(|path| path.is_file()).ok_or_else(|| Error::Format {
            path: folder.to_path_buf(),
            expected: format!("a file `{name}` or `{name}.gz` (published at {})", self.published),
            got: "none".into(),
        })
    }
}

/// Turns columns of images into rows.
fn transposed(images: &[u8], [height, width]: [usize; 2]) -> Vec<u8> {
    let image = |image: &[u8]| (0..width * height).map(|i| image[i % height * width + i / height]).collect::<Vec<u8>>();
    images.chunks_exact(height * width).flat_map(image).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_has_its_number_of_classes_and_no_name_twice() {
        let counts = [10, 10, 47, 62, 47, 10, 26, 10];
        for (set, count) in IDX_SETS.iter().zip(counts) {
            let mut names: Vec<&str> = set.classes.split_whitespace().collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{}", set.name);
        }
    }

    #[test]
    fn columns_become_rows() {
        assert_eq!(transposed(b"abcdefABCDEF", [2, 3]), b"adbecfADBECF");
    }
}
