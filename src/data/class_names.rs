//! Names of classes, which may hold any characters.

use std::fmt::Display;

/// Returns a text as it is shown in a line: characters that would break or reorder the line are escaped.
pub fn shown(text: impl Display) -> String {
    let escape = |c: char| {
        // Line and paragraph separators, and overrides of the direction of writing.
        let breaks = matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || breaks { c.escape_default().to_string() } else { c.to_string() }
    };
    text.to_string().chars().map(escape).collect()
}

/// Returns the names of classes as keys that differ: a name that occurs twice gets its label.
pub fn keys(classes: &[String]) -> Vec<String> {
    let occurs = |name: &String| classes.iter().filter(|other| *other == name).count();
    let key =
        |(label, name): (usize, &String)| if occurs(name) > 1 { format!("{name} ({label})") } else { name.clone() };
    classes.iter().enumerate().map(key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_in_one_line() {
        assert_eq!(shown("a\nb\r\u{2028}\u{202e}\u{1b}[2J"), "a\\nb\\r\\u{2028}\\u{202e}\\u{1b}[2J");
        assert_eq!(shown("caf\u{e9} \u{4f60}, \"x\\y\""), "caf\u{e9} \u{4f60}, \"x\\y\"");
    }

    #[test]
    fn keys_differ() {
        let classes = ["cat", "dog", "cat"].map(String::from);
        assert_eq!(keys(&classes), ["cat (0)", "dog", "cat (2)"]);
    }
}
