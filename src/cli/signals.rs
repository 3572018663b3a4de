//! Signals that end training: Ctrl-C, SIGTERM (of `timeout`, SLURM, docker and systemd) and SIGHUP (of a terminal that closes).

use super::output::note;
use crate::train::{Event, StopHandle};
use std::sync::{Arc, Mutex};

/// Ends training at a signal: after the current step and with the run saved, or at once while nothing has begun. A second signal ends the
/// program at once.
#[derive(Clone, Default)]
pub struct Signals {
    stop: StopHandle,
    has_begun: Arc<Mutex<bool>>,
}

impl Signals {
    /// Begins to watch. Until [`Signals::begin`] a signal ends the program with `at_once`, as an interrupted run that has left nothing behind.
    pub fn watch(at_once: impl Fn() + Send + 'static) -> Self {
        let signals = Self::default();
        let handler = signals.clone();
        let act = move |signal: i32| {
            // Held until the program has ended, so that nothing begins meanwhile.
            let has_begun = handler.has_begun.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if !*has_begun {
                at_once();
                std::process::exit(0);
            }
            if handler.stop.is_stopped() {
                std::process::exit(128 + signal);
            }
            note("stopping after the current step; a second signal ends the program at once");
            handler.stop.stop();
        };
        if let Err(error) = listen(act) {
            log::warn!("a signal will end the program at once and save nothing: {error}");
        }
        signals
    }

    /// From here on a signal ends training after the current step.
    pub fn begin(&self) {
        *self.has_begun.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = true;
    }

    /// Returns the handle that a signal stops.
    pub fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }
}

/// The event of a run that was ended before its first step.
pub fn ended_before_it_began() -> Event {
    Event::Done { test_accuracy: f64::NAN, best: None, seconds: 0.0, skipped: 0, run: None, interrupted: true }
}

/// Calls `act` with the number of each signal, on a thread of its own. A hangup that the program's parent ignores (`nohup`) stays ignored.
#[cfg(unix)]
fn listen(act: impl Fn(i32) + Send + 'static) -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    // Shells ignore SIGINT for programs in the background as well, but nobody sends it there without meaning it.
    let watched = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|&signal| signal != SIGHUP || !is_ignored(signal));
    let mut signals = signal_hook::iterator::Signals::new(watched)?;
    std::thread::Builder::new().name("signals".into()).spawn(move || signals.forever().for_each(act))?;
    Ok(())
}

/// Whether the program was started with this signal ignored, as far as the system says so.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Calls `act` at Ctrl-C, as signal 2.
#[cfg(windows)]
fn listen(act: impl Fn(i32) + Send + 'static) -> std::io::Result<()> {
    ctrlc::set_handler(move || act(2)).map_err(std::io::Error::other)
}
