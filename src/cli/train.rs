//! `plusminus train`.

use super::args::{Common, TrainArgs};
use super::output::{Reporter, note, show_profile};
use super::summary;
use crate::error::Result;
use crate::train::{Run, Settings, Trainer};

/// Trains and saves.
pub async fn run(args: TrainArgs, common: &Common) -> Result<()> {
    let file = match &args.config {
        Some(path) => Settings::read(path)?,
        None => Settings::default(),
    };
    let flags = Settings { device: common.device.clone(), threads: common.threads, seed: common.seed, ..args.settings };
    let config = flags.over(file).resolve()?;
    let folder = args.run.unwrap_or_else(|| Run::free_name(&config));
    let init = args.init_from.as_deref().map(Run::load).transpose()?;
    let mut trainer = Trainer::new(config, Some(&folder)).await?;
    if let Some((_, weights)) = init {
        trainer.set_weights(&weights)?;
    }
    if !common.json && !common.quiet {
        summary::print(&trainer.model().summary());
    }
    let stop = trainer.stop_handle();
    let handler = ctrlc::set_handler(move || {
        if stop.is_stopped() {
            std::process::exit(130); // Asked twice: at once.
        }
        note("stopping after the current step; once more to end at once");
        stop.stop();
    });
    if let Err(error) = handler {
        log::warn!("Ctrl-C will end the program at once: {error}");
    }
    trainer.session().engine().set_profiling(args.profile);
    let reporter = Reporter::new(common.json, common.quiet);
    trainer.fit(|event| reporter.show(event)).await?;
    if args.profile {
        let profile = trainer.session().engine().profile().await?;
        show_profile(&profile, common.json);
    }
    Ok(())
}
