//! Finds the images of a folder: parts, classes, and what is not read.

use super::super::image::ENDINGS;
use super::names::{Part, is_hidden, text_of};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A file with the ending of an image.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub path: PathBuf,
    /// Path below the data set's folder, as text.
    pub relative: String,
    pub label: u32,
    /// `None` in a folder without parts.
    pub part: Option<Part>,
}

/// What a folder contains.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Names of the classes, by label.
    pub classes: Vec<String>,
    pub files: Vec<Found>,
    /// Number of files that are not read, by reason.
    pub omitted: BTreeMap<String, usize>,
}

/// A folder below the data set's folder.
#[derive(Clone, Debug)]
struct Place {
    path: PathBuf,
    name: String,
}

/// Lists a folder for training. The classes are its folders, or those of its training part.
pub(super) fn list(root: &Path) -> Result<Listing> {
    let mut listing = Listing::default();
    let Some(parts) = listing.parts(root)? else {
        let places = listing.folders_of_classes(root)?;
        listing.classes = class_names(root, &places)?;
        listing.add_classes(places, "", None, true)?;
        return Ok(listing);
    };
    let Some((_, train)) = parts.iter().find(|(part, _)| *part == Part::Train).cloned() else {
        let expected = "a training part (a folder `train`), or one folder per class".into();
        return Err(Error::Format {
            path: root.into(),
            expected,
            got: some(parts.iter().map(|(_, place)| &place.name)),
        });
    };
    let places = listing.folders_of_classes(&train.path)?;
    listing.classes = class_names(&train.path, &places)?;
    listing.add_classes(places, &train.name, Some(Part::Train), true)?;
    for (part, place) in parts.into_iter().filter(|(part, _)| *part != Part::Train) {
        let places = listing.folders_of_classes(&place.path)?;
        let names: Vec<String> = places.iter().map(|place| place.name.clone()).collect();
        let is_known = names.iter().all(|name| listing.classes.contains(name));
        // A class without validation images is not judged; one without test images would be missing in the result.
        if !is_known || part == Part::Test && names != listing.classes {
            let expected = format!("the classes of {}: {}", train.name, some(&listing.classes));
            return Err(Error::Format { path: place.path, expected, got: some(&names) });
        }
        listing.add_classes(places, &place.name, Some(part), part == Part::Test)?;
    }
    Ok(listing)
}

/// Lists everything in a folder whose classes are known, whether it has parts or not. Classes may be missing.
pub(super) fn list_everything(root: &Path, classes: &[String]) -> Result<Listing> {
    let mut listing = Listing { classes: classes.to_vec(), ..Listing::default() };
    let groups = match listing.parts(root)? {
        None => vec![(Place { path: root.into(), name: String::new() }, None)],
        Some(parts) => parts.into_iter().map(|(part, place)| (place, Some(part))).collect(),
    };
    for (group, part) in groups {
        let places = listing.folders_of_classes(&group.path)?;
        if let Some(other) = places.iter().find(|place| !classes.contains(&place.name)) {
            let expected = format!("folders of the classes of the run ({})", some(classes));
            return Err(Error::Format { path: group.path, expected, got: format!("`{}`", other.name) });
        }
        listing.add_classes(places, &group.name, part, false)?;
    }
    if listing.files.is_empty() {
        let expected = format!("images in folders of the classes of the run ({})", some(classes));
        return Err(Error::Format { path: root.into(), expected, got: reasons(&listing.omitted) });
    }
    Ok(listing)
}

impl Listing {
    /// Returns the parts in order, the training part first; `None` if the folders are classes. A folder with the name of a part is a part if it
    /// holds folders and no images. One that holds images is a class, or unlabelled beside a training part; one that holds both is a part
    /// beside others, else a class with nested folders.
    fn parts(&mut self, root: &Path) -> Result<Option<Vec<(Part, Place)>>> {
        let (folders, _) = entries(root)?;
        let (mut parts, mut mixed, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for place in folders {
            let part = Part::named(&place.name);
            match (part, if part.is_some() { holds(&place.path)? } else { [false; 2] }) {
                (Some(part), [true, false]) => parts.push((part, place)),
                (Some(part), [true, true]) => mixed.push((part, place)),
                (part, _) => others.push((part, place)),
            }
        }
        if parts.is_empty() && mixed.len() < 2 {
            return Ok(None);
        }
        parts.extend(mixed);
        let has_train = parts.iter().any(|(part, _)| *part == Part::Train);
        let unclear = others.iter().find(|(part, _)| part.is_some()).filter(|_| !has_train);
        if let Some((_, place)) = unclear {
            let expected = format!("one folder per class, as in {}", parts[0].1.name);
            return Err(Error::Format { path: place.path.clone(), expected, got: "images without a class".into() });
        }
        if !has_train && !others.is_empty() {
            return Ok(None);
        }
        parts.sort_by_key(|(part, _)| *part);
        if let Some(two) = parts.windows(2).find(|two| two[0].0 == two[1].0) {
            let (expected, got) = ("one folder per part", format!("{} and {}", two[0].1.name, two[1].1.name));
            return Err(Error::Format { path: root.into(), expected: expected.into(), got });
        }
        let names: Vec<&str> = parts.iter().map(|(_, place)| &*place.name).collect();
        let reason = format!("outside {}", names.join(", "));
        for (_, place) in others {
            let before = self.files.len();
            self.walk(&place, &place.name, 0, None, &mut Vec::new())?;
            let count = self.files.drain(before..).count();
            if count > 0 {
                *self.omitted.entry(reason.clone()).or_default() += count;
            }
        }
        self.count_loose(root)?;
        Ok(Some(parts))
    }

    /// Returns the folders in a folder, sorted by name; counts the files beside them.
    fn folders_of_classes(&mut self, root: &Path) -> Result<Vec<Place>> {
        self.count_loose(root)?;
        Ok(entries(root)?.0)
    }

    /// Counts the files that are in no folder of a class.
    fn count_loose(&mut self, root: &Path) -> Result<()> {
        let (_, files) = entries(root)?;
        for place in files {
            let reason = why_not_read(&place).unwrap_or_else(|| "outside a class folder".into());
            *self.omitted.entry(reason).or_default() += 1;
        }
        Ok(())
    }

    /// Adds the images of folders of classes, nested folders included. Fails for a class without images if it `must_have` some.
    fn add_classes(&mut self, places: Vec<Place>, below: &str, part: Option<Part>, must_have: bool) -> Result<()> {
        for place in places {
            let label = self.classes.iter().position(|class| *class == place.name).expect("checked by the caller");
            let (before, omitted) = (self.files.len(), std::mem::take(&mut self.omitted));
            let relative = if below.is_empty() { place.name.clone() } else { format!("{below}/{}", place.name) };
            self.walk(&place, &relative, label as u32, part, &mut Vec::new())?;
            if must_have && self.files.len() == before {
                let expected =
                    format!("images of this class ({})", ENDINGS.map(|ending| format!(".{ending}")).join(", "));
                return Err(Error::Format { path: place.path, expected, got: reasons(&self.omitted) });
            }
            omitted.into_iter().for_each(|(reason, count)| *self.omitted.entry(reason).or_default() += count);
        }
        Ok(())
    }

    /// Adds the images below a folder, sorted by path. `above` are the folders that lead here: a link to one of them ends the search.
    fn walk(
        &mut self,
        place: &Place,
        relative: &str,
        label: u32,
        part: Option<Part>,
        above: &mut Vec<PathBuf>,
    ) -> Result<()> {
        let real = place.path.canonicalize().map_err(Error::file("reading the folder", &place.path))?;
        if above.contains(&real) {
            return Ok(());
        }
        above.push(real);
        let (folders, files) = entries(&place.path)?;
        for file in files {
            match why_not_read(&file) {
                Some(reason) => *self.omitted.entry(reason).or_default() += 1,
                None => {
                    let relative = format!("{relative}/{}", file.name);
                    self.files.push(Found { path: file.path, relative, label, part });
                }
            }
        }
        for folder in folders {
            self.walk(&folder, &format!("{relative}/{}", folder.name), label, part, above)?;
        }
        above.pop();
        Ok(())
    }
}

/// Returns why a file is not read; `None` for the name of an image.
fn why_not_read(file: &Place) -> Option<String> {
    if is_hidden(&file.name) {
        return Some("hidden".into());
    }
    match file.path.extension().map(|ending| text_of(ending).to_lowercase()) {
        Some(ending) if ENDINGS.contains(&&*ending) => None,
        Some(ending) => Some(format!("ending .{ending}")),
        None => Some("no ending".into()),
    }
}

/// Whether a folder contains folders, and whether it contains images.
fn holds(folder: &Path) -> Result<[bool; 2]> {
    let (folders, files) = entries(folder)?;
    Ok([!folders.is_empty(), files.iter().any(|file| why_not_read(file).is_none())])
}

/// Returns the folders and files in a folder, each sorted by name; without hidden folders.
fn entries(folder: &Path) -> Result<(Vec<Place>, Vec<Place>)> {
    let wrong = |source| Error::File { doing: "reading the folder", path: folder.to_path_buf(), source };
    let (mut folders, mut files) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        let place = Place { path: entry.path(), name: text_of(&entry.file_name()) };
        let kind = entry.file_type().map_err(wrong)?;
        let is_folder = if kind.is_symlink() { place.path.is_dir() } else { kind.is_dir() };
        match is_folder {
            true if is_hidden(&place.name) => {}
            true => folders.push(place),
            false => files.push(place),
        }
    }
    [&mut folders, &mut files].into_iter().for_each(|places| places.sort_by(|a, b| a.path.cmp(&b.path)));
    Ok((folders, files))
}

/// Returns the names of the folders of classes; at least two, no two of which are the same as text.
fn class_names(root: &Path, places: &[Place]) -> Result<Vec<String>> {
    let names: Vec<String> = places.iter().map(|place| place.name.clone()).collect();
    if names.len() < 2 {
        let expected = "at least 2 folders of images, one per class".into();
        return Err(Error::Format { path: root.into(), expected, got: some(&names) });
    }
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort();
    if let Some(two) = sorted.windows(2).find(|two| two[0] == two[1]) {
        let (expected, got) = ("folders of classes with different names", format!("`{}` twice", two[0]));
        return Err(Error::Format { path: root.into(), expected: expected.into(), got });
    }
    Ok(names)
}

/// Lists the first names for a message.
fn some<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    const SHOWN: usize = 10;
    let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
    match &names[..] {
        [] => "none".into(),
        few if few.len() <= SHOWN => few.join(", "),
        many => format!("{}, ... ({} in all)", many[..SHOWN].join(", "), many.len()),
    }
}

/// Formats the numbers of files that are not read: `40 ending .heic, 2 hidden`.
fn reasons(omitted: &BTreeMap<String, usize>) -> String {
    let texts: Vec<String> = omitted.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    if texts.is_empty() { "none".into() } else { format!("none ({})", texts.join(", ")) }
}
