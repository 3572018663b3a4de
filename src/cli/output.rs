//! Output on stdout and stderr, and the progress display of training.

use crate::data::shown;
use crate::runtime::Profile;
use crate::train::{Event, LayerDiagnostics, StopHandle};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};

/// Prints one line on stdout. If the pipe is closed (`| head`) the program exits with 0; on any other failure it exits with 1.
pub fn line(text: &str) {
    if let Err(error) = try_line(text) {
        std::process::exit(exit_code(&error));
    }
}

fn try_line(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Returns the exit code after a failed write to stdout, and reports errors other than a closed pipe.
fn exit_code(error: &std::io::Error) -> i32 {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        return 0;
    }
    note(&format!("plusminus: writing to stdout: {error}"));
    1
}

/// Prints one JSON object on stdout.
pub fn json(value: &impl Serialize) {
    line(&serde_json::to_string(value).expect("plain values"));
}

/// Prints one line on stderr.
pub fn note(text: &str) {
    // A closed stderr cannot be reported.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Formats a number with separators: `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|g| std::str::from_utf8(g).expect("digits")).collect();
    groups.join(",")
}

/// Formats a number of bytes: `12.3 kB`, `4.6 MB`, `7.89 GB`.
pub fn bytes(number: u64) -> String {
    match number {
        0..1_000 => format!("{number} B"),
        1_000..1_000_000 => format!("{:.1} kB", number as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", number as f64 / 1e6),
        _ => format!("{:.2} GB", number as f64 / 1e9),
    }
}

/// Shows events: a progress bar in a terminal, one line per epoch, or JSON.
pub struct Reporter {
    json: bool,
    quiet: bool,
    bar: ProgressBar,
    stop: StopHandle,
    failed: RefCell<Option<std::io::Error>>,
}

impl Reporter {
    /// Creates a reporter with a progress bar on stderr. If writing to stdout fails, the reporter stops training through `stop`, so that the run is
    /// saved.
    pub fn new(json: bool, quiet: bool, stop: StopHandle) -> Self {
        let hidden = quiet || !std::io::stderr().is_terminal();
        let target = if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let style =
            ProgressStyle::with_template("{prefix:>11} [{bar:32}] {pos}/{len} steps").expect("a valid template");
        bar.set_style(style.progress_chars("=> "));
        Self { json, quiet, bar, stop, failed: RefCell::new(None) }
    }

    /// Exits the program if writing to stdout has failed.
    pub fn end(&self) {
        if let Some(error) = self.failed.take() {
            std::process::exit(exit_code(&error));
        }
    }

    fn line(&self, text: &str) {
        if self.failed.borrow().is_none()
            && let Err(error) = try_line(text)
        {
            self.stop.stop();
            self.failed.replace(Some(error));
        }
    }

    /// Shows one event.
    pub fn show(&self, event: &Event) {
        match event {
            Event::Step { epoch, step, steps } => {
                if *step == 1 {
                    self.bar.reset();
                    self.bar.set_length(*steps as u64);
                    self.bar.set_prefix(format!("epoch {epoch}"));
                }
                self.bar.set_position(*step as u64);
                return;
            }
            Event::Epoch { skipped, .. } => self.bar.suspend(|| {
                note_skipped(skipped);
                self.print(event);
            }),
            Event::Diagnostics { .. } | Event::Done { .. } => self.bar.suspend(|| self.print(event)),
            Event::Start { skipped, notices, .. } => {
                note_skipped(skipped);
                notices.iter().for_each(|notice| note(&format!("notice   {}", shown(notice))));
                self.print(event);
            }
        }
        if matches!(event, Event::Done { .. }) {
            self.bar.finish_and_clear();
        }
    }

    fn print(&self, event: &Event) {
        if self.quiet && !self.json && !matches!(event, Event::Done { .. }) {
            return;
        }
        if self.json {
            return self.line(&serde_json::to_string(event).expect("plain values"));
        }
        match event {
            Event::Start {
                device,
                why,
                dataset,
                train_images,
                validation_images,
                test_images,
                bytes_peak,
                bytes_buffers,
                skipped_by_reason,
                ..
            } => {
                self.line(&format!("device   {device}; {why}"));
                let [train, validation, test] =
                    [train_images, validation_images, test_images].map(|count| thousands(*count as u64));
                let validation =
                    if *validation_images > 0 { format!(", {validation} validation") } else { String::new() };
                let not_read = not_read(skipped_by_reason);
                self.line(&format!("data     {dataset}: {train} training{validation}, {test} test images{not_read}"));
                let [tensors, buffers] = [bytes_peak, bytes_buffers].map(|count| bytes(*count));
                self.line(&format!("memory   tensors: {tensors}, allocated up front; buffers: {buffers}"));
            }
            Event::Epoch {
                epoch,
                train_loss,
                validation_accuracy,
                test_accuracy,
                test_balanced_accuracy,
                flip_ratio,
                images_per_second,
                ..
            } => {
                let balanced = test_balanced_accuracy
                    .map_or(String::new(), |accuracy| format!(", balanced {:.2} %", 100.0 * accuracy));
                let validation =
                    validation_accuracy.map_or(String::new(), |share| format!("validation {:.2} %   ", 100.0 * share));
                self.line(&format!(
                    "epoch {epoch:>3}   loss {train_loss:.4}   {validation}test accuracy {:.2} %{balanced}   flips {flip_ratio:.1e}   {} images/s",
                    100.0 * test_accuracy,
                    thousands(*images_per_second as u64)
                ));
            }
            Event::Done { test_accuracy, best, seconds, skipped, run, interrupted } => {
                if test_accuracy.is_nan() {
                    return self.line("stopped before the first step; nothing is saved");
                }
                let how = if *interrupted { "stopped after the current step" } else { "done" };
                self.line(&format!("{how}: test accuracy {:.2} % in {seconds:.1} s", 100.0 * test_accuracy));
                if let Some(best) = best {
                    let (validation, test) = (100.0 * best.validation_accuracy, 100.0 * best.test_accuracy);
                    self.line(&format!(
                        "best     epoch {}: validation {validation:.2} %, test {test:.2} %",
                        best.epoch
                    ));
                }
                if *skipped > 0 {
                    self.line(&format!("skipped  {} images that could not be read", thousands(*skipped as u64)));
                }
                if let Some(run) = run {
                    self.line(&format!("saved    {run}"));
                }
            }
            Event::Diagnostics { step, layers, .. } => {
                layers.iter().for_each(|layer| self.line(&format!("step {step:>6}   {}", layer_line(layer))));
            }
            Event::Step { .. } => {}
        }
    }
}

/// Formats the diagnostics of a layer as one line.
fn layer_line(layer: &LayerDiagnostics) -> String {
    let small = |name: &str, value: Option<f64>| value.map_or(String::new(), |v| format!("   {name} {v:.1e}"));
    let share =
        |name: &str, value: Option<f64>| value.map_or(String::new(), |v| format!("   {name} {:.1} %", 100.0 * v));
    [
        layer.layer.clone(),
        small("flips", layer.flip_ratio),
        share("never flipped", layer.never_flipped),
        share("oscillating", layer.oscillating),
        small("gradient", layer.gradient_rms),
        small("state", layer.state_rms),
        share("masked", layer.masked),
        share("dead", layer.dead_channels),
    ]
    .concat()
}

/// Formats the numbers of files that are not read: `; not read: 40 ending .heic, 2 hidden`.
pub fn not_read(reasons: &BTreeMap<String, usize>) -> String {
    let count = |(reason, count): (&String, &usize)| format!("{} {}", thousands(*count as u64), shown(reason));
    let texts: Vec<String> = reasons.iter().map(count).collect();
    if texts.is_empty() { String::new() } else { format!("; not read: {}", texts.join(", ")) }
}

/// Prints the number of skipped images and the first of them on stderr.
pub fn note_skipped(skipped: &[String]) {
    const NAMED: usize = 10;
    if skipped.is_empty() {
        return;
    }
    note(&format!("skipped  {} unreadable images (an error with --strict)", thousands(skipped.len() as u64)));
    skipped.iter().take(NAMED).for_each(|file| note(&format!("         {}", shown(file))));
    if skipped.len() > NAMED {
        note(&format!("         ... and {} more", skipped.len() - NAMED));
    }
}

/// Prints a profile, slowest kernel first.
pub fn show_profile(profile: &Profile, fusions: &BTreeMap<&'static str, usize>, as_json: bool) {
    let rows = profile.sorted();
    if as_json {
        json(&serde_json::json!({ "fusions": fusions }));
        for row in rows {
            let us = 1e6 * row.seconds / row.calls as f64;
            json(
                &serde_json::json!({ "profile": row.kernel, "layer": row.scope, "calls": row.calls, "us_mean": us, "seconds": row.seconds }),
            );
        }
        return;
    }
    for (name, times) in fusions {
        line(&format!("fused    {name}: {times} times"));
    }
    line(&format!("time by kernel ({})", profile.clock));
    let total: f64 = rows.iter().map(|row| row.seconds).sum();
    for row in rows {
        let (share, us) = (100.0 * row.seconds / total.max(1e-12), 1e6 * row.seconds / row.calls as f64);
        line(&format!("{share:>6.1} %  {us:>10.1} us x {:<7} {:<14} {}", row.calls, row.scope, row.kernel));
    }
}
