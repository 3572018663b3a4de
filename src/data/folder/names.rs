//! Names of files and folders: as text, and what they say.

use std::ffi::OsStr;

/// A part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Train,
    Validation,
    Test,
}

impl Part {
    /// Returns the part that a folder of this name holds, in any case.
    pub fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "train" | "training" => Some(Self::Train),
            "val" | "valid" | "validation" => Some(Self::Validation),
            "test" | "testing" => Some(Self::Test),
            _ => None,
        }
    }
}

/// Returns a name as text. In a name that is not Unicode, invalid bytes become `\xNN` and backslashes are doubled, so that different names
/// of this kind remain different.
pub(super) fn text_of(name: &OsStr) -> String {
    if let Some(text) = name.to_str() {
        return text.into();
    }
    let mut text = String::new();
    for chunk in name.as_encoded_bytes().utf8_chunks() {
        text += &chunk.valid().replace('\\', r"\\");
        chunk.invalid().iter().for_each(|byte| text += &format!("\\x{byte:02x}"));
    }
    text
}

/// Whether a file or folder is hidden, or made by an operating system or an archive program beside the user's files.
pub(super) fn is_hidden(name: &str) -> bool {
    const OF_SYSTEMS: [&str; 7] =
        ["__MACOSX", "Thumbs.db", "desktop.ini", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"];
    name.starts_with('.') || OF_SYSTEMS.iter().any(|system| name.eq_ignore_ascii_case(system))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_several_names() {
        for (names, part) in [
            ("train Train TRAINING", Some(Part::Train)),
            ("val valid Validation", Some(Part::Validation)),
            ("test Testing", Some(Part::Test)),
            ("trains tests value bus", None),
        ] {
            names.split(' ').for_each(|name| assert_eq!(Part::named(name), part, "{name}"));
        }
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_not_unicode_are_kept_apart() {
        use std::os::unix::ffi::OsStrExt;
        let text = |bytes: &[u8]| text_of(OsStr::from_bytes(bytes));
        assert_eq!(text("caf\u{e9} \\ \n".as_bytes()), "caf\u{e9} \\ \n");
        assert_eq!([text(b"caf\xe9"), text(b"caf\xe8"), text(b"\\\xe9")], ["caf\\xe9", "caf\\xe8", "\\\\\\xe9"]);
    }

    #[test]
    fn files_of_systems_are_hidden() {
        for name in [".DS_Store", "._1.jpg", "__MACOSX", "thumbs.db", ".ipynb_checkpoints"] {
            assert!(is_hidden(name), "{name}");
        }
        assert!(!is_hidden("1.jpg") && !is_hidden("_x") && !is_hidden("MACOSX"));
    }
}
