//! What a run remembers of its data: `data.jsonl`, a line for the images and a line per file. It tells which images a run was trained on,
//! wherever their files lie later.

use super::event::Event;
use super::files::write_whole;
use super::run::Run;
use super::settings::TrainConfig;
use crate::data::{Data, Dataset, ImageFile, Subset};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

const NAME: &str = "data.jsonl";

/// The images of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DataRecord {
    /// Height, width, channels of every image, before a crop.
    pub shape: [usize; 3],
    /// Hashes of the content of the files that the run was trained on.
    trained: BTreeSet<u64>,
    /// Hashes and paths of the files that it was tested on.
    tested: BTreeSet<(u64, String)>,
}

/// The first line.
#[derive(Serialize, Deserialize)]
struct Head {
    shape: [usize; 3],
    files: usize,
}

/// A line of a file.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    path: std::borrow::Cow<'a, str>,
    /// 16 hexadecimal digits.
    content: String,
    part: Part,
}

/// What a run does with a file.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Part {
    Train,
    Validation,
    Test,
}

/// Returns the files of a part of a data set.
fn files(set: &Arc<dyn Dataset>) -> impl Iterator<Item = &ImageFile> {
    (0..set.len()).filter_map(|i| set.file(i))
}

impl DataRecord {
    /// Writes the files of a data set into a run's folder, if it has files.
    pub fn write(folder: &Path, data: &Data) -> Result<()> {
        let parts = [
            (Part::Train, Some(&data.train)),
            (Part::Validation, data.validation.as_ref()),
            (Part::Test, Some(&data.test)),
        ];
        let files: Vec<(Part, &ImageFile)> = parts
            .into_iter()
            .filter_map(|(part, set)| set.map(|set| files(set).map(move |file| (part, file))))
            .flatten()
            .collect();
        if files.is_empty() {
            return Ok(());
        }
        let json = |value: serde_json::Result<String>| value.expect("plain values") + "\n";
        let mut text = json(serde_json::to_string(&Head { shape: data.train.shape(), files: files.len() }));
        for (part, file) in files {
            let line = Line { path: file.path.as_str().into(), content: format!("{:016x}", file.content), part };
            text += &json(serde_json::to_string(&line));
        }
        write_whole(&folder.join(NAME), text.as_bytes())
    }

    /// Reads the record of a run; `None` if its data set had no files.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(NAME);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(Error::file("reading", &path))?,
        };
        let wrong = |number: usize, got: String| Error::Format {
            path: path.clone(),
            expected: "the images of a run, a line for each file".into(),
            got: format!("line {number}: {got}"),
        };
        let mut lines = text.lines();
        let head: Head = serde_json::from_str(lines.next().unwrap_or_default()).map_err(|e| wrong(1, e.to_string()))?;
        let mut record = Self { shape: head.shape, ..Self::default() };
        let mut count = 0;
        for (number, text) in (2..).zip(lines) {
            let line: Line = serde_json::from_str(text).map_err(|e| wrong(number, e.to_string()))?;
            let content = u64::from_str_radix(&line.content, 16).map_err(|e| wrong(number, e.to_string()))?;
            match line.part {
                Part::Train => drop(record.trained.insert(content)),
                Part::Test => drop(record.tested.insert((content, line.path.into_owned()))),
                Part::Validation => {}
            }
            count += 1;
        }
        if count == head.files {
            Ok(Some(record))
        } else {
            Err(wrong(count + 1, format!("{count} of {} files", head.files)))
        }
    }

    /// Whether the run was trained on an image, whatever its file is called.
    pub fn has_seen(&self, file: &ImageFile) -> bool {
        self.trained.contains(&file.content)
    }

    /// Whether the run was trained on an image and not tested on this file: the file was moved, renamed or copied to another part.
    pub fn has_trained_on(&self, file: &ImageFile) -> bool {
        self.has_seen(file) && !self.tested.contains(&(file.content, file.path.clone()))
    }

    /// Returns a notice if the run was trained on some of these test images; an error if it must be `strict`.
    pub fn notice(&self, test: &Arc<dyn Dataset>, strict: bool) -> Result<Option<String>> {
        twice(files(test).filter(|file| self.has_seen(file)).count(), test.len(), strict)
    }
}

/// Returns the images of a part whose file is not `left_out`, and the number of the others.
pub fn without_files(set: &Arc<dyn Dataset>, left_out: impl Fn(&ImageFile) -> bool) -> (Arc<dyn Dataset>, usize) {
    let is_kept = |i: &usize| !set.file(*i).is_some_and(&left_out);
    let kept: Vec<usize> = (0..set.len()).filter(is_kept).collect();
    let count = set.len() - kept.len();
    (if count == 0 { set.clone() } else { Arc::new(Subset::of(set.clone(), kept)) }, count)
}

/// Returns what must be said about the test images: that some are training images as well, and of the runs that training builds on, that they
/// had others or were trained on some. If the configuration is strict, test images that are or were trained on are an error.
pub(super) fn notices(config: &TrainConfig, data: &Data) -> Result<Vec<String>> {
    let mut notices = Vec::new();
    let trained: BTreeSet<u64> = files(&data.train).map(|file| file.content).collect();
    let count = files(&data.test).filter(|file| trained.contains(&file.content)).count();
    notices.extend(twice(count, data.test.len(), config.strict)?);
    for (flag, run) in [("init-from", &config.init_from), ("teacher", &config.teacher)] {
        let Some(run) = run else { continue };
        let here = data.fingerprint()?;
        if let Some(theirs) = fingerprint_of(run).filter(|theirs| *theirs != here) {
            let run = run.display();
            notices.push(format!("--{flag}: {run} has other test images (fingerprint {theirs}, here {here})"));
        }
        let Some(record) = DataRecord::read(run)? else { continue };
        let seen = files(&data.test).filter(|file| record.has_seen(file)).count();
        if seen > 0 {
            let got = format!("{} was trained on {seen} of the {} test images", run.display(), data.test.len());
            if config.strict {
                return Err(Error::setting(flag, "a run that was not trained on test images", got));
            }
            notices.push(format!("--{flag}: {got}; their accuracy is not a test accuracy (an error with --strict)"));
        }
    }
    Ok(notices)
}

/// Returns a notice if `count` of the test images are training images as well; an error if it must be `strict`.
fn twice(count: usize, all: usize, strict: bool) -> Result<Option<String>> {
    let got = format!("{count} of the {all} test images are training images as well");
    match (count, strict) {
        (0, _) => Ok(None),
        (_, true) => Err(Error::setting("data-dir", "test images that are not trained on", got)),
        (_, false) => Ok(Some(format!("{got} (an error with --strict)"))),
    }
}

/// Returns the fingerprint of the test images of a run; `None` if its first event is missing.
fn fingerprint_of(run: &Path) -> Option<String> {
    let (events, _) = Run::whole_events(run).ok()?;
    events.into_iter().find_map(|event| match event {
        Event::Start { test_data, .. } => Some(test_data).filter(|print| !print.is_empty()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Images without pixels.
    struct Named(Vec<ImageFile>);

    impl Dataset for Named {
        fn shape(&self) -> [usize; 3] {
            [1, 2, 3]
        }

        fn len(&self) -> usize {
            self.0.len()
        }

        fn image(&self, _index: usize, out: &mut [u8]) -> Result<()> {
            out.fill(0);
            Ok(())
        }

        fn label(&self, index: usize) -> u32 {
            index as u32
        }

        fn file(&self, index: usize) -> Option<&ImageFile> {
            Some(&self.0[index])
        }
    }

    fn named(files: &[(&str, u64)]) -> Arc<dyn Dataset> {
        Arc::new(Named(files.iter().map(|&(path, content)| ImageFile { path: path.into(), content }).collect()))
    }

    #[test]
    fn a_record_knows_what_was_trained_on() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(DataRecord::read(folder.path()).unwrap(), None);
        let data = Data::new(
            "mine",
            255,
            vec!["a".into(); 2],
            named(&[("a/\"1\n.png", 1), ("a/2.png", 2), ("b/2.png", 2)]),
            named(&[("a/3.png", 3), ("a/twin.png", 2)]),
        );
        DataRecord::write(folder.path(), &data).unwrap();
        let record = DataRecord::read(folder.path()).unwrap().unwrap();
        assert_eq!(record.shape, [1, 2, 3]);
        let set = named(&[("a/\"1\n.png", 1), ("moved.png", 2), ("b/2.png", 5), ("a/3.png", 3), ("a/twin.png", 2)]);
        let left = |set: &Arc<dyn Dataset>| files(set).map(|file| file.content).collect::<Vec<_>>();
        let (judged, count) = without_files(&set, |file| record.has_seen(file));
        assert_eq!((left(&judged), count), (vec![5, 3], 3), "by content");
        let (judged, count) = without_files(&set, |file| record.has_trained_on(file));
        assert_eq!((left(&judged), count), (vec![5, 3, 2], 2), "but not what it was tested on");

        let path = folder.path().join(NAME);
        let text = std::fs::read_to_string(&path).unwrap();
        for (cut, words) in
            [(&text[..text.len() - 10], "line 6"), (&text[..text[..text.len() - 1].rfind('\n').unwrap()], "4 of 5")]
        {
            std::fs::write(&path, cut).unwrap();
            let error = DataRecord::read(folder.path()).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains(NAME), "{error}");
        }
    }
}
