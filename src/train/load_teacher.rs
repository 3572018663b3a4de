//! Teachers from run folders and from files of logits.

use super::files::write_whole;
use super::run::Run;
use super::settings::TrainConfig;
use super::teacher::{Source, Teacher};
use crate::data::Data;
use crate::error::{Error, Result};
use crate::nn::{Tensor, Weights};
use crate::tensor::hash;
use std::path::Path;

/// Names of the tensors of a file of logits, and of its notes: the class names, a JSON list, and a hash of the training files.
const LOGITS: &str = "logits";
const LABELS: &str = "labels";
const CLASSES: &str = "classes";
const FILES: &str = "files";

impl Teacher {
    /// Returns the teacher of a configuration; `None` if it has none.
    pub fn of(config: &TrainConfig, data: &Data) -> Result<Option<Self>> {
        let (Some(weight), Some(temperature)) = (config.teacher_weight, config.temperature) else { return Ok(None) };
        let source = match (&config.teacher, &config.teacher_logits) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {
                return Err(Error::setting("teacher", "a run or a file of logits", "both"));
            }
            (Some(run), None) => Self::network(run, data)?,
            (None, Some(file)) => {
                if !config.augment.is_empty() && config.augment != ["none"] {
                    let got = config.augment.join(",");
                    return Err(Error::setting("augment", "none, with a teacher's logits from a file", got));
                }
                Source::Logits(read_logits(file, data)?)
            }
        };
        Ok(Some(Self { source, weight, temperature }))
    }

    fn network(run: &Path, data: &Data) -> Result<Source> {
        let (settings, weights) = Run::load(run)?;
        let classes = Run::classes(run)?;
        if classes != data.classes {
            let expected = format!("a run on the same classes ({})", data.classes.join(", "));
            return Err(Error::setting("teacher", expected, classes.join(", ")));
        }
        let model = settings.resolve()?.model_for(data).build().map_err(|error| Self::misfit(data.shape, error))?;
        Ok(Source::Network { model, weights })
    }
}

/// Writes logits `[samples, classes]` of the training images to a file that [`Teacher::of`] reads. The file contains the images' labels and
/// the class names, so that other images, or the same in another order, are refused. A file that is not one of logits is not overwritten.
pub fn write_logits(path: &Path, logits: Vec<f32>, data: &Data) -> Result<()> {
    if path.is_file() {
        let bytes = std::fs::read(path).map_err(Error::file("reading", path))?;
        let is_logits = Weights::from_bytes(&bytes).is_ok_and(|(file, _)| file.tensors.contains_key(LOGITS));
        if !is_logits {
            return Err(Error::setting("logits", "a new file, or one of logits to overwrite", path.display()));
        }
    }
    let classes = data.classes.len();
    let shape = vec![logits.len() / classes.max(1), classes];
    let mut file = Weights::default();
    file.tensors.insert(LOGITS.into(), Tensor::Floats { shape, data: logits });
    file.tensors.insert(LABELS.into(), labels(data));
    let notes = [Some((CLASSES, list(&data.classes))), content(data).map(|content| (FILES, content))];
    let notes: Vec<_> = notes.into_iter().flatten().collect();
    write_whole(path, &file.to_bytes(&notes).expect("a tensor has its size"))
}

/// Class names as a JSON list.
fn list(classes: &[String]) -> String {
    serde_json::to_string(classes).expect("texts")
}

/// Returns a hash of the contents of the training files, in order; `None` without files.
fn content(data: &Data) -> Option<String> {
    let files: Vec<_> = (0..data.train.len()).filter_map(|image| data.train.file(image)).collect();
    let bytes = files.iter().flat_map(|file| file.content.to_le_bytes());
    (!files.is_empty()).then(|| format!("{:016x}", hash(bytes)))
}

fn labels(data: &Data) -> Tensor {
    let labels: Vec<f32> = (0..data.train.len()).map(|image| data.train.label(image) as f32).collect();
    Tensor::Floats { shape: vec![labels.len()], data: labels }
}

/// Labels and class names are optional, since other tools write logits as well.
fn read_logits(path: &Path, data: &Data) -> Result<Vec<f32>> {
    let bytes = std::fs::read(path).map_err(Error::file("reading", path))?;
    let (samples, classes) = (data.train.len(), data.classes.len());
    let wrong = |got: String| Error::Format {
        path: path.to_path_buf(),
        expected: format!("logits of {samples} training images and {classes} classes"),
        got,
    };
    let (mut file, notes) = Weights::from_bytes(&bytes).map_err(wrong)?;
    let logits = match file.tensors.remove(LOGITS) {
        Some(Tensor::Floats { shape, .. }) if shape != [samples, classes] => return Err(wrong(format!("{shape:?}"))),
        Some(Tensor::Floats { data, .. }) if data.iter().all(|v| v.is_finite()) => data,
        Some(Tensor::Floats { .. }) => return Err(wrong("NaN or infinity".into())),
        _ => return Err(wrong(format!("no tensor `{LOGITS}` of floats"))),
    };
    if let Some(names) = notes.get(CLASSES).filter(|names| **names != list(&data.classes)) {
        return Err(wrong(format!("those of classes {names}, not {}", list(&data.classes))));
    }
    if file.tensors.remove(LABELS).is_some_and(|theirs| theirs != labels(data)) {
        return Err(wrong("those of other images, or of these in another order: labels differ".into()));
    }
    if notes.get(FILES).zip(content(data)).is_some_and(|(theirs, ours)| *theirs != ours) {
        return Err(wrong("those of other images, or of these in another order: files differ".into()));
    }
    Ok(logits)
}
