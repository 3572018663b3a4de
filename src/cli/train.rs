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
    args.run.as_deref().map_or(Ok(()), Run::refuse_existing)?;
    let mut trainer = Trainer::new(config, None).await?;
    let Some(folder) = args.run else {
        let folder = Run::reserve(trainer.config())?;
        let trained = train(&mut trainer, &folder, args.profile, common).await;
        // Removal fails for folders with a run.
        [Some(folder.as_path()), folder.parent()]
            .into_iter()
            .flatten()
            .for_each(|folder| drop(std::fs::remove_dir(folder)));
        return trained;
    };
    train(&mut trainer, &folder, args.profile, common).await
}

async fn train(trainer: &mut Trainer, folder: &Path, profile: bool, common: &Common) -> Result<()> {
    trainer.save_in(folder)?;
    if !common.json && !common.quiet {
        summary::print(&trainer.model().summary());
    }
    stop_on_interrupt(&trainer.stop_handle());
    trainer.session().set_profiling(profile);
    let reporter = Reporter::new(common.json, common.quiet, trainer.stop_handle());
    trainer.fit(|event| reporter.show(event)).await?;
    reporter.end();
    if profile {
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
