//! Types of settings: how the text of a flag becomes a value, and back.

use super::optimizer::{LayerRule, OptimizerTable, parse_hyperparameter};
use super::setting::Form;
use crate::error::{Error, Result};
use crate::optim::{Hyperparameter, Poles, StateType, check_above_smallest};
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

/// The type of a setting.
pub(super) trait Value {
    /// From a flag's text. An error about the text as a whole has an empty `what`.
    fn parse(text: &str) -> Result<Self>
    where
        Self: Sized;

    /// As a flag takes it.
    fn text(&self) -> String;

    /// Form of its texts.
    fn form() -> Form
    where
        Self: Sized,
    {
        Form::Text
    }

    /// The number that a range is checked for.
    fn number(&self) -> Option<f64> {
        None
    }

    /// The hyperparameter, where it is one.
    fn hyperparameter(&self) -> Option<&Hyperparameter> {
        None
    }

    /// Takes a later value of a repeated flag.
    fn add(&mut self, later: Self)
    where
        Self: Sized,
    {
        *self = later;
    }
}

/// `text` as a `T`, or an error that says what was expected.
fn parsed<T: FromStr>(text: &str, expected: &str) -> Result<T> {
    let value = text.trim().parse().map_err(|_| Error::setting("", expected, text))?;
    check_above_smallest(text).map(|()| value)
}

/// Implements [`Value`] for types that are printed and parsed as they are.
macro_rules! values {
    ($($ty:ty: $form:ident, $expected:literal, $number:expr;)*) => {$(
        impl Value for $ty {
            fn parse(text: &str) -> Result<Self> {
                parsed(text, $expected)
            }

            fn text(&self) -> String {
                self.to_string()
            }

            fn form() -> Form {
                Form::$form
            }

            fn number(&self) -> Option<f64> {
                let number: fn($ty) -> Option<f64> = $number;
                number(*self)
            }
        }
    )*};
}

values! {
    usize: Number, "a whole number", |n| Some(n as f64);
    u32: Number, "a whole number", |n| Some(n.into());
    u64: Number, "a whole number", |n| Some(n as f64);
    f32: Number, "a number", |x| Some(x.into());
    f64: Number, "a number", Some;
    bool: Switch, "true or false", |_| None;
    StateType: Text, "f32, f16, i16, i8", |_| None;
}

impl Value for String {
    fn parse(text: &str) -> Result<Self> {
        Ok(text.to_string())
    }

    fn text(&self) -> String {
        self.clone()
    }
}

impl Value for PathBuf {
    fn parse(text: &str) -> Result<Self> {
        Ok(text.into())
    }

    fn text(&self) -> String {
        self.display().to_string()
    }
}

impl Value for OptimizerTable {
    fn parse(text: &str) -> Result<Self> {
        text.parse()
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Value for Hyperparameter {
    fn parse(text: &str) -> Result<Self> {
        parse_hyperparameter(text)
    }

    fn text(&self) -> String {
        self.to_string()
    }

    fn form() -> Form {
        Form::Number
    }

    fn hyperparameter(&self) -> Option<&Hyperparameter> {
        Some(self)
    }
}

impl Value for Poles {
    fn parse(text: &str) -> Result<Self> {
        text.parse()
    }

    fn text(&self) -> String {
        self.clone().into()
    }

    fn form() -> Form {
        Form::Number
    }
}

/// An element of a list.
trait Item: Value + FromStr + Display {}
impl Item for usize {}
impl Item for f32 {}
impl Item for f64 {}
impl Item for String {}

/// The elements of `1,2`, or of `[1, 2]` as in a file.
fn items<T: Item>(text: &str) -> Result<Vec<T>> {
    let inner = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(text);
    inner.split(',').map(|item| T::parse(item.trim().trim_matches('"'))).collect()
}

fn joined<T: Display>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

impl<T: Item> Value for Vec<T> {
    fn parse(text: &str) -> Result<Self> {
        items(text)
    }

    fn text(&self) -> String {
        joined(self)
    }

    fn form() -> Form {
        if T::form() == Form::Text { Form::Names } else { T::form() }
    }
}

impl Value for [f64; 2] {
    fn parse(text: &str) -> Result<Self> {
        items(text)?.try_into().map_err(|_| Error::setting("", "two numbers", text))
    }

    fn text(&self) -> String {
        joined(self)
    }

    fn form() -> Form {
        Form::Number
    }
}

impl Value for Vec<LayerRule> {
    fn parse(text: &str) -> Result<Self> {
        Ok(vec![text.parse()?])
    }

    fn text(&self) -> String {
        joined(self)
    }

    fn form() -> Form {
        Form::Repeated
    }

    fn add(&mut self, later: Self) {
        self.extend(later);
    }
}
