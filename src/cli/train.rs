//! `plusminus train`: trains a network and saves the run.

use super::args::{Common, TrainArgs};
use super::output::{Reporter, show_profile};
use super::signals::{Signals, ended_before_it_began};
use super::summary;
use crate::error::Result;
use crate::train::{Run, Settings, StopHandle, Trainer};
use std::path::Path;

/// Trains a network and saves the run.
pub async fn run(args: TrainArgs, common: &Common) -> Result<()> {
    let config = settings(args.config.as_deref(), *args.flags.settings, common)?.resolve()?;
    args.run.as_deref().map_or(Ok(()), Run::refuse_existing)?;
    let (as_json, quiet) = (common.json, common.quiet);
    let signals =
        Signals::watch(move || Reporter::new(as_json, quiet, StopHandle::default()).show(&ended_before_it_began()));
    let mut trainer = Trainer::new(config, None).await?;
    signals.begin();
    trainer.set_stop_handle(signals.stop_handle());
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
