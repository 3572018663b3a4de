//! Settings from TOML files.

use super::optimizer::refuse_old_name;
use super::table::Settings;
use crate::error::{Error, Result};
use crate::optim::check_above_smallest;
use std::path::Path;

impl Settings {
    /// Reads a TOML file with keys that are the names of flags. An error names the file and the line, and for a key that was renamed the
    /// new name.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::file("reading", path))?;
        let place = path.display().to_string();
        if let Ok(table) = text.parse() {
            check_table(&table).map_err(|error| error.within(&place))?;
        }
        toml::from_str(&text).map_err(|e| {
            let start = e.span().map_or(0, |span| span.start);
            let number = text[..start].matches('\n').count();
            let line = text.lines().nth(number).unwrap_or_default().trim();
            let got = format!("`{line}` in line {} ({})", number + 1, reason(&e));
            Error::setting(place, "settings with the names of flags as keys", got)
        })
    }
}

/// Refuses former names of keys, and numbers that f32 rounds to 0, in the tables within a table too.
fn check_table(table: &toml::Table) -> Result<()> {
    fn check(value: &toml::Value) -> Result<()> {
        match value {
            toml::Value::Table(table) => check_table(table),
            toml::Value::Array(array) => array.iter().try_for_each(check),
            toml::Value::Float(number) => check_above_smallest(&format!("{number:e}")),
            _ => Ok(()),
        }
    }
    table.keys().try_for_each(|key| refuse_old_name(key))?;
    table.iter().try_for_each(|(key, value)| check(value).map_err(|error| error.within(key)))
}

/// The reason of an error; of a list of permitted names that is long only the beginning.
fn reason(error: &toml::de::Error) -> &str {
    const LONG: usize = 200;
    let line = error.message().lines().next().unwrap_or_default();
    let end = line.find(", expected one of").filter(|_| line.len() > LONG);
    &line[..end.unwrap_or(line.len())]
}
