//! Parses and runs a command. An error becomes one line on stderr and an exit code: 0 success, 2 usage error, 1 any other error.

use super::args::{Cli, Command, PlotWhat, TrainArgs};
use super::{bench, devices, eval, output, plot, plot_filter, summary, sweep, train, translate};
use crate::data::shown;
use crate::optim::{BinaryRule, CEMA};
use crate::train::refuse_old_name;
use clap::Parser;
use std::process::ExitCode;

/// Runs the program.
pub fn main() -> ExitCode {
    crate::runtime::silence_mesa();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("error,wgpu_hal=off")).init();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let common = &cli.common;
    let run = async {
        match cli.command {
            None => train::run(TrainArgs::default(), common).await,
            Some(Command::Train(args)) => train::run(*args, common).await,
            Some(Command::Eval(args)) => eval::run(&args, common).await,
            Some(Command::Summary(args)) => summary::run(&args, common),
            Some(Command::Sweep(args)) => sweep::run(*args, common).await,
            Some(Command::Plot(args)) => match args.what {
                Some(PlotWhat::Filter(args)) => plot_filter::run(&args, common).await,
                None => plot::run(&args, common),
            },
            Some(Command::Translate(args)) => translate::run(&args, common),
            Some(Command::Devices) => devices::run(common).await,
            Some(Command::Bench(args)) => bench::run(&args, common).await,
        }
    };
    match pollster::block_on(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(&format!("plusminus: {}", shown(error.to_string())));
            ExitCode::from(if error.is_usage() { 2 } else { 1 })
        }
    }
}

/// Prints help and version unchanged, and an error as one line.
fn refuse(error: &clap::Error) -> ExitCode {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    if let (ErrorKind::UnknownArgument, Some(ContextValue::String(flag))) =
        (error.kind(), error.get(ContextKind::InvalidArg))
        && let Err(renamed) = refuse_old_name(flag.trim_start_matches('-'))
    {
        output::note(&format!("plusminus: {renamed}"));
        return ExitCode::from(2);
    }
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            output::line(error.render().to_string().trim_end());
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            output::note(error.render().to_string().trim_end());
            ExitCode::from(2)
        }
        _ => {
            let text = error.render().to_string();
            let message = text
                .split("Usage:")
                .next()
                .unwrap_or_default()
                .split("For more information")
                .next()
                .unwrap_or_default();
            let message =
                if error.kind() == ErrorKind::UnknownArgument { with_tip(error, message) } else { message.into() };
            let words: Vec<&str> = message.split_whitespace().skip_while(|word| *word == "error:").collect();
            output::note(&format!("plusminus: {} (see --help)", words.join(" ")));
            ExitCode::from(2)
        }
    }
}

/// Names that other programs give to hyperparameters of optimizers.
const NAMES_OF_RATES: [&str; 6] = ["learning-rate", "lrate", "rate", "step-size", "eta", "decay"];

/// Keeps the tip of an unknown flag only if it is a slip of the pen; a rate is answered with the hyperparameters of the rule.
fn with_tip(error: &clap::Error, message: &str) -> String {
    use clap::error::{ContextKind, ContextValue};
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.trim_start_matches('-').to_string(),
        Some(ContextValue::Strings(texts)) => texts.first().map_or("", |text| text.trim_start_matches('-')).to_string(),
        _ => String::new(),
    };
    let (flag, similar) = (text(ContextKind::InvalidArg), text(ContextKind::SuggestedArg));
    if !similar.is_empty() && strsim::levenshtein(&flag, &similar) <= 1 + flag.chars().count() / 6 {
        return message.into();
    }
    let message = message.split("tip:").next().unwrap_or_default().trim().to_string();
    if !NAMES_OF_RATES.contains(&flag.as_str()) {
        return message;
    }
    let mut words = std::env::args().skip_while(|word| !word.starts_with("--optimizer"));
    let name =
        words.next().and_then(|word| word.split_once('=').map(|(_, name)| name.to_string()).or_else(|| words.next()));
    let rule = name.and_then(|name| BinaryRule::named(&name).ok()).unwrap_or(&CEMA);
    let names: Vec<String> = rule.hyperparameters.iter().map(|spec| format!("--{}", spec.name)).collect();
    format!(
        "{message}; the hyperparameters of {} are {}; --float-rate is the rate of float parameters",
        rule.name,
        names.join(", ")
    )
}
