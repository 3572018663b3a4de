//! An axis of a grid: a setting and its values.

use super::super::settings::Settings;
use crate::error::{Error, Result};
use serde::Serialize;

/// One axis of a grid: the name of a setting, and the texts of its values.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Axis {
    /// `alpha`.
    pub name: String,
    /// `["1e-4", "1e-3"]`.
    pub values: Vec<String>,
}

impl Axis {
    /// From `alpha=1e-4,1e-3`. A value that contains commas is quoted, `alpha="1e-3,cosine","1e-4"`, or a list, `hidden=8,[16,16]`.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || Error::setting("grid", "NAME=VALUE,VALUE,...", format!("`{text}`"));
        let (name, values) = text.split_once('=').ok_or_else(wrong)?;
        // Commas inside brackets or quotes belong to a value.
        let (mut depth, mut is_text) = (0, false);
        let between = |c: char| {
            depth += i32::from(c == '[') - i32::from(c == ']');
            is_text ^= c == '"';
            c == ',' && depth == 0 && !is_text
        };
        // Tables of results and names of folders show values without quotes.
        let plain = |value: &str| {
            let text = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            text.filter(|text| !text.contains('"')).unwrap_or(value).to_string()
        };
        let values: Vec<String> =
            values.split(between).map(str::trim).filter(|value| !value.is_empty()).map(plain).collect();
        let axis = Self { name: name.trim().to_string(), values };
        if axis.name.is_empty() || axis.values.is_empty() || text.contains(char::is_control) {
            return Err(wrong());
        }
        if axis.values.iter().enumerate().any(|(i, value)| axis.values[..i].contains(value)) {
            return Err(Error::setting("grid", "each value once", format!("`{text}`")));
        }
        axis.values
            .iter()
            .try_for_each(|value| Settings::parse(&axis.name, value).map(drop))
            .map_err(|error| error.within("grid"))?;
        Ok(axis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_checked() {
        assert_eq!(Axis::parse("alpha=1e-4, 1e-3").unwrap().values, ["1e-4", "1e-3"]);
        assert_eq!(Axis::parse("surrogate=clip,swish").unwrap().values, ["clip", "swish"]);
        assert_eq!(Axis::parse("hidden=8,[16,16]").unwrap().values, ["8", "[16,16]"]);
        assert_eq!(Axis::parse("augment=none,flip").unwrap().values, ["none", "flip"]);
        let moving = r#"alpha=1e-3,"1e-3,cosine""#;
        assert_eq!(Axis::parse(moving).unwrap().values, ["1e-3", "1e-3,cosine"]);
        for wrong in ["alpha", "alpha=", "=1", "alfa=1", "alpha=x", "epochs=-1", "alpha=1,2,1", "alpha=1\n2"] {
            assert!(Axis::parse(wrong).is_err_and(|e| e.is_usage()), "{wrong}");
        }
    }
}
