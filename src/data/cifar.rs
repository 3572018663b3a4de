//! CIFAR-10 and CIFAR-100 (Krizhevsky 2009) in the binary version: records of labels and three planes of 32 x 32 bytes.

use super::dataset::{Data, InMemory};
use super::normalisation::Normalisation;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;

/// One of the two sets as published at www.cs.toronto.edu/~kriz/cifar.html.
pub struct Cifar {
    name: &'static str,
    /// Name of the published archive, and its folder.
    archive: &'static str,
    folder: &'static str,
    /// Folder of the archive of the version for Python.
    python_folder: &'static str,
    train: &'static [&'static str],
    test: &'static str,
    names: &'static str,
    /// Class names, for a folder without the file of names.
    classes: &'static str,
    /// Label bytes before an image; the last one is the label.
    labels: usize,
    normalisation: Normalisation,
}

/// 50,000 + 10,000 images of 10 classes.
pub const CIFAR10: Cifar = Cifar {
    name: "cifar10",
    archive: "cifar-10-binary.tar.gz",
    folder: "cifar-10-batches-bin",
    python_folder: "cifar-10-batches-py",
    train: &["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"],
    test: "test_batch.bin",
    names: "batches.meta.txt",
    classes: "airplane automobile bird cat deer dog frog horse ship truck",
    labels: 1,
    normalisation: Normalisation::CIFAR10,
};

/// 50,000 + 10,000 images of 100 classes; the 20 coarse ones are not used.
pub const CIFAR100: Cifar = Cifar {
    name: "cifar100",
    archive: "cifar-100-binary.tar.gz",
    folder: "cifar-100-binary",
    python_folder: "cifar-100-python",
    train: &["train.bin"],
    test: "test.bin",
    names: "fine_label_names.txt",
    classes: "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle \
              caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant \
              flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man \
              maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree \
              plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper \
              snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train \
              trout tulip turtle wardrobe whale willow_tree wolf woman worm",
    labels: 2,
    normalisation: Normalisation::CIFAR100,
};

impl Cifar {
    /// Reads the set from a folder with its files, or from the parent of the archive's folder.
    pub fn load(&self, folder: &Path) -> Result<Data> {
        let unpacked = folder.join(self.folder);
        let folder = if unpacked.is_dir() { &unpacked } else { folder };
        self.refuse_other_forms(folder)?;
        let classes = self.classes(folder)?;
        let train = self.part(folder, self.train, classes.len())?;
        let test = self.part(folder, &[self.test], classes.len())?;
        let data = Data::new(self.name, 255, classes, Arc::new(train), Arc::new(test));
        Ok(Data { normalisation: self.normalisation.clone(), ..data })
    }

    /// Fails for the version for Python, and for an archive that is not unpacked, if the files are missing.
    fn refuse_other_forms(&self, folder: &Path) -> Result<()> {
        if folder.join(self.train[0]).exists() {
            return Ok(());
        }
        // The version for Python has the same names without endings, in this folder or in the one of its archive.
        let pickle = self.train[0].trim_end_matches(".bin");
        let pickles = [folder.join(pickle), folder.join(self.python_folder).join(pickle)];
        let got = if let Some(pickle) = pickles.iter().find(|path| path.is_file()) {
            format!("`{}` of the version for Python", pickle.strip_prefix(folder).unwrap_or(pickle).display())
        } else if folder.join(self.archive).is_file() {
            format!("`{}`, which must be unpacked", self.archive)
        } else {
            return Ok(());
        };
        let expected =
            format!("the binary version (published at www.cs.toronto.edu/~kriz/cifar.html as {})", self.archive);
        Err(Error::Format { path: folder.to_path_buf(), expected, got })
    }

    /// Reads the class names, one per line, from the file of the set.
    fn classes(&self, folder: &Path) -> Result<Vec<String>> {
        let own: Vec<String> = self.classes.split_whitespace().map(String::from).collect();
        let path = folder.join(self.names);
        if !path.exists() {
            return Ok(own);
        }
        let text = std::fs::read_to_string(&path).map_err(Error::file("reading", &path))?;
        let names: Vec<String> = text.lines().map(str::trim).filter(|l| !l.is_empty()).map(String::from).collect();
        if names.len() != own.len() {
            let (expected, got) = (format!("{} names, one per line", own.len()), names.len().to_string());
            return Err(Error::Format { path, expected, got });
        }
        Ok(names)
    }

    fn part(&self, folder: &Path, files: &[&str], classes: usize) -> Result<InMemory> {
        let mut part = InMemory::new([SIDE, SIDE, 3]);
        for file in files {
            let path = folder.join(file);
            let bytes = std::fs::read(&path).map_err(|source| match source.kind() {
                std::io::ErrorKind::NotFound => Error::Format {
                    path: folder.to_path_buf(),
                    expected: format!(
                        "a file `{file}` (published at www.cs.toronto.edu/~kriz/cifar.html as {})",
                        self.archive
                    ),
                    got: "none".into(),
                },
                _ => Error::File { doing: "reading", path: path.clone(), source },
            })?;
            self.records(path, &bytes, classes, &mut part)?;
        }
        Ok(part)
    }

    /// Appends the records of a file; converts planes to channel-last pixels.
    fn records(&self, path: PathBuf, bytes: &[u8], classes: usize, part: &mut InMemory) -> Result<()> {
        let record = self.labels + 3 * PLANE;
        if bytes.is_empty() || !bytes.len().is_multiple_of(record) {
            let (expected, got) = (format!("records of {record} bytes"), format!("a file of {} bytes", bytes.len()));
            return Err(Error::Format { path, expected, got });
        }
        part.pixels.reserve(bytes.len());
        for (at, record) in bytes.chunks_exact(record).enumerate() {
            let (labels, planes) = record.split_at(self.labels);
            let label = labels[self.labels - 1];
            if usize::from(label) >= classes {
                let (expected, got) = (format!("labels below {classes}"), format!("label {label} of image {at}"));
                return Err(Error::Format { path, expected, got });
            }
            part.labels.push(u32::from(label));
            part.pixels.extend((0..PLANE).flat_map(|i| [planes[i], planes[PLANE + i], planes[2 * PLANE + i]]));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_names_for_all_classes() {
        let count = |set: &Cifar| {
            let mut names: Vec<&str> = set.classes.split_whitespace().collect();
            assert!(names.is_sorted(), "as published");
            names.dedup();
            names.len()
        };
        assert_eq!((count(&CIFAR10), count(&CIFAR100)), (10, 100));
    }
}
