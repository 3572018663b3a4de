//! The three textual habits of our shaders: imports, presets, unrolled loops.

use std::collections::BTreeMap;

/// Appends the shared files named on `// import: a, b` lines, each once, imports of imports too.
pub fn with_imports(source: &str, shared: &BTreeMap<String, String>) -> Result<String, String> {
    let mut whole = source.to_string();
    let (mut wanted, mut done) = (imports(source), Vec::new());
    while let Some(name) = wanted.pop() {
        if !done.contains(&name) {
            let text =
                shared.get(&name).ok_or(format!("import of `{name}`: there is no shaders/shared/{name}.wgsl"))?;
            wanted.extend(imports(text));
            whole = format!("{whole}\n{text}");
            done.push(name);
        }
    }
    Ok(whole)
}

fn imports(source: &str) -> Vec<String> {
    let lines = source.lines().filter_map(|line| line.strip_prefix("// import:"));
    lines.flat_map(|names| names.split(',').map(|name| name.trim().to_string())).collect()
}

/// `(preset, text)` for each letter found behind `// tunable`; a file without tunables has the one preset `M`.
pub fn presets(source: &str) -> Result<Vec<(String, String)>, String> {
    let mut letters: Vec<String> = Vec::new();
    for (_, values) in source.lines().filter_map(|line| line.split_once("// tunable")) {
        for (letter, _) in values.split_whitespace().filter_map(|pair| pair.split_once('=')) {
            if !letters.contains(&letter.to_string()) {
                letters.push(letter.to_string());
            }
        }
    }
    if letters.is_empty() {
        return Ok(vec![("M".to_string(), source.to_string())]);
    }
    letters.into_iter().map(|letter| Ok((letter.clone(), tuned(source, &letter)?))).collect()
}

/// The text with each tunable constant at its value for one preset.
fn tuned(source: &str, letter: &str) -> Result<String, String> {
    let mut out = String::new();
    for line in source.lines() {
        if let Some((head, values)) = line.split_once("// tunable") {
            let value = values.split_whitespace().filter_map(|pair| pair.split_once('=')).find(|(l, _)| *l == letter);
            let (_, value) = value.ok_or(format!("`{line}` has no value for preset {letter}"))?;
            let (declaration, _) = head.split_once('=').ok_or(format!("`{line}` declares no constant"))?;
            out += &format!("{declaration}= {value}u;\n");
        } else {
            out += line;
            out.push('\n');
        }
    }
    Ok(out)
}

/// Writes out every loop `for (var i = A; i < B; i++) { // unroll`, outermost first; A and B are literals or u32 constants.
pub fn unroll(source: &str) -> Result<String, String> {
    let mut source = source.to_string();
    while let Some(mark) = source.find("// unroll") {
        let start = source[..mark].rfind("for (").ok_or("`// unroll` behind no loop")?;
        let header = &source[start..mark];
        let parts: Vec<&str> = header.split([';', '(', ')']).map(str::trim).collect();
        let [_, init, condition, ..] = parts[..] else { return Err(format!("`{header}` cannot be unrolled")) };
        let (variable, first) =
            init.trim_start_matches("var").split_once('=').ok_or("an unrolled loop starts at a value")?;
        let variable = variable.trim().split(':').next().unwrap_or_default().trim().to_string();
        let (_, end) = condition.split_once('<').ok_or("an unrolled loop ends at `i < N`")?;
        let (first, end) = (value(&source, first)?, value(&source, end)?);
        let open = start + header.rfind('{').ok_or("an unrolled loop's body starts on its line")?;
        let close = matching_brace(&source, open).ok_or("an unrolled loop's body has no end")?;
        let body = source[open + 1..close].replacen("// unroll", "", 1);
        let copies: String =
            (first..end).map(|i| format!("{{{}}}\n", replace_word(&body, &variable, &format!("{i}u")))).collect();
        source.replace_range(start..=close, &copies);
    }
    Ok(source)
}

/// A literal, a constant of the file, or a product or quotient of such, from left to right.
fn value(source: &str, expression: &str) -> Result<u32, String> {
    let expression = expression.trim();
    if let Some(at) = expression.rfind(['*', '/']) {
        let (left, right) = (value(source, &expression[..at])?, value(source, &expression[at + 1..])?);
        return Ok(if expression[at..].starts_with('*') { left * right } else { left / right });
    }
    if let Ok(number) = expression.trim_end_matches('u').parse() {
        return Ok(number);
    }
    let declaration = format!("const {expression}: u32 =");
    let at = source.find(&declaration).ok_or(format!("unrolled loop: `{expression}` is no `const` of type u32"))?;
    let rest = &source[at + declaration.len()..];
    value(source, rest.split(';').next().unwrap_or_default())
}

fn matching_brace(source: &str, open: usize) -> Option<usize> {
    let mut depth = 0;
    for (i, c) in source[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return Some(open + i),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn replace_word(text: &str, word: &str, with: &str) -> String {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let before = rest[..at].chars().next_back().is_some_and(|c| part_of_word(c) || c == '.');
        let after = rest[at + word.len()..].chars().next().is_some_and(part_of_word);
        out += &rest[..at];
        out += if before || after { word } else { with };
        rest = &rest[at + word.len()..];
    }
    out + rest
}
