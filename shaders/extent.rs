//! Extents: the number of elements of a binding, from the comment after its declaration. The build script rejects extents that it cannot
//! parse. `Program::check` evaluates the same texts with a dispatch's parameters and compares them with the bound tensors. Both share this file.
//!
//! ```text
//! comment  = clause { ";" clause }
//! clause   = [ ENTRY { "," ENTRY } ":" ] words          the entry points that the clause applies to; without a list, all others
//! words    = any text with one of:  [ "at least" ] "[" sum "]" { "[" sum "]" }   the product of the brackets, in elements
//!                                   "as" NAME                     the extent of another binding
//!                                   "any length"                  no constraint
//!            and, where elements are narrower than 32 bits, "of" N "bits"
//! sum      = product { ("+" | "-") product }
//! product  = factor { ("*" | "/") factor }               "/" rounds up
//! factor   = NUMBER | NAME | "(" sum ")"
//! ```
//!
//! Names are members of `Params`, members of the epilogue's parameters as `epilogue.NAME`, constants of the text, and lengths that a line
//! `// length NAME = sum` defines. A line `// limit: sum < sum` (or `<=`) states a further condition, `// limit: ENTRY, ENTRY: sum < sum` one of
//! these entry points. A line `// grid ENTRY: [sum][sum][sum]` states the largest grid of an entry point that does not check its workgroup's index.
//! Expressions are evaluated in 64 bits; values above 2^32 - 1 are errors.

/// Function from a name to its value; `None` if the name is unknown.
pub type Lookup<'a> = dyn Fn(&str) -> Option<u64> + 'a;

/// The extent of one binding under one entry point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent<'a> {
    /// Expressions of the brackets, whose product is the extent, and bits per element.
    Elements(Vec<&'a str>, u64),
    /// The extent of another binding.
    As(&'a str),
    /// Any number of elements.
    Any,
}

/// Parses the comment after a binding, for one entry point.
pub fn parse<'a>(comment: &'a str, entry: &str) -> Result<Extent<'a>, String> {
    let mut general = None;
    for part in comment.split(';') {
        let (entries, words) = clause(part);
        if entries.contains(&entry) {
            return extent(words);
        }
        if entries.is_empty() && general.is_none() {
            general = Some(words);
        }
    }
    extent(general.ok_or_else(|| format!("`{}` has no clause for `{entry}`", comment.trim()))?)
}

/// Returns whether a binding may be longer than its extent: `at least [..]`.
pub fn is_least(comment: &str) -> bool {
    comment.contains("at least [")
}

/// Splits a clause into its entry points and the remaining text. A colon that does not follow a list of names is text.
pub fn clause(part: &str) -> (Vec<&str>, &str) {
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if let Some((head, rest)) = part.split_once(':') {
        let names: Vec<&str> = head.split(',').map(str::trim).collect();
        if names.iter().all(|name| is_name(name)) {
            return (names, rest);
        }
    }
    (Vec::new(), part)
}

fn extent(words: &str) -> Result<Extent<'_>, String> {
    let wrong = || format!("`{}` has no extent: expected brackets, `as NAME` or `any length`", words.trim());
    if let Some(open) = words.find('[') {
        let (brackets, rest) = brackets(&words[open..])?;
        return Ok(Extent::Elements(brackets, bits(rest)?));
    }
    if words.contains("any length") {
        return Ok(Extent::Any);
    }
    let list: Vec<&str> = words.split_whitespace().map(|word| word.trim_matches(',')).collect();
    let at = list.iter().rposition(|word| *word == "as").ok_or_else(wrong)?;
    list.get(at + 1).map(|name| Extent::As(name)).ok_or_else(wrong)
}

/// Returns the expressions of adjacent brackets, and the text after them.
pub fn brackets(text: &str) -> Result<(Vec<&str>, &str), String> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some(inner) = rest.strip_prefix('[') {
        let (expression, behind) = inner.split_once(']').ok_or_else(|| format!("`{text}`: a bracket is not closed"))?;
        found.push(expression);
        rest = behind;
    }
    Ok((found, rest))
}

/// Returns N of `of N bits`; 32 if the text has no such words.
fn bits(rest: &str) -> Result<u64, String> {
    let Some((_, behind)) = rest.split_once(" of ").filter(|(_, behind)| behind.contains("bits")) else {
        return Ok(32);
    };
    let number = behind.split_whitespace().next().unwrap_or_default();
    number.parse().ok().filter(|bits| [8, 16, 32].contains(bits)).ok_or(format!("`{rest}`: expected 8, 16 or 32 bits"))
}

/// Returns the product of several expressions.
pub fn product(expressions: &[&str], lookup: &Lookup<'_>) -> Result<u64, String> {
    let mut all = 1;
    for expression in expressions {
        all = checked(evaluate(expression, lookup)?.checked_mul(all), expression)?;
    }
    Ok(all)
}

/// Returns whether `sum < sum` or `sum <= sum` holds.
pub fn holds(limit: &str, lookup: &Lookup<'_>) -> Result<bool, String> {
    let wrong = || format!("`{limit}` is not a limit: expected `sum < sum` or `sum <= sum`");
    let (left, right) = limit.split_once('<').ok_or_else(wrong)?;
    let (right, or_equal) = right.strip_prefix('=').map_or((right, 0), |right| (right, 1));
    Ok(evaluate(left, lookup)? < evaluate(right, lookup)? + or_equal)
}

/// Evaluates an expression.
pub fn evaluate(expression: &str, lookup: &Lookup<'_>) -> Result<u64, String> {
    let mut parser = Parser { rest: expression, whole: expression, lookup };
    let value = parser.sum()?;
    match parser.rest.trim() {
        "" => Ok(value),
        rest => Err(format!("`{expression}`: `{rest}` is left over")),
    }
}

struct Parser<'a> {
    rest: &'a str,
    whole: &'a str,
    lookup: &'a Lookup<'a>,
}

impl Parser<'_> {
    /// Consumes the next character if it is one of these.
    fn take(&mut self, of: &[char]) -> Option<char> {
        self.rest = self.rest.trim_start();
        let next = self.rest.chars().next().filter(|c| of.contains(c))?;
        self.rest = &self.rest[next.len_utf8()..];
        Some(next)
    }

    fn sum(&mut self) -> Result<u64, String> {
        let mut value = self.product()?;
        while let Some(sign) = self.take(&['+', '-']) {
            let term = self.product()?;
            let next = if sign == '+' { value.checked_add(term) } else { value.checked_sub(term) };
            value = checked(next, self.whole)?;
        }
        Ok(value)
    }

    fn product(&mut self) -> Result<u64, String> {
        let mut value = self.factor()?;
        while let Some(sign) = self.take(&['*', '/']) {
            let factor = self.factor()?;
            let next =
                if sign == '*' { value.checked_mul(factor) } else { (factor > 0).then(|| value.div_ceil(factor)) };
            value = checked(next, self.whole)?;
        }
        Ok(value)
    }

    fn factor(&mut self) -> Result<u64, String> {
        if self.take(&['(']).is_some() {
            let value = self.sum()?;
            return self.take(&[')']).map(|_| value).ok_or(format!("`{}`: a parenthesis is not closed", self.whole));
        }
        let rest = self.rest.trim_start();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.').unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        self.rest = behind;
        if word.is_empty() {
            return Err(format!("`{}`: expected a number or a name", self.whole));
        }
        let number = word.trim_end_matches('u').parse().ok();
        number.or_else(|| (self.lookup)(word)).ok_or_else(|| format!("`{}`: `{word}` is not a known name", self.whole))
    }
}

fn checked(value: Option<u64>, expression: &str) -> Result<u64, String> {
    value.filter(|value| *value <= u64::from(u32::MAX)).ok_or_else(|| format!("`{expression}` is not within 32 bits"))
}
