//! One row of the table of settings: what flags, files, checks and help texts need to know of a setting.

use crate::optim::{BINARY_RULES, BinaryRule, FLOAT_RULES, FloatRule, HyperparameterSpec};
use std::fmt;
use std::ops::{Bound, RangeBounds};

/// Heading of the settings that a network without binary weights does not have.
pub(super) const BINARY: &str = "Optimizer of binary weights";

/// A setting. The table (`table.rs`) adds name, type, documentation and default to what the builder methods here set.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Name as a flag (without `--`) and as a key of files: `batch-size`.
    pub name: String,
    /// What it is: a noun phrase or an imperative.
    pub doc: String,
    /// Heading that it stands under in `--help`.
    pub heading: &'static str,
    /// Placeholder of its value in `--help`: `N`, `FILE`.
    pub value_name: &'static str,
    /// Form of its value on the command line.
    pub form: Form,
    /// The default, in words; `None` where there is none.
    pub default: Option<String>,
    /// Permitted numbers.
    pub range: Option<NumberRange>,
    /// Permitted names.
    pub choices: Vec<String>,
    /// Rules that have it, of a hyperparameter, and their range in words.
    pub rules: Option<(&'static str, Vec<&'static str>)>,
    /// A further remark of the help text.
    pub note: Option<String>,
    /// The setting whose other value drops this one, since it means something else or nothing there.
    pub owner: Option<Owner>,
    /// Value of a flag that is given without one.
    pub without_value: Option<&'static str>,
    /// Whether every command has the flag.
    pub is_global: bool,
}

/// Form of a value on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A text.
    Text,
    /// A number, or several; may begin with a minus.
    Number,
    /// Names with commas between them.
    Names,
    /// `true`, `false`, or nothing for `true`.
    Switch,
    /// A text; the flag may be repeated.
    Repeated,
}

/// A setting whose other value drops those that belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// `dataset`
    Dataset,
    /// `model`
    Model,
    /// `optimizer`
    Optimizer,
    /// `float-optimizer`
    FloatOptimizer,
}

impl Owner {
    /// Every owner.
    pub const ALL: [Self; 4] = [Self::Dataset, Self::Model, Self::Optimizer, Self::FloatOptimizer];

    /// Name of its setting.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dataset => "dataset",
            Self::Model => "model",
            Self::Optimizer => "optimizer",
            Self::FloatOptimizer => "float-optimizer",
        }
    }
}

/// Finite numbers that a setting may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NumberRange {
    low: Bound<f64>,
    high: Bound<f64>,
}

impl NumberRange {
    /// Whether the number is in it. Infinity is in no range.
    pub fn contains(&self, number: f64) -> bool {
        number.is_finite() && (self.low, self.high).contains(&number)
    }
}

impl fmt::Display for NumberRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Bound::{Excluded, Included, Unbounded};
        match (self.low, self.high) {
            (Included(low), Included(high)) => write!(f, "in [{low}, {high}]"),
            (Included(low), Excluded(high)) => write!(f, "in [{low}, {high})"),
            (Excluded(low), Included(high)) => write!(f, "in ({low}, {high}]"),
            (Excluded(low), Excluded(high)) => write!(f, "in ({low}, {high})"),
            (Included(low), Unbounded) => write!(f, "at least {low}"),
            (Excluded(low), Unbounded) => write!(f, "above {low}"),
            (Unbounded, Included(high)) => write!(f, "at most {high}"),
            (Unbounded, Excluded(high)) => write!(f, "below {high}"),
            (Unbounded, Unbounded) => write!(f, "any number"),
        }
    }
}

/// A setting whose value is shown as this in help texts.
pub(super) fn value(value_name: &'static str) -> Setting {
    Setting {
        name: String::new(),
        doc: String::new(),
        heading: "",
        value_name,
        form: Form::Text,
        default: None,
        range: None,
        choices: Vec::new(),
        rules: None,
        note: None,
        owner: None,
        without_value: None,
        is_global: false,
    }
}

/// A switch.
pub(super) fn switch() -> Setting {
    value("BOOL").or("true")
}

/// A hyperparameter of binary rules: ranges, defaults and the rules that have it come from the rules.
pub(super) fn hyperparameter(name: &str) -> Setting {
    let spec =
        |rule: &'static BinaryRule| Some((rule.name, rule.hyperparameters.iter().find(|spec| spec.name == name)?));
    let specs: Vec<_> = BINARY_RULES.into_iter().filter_map(spec).collect();
    let default = |spec: &HyperparameterSpec| match spec.schedule {
        "constant" => number(spec.default),
        schedule => format!("{},{schedule}", number(spec.default)),
    };
    let range = specs.first().map_or("", |(_, spec)| spec.range.describe());
    let defaults = specs.iter().map(|(rule, spec)| (*rule, default(spec)));
    of_rules(value("NUMBER[,SCHEDULE]").of(Owner::Optimizer), range, defaults.collect())
}

/// The same of a rule for float parameters.
pub(super) fn float_hyperparameter(name: &str) -> Setting {
    let spec =
        |rule: &'static FloatRule| Some((rule.name, rule.hyperparameters.iter().find(|spec| spec.name == name)?));
    let specs: Vec<_> = FLOAT_RULES.iter().filter_map(spec).collect();
    let range = specs.first().map_or("", |(_, spec)| spec.range.describe());
    let defaults = specs.iter().map(|(rule, spec)| (*rule, number(spec.default)));
    of_rules(value("NUMBER").of(Owner::FloatOptimizer), range, defaults.collect())
}

/// `1e-8`, `0`, `off`.
fn number(number: impl fmt::Debug) -> String {
    let text = format!("{number:?}");
    if text == "inf" { "off".into() } else { text.strip_suffix(".0").map_or(text.clone(), String::from) }
}

/// With range, rules, and the default: one if all rules agree, else one per rule.
fn of_rules(mut setting: Setting, range: &'static str, defaults: Vec<(&'static str, String)>) -> Setting {
    let short = |prefix| range.strip_prefix(prefix);
    let range = short("a number of steps ").or(short("a number ")).unwrap_or(range);
    setting.rules = Some((range, defaults.iter().map(|(rule, _)| *rule).collect()));
    setting.default = match &defaults[..] {
        [(_, first), rest @ ..] if rest.iter().all(|(_, default)| default == first) => Some(first.clone()),
        _ => Some(defaults.iter().map(|(rule, default)| format!("{rule} {default}")).collect::<Vec<_>>().join(", ")),
    };
    setting
}

impl Setting {
    /// With a range of permitted numbers.
    pub(super) fn within(mut self, range: impl RangeBounds<f64>) -> Self {
        self.range = Some(NumberRange { low: range.start_bound().cloned(), high: range.end_bound().cloned() });
        self
    }

    /// With permitted names.
    pub(super) fn one_of(mut self, choices: impl IntoIterator<Item = impl ToString>) -> Self {
        self.choices = choices.into_iter().map(|choice| choice.to_string()).collect();
        self
    }

    /// With the default in words.
    pub(super) fn by_default(mut self, text: &str) -> Self {
        self.default = Some(text.into());
        self
    }

    /// With a remark at the end of the help text.
    pub(super) fn note(mut self, text: impl Into<String>) -> Self {
        self.note = Some(text.into());
        self
    }

    /// A hyperparameter that takes no schedule, since it is read once.
    pub(super) fn without_schedule(mut self, value_name: &'static str) -> Self {
        self.value_name = value_name;
        self
    }

    /// Belongs to the value of another setting.
    pub(super) fn of(mut self, owner: Owner) -> Self {
        self.owner = Some(owner);
        self
    }

    /// With what a flag without a value means.
    pub(super) fn or(mut self, value: &'static str) -> Self {
        self.without_value = Some(value);
        self
    }

    /// A flag of every command.
    pub(super) fn global(mut self) -> Self {
        self.is_global = true;
        self
    }

    /// Name of its field in Rust.
    pub fn field(&self) -> String {
        self.name.replace('-', "_")
    }

    /// The help text: documentation, permitted values, rules, remark, default.
    pub fn help(&self) -> String {
        let choices = if self.choices.is_empty() { String::new() } else { format!(": {}", self.choices.join(", ")) };
        let range = self.range.map_or(String::new(), |range| format!(", {range}"));
        let rules = self.rules.as_ref();
        let rules = rules.map_or(String::new(), |(range, rules)| format!(", {range} ({})", rules.join(", ")));
        let note = self.note.as_ref().map_or(String::new(), |note| format!("; {note}"));
        let default = self.default.as_ref().map_or(String::new(), |default| format!(" [default: {default}]"));
        format!("{}{choices}{range}{rules}{note}{default}", self.doc)
    }

    /// Permitted values, in words; `None` where the table says nothing of them.
    pub fn expected(&self) -> Option<String> {
        match self.range {
            Some(range) if matches!(range.low, Bound::Included(_)) && range.high == Bound::Unbounded => {
                Some(range.to_string())
            }
            Some(range) => Some(format!("a number {range}")),
            None => (!self.choices.is_empty()).then(|| self.choices.join(", ")),
        }
    }
}
