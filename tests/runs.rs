//! Tests of the life of a run's folder: who may write to it, what remains of runs that ended early, and files that were cut.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

#[path = "support/program.rs"]
mod program;

use program::{lines, plusminus, refused, run, said};
use serde_json::Value;
use std::fs;
use std::path::Path;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_string_lossy().into_owned()
}

/// Trains a small network on the digits into this folder.
fn trained(run_folder: &str, more: &[&str]) -> Vec<Value> {
    let common = ["train", "--json", "--device", "cpu", "--hidden", "32", "--run", run_folder];
    let epochs = if more.contains(&"--epochs") { &[][..] } else { &["--epochs", "1"] };
    let output = run(&[&common[..], epochs, more].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    lines(&output)
}

#[test]
fn a_run_and_a_sweep_do_not_share_a_folder() {
    let folder = folder();
    let [one, two] = ["one", "two"].map(|name| path(folder.path(), name));
    trained(&one, &[]);
    let sweep = ["sweep", "--device", "cpu", "--epochs", "1", "--hidden", "8", "--grid", "alpha=1e-3", "--run"];
    refused(&[&sweep[..], &[&one]].concat(), 2, &["run", "a folder without a run", "one with config.toml"]);
    assert_eq!(run(&[&sweep[..], &[&two]].concat()).status.code(), Some(0));
    refused(&["train", "--run", &two], 2, &["run", "a folder without a sweep", "two with sweep.lock"]);
    assert!(!Path::new(&two).join("config.toml").exists());
}

#[test]
fn a_configuration_that_was_cut_is_not_read_as_defaults() {
    let folder = folder();
    let [one, two, sweep] = ["one", "two", "sweep"].map(|name| path(folder.path(), name));
    trained(&one, &[]);
    let config = Path::new(&one).join("config.toml");
    let whole = fs::read_to_string(&config).unwrap();
    let cuts =
        [String::new(), "\n".into()].into_iter().chain(whole.match_indices('\n').map(|(at, _)| whole[..=at].into()));
    for cut in cuts.filter(|cut| cut.len() < whole.len()).step_by(4).chain([whole[..whole.len() / 2].into()]) {
        fs::write(&config, cut).unwrap();
        refused(&["eval", &one], 1, &["config.toml", "the configuration of a run, which ends with"]);
    }
    fs::write(&config, "").unwrap();
    let words = ["config.toml", "the configuration of a run", "an empty file"];
    refused(&["eval", &one], 1, &words);
    refused(&["plot", &one, "--out", &path(folder.path(), "x.svg")], 1, &words);
    let from = ["train", "--hidden", "32", "--run", &two];
    refused(&[&from[..], &["--init-from", &one]].concat(), 1, &words);
    refused(&[&from[..], &["--teacher", &one]].concat(), 1, &words);
    let sweep = ["sweep", "--device", "cpu", "--epochs", "1", "--hidden", "8", "--grid", "alpha=1e-3", "--run", &sweep];
    assert_eq!(run(&sweep).status.code(), Some(0));
    fs::write(folder.path().join("sweep/alpha=1e-3/seed-1/config.toml"), "").unwrap();
    refused(&sweep, 1, &words);
    fs::write(&config, whole).unwrap();
    assert_eq!(run(&["eval", &one]).status.code(), Some(0));
}

#[test]
fn a_run_without_a_model_does_not_block_its_folder() {
    let folder = folder();
    let one = path(folder.path(), "one");
    let args = ["train", "--device", "cpu", "--epochs", "1", "--hidden", "8", "--run", &one];
    let diverges = ["--float-rate", "1e38", "--diagnostics", "1", "--tensorboard"];
    refused(&[&args[..], &diverges].concat(), 1, &["NaN or infinite", "step"]);
    assert!(Path::new(&one).join("metrics.jsonl").exists(), "its measurements stay until the name is used again");
    fs::write(Path::new(&one).join("notes.txt"), "mine").unwrap();
    let events = trained(&one, &[]);
    let logged = fs::read_to_string(Path::new(&one).join("metrics.jsonl")).unwrap();
    assert_eq!(logged.lines().count(), events.len(), "no line of the failed run remains: {logged}");
    let mut names: Vec<_> =
        fs::read_dir(&one).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["config.toml", "metrics.jsonl", "model.safetensors", "notes.txt"]);
    refused(&args, 2, &["run", "a folder without a run"]);
}

#[test]
fn a_cut_last_line_is_dropped() {
    let folder = folder();
    let one = path(folder.path(), "one");
    trained(&one, &["--epochs", "3", "--diagnostics", "5"]);
    let file = Path::new(&one).join("metrics.jsonl");
    let whole = fs::read_to_string(&file).unwrap();
    let kinds: Vec<Value> =
        whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].clone()).collect();
    assert_eq!((&kinds[0], kinds.last()), (&"start".into(), Some(&"done".into())));
    assert_eq!(kinds.iter().filter(|kind| *kind == "epoch").count(), 3);
    fs::write(&file, &whole[..whole.len() - 20]).unwrap();
    let output = run(&["plot", &one]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(said(&output)[0].contains("incomplete"), "{output:?}");
}

#[test]
fn full_precision_over_a_file_drops_its_settings_of_binary_weights() {
    let folder = folder();
    let [file, one, two] = ["file.toml", "one", "two"].map(|name| path(folder.path(), name));
    fs::write(&file, "alpha = 1e-2\nstate-init = \"zero\"\n[optimizer]\nname = \"ema\"\nstate-dtype = \"i16\"\n")
        .unwrap();
    let events = trained(&one, &["--config", &file, "--full-precision"]);
    // Its own configuration is one of a full-precision run.
    let again = trained(&two, &["--config", &path(Path::new(&one), "config.toml")]);
    assert_eq!(events[1]["train_loss"], again[1]["train_loss"]);
    assert_eq!(run(&["eval", &two]).status.code(), Some(0));
    let three = path(folder.path(), "three");
    trained(&three, &["--full-precision", "--init-from", &two]);
    assert_eq!(run(&["eval", &three]).status.code(), Some(0));
}

#[test]
fn saturated_states_are_reported() {
    let folder = folder();
    let saturated = |dtype: &str| {
        let one = path(folder.path(), dtype);
        let flags = ["--epochs", "2", "--optimizer", "ema", "--alpha", "0.5", "--state-dtype", dtype];
        let events = trained(&one, &flags);
        events[1..3].iter().map(|epoch| epoch["saturated"].as_u64().unwrap_or(0)).sum::<u64>()
    };
    assert_eq!(saturated("f32"), 0);
    assert!(saturated("i8") > 0);
}

#[test]
fn a_name_in_use_is_refused_while_its_run_trains() {
    let folder = folder();
    let one = path(folder.path(), "one");
    let args = ["train", "--device", "cpu", "--hidden", "4096,4096", "--limit", "1000", "--epochs", "1000"];
    let mut child = plusminus(&[&args[..], &["--quiet", "--run", &one]].concat()).spawn().unwrap();
    while !Path::new(&one).join("config.toml").exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    refused(&["train", "--hidden", "8", "--run", &one], 2, &["run", "a folder without a run"]);
    child.kill().unwrap();
    child.wait().unwrap();
}
