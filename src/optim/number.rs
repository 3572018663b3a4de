//! Numbers of users that f32 cannot tell from 0.

use crate::error::{Error, Result};

/// Fails for a text that is a number other than 0 which f32 rounds to 0, so that it does not pass for 0.
pub(crate) fn check_above_smallest(text: &str) -> Result<()> {
    let text = text.trim();
    let digits = text.split(['e', 'E']).next().unwrap_or_default();
    if text.parse() == Ok(0.0_f32) && digits.contains(|c: char| ('1'..='9').contains(&c)) {
        let expected = format!("0, or a magnitude of at least {:e}, the smallest f32", f32::from_bits(1));
        return Err(Error::setting("", expected, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_would_be_0_are_refused() {
        for fine in ["0", "0.0", "-0", "0e5", "1e-45", "-1e-38", "1", "x", "inf", "nan", ""] {
            check_above_smallest(fine).expect(fine);
        }
        for wrong in ["1e-50", " -1e-46", "0.01E-400", "10e-99"] {
            let error = check_above_smallest(wrong).expect_err(wrong).to_string();
            assert!(error.contains("at least 1e-45, the smallest f32") && error.contains(wrong.trim()), "{error}");
        }
    }
}
