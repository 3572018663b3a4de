//! Settings from the texts of flags and grids.

use super::optimizer::refuse_old_name;
use super::setting::{Form, Setting};
use super::table::{Settings, TABLE};
use crate::error::{Error, Result};

impl Settings {
    /// Every setting, in the order of the help.
    pub fn table() -> &'static [Setting] {
        &TABLE
    }

    /// The one setting `name`, from the text that its flag takes; a list may also stand in brackets. An error says what the value may be.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        refuse_old_name(name)?;
        let unknown =
            || Error::setting("", "the name of a setting (see `plusminus train --help`)", format!("`{name}`"));
        let row = TABLE.iter().find(|row| row.name == name).ok_or_else(unknown)?;
        Self::of_row(row, text).map_err(|error| error.within(name))
    }

    /// The same for a flag, whose name and text an error need not repeat.
    #[cfg(feature = "cli")]
    pub(crate) fn from_flag(row: &Setting, text: &str) -> std::result::Result<Self, String> {
        Self::of_row(row, text).map_err(|error| match error {
            Error::Setting { what, expected, .. } if what.is_empty() => format!("expected {expected}"),
            other => other.to_string(),
        })
    }

    fn of_row(row: &Setting, text: &str) -> Result<Self> {
        let settings = Self::from_text(&row.field(), text).expect("every row is a field")?;
        settings.check_value(row)?;
        Ok(settings)
    }

    /// Refuses numbers outside the ranges of the table, and names that are not in it.
    pub(super) fn check_values(&self) -> Result<()> {
        TABLE.iter().try_for_each(|row| self.check_value(row).map_err(|error| error.within(&row.name)))
    }

    fn check_value(&self, row: &Setting) -> Result<()> {
        let Some(value) = self.value(&row.field()) else { return Ok(()) };
        let text = value.text();
        let is_in_range = row.range.zip(value.number()).is_none_or(|(range, number)| range.contains(number));
        // A list may be empty.
        let mut names = text.split(|c| c == ',' && row.form == Form::Names);
        let is_known = row.choices.is_empty()
            || names.all(|name| row.choices.iter().any(|choice| choice == name))
            || (text.is_empty() && row.form == Form::Names);
        if is_in_range && is_known {
            return Ok(());
        }
        let expected = row.expected().unwrap_or_default();
        let is_infinite = value.number().is_some_and(f64::is_infinite);
        Err(Error::setting("", if is_infinite { format!("{expected}, and finite") } else { expected }, text))
    }
}
