//! A teacher: a trained network whose softmax the student learns, or its logits from a file.

use super::run::Run;
use super::settings::TrainConfig;
use crate::data::Data;
use crate::error::{Error, Result};
use crate::nn::{Model, Shape, Tensor, Weights};
use crate::tensor::{PANEL, number_at, words_of};
use std::path::Path;

/// Where the teacher's logits come from.
#[derive(Debug)]
pub enum Source {
    /// A network that sees the batches of the student, augmented as they are; its batch norm uses running statistics.
    Network {
        /// Its layers.
        model: Model,
        /// Its weights.
        weights: Weights,
    },
    /// Logits `[samples, classes]`, one row a training image.
    Logits(Vec<f32>),
}

/// A teacher, and how much it counts (see [`crate::ops::Distillation`]).
#[derive(Debug)]
pub struct Teacher {
    /// Its logits.
    pub source: Source,
    /// Its share of the loss, 0 to 1.
    pub weight: f32,
    /// Temperature of both softmaxes.
    pub temperature: f32,
}

/// Tensors of a file of logits, and its note of the class names, one a line.
const LOGITS: &str = "logits";
const LABELS: &str = "labels";
const CLASSES: &str = "classes";

impl Teacher {
    /// The teacher that a configuration names; `None` where it names none.
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

    /// A network that the student's images do not fit; networks that end in a global average take other sizes, so that only building and
    /// loading it can tell.
    pub(super) fn misfit([height, width, channels]: Shape, why: Error) -> Error {
        match why {
            Error::Setting { .. } | Error::Shape { .. } => {
                Error::setting("teacher", format!("a run that takes images of {height}x{width}x{channels}"), why)
            }
            other => other,
        }
    }
}

/// Writes logits `[samples, classes]` of the training images as a file that [`Teacher::of`] reads. The images' labels and the names of
/// the classes lie beside them, so that other images, or the same in another order, are refused.
pub fn write_logits(path: &Path, logits: Vec<f32>, data: &Data) -> Result<()> {
    let classes = data.classes.len();
    let shape = vec![logits.len() / classes.max(1), classes];
    let mut file = Weights::default();
    file.tensors.insert(LOGITS.into(), Tensor::Floats { shape, data: logits });
    file.tensors.insert(LABELS.into(), labels(data));
    super::run::write_whole(path, &file.to_bytes(&[(CLASSES, data.classes.join("\n"))]).expect("a tensor has its size"))
}

fn labels(data: &Data) -> Tensor {
    let labels: Vec<f32> = (0..data.train.len()).map(|image| data.train.label(image) as f32).collect();
    Tensor::Floats { shape: vec![labels.len()], data: labels }
}

/// Labels and class names may be missing: other tools write logits, too.
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
        Some(Tensor::Floats { .. }) => return Err(wrong("a number that is not finite".into())),
        _ => return Err(wrong(format!("no tensor `{LOGITS}` of floats"))),
    };
    if let Some(names) = notes.get(CLASSES).filter(|names| **names != data.classes.join("\n")) {
        return Err(wrong(format!("those of classes {}, not {}", names.replace('\n', ", "), data.classes.join(", "))));
    }
    if file.tensors.remove(LABELS).is_some_and(|theirs| theirs != labels(data)) {
        return Err(wrong("those of other images, or of these in another order: labels differ".into()));
    }
    Ok(logits)
}

/// Rows of logits in panels, as the loss reads them; rows without a sample are 0.
pub(super) fn to_panels(logits: &[f32], classes: usize, samples: &[u32], rows: usize, out: &mut Vec<u32>) {
    out.clear();
    out.resize(words_of(classes) * rows * PANEL, 0);
    for (row, &sample) in samples.iter().enumerate() {
        for (class, logit) in logits[sample as usize * classes..][..classes].iter().enumerate() {
            out[number_at(rows, row, class)] = logit.to_bits();
        }
    }
}
