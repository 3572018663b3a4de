//! Tests of the life of a run's folder: who may write to it, what remains of runs that ended early, and files that were cut.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

#[path = "support/images.rs"]
mod images;
#[path = "support/program.rs"]
mod program;

use program::{folder, lines, path, plusminus, refused, run, said};
use serde_json::Value;
use std::fs;
use std::path::Path;

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
fn files_of_users_and_metrics_of_finished_epochs_are_not_taken_for_a_failed_run() {
    let folder = folder();
    let [one, two] = ["one", "two"].map(|name| path(folder.path(), name));
    // Settings that somebody has written into the folder.
    fs::create_dir(&one).unwrap();
    let config = path(Path::new(&one), "config.toml");
    fs::write(&config, "hidden = [8]\n").unwrap();
    refused(&["train", "--config", &config, "--run", &one], 2, &["run", "a folder without a run"]);
    assert_eq!(fs::read_to_string(&config).unwrap(), "hidden = [8]\n");
    assert_eq!(fs::read_dir(&one).unwrap().count(), 1, "nothing else is there");
    // A run whose model was removed.
    trained(&two, &[]);
    fs::remove_file(Path::new(&two).join("model.safetensors")).unwrap();
    let metrics = fs::read_to_string(Path::new(&two).join("metrics.jsonl")).unwrap();
    refused(&["train", "--hidden", "8", "--run", &two], 2, &["run", "a folder without a run"]);
    assert_eq!(fs::read_to_string(Path::new(&two).join("metrics.jsonl")).unwrap(), metrics);
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
        let flags = ["--epochs", "2", "--optimizer", "ema", "--state-init", "zero", "--state-dtype", dtype];
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

/// Starts a run that takes long, and waits until it has printed this many lines.
#[cfg(unix)]
fn started(folder: &Path, lines: usize, more: &[&str]) -> (std::process::Child, impl Iterator<Item = String>) {
    use std::io::{BufRead, BufReader};
    let args = ["train", "--json", "--device", "cpu", "--epochs", "100000", "--run", "run"];
    let hidden: &[&str] = if more.contains(&"--hidden") { &[] } else { &["--hidden", "64"] };
    let mut child = plusminus(&[&args[..], hidden, more].concat())
        .current_dir(folder)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    (0..lines).for_each(|_| drop(output.next().unwrap()));
    (child, output)
}

#[cfg(unix)]
fn kill(child: &std::process::Child, signal: &str) {
    let status = std::process::Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

#[test]
#[cfg(unix)]
fn a_run_is_saved_at_every_signal_that_ends_programs() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        let folder = folder();
        let (mut child, output) = started(folder.path(), 2, &[]);
        kill(&child, signal);
        let last: Value = serde_json::from_str(&output.last().unwrap()).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal}");
        assert_eq!((&last["event"], &last["interrupted"]), (&"done".into(), &true.into()), "{signal}");
        let eval = lines(&run(&["eval", &path(folder.path(), "run"), "--json", "--device", "cpu"]));
        assert_eq!(eval[0]["test_accuracy"], last["test_accuracy"], "{signal}");
    }
}

#[test]
#[cfg(unix)]
fn a_second_signal_ends_the_program_at_once() {
    let folder = folder();
    // A step takes seconds.
    let more = ["--batch-size", "1437", "--hidden", "8192,8192,8192", "--threads", "1"];
    let (mut child, _) = started(folder.path(), 1, &more);
    kill(&child, "-TERM");
    std::thread::sleep(std::time::Duration::from_millis(100));
    kill(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(128 + 15));
}

#[test]
#[cfg(unix)]
fn a_run_that_ends_before_its_first_step_leaves_nothing() {
    // Reading and decoding of files: nothing has begun.
    let folder = folder();
    for class in ["a", "b"] {
        (0..40).for_each(|i| {
            let file = folder.path().join(format!("images/{class}/{i}.png"));
            images::png(&file, [1500, 1500], 1, &vec![i as u8; 1500 * 1500]);
        });
    }
    let before = fs::read_dir(folder.path()).unwrap().count();
    let more = ["--dataset", "folder", "--data-dir", "images", "--threads", "1"];
    for wait in [20, 100] {
        let (mut child, output) = started(folder.path(), 0, &more);
        std::thread::sleep(std::time::Duration::from_millis(wait));
        kill(&child, "-TERM");
        let code = child.wait().unwrap().code();
        // Before the handler is there, the signal ends the program as usual.
        if code.is_some() {
            let last: Value = serde_json::from_str(&output.last().unwrap()).unwrap();
            assert_eq!((code, &last["interrupted"], &last["run"]), (Some(0), &true.into(), &Value::Null), "{last}");
            assert!(last["test_accuracy"].is_null());
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), before);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_hangup_that_nohup_ignores_stays_ignored() {
    let folder = folder();
    let program = env!("CARGO_BIN_EXE_plusminus");
    let mut child = std::process::Command::new("nohup")
        .args([program, "train", "--quiet", "--device", "cpu", "--epochs", "100000", "--hidden", "64", "--run", "run"])
        .current_dir(folder.path())
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while !folder.path().join("run/model.safetensors").exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    kill(&child, "-HUP");
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(child.try_wait().unwrap(), None, "it goes on");
    kill(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn devices_are_named_in_any_case() {
    let folder = folder();
    let one = path(folder.path(), "one");
    let output = run(&["train", "--device", "CPU", "--epochs", "1", "--hidden", "8", "--run", &one]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let devices = lines(&run(&["devices", "--json"]));
    let has_gpu = devices.iter().any(|device| device["kind"].as_str().is_some_and(|kind| kind.ends_with("gpu")));
    let output = run(&["bench", "step", "--device", "gpu", "--hidden", "8", "--steps", "1", "--json"]);
    assert_eq!(output.status.code(), Some(if has_gpu { 0 } else { 2 }), "{output:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn mesa_prints_nothing() {
    let output = plusminus(&["devices"]).env_remove("XDG_RUNTIME_DIR").env_remove("NODEVICE_SELECT").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn tips_are_given_where_they_help() {
    refused(&["train", "--epoch", "3"], 2, &["--epoch", "similar", "--epochs"]);
    refused(&["train", "--batchsize", "3"], 2, &["similar", "--batch-size"]);
    refused(&["train", "--learning-rate", "1"], 2, &["hyperparameters of cema are --alpha, --gamma", "--float-rate"]);
    let bop = ["train", "--optimizer", "bop", "--learning-rate", "1"];
    refused(&bop, 2, &["hyperparameters of bop are --alpha, --threshold"]);
    let said = said(&run(&["train", "--learning-rate", "1"])).concat();
    assert!(!said.contains("similar"), "{said}");
}

#[test]
fn a_wrong_value_in_the_environment_is_a_usage_error() {
    for isa in ["nope", "AVX2 "] {
        let output =
            plusminus(&["bench", "kernels", "--device", "cpu", "--size", "32"]).env("PLUSMINUS_ISA", isa).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(said(&output).len() == 1 && said(&output)[0].contains(isa), "{output:?}");
    }
}

/// A folder of grey pictures in these classes.
fn pictures(folder: &Path, classes: &[&str], count: u8) -> String {
    for (label, class) in classes.iter().enumerate() {
        for i in 0..count {
            let part = if i < count - 4 { "train" } else { "test" };
            let grey = |p: usize| (50 + 60 * label + p * (usize::from(i) + 3) % 20) as u8;
            let pixels: Vec<u8> = (0..64).map(grey).collect();
            images::png(&folder.join(format!("{part}/{class}/{i}.png")), [8, 8], 1, &pixels);
        }
    }
    folder.to_string_lossy().into_owned()
}

#[test]
fn small_sets_and_misfits_are_noticed() {
    let folder = folder();
    let data = pictures(&folder.path().join("two"), &["dark", "light"], 24);
    let events = |name: &str, more: &[&str]| {
        let one = path(folder.path(), name);
        let args = ["train", "--json", "--device", "cpu", "--hidden", "32", "--dataset", "folder", "--data-dir", &data];
        let output = run(&[&args[..], &["--run", &one], more].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        lines(&output)
    };
    let small = events("one", &[]);
    assert_eq!((&small[0]["steps"], &small[0]["epochs"]), (&1.into(), &400.into()), "{}", small[0]);
    let notices = small[0]["notices"].to_string();
    assert!(notices.contains("batches of 40 images") && notices.contains("400 epochs of 1 steps"), "{notices}");
    let config = fs::read_to_string(folder.path().join("one/config.toml")).unwrap();
    assert!(config.contains("batch-size = 40") && config.contains("epochs = 400"), "{config}");
    let set = events("two", &["--batch-size", "20", "--epochs", "2", "--alpha", "1e-3,warmup:500"]);
    let notices = set[0]["notices"].to_string();
    assert!(notices.contains("alpha of cema: `warmup:500` ends at step 500, and the run has 4 steps"), "{notices}");
    assert!(!notices.contains("epochs of"), "both are set: {notices}");
    let step = events("three", &["--batch-size", "20", "--epochs", "2", "--float-schedule", "step:0.1:1000"]);
    assert!(step[0]["notices"].to_string().contains("float-schedule: `step:0.1:1000` never comes"), "{}", step[0]);
}

#[test]
fn fine_tuning_onto_other_classes_takes_every_layer_but_the_last() {
    let folder = folder();
    let [one, two, three] = ["one", "two", "three"].map(|name| path(folder.path(), name));
    let two_classes = pictures(&folder.path().join("of-two"), &["dark", "light"], 24);
    let three_classes = pictures(&folder.path().join("of-three"), &["dark", "grey", "light"], 24);
    let args = ["train", "--json", "--device", "cpu", "--hidden", "32,32", "--epochs", "3", "--dataset", "folder"];
    let of = |data: &str, more: &[&str]| run(&[&args[..], &["--data-dir", data], more].concat());
    assert_eq!(of(&two_classes, &["--run", &one]).status.code(), Some(0));
    let tuned = of(&three_classes, &["--init-from", &one, "--run", &two]);
    assert_eq!(tuned.status.code(), Some(0), "{tuned:?}");
    let notices = lines(&tuned)[0]["notices"].to_string();
    assert!(notices.contains("all layers but dense3, norm3, since the run has 2 other classes"), "{notices}");
    assert!(!String::from_utf8_lossy(&tuned.stderr).is_empty(), "and it is said");
    let same = of(&two_classes, &["--init-from", &one, "--run", &three]);
    assert!(!lines(&same)[0]["notices"].to_string().contains("layers"), "{same:?}");
    let other = ["--init-from", &one, "--hidden", "16,32", "--run", &path(folder.path(), "four")];
    let args = ["train", "--dataset", "folder", "--data-dir", &three_classes];
    refused(&[&args[..], &other].concat(), 2, &["init-from", "same network", "dense1.weight"]);
}

#[test]
fn a_sweep_that_fails_before_its_first_result_leaves_nothing() {
    let folder = folder();
    let (sweep, nowhere) = (folder.path().join("sweep"), path(folder.path(), "nowhere"));
    let to = sweep.to_str().unwrap();
    let output = run(&["sweep", "--grid", "alpha=1e-3", "--dataset", "mnist", "--data-dir", &nowhere, "--run", to]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(!sweep.exists());
    // Files of another program stay.
    fs::create_dir(&sweep).unwrap();
    fs::write(sweep.join("results.csv"), "mine").unwrap();
    let output = run(&["sweep", "--grid", "alpha=1e-3", "--epochs", "1", "--device", "cpu", "--run", to]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(fs::read_to_string(sweep.join("results.csv")).unwrap(), "mine");
}
