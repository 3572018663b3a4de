//! Joins pieces of WGSL to the text of one pipeline. The build script and the library share this file: the build script validates every permitted
//! combination, the binary contains the pieces, and a text is assembled when its pipeline is created.
//!
//! A text consists of a *base* file (a kernel, or a producer of tiles), the epilogues that consume its tiles, a rule and its storage, and the imports
//! of all of them. The assembler implements these conventions:
//! - `// import: bits, step` appends `shaders/shared/{bits,step}.wgsl`;
//! - bindings have names only (`var<storage, read> x: ...`): group and number are added here;
//! - `const TILE: u32 = 8u; // tunable S=4 M=8` defines one preset per letter: the same text with other values;
//! - a `for` loop over constant bounds whose line ends in `// unroll` is unrolled here, because drivers do not unroll the loops that naga emits.

use std::fmt::Write as _;

/// Storage buffers per pipeline that WebGPU guarantees.
pub const MAX_STORAGE_BUFFERS: usize = 8;

/// Function from the path of a piece under `shaders/`, without the extension, to its text: `ops/add`, `shared/bits`.
pub type Find<'a> = dyn Fn(&str) -> Option<&'a str> + 'a;

/// An assembled text with the origin of its lines.
#[derive(Clone, Debug)]
pub struct Assembled {
    /// The WGSL text.
    pub text: String,
    /// The path and the first line (from 0) in the text of each piece, in order.
    pub pieces: Vec<(String, usize)>,
}

/// Name that messages give as the origin of lines that the assembler generates.
const JOINT: &str = "assembled";

impl Assembled {
    /// Returns the file and line (from 1) of a line (from 1) of the text before unrolling.
    pub fn origin(&self, line: usize) -> (&str, usize) {
        let line = line.saturating_sub(1);
        let found = self.pieces.iter().rev().find(|(_, first)| *first <= line);
        found.map_or(("", line + 1), |(path, first)| (path, line - first + 1))
    }
}

/// Joins the named pieces, in order, and their imports, each once, and numbers the bindings. A generated function `consume` calls the pieces
/// `epilogues/NAME` in order. For a piece `rules/NAME` (`rules/NAME@N`: N planes per state) states and hyperparameters are generated from its header.
pub fn assemble<'a>(find: &Find<'a>, names: &[&str]) -> Result<Assembled, String> {
    let mut out = Assembled { text: String::new(), pieces: Vec::new() };
    let mut wanted: Vec<String> = names.iter().rev().map(|name| (*name).to_string()).collect();
    while let Some(name) = wanted.pop() {
        if out.pieces.iter().any(|(known, _)| *known == name) {
            continue;
        }
        let text = find(plain(&name)).ok_or_else(|| format!("import of `{name}`: there is no shaders/{name}.wgsl"))?;
        // Imports directly follow their piece, so that a producer's bindings precede those of its epilogues.
        wanted.extend(imports(text).into_iter().rev());
        out.add(&name, text);
    }
    let mut joint = chain(names);
    if let Some(name) = names.iter().find(|name| name.starts_with("rules/")) {
        let storage = names.iter().find(|name| name.starts_with("storage/")).and_then(|name| find(name));
        joint += &states(&Rule::of(find(plain(name)).unwrap_or_default(), planes(name))?, storage.unwrap_or_default())?;
    }
    if !joint.is_empty() {
        out.add(JOINT, &joint);
    }
    out.text = number_bindings(&out.text)?;
    Ok(out)
}

/// Returns the path of a piece without its number of planes.
fn plain(name: &str) -> &str {
    name.split_once('@').map_or(name, |(path, _)| path)
}

/// Returns N of `rules/NAME@N`; 1 if there is none.
pub fn planes(name: &str) -> usize {
    name.split_once('@').and_then(|(_, number)| number.parse().ok()).unwrap_or(1)
}

/// Epilogues that are functions for a producer or for another epilogue; they consume no tile themselves.
const FUNCTIONS: [&str; 1] = ["update"];

/// Generates the function `consume` if there are epilogues of tiles.
fn chain(names: &[&str]) -> String {
    let names: Vec<&str> =
        names.iter().filter_map(|name| name.strip_prefix("epilogues/")).filter(|n| !FUNCTIONS.contains(n)).collect();
    if names.is_empty() {
        return String::new();
    }
    let calls: String = names.iter().map(|name| format!("    {name}(tile, m, at);\n")).collect();
    format!("fn consume(tile: ptr<function, Tile>, m: Matrix, at: At) {{\n{calls}}}\n")
}

/// The declarations in the header of a rule.
pub struct Rule {
    /// Names of the rule's states.
    pub states: Vec<String>,
    /// Planes per state: numbers per weight.
    pub planes: usize,
    /// Index of the state whose stored sign is the weight with narrow storage.
    pub decides: usize,
    /// Names of the hyperparameters that the rule's function takes, in the order in which the host packs them.
    pub hyperparameters: Vec<String>,
}

impl Rule {
    /// Parses the header of a rule's text.
    pub fn of(text: &str, planes: usize) -> Result<Self, String> {
        let list = |key| marked(text, key).filter(|name| !name.is_empty()).map(str::to_string).collect::<Vec<_>>();
        let (states, decides) = (list("states"), list("decides"));
        let at = decides.first().map(|name| states.iter().position(|state| state == name));
        let decides = at
            .unwrap_or(states.len().checked_sub(1))
            .ok_or("a rule needs a line `// states: NAME, ...`; `// decides:` names one of them")?;
        Ok(Self { states, planes, decides, hyperparameters: list("hyperparameters") })
    }
}

/// Generates the bindings of a rule's states, its structs, and the function `update_quad`, which updates the states of four columns.
fn states(rule: &Rule, storage: &str) -> Result<String, String> {
    let bits = marked(storage, "bits").next().ok_or("a storage format needs a line `// bits: N`")?;
    let Rule { states, planes, decides, hyperparameters } = rule;
    let (count, planes) = (states.len(), *planes);
    let plane = if planes == 1 { String::new() } else { format!("[{planes}]") };
    let mut out = format!("// length states = {count}\n");
    for name in states {
        writeln!(out, "var<storage, read_write> state_{name}: array<Packed>; // state, rows [epilogue.rows]{plane}[epilogue.words * 32] of {bits} bits")
            .expect("writing to a string cannot fail");
    }
    let field = if planes == 1 { "f32".to_string() } else { format!("array<f32, {planes}>") };
    let fields =
        |names: &[String], ty: &str| names.iter().map(|name| format!("    {name}: {ty},\n")).collect::<String>();
    writeln!(out, "struct States {{\n{}}}", fields(states, &field)).expect("writing to a string cannot fail");
    // WGSL structs need at least one member.
    let (members, none) =
        (fields(hyperparameters, "f32"), if hyperparameters.is_empty() { "    none: f32,\n" } else { "" });
    writeln!(out, "struct Hyperparameters {{\n{members}{none}}}").expect("writing to a string cannot fail");
    let value = |i: usize| match i {
        0 => "hyperparameter(0u).x * rate_factor()".to_string(),
        _ => format!("hyperparameter({}u)[{}u]", i / 4, i % 4),
    };
    let values: Vec<String> = (0..hyperparameters.len().max(1)).map(value).collect();
    let units: String = (0..count)
        .map(|i| format!("    (*at).units[{i}] = begin_row({i}u, row, is_first);\n    (*at).peaks[{i}] = 0.0;\n"))
        .collect();
    let ends: String = (0..count).map(|i| format!("    end_row((*at).units[{i}], (*at).peaks[{i}]);\n")).collect();
    let (mut load, mut store) = (String::new(), String::new());
    for (i, name) in states.iter().enumerate() {
        for plane in 0..planes {
            let (index, suffix) = if planes == 1 {
                ("i".to_string(), String::new())
            } else {
                (format!("first + {plane}u * pitch"), format!("_{plane}"))
            };
            let part = if planes == 1 { String::new() } else { format!("[{plane}u]") };
            writeln!(load, "    let old_{name}{suffix} = decode(state_{name}[{index}], (*at).units[{i}]);")
                .expect("writing to a string cannot fail");
            let lanes = LANES.map(|lane| format!("s_{lane}.{name}{part}")).join(", ");
            writeln!(store, "    let new_{name}{suffix} = encode(vec4<f32>({lanes}), (*at).units[{i}], random);\n    state_{name}[{index}] = new_{name}{suffix};\n    note(at, {i}u, new_{name}{suffix});")
                .expect("writing to a string cannot fail");
        }
    }
    let lane = |lane: &str| {
        let of = |name: &String| match planes {
            1 => format!("old_{name}.{lane}"),
            _ => format!(
                "array<f32, {planes}>({})",
                (0..planes).map(|p| format!("old_{name}_{p}.{lane}")).collect::<Vec<_>>().join(", ")
            ),
        };
        let old = states.iter().map(of).collect::<Vec<_>>().join(", ");
        format!(
            "    var s_{lane} = States({old});\n    let d_{lane} = update(gradient.{lane}, &s_{lane}, (*at).hyper);\n"
        )
    };
    let decided = format!("new_{}{}", states[*decides], if planes == 1 { "" } else { "_0" });
    let place = if planes == 1 {
        String::new()
    } else {
        format!("    let pitch = epilogue.words * 8u;\n    let first = i / pitch * {planes}u * pitch + i % pitch;\n")
    };
    let lanes: String = LANES.into_iter().map(lane).collect();
    write!(
        out,
        "const STATES: u32 = {count}u;
const PLANES: u32 = {planes}u;
struct Running {{
    hyper: Hyperparameters,
    units: array<Unit, {count}>,
    peaks: array<f32, {count}>,
    saturated: u32,
    failed: bool,
}}
fn begin_update() -> Running {{
    var at: Running;
    at.hyper = Hyperparameters({});
    return at;
}}
fn begin_update_row(at: ptr<function, Running>, row: u32, is_first: bool) {{
{units}}}
fn update_quad(gradient: vec4<f32>, i: u32, random: vec4<u32>, at: ptr<function, Running>) -> vec4<f32> {{
{place}{load}{lanes}{store}    return decision(vec4<f32>(d_x, d_y, d_z, d_w), {decided});
}}
fn note(at: ptr<function, Running>, state: u32, stored: Packed) {{
    (*at).peaks[state] = max((*at).peaks[state], peak_of(stored));
    (*at).saturated += saturated_of(stored);
    (*at).failed = (*at).failed || has_failed(stored);
}}
fn end_update_row(at: ptr<function, Running>) {{
{ends}}}
fn end_update(at: Running) {{
    count_saturated(at.saturated);
    if (at.failed) {{
        raise_failed(epilogue.layers);
    }}
}}
",
        values.join(", ")
    )
    .expect("writing to a string cannot fail");
    Ok(out)
}

const LANES: [&str; 4] = ["x", "y", "z", "w"];

impl Assembled {
    /// Appends a piece and records its origin.
    fn add(&mut self, name: &str, text: &str) {
        self.pieces.push((name.to_string(), self.text.lines().count()));
        writeln!(self.text, "{}", text.trim_end_matches('\n')).expect("writing to a string cannot fail");
    }
}

/// Numbers every binding that has no number: storage in group 0, in order of declaration; in group 1 `params` is 0, `step` 1, `epilogue` 2 and
/// `grid` 3. Two bindings of one name are an error.
pub fn number_bindings(text: &str) -> Result<String, String> {
    let (mut out, mut names) = (String::with_capacity(text.len() + 1024), Vec::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("var<storage") {
            let name = declared_name(rest).ok_or_else(|| format!("`{line}` does not declare a binding"))?;
            if names.contains(&name) {
                return Err(format!("two pieces bind `{name}`"));
            }
            write!(out, "@group(0) @binding({}) ", names.len()).expect("writing to a string cannot fail");
            names.push(name);
        } else if let Some(rest) = line.strip_prefix("var<uniform>") {
            let number = match declared_name(rest) {
                Some("params") => 0,
                Some("step") => 1,
                Some("epilogue") => 2,
                Some("grid") => 3,
                _ => return Err(format!("`{line}`: a uniform must be named `params`, `step`, `epilogue` or `grid`")),
            };
            write!(out, "@group(1) @binding({number}) ").expect("writing to a string cannot fail");
        }
        out += line;
        out.push('\n');
    }
    Ok(out)
}

/// Returns `x` of `, read> x: array<f32>;`.
fn declared_name(rest: &str) -> Option<&str> {
    let (_, rest) = rest.split_once('>').unwrap_or(("", rest));
    let (name, _) = rest.split_once(':')?;
    Some(name.trim())
}

/// Returns the paths of the shared files that a piece imports.
fn imports(source: &str) -> Vec<String> {
    marked(source, "import").map(|name| format!("shared/{name}")).collect()
}

/// Returns the names on lines `// KEY: a, b`.
pub fn marked<'a>(source: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = source.lines().filter_map(move |line| line.strip_prefix("// ")?.strip_prefix(key)?.strip_prefix(':'));
    lines.flat_map(|names| names.split(',').map(str::trim))
}

/// Returns the letters after `// tunable`; a text without tunable constants has only the preset `M`.
pub fn presets(source: &str) -> Vec<String> {
    let mut letters: Vec<String> = Vec::new();
    for (_, values) in source.lines().filter_map(|line| line.split_once("// tunable")) {
        for (letter, _) in values.split_whitespace().filter_map(|pair| pair.split_once('=')) {
            if !letters.contains(&letter.to_string()) {
                letters.push(letter.to_string());
            }
        }
    }
    if letters.is_empty() {
        letters.push("M".to_string());
    }
    letters
}

/// Returns the text with the tunable constants of one preset.
pub fn tuned(source: &str, letter: &str) -> Result<String, String> {
    let mut out = String::new();
    for line in source.lines() {
        if let Some((head, values)) = line.split_once("// tunable") {
            let value = values.split_whitespace().filter_map(|pair| pair.split_once('=')).find(|(l, _)| *l == letter);
            let (_, value) = value.ok_or(format!("`{line}` has no value for preset {letter}"))?;
            let (declaration, _) = head.split_once('=').ok_or(format!("`{line}` does not declare a constant"))?;
            out += &format!("{declaration}= {value}u;\n");
        } else {
            out += line;
            out.push('\n');
        }
    }
    Ok(out)
}

/// Unrolls every loop `for (var i = A; i < B; i++) { // unroll`, outermost first; A and B are literals or u32 constants.
pub fn unroll(source: &str) -> Result<String, String> {
    let mut source = source.to_string();
    while let Some(mark) = source.find("// unroll") {
        let start = source[..mark].rfind("for (").ok_or("`// unroll` does not follow a loop")?;
        let header = &source[start..mark];
        let parts: Vec<&str> = header.split([';', '(', ')']).map(str::trim).collect();
        let [_, init, condition, ..] = parts[..] else { return Err(format!("`{header}` cannot be unrolled")) };
        let (variable, first) =
            init.trim_start_matches("var").split_once('=').ok_or("an unrolled loop needs `var i = A`")?;
        let variable = variable.trim().split(':').next().unwrap_or_default().trim().to_string();
        let (_, end) = condition.split_once('<').ok_or("an unrolled loop needs the condition `i < B`")?;
        let (first, end) = (value(&source, first)?, value(&source, end)?);
        let open =
            start + header.rfind('{').ok_or("the body of an unrolled loop must start on the line of its header")?;
        let close = matching_brace(&source, open).ok_or("the body of an unrolled loop is not closed")?;
        let body = source[open + 1..close].replacen("// unroll", "", 1);
        let copies: String =
            (first..end).map(|i| format!("{{{}}}\n", replace_word(&body, &variable, &format!("{i}u")))).collect();
        source.replace_range(start..=close, &copies);
    }
    Ok(source)
}

/// Evaluates a literal, a constant of the file, or products and quotients of these, from left to right.
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
    let at = source.find(&declaration).ok_or(format!("unrolled loop: `{expression}` is not a `const` of type u32"))?;
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
