//! Extents, lengths, limits and grids of an entry point, from the comments of its text. They are checked here and evaluated by `Program::check`.

use super::{Parsed, extent};
use naga::{Scalar, ScalarKind, TypeInner};

/// Returns the comment after a binding's declaration.
pub fn comment<'a>(text: &'a str, name: &str) -> Result<&'a str, String> {
    let declared = format!("> {name}: ");
    let line = text.lines().find(|line| line.contains("var<storage") && line.contains(&declared));
    let (_, comment) =
        line.and_then(|line| line.split_once("//")).ok_or(format!("binding `{name}` has no extent behind it"))?;
    Ok(comment)
}

/// Returns an extent without the surrounding words.
pub fn canonical(comment: &str, entry: &str) -> Result<String, String> {
    Ok(match extent::parse(comment, entry)? {
        extent::Extent::Any => "any length".into(),
        extent::Extent::As(name) => format!("as {name}"),
        extent::Extent::Elements(brackets, bits) => {
            let brackets: String = brackets.iter().map(|b| format!("[{b}]")).collect();
            let least = if extent::is_least(comment) { "at least " } else { "" };
            if bits == 32 { format!("{least}{brackets}") } else { format!("{least}{brackets} of {bits} bits") }
        }
    })
}

/// Returns the comparison of a line `// limit: a < b` or `// limit: ENTRY, ENTRY: a < b` if the limit applies to this entry point.
fn limit_of(line: &str, entry: &str) -> Option<String> {
    let comparison = match line.split_once(':') {
        Some((names, comparison)) if names.split(',').any(|name| name.trim() == entry) => comparison,
        Some(_) => return None,
        None => line,
    };
    Some(comparison.trim().to_string())
}

/// The names that extents use, and the limits.
pub struct Shape {
    /// Members of `Params`, and of the epilogue's parameters, with their offsets in words.
    members: [Vec<(String, u32)>; 2],
    lengths: Vec<(String, String)>,
    limits: Vec<String>,
    grid: String,
}

impl Shape {
    /// Collects the shape of an entry point; an undefined name is an error.
    pub fn of<'a>(
        text: &str,
        parsed: &Parsed,
        entry: &str,
        extents: impl Iterator<Item = &'a str>,
    ) -> Result<Self, String> {
        let lines =
            |key: &'static str| text.lines().filter_map(move |line| line.strip_prefix("// ")?.strip_prefix(key));
        let mut shape = Self {
            members: [members(parsed, "params", ""), members(parsed, "epilogue", "epilogue.")],
            lengths: lines("length ")
                .filter_map(|line| line.split_once('='))
                .map(|(n, e)| (n.trim().into(), e.trim().into()))
                .collect(),
            limits: lines("limit:").filter_map(|line| limit_of(line, entry)).collect(),
            grid: String::new(),
        };
        for line in lines("grid ") {
            let (name, brackets) =
                line.split_once(':').ok_or(format!("`// grid {line}`: expected `ENTRY: [..][..][..]`"))?;
            if name.trim() == entry {
                shape.grid = brackets.trim().into();
            }
        }
        let mut products: Vec<String> = vec![shape.grid.clone()];
        for extent in extents {
            if let extent::Extent::Elements(brackets, _) = extent::parse(extent, entry)? {
                products.push(brackets.iter().map(|b| format!("[{b}]")).collect());
            }
        }
        let texts: Vec<&str> =
            shape.limits.iter().map(String::as_str).chain(products.iter().map(String::as_str)).collect();
        let lengths: Vec<String> = shape.lengths.iter().map(|(_, e)| e.clone()).collect();
        let constants: Vec<_> = texts.into_iter().chain(lengths.iter().map(String::as_str)).collect();
        let constants = shape.constants(&constants, parsed);
        shape.lengths.extend(constants);
        // Evaluated with arbitrary values, only to check that every name is defined.
        let is_known = |name: &str| shape.is_member(name) || shape.lengths.iter().any(|(l, _)| l == name);
        let known = |name: &str| is_known(name).then_some(64);
        let named =
            |result: Result<(), String>| result.or_else(|e| if e.contains("is not within") { Ok(()) } else { Err(e) });
        for limit in &shape.limits {
            named(extent::holds(limit, &known).map(drop))?;
        }
        for text in &products {
            named(extent::product(&extent::brackets(text)?.0, &known).map(drop))?;
        }
        for length in &lengths {
            named(extent::evaluate(length, &known).map(drop))?;
        }
        Ok(shape)
    }

    fn is_member(&self, name: &str) -> bool {
        self.members.iter().flatten().any(|(member, _)| member == name)
    }

    /// The constants of the text that expressions use, and lengths.
    fn constants(&self, expressions: &[&str], parsed: &Parsed) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for word in
            expressions.iter().flat_map(|e| e.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.'))
        {
            let is_known =
                self.is_member(word) || self.lengths.iter().chain(&found).any(|(l, _): &(String, String)| l == word);
            if let (false, Some(naga::Literal::U32(value))) = (is_known, literal(parsed, word)) {
                found.push((word.to_string(), value.to_string()));
            }
        }
        found
    }

    /// Generates the Rust expression of the shape.
    pub fn rust(&self) -> String {
        let Self { members: [members, epilogue], lengths, limits, grid } = self;
        format!(
            "k::Shape {{ members: [&{members:?}, &{epilogue:?}], lengths: &{lengths:?}, limits: &{limits:?}, grid: {grid:?} }}"
        )
    }
}

/// Returns the u32 members of the struct of a uniform with their offsets in words, each name with a prefix.
fn members(parsed: &Parsed, uniform: &str, prefix: &str) -> Vec<(String, u32)> {
    let module = &parsed.module;
    let found = module.global_variables.iter().find(|(_, global)| global.name.as_deref() == Some(uniform));
    let Some(TypeInner::Struct { members, .. }) = found.map(|(_, global)| &module.types[global.ty].inner) else {
        return Vec::new();
    };
    let is_word = |m: &&naga::StructMember| {
        matches!(module.types[m.ty].inner, TypeInner::Scalar(Scalar { kind: ScalarKind::Uint, .. }))
    };
    members
        .iter()
        .filter(is_word)
        .map(|m| (format!("{prefix}{}", m.name.as_deref().unwrap_or_default()), m.offset / 4))
        .collect()
}

/// Returns a constant's value.
pub fn literal(parsed: &Parsed, name: &str) -> Option<naga::Literal> {
    let (_, constant) = parsed.module.constants.iter().find(|(_, c)| c.name.as_deref() == Some(name))?;
    match parsed.module.global_expressions[constant.init] {
        naga::Expression::Literal(literal) => Some(literal),
        _ => None,
    }
}
