//! Checks that a dispatch binds tensors of the lengths that its kernel accesses, from the extents that the shader's bindings declare. This
//! check makes shaders without bounds checks sound: an index that a shader computes from its parameters lies inside these extents.

use super::binding::Binding;
use super::extent::{self, Extent};
use super::kernel::{Interface, Shape};

/// Checks every extent, limit and grid dimension of a dispatch; `words` returns the length of the tensor of a binding. The error states the
/// expected and the bound length.
pub fn check(
    interface: &Interface,
    params: [&[u32]; 2],
    grid: &[u64],
    words: &dyn Fn(usize) -> u64,
) -> Result<(), String> {
    let names = Names { shape: &interface.shape, params };
    for (at, binding) in interface.bindings.iter().enumerate() {
        let needed = needed(binding, &interface.bindings, &names, words)?;
        let bound = words(at);
        // Lengths must be equal: shaders compare an index with the length of one tensor and then use it for the others.
        let is_least = extent::is_least(&binding.extent);
        if needed.is_some_and(|needed| needed != bound && !(is_least && needed < bound)) {
            let needed = needed.unwrap_or_default();
            return Err(format!(
                "`{}` is {} and needs {needed} words, {bound} are bound",
                binding.name, binding.extent
            ));
        }
    }
    let lookup = |name: &str| names.value(name, 0);
    for limit in interface.shape.limits {
        if !extent::holds(limit, &lookup)? {
            return Err(format!("parameters must satisfy `{limit}`"));
        }
    }
    check_grid(interface.shape.grid, grid, &lookup)
}

/// Returns the minimum number of words of a binding; `None` if any length is valid.
fn needed(
    binding: &Binding,
    all: &[Binding],
    names: &Names<'_>,
    words: &dyn Fn(usize) -> u64,
) -> Result<Option<u64>, String> {
    match extent::parse(&binding.extent, "")? {
        Extent::Any => Ok(None),
        Extent::As(name) => {
            let at = all.iter().position(|other| other.name == name);
            let at = at.ok_or_else(|| format!("`{}` is as long as `{name}`, which is not bound", binding.name))?;
            match extent::parse(&all[at].extent, "")? {
                Extent::Any => Ok(Some(words(at))),
                _ => needed(&all[at], all, names, words),
            }
        }
        Extent::Elements(brackets, bits) => {
            let elements = extent::product(&brackets, &|name| names.value(name, 0))?;
            Ok(Some((elements * bits).div_ceil(32)))
        }
    }
}

fn check_grid(grid: &str, given: &[u64], lookup: &extent::Lookup<'_>) -> Result<(), String> {
    let (brackets, _) = extent::brackets(grid)?;
    for (at, &given) in given.iter().enumerate().take(brackets.len()) {
        let most = extent::evaluate(brackets[at], lookup)?;
        if given > most {
            return Err(format!("the grid may be at most {grid}: dimension {at} is {given}, expected at most {most}"));
        }
    }
    Ok(())
}

/// The names that extents use: members of the parameters, and lengths computed from them.
struct Names<'a> {
    shape: &'a Shape,
    /// Parameters of the producer and of the epilogue.
    params: [&'a [u32]; 2],
}

impl Names<'_> {
    /// Evaluates a name. Lengths may refer to lengths up to a fixed depth.
    fn value(&self, name: &str, depth: usize) -> Option<u64> {
        for (members, params) in self.shape.members.iter().zip(self.params) {
            if let Some((_, at)) = members.iter().find(|(member, _)| *member == name) {
                return params.get(*at as usize).map(|&word| u64::from(word));
            }
        }
        let (_, expression) = self.shape.lengths.iter().find(|(length, _)| *length == name).filter(|_| depth < 8)?;
        extent::evaluate(expression, &|name| self.value(name, depth + 1)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape {
        members: [&[("rows", 0), ("columns", 1)], &[("epilogue.rows", 0)]],
        lengths: &[("panels", "columns / 32"), ("BLOCK", "8")],
        limits: &[],
        grid: "",
    };

    #[test]
    fn expressions_are_evaluated_in_order_and_without_wrapping() {
        let names = Names { shape: &SHAPE, params: [&[5, 33], &[7]] };
        let of = |expression: &str| extent::evaluate(expression, &|name| names.value(name, 0));
        for (expression, value) in [
            ("rows", 5),
            ("epilogue.rows - rows", 2),
            ("panels", 2),
            ("columns/32 * 32", 64),
            ("rows * columns/32", 6),
            ("(rows + 1) * BLOCK - 3", 45),
            ("4294967295", 4_294_967_295),
        ] {
            assert_eq!(of(expression), Ok(value), "{expression}");
        }
        for (wrong, word) in [
            ("rows *", "expected a number or a name"),
            ("height", "`height` is not a known name"),
            ("(rows", "not closed"),
            ("rows rows", "left over"),
            ("rows - columns", "within 32 bits"),
            ("65536 * 65536", "within 32 bits"),
            ("rows / 0", "within 32 bits"),
        ] {
            assert!(of(wrong).is_err_and(|e| e.contains(word)), "{wrong}");
        }
        assert_eq!(extent::product(&["panels", "rows", "32"], &|name| names.value(name, 0)), Ok(320));
        assert_eq!(extent::holds("rows <= 5", &|name| names.value(name, 0)), Ok(true));
        assert_eq!(extent::holds("rows + panels < 7", &|name| names.value(name, 0)), Ok(false));
    }

    #[test]
    fn comments_are_parsed_by_entry_point() {
        let comment = " bytes; a, b: [rows][2] of 8 bits; c: as x; any length";
        assert_eq!(extent::parse(comment, "b"), Ok(Extent::Elements(vec!["rows", "2"], 8)));
        assert_eq!(extent::parse(comment, "c"), Ok(Extent::As("x")));
        assert!(extent::parse(comment, "d").is_err_and(|e| e.contains("has no extent")));
        assert_eq!(
            extent::parse("gradient, rows [rows][words * 32]", "x"),
            Ok(Extent::Elements(vec!["rows", "words * 32"], 32))
        );
        assert!(extent::parse("[rows", "x").is_err_and(|e| e.contains("not closed")));
        assert!(extent::parse("[rows] of 7 bits", "x").is_err_and(|e| e.contains("8, 16 or 32")));
    }
}
