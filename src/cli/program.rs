//! Parses and runs a command. An error becomes one line on stderr and an exit code: 0 success, 2 usage error, 1 any other error.

use super::args::{Cli, Command, PlotWhat, TrainArgs};
use super::{bench, devices, eval, output, plot, plot_filter, summary, sweep, train, translate};
use crate::data::shown;
use crate::train::refuse_old_name;
use clap::Parser;
use std::process::ExitCode;

/// Runs the program.
pub fn main() -> ExitCode {
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
            let words: Vec<&str> = message.split_whitespace().skip_while(|word| *word == "error:").collect();
            output::note(&format!("plusminus: {} (see --help)", words.join(" ")));
            ExitCode::from(2)
        }
    }
}
