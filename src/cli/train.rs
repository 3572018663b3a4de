//! `plusminus train`: trains a network and saves the run.

use super::args::{Common, TrainArgs};
use super::output::{Reporter, note, show_profile};
use super::summary;
use crate::error::Result;
use crate::train::{Run, Settings, StopHandle, Trainer};
use std::path::Path;

/// Trains a network and saves the run.
pub async fn run(args: TrainArgs, common: &Common) -> Result<()> {
    let config = settings(args.config.as_deref(), *args.flags.settings, common)?.resolve()?;
    let reserved = args.run.is_none();
    let folder = args.run.map_or_else(|| Run::reserve(&config), Ok)?;
    let mut trainer = match Trainer::new(config, Some(&folder)).await {
        Ok(trainer) => trainer,
        Err(error) => {
            // Removes folders that were created for the run; removal fails for folders that are not empty.
            let made = [Some(folder.as_path()), folder.parent().filter(|_| reserved)];
            made.into_iter().flatten().for_each(|folder| drop(std::fs::remove_dir(folder)));
            return Err(error);
        }
    };
    if !common.json && !common.quiet {
        summary::print(&trainer.model().summary());
    }
    stop_on_interrupt(&trainer.stop_handle());
    trainer.session().set_profiling(args.profile);
    let reporter = Reporter::new(common.json, common.quiet, trainer.stop_handle());
    trainer.fit(|event| reporter.show(event)).await?;
    reporter.end();
    if args.profile {
        let profile = trainer.session().profile().await?;
        show_profile(&profile, trainer.session().fusions(), common.json);
    }
    Ok(())
}

/// Merges the settings of the file with those of flags, which take precedence.
pub fn settings(file: Option<&Path>, flags: Settings, common: &Common) -> Result<Settings> {
    let file = file.map_or(Ok(Settings::default()), Settings::read)?;
    let mut all = (*common.flags.settings).clone();
    all.add(flags);
    Ok(all.over(file))
}

/// Ctrl-C ends training after the current step; a second Ctrl-C ends the program at once.
pub fn stop_on_interrupt(stop: &StopHandle) {
    let stop = stop.clone();
    let handler = ctrlc::set_handler(move || {
        if stop.is_stopped() {
            std::process::exit(130);
        }
        note("stopping after the current step; press Ctrl-C again to exit at once");
        stop.stop();
    });
    if let Err(error) = handler {
        log::warn!("Ctrl-C will exit at once and save nothing: {error}");
    }
}
