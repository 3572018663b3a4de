//! Command-line flags, generated from the table of settings.

use crate::train::{Form, Setting, Settings};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use std::marker::PhantomData;

/// The set of settings that a command has as flags.
pub trait Selection {
    /// Returns whether the set contains this setting.
    fn contains(setting: &Setting) -> bool;
}

/// Settings of training.
#[derive(Clone, Copy, Debug, Default)]
pub struct OfTraining;

impl Selection for OfTraining {
    fn contains(setting: &Setting) -> bool {
        !setting.is_global
    }
}

/// Settings that every command has.
#[derive(Clone, Copy, Debug, Default)]
pub struct OfProgram;

impl Selection for OfProgram {
    fn contains(setting: &Setting) -> bool {
        setting.is_global
    }
}

/// Settings of a network and its step.
#[derive(Clone, Copy, Debug, Default)]
pub struct OfModel;

impl Selection for OfModel {
    fn contains(setting: &Setting) -> bool {
        let names = ["model", "hidden", "width", "full-precision", "surrogate", "batch-size", "no-fuse"];
        names.contains(&setting.name.as_str())
    }
}

/// The rule of binary weights and the format of its states.
#[derive(Clone, Copy, Debug, Default)]
pub struct OfStates;

impl Selection for OfStates {
    fn contains(setting: &Setting) -> bool {
        ["optimizer", "state-dtype"].contains(&setting.name.as_str())
    }
}

/// The folder of the data, and what its warnings are.
#[derive(Clone, Copy, Debug, Default)]
pub struct OfFiles;

impl Selection for OfFiles {
    fn contains(setting: &Setting) -> bool {
        ["data-dir", "strict"].contains(&setting.name.as_str())
    }
}

/// The flags of a selection of settings.
#[derive(Clone, Debug, Default)]
pub struct SettingFlags<S> {
    /// The values of the flags; boxed, since the struct is large.
    pub settings: Box<Settings>,
    selection: PhantomData<S>,
}

impl<S: Selection> SettingFlags<S> {
    fn rows() -> impl Iterator<Item = &'static Setting> {
        Settings::table().iter().filter(|setting| S::contains(setting))
    }
}

impl<S: Selection> Args for SettingFlags<S> {
    fn augment_args(command: Command) -> Command {
        Self::rows().fold(command, |command, setting| command.arg(flag(setting)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<S: Selection> FromArgMatches for SettingFlags<S> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut settings = Settings::default();
        for setting in Self::rows() {
            let values = matches.get_many::<Settings>(&setting.name).into_iter().flatten();
            values.for_each(|value| settings.add(value.clone()));
        }
        Ok(Self { settings: Box::new(settings), selection: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Returns the flag of a setting. The flag's value is a `Settings` with only this setting.
fn flag(setting: &'static Setting) -> Arg {
    let parse = |text: &str| Settings::from_flag(setting, text);
    let flag = Arg::new(setting.name.as_str())
        .long(setting.name.as_str())
        .value_name(setting.value_name)
        .help(setting.help())
        .value_parser(parse)
        .global(setting.is_global)
        .allow_hyphen_values(setting.form == Form::Number && setting.without_value.is_none())
        .action(if setting.form == Form::Repeated { ArgAction::Append } else { ArgAction::Set });
    let flag = if setting.is_global { flag } else { flag.help_heading(setting.heading) };
    match setting.without_value {
        Some(value) => flag.num_args(0..=1).default_missing_value(value).require_equals(setting.form == Form::Switch),
        None => flag,
    }
}
