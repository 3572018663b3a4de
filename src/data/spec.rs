//! The roll-call: data sets by name.

use super::dataset::{Data, Subset};
use super::{digits::digits, idx::mnist};
use crate::error::{Error, Result};
use std::path::PathBuf;
use std::sync::Arc;

/// Names of the data sets.
pub const DATASETS: [&str; 3] = ["digits", "mnist", "fashion-mnist"];

/// Which data set, and how much of it.
#[derive(Clone, Debug, PartialEq)]
pub struct DataSpec {
    /// Name.
    pub dataset: String,
    /// Where its files are.
    pub folder: Option<PathBuf>,
    /// At most so many training samples, balanced over the classes.
    pub limit: Option<usize>,
}

impl DataSpec {
    /// Reads it.
    pub fn load(&self) -> Result<Data> {
        let numbers = || (0..10).map(|d| d.to_string()).collect();
        let mut data = match self.dataset.as_str() {
            "digits" => digits(),
            "mnist" => {
                let published = "published at yann.lecun.com/exdb/mnist";
                mnist("mnist", self.folder()?, numbers(), published)?
            }
            "fashion-mnist" => {
                let names =
                    ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"];
                let published = "published at github.com/zalandoresearch/fashion-mnist";
                mnist("fashion-mnist", self.folder()?, names.map(String::from).to_vec(), published)?
            }
            other => return Err(Error::setting("dataset", DATASETS.join(", "), other)),
        };
        if let Some(limit) = self.limit {
            if limit == 0 {
                return Err(Error::setting("limit", "at least 1", limit));
            }
            data.train = Arc::new(Subset::balanced(data.train, limit, data.classes.len()));
        }
        Ok(data)
    }

    fn folder(&self) -> Result<&std::path::Path> {
        let missing = || Error::setting("data-dir", format!("the folder with the files of {}", self.dataset), "none");
        self.folder.as_deref().ok_or_else(missing)
    }
}
