//! The registry of data sets by name, and the settings of their use.

use super::augment::Augment;
use super::cifar::{CIFAR10, CIFAR100};
use super::dataset::Data;
use super::normalisation::numbers;
use super::subset::Subset;
use super::threads::Threads;
use super::{digits::digits, idx::IDX_SETS};
use crate::error::{Error, Result};
use crate::tensor::Stream;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Names of the data sets.
pub const DATASETS: [&str; 13] = [
    "digits",
    "mnist",
    "fashion-mnist",
    "emnist-balanced",
    "emnist-byclass",
    "emnist-bymerge",
    "emnist-digits",
    "emnist-letters",
    "emnist-mnist",
    "cifar10",
    "cifar100",
    "folder",
    "svhn-folder",
];

/// Settings of the data: the data set, its size, and its preprocessing.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DataSpec {
    /// Name.
    pub dataset: String,
    /// Folder of its files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// Maximum number of training samples, balanced over the classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Fraction of each class's training images that is held out for validation.
    pub validation: f32,
    /// Seed of splits that the data set does not define.
    pub split_seed: u64,
    /// Names of augmentations.
    pub augment: Vec<String>,
    /// HEIGHTxWIDTH that images of a folder are scaled to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_size: Option<String>,
    /// Crop size HEIGHTxWIDTH; centre crop in evaluation, the augmentation's crop in training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop: Option<String>,
    /// Channels of a folder's images, 1 or 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<usize>,
    /// Colour under transparent pixels of a folder's images: white, black, #RRGGBB, or none to drop alpha; `None` is white.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub background: Option<String>,
    /// Means by channel; `None` uses the data set's constants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<Vec<f32>>,
    /// Standard deviations by channel; `None` uses the data set's constants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub std: Option<Vec<f32>>,
    /// Whether warnings about data are errors.
    pub strict: bool,
}

impl DataSpec {
    /// Returns the default augmentations of a data set.
    pub fn usual_augment(dataset: &str) -> &'static [&'static str] {
        match dataset {
            "cifar10" | "cifar100" => &["pad-crop", "flip"],
            _ => &[],
        }
    }

    /// Whether the data set consists of image files.
    pub fn is_folder(&self) -> bool {
        ["folder", "svhn-folder"].contains(&&*self.dataset)
    }

    /// Checks the settings that do not depend on files.
    pub fn check(&self) -> Result<()> {
        if !DATASETS.contains(&&*self.dataset) {
            return Err(Error::setting("dataset", DATASETS.join(", "), &self.dataset));
        }
        if self.limit == Some(0) {
            return Err(Error::setting("limit", "at least 1", 0));
        }
        if !(0.0..1.0).contains(&self.validation) {
            return Err(Error::setting("validation", "a fraction in [0, 1)", self.validation));
        }
        if self.channels.is_some_and(|channels| ![1, 3].contains(&channels)) {
            return Err(Error::setting("channels", "1 or 3", self.channels.unwrap_or_default()));
        }
        let of_folders = [
            ("image-size", self.image_size.is_some()),
            ("channels", self.channels.is_some()),
            ("background", self.background.is_some()),
        ];
        if let Some((name, _)) = of_folders.into_iter().find(|(_, is_set)| *is_set && !self.is_folder()) {
            return Err(Error::setting(name, "a data set of image files (folder, svhn-folder)", &self.dataset));
        }
        if let Some(folder) = self.data_dir.as_deref().filter(|_| self.dataset == "digits") {
            return Err(Error::setting(
                "data-dir",
                "none for the digits, which are embedded in the program",
                folder.display(),
            ));
        }
        Augment::parse(&self.augment)?;
        extents("image-size", self.image_size.as_deref())?;
        extents("crop", self.crop.as_deref())?;
        self.background()?;
        self.mean.as_deref().map_or(Ok(()), |mean| numbers("mean", mean))?;
        self.std.as_deref().map_or(Ok(()), |std| numbers("std", std))
    }

    /// Reads the data set, on all cores if there is anything to decode.
    pub fn load(&self) -> Result<Data> {
        self.load_on(&Threads::new(None))
    }

    /// Reads the data set on these threads.
    pub fn load_on(&self, threads: &Threads) -> Result<Data> {
        self.check()?;
        let of_idx = IDX_SETS.iter().find(|set| set.name == self.dataset);
        let mut data = match self.dataset.as_str() {
            "digits" => digits(),
            "cifar10" => CIFAR10.load(self.files()?)?,
            "cifar100" => CIFAR100.load(self.files()?)?,
            _ => match of_idx {
                Some(set) => set.load(self.files()?)?,
                None => self.folder(threads, None)?,
            },
        };
        let classes = data.classes.len();
        if self.validation > 0.0 && data.validation.is_some() {
            return Err(Error::setting("validation", "0, since the data set has a validation part", self.validation));
        }
        if self.validation > 0.0 {
            let stream = Stream::new(self.split_seed, "validation.split");
            let (kept, taken) = Subset::split(data.train, self.validation, classes, stream);
            data.train = Arc::new(kept);
            data.validation = Some(Arc::new(taken));
        }
        if let Some(limit) = self.limit {
            data.train = Arc::new(Subset::balanced(data.train, limit, classes));
        }
        self.prepared(data)
    }

    /// Reads everything in the folder of a data set of image files, whether it has parts or not, as test images of these classes.
    pub fn load_everything(&self, classes: &[String], threads: &Threads) -> Result<Data> {
        self.check()?;
        self.prepared(self.folder(threads, Some(classes))?)
    }

    /// Sets crop, augmentation and normalisation.
    fn prepared(&self, mut data: Data) -> Result<Data> {
        if let Some([height, width]) = extents("crop", self.crop.as_deref())? {
            let [h, w, channels] = data.shape;
            if height > h || width > w {
                return Err(Error::setting(
                    "crop",
                    format!("at most the images' {h}x{w}"),
                    format!("{height}x{width}"),
                ));
            }
            data.shape = [height, width, channels];
        }
        data.augment = Augment::parse(&self.augment)?;
        data.augment.check(data.shape[2])?;
        data.normalisation = data.normalisation.with(self.mean.as_deref(), self.std.as_deref());
        data.normalisation.check(data.shape[2])?;
        Ok(data)
    }

    /// Reads image files: the parts, or everything as test images of known classes.
    #[cfg(all(feature = "images", not(target_arch = "wasm32")))]
    fn folder(&self, threads: &Threads, everything_of: Option<&[String]>) -> Result<Data> {
        use super::folder::{Folder, IN_MEMORY};
        use super::normalisation::Normalisation;
        let (size, colours) = match self.dataset.as_str() {
            "svhn-folder" => (Some([32, 32]), Normalisation::SVHN),
            _ => (None, Normalisation::IMAGENET),
        };
        let folder = Folder {
            root: self.files()?,
            size: extents("image-size", self.image_size.as_deref())?.or(size),
            channels: self.channels,
            background: self.background()?,
            is_strict: self.strict,
            split_seed: self.split_seed,
            in_memory: IN_MEMORY,
            threads,
        };
        let data = match everything_of {
            Some(classes) => folder.load_everything(&self.dataset, classes)?,
            None => folder.load(&self.dataset)?,
        };
        let normalisation = if data.shape[2] == 3 { colours } else { Normalisation::UNIT };
        Ok(Data { normalisation, ..data })
    }

    #[cfg(not(all(feature = "images", not(target_arch = "wasm32"))))]
    fn folder(&self, _threads: &Threads, _everything_of: Option<&[String]>) -> Result<Data> {
        let expected = "a data set without image files, since this is built without the feature `images`";
        Err(Error::setting("dataset", expected, &self.dataset))
    }

    #[cfg(all(feature = "images", not(target_arch = "wasm32")))]
    fn background(&self) -> Result<super::image::Background> {
        self.background.as_deref().map_or(Ok(Default::default()), str::parse)
    }

    /// Without image files there is no background.
    #[cfg(not(all(feature = "images", not(target_arch = "wasm32"))))]
    fn background(&self) -> Result<()> {
        Ok(())
    }

    fn files(&self) -> Result<&Path> {
        let expected = format!("the folder of the data set {}", self.dataset);
        let Some(folder) = self.data_dir.as_deref() else { return Err(Error::setting("data-dir", expected, "none")) };
        if !folder.is_dir() {
            return Err(Error::Format {
                path: folder.to_path_buf(),
                expected,
                got: if folder.exists() { "a file" } else { "no such folder" }.into(),
            });
        }
        Ok(folder)
    }
}

/// Parses height and width from HEIGHTxWIDTH.
fn extents(name: &str, text: Option<&str>) -> Result<Option<[usize; 2]>> {
    /// Maximum side, far above that of any network's input.
    const MAX: usize = 1 << 14;
    let Some(text) = text else { return Ok(None) };
    let sides: Option<Vec<usize>> = text.split('x').map(|side| side.parse().ok()).collect();
    match sides.as_deref() {
        Some(&[height, width]) if (1..=MAX).contains(&height) && (1..=MAX).contains(&width) => {
            Ok(Some([height, width]))
        }
        _ => Err(Error::setting(name, format!("HEIGHTxWIDTH of 1 to {MAX} each"), format!("`{text}`"))),
    }
}
