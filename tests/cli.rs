//! Tests of the program's interface for users and scripts: its JSON, its run folder, its exit codes, and one clear line for every error.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

#[path = "support/images.rs"]
mod images;
#[path = "support/program.rs"]
mod program;

use images::png;
use program::{folder, lines, path, plusminus, refused, run, said};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// An idx file.
fn idx(magic: u32, extents: &[u32], bytes: &[u8]) -> Vec<u8> {
    let head = [magic].iter().chain(extents).flat_map(|n| n.to_be_bytes()).collect::<Vec<u8>>();
    [&head, bytes].concat()
}

/// Writes a small data set in MNIST's format. The label is the position of the bright column.
fn small_mnist(folder: &Path) {
    for (part, count) in [("train", 200_u32), ("t10k", 50)] {
        let labels: Vec<u8> = (0..count).map(|i| (i % 10) as u8).collect();
        let pixels: Vec<u8> = labels
            .iter()
            .flat_map(|&l| (0..100_u32).map(move |p| if p % 10 == u32::from(l) { 250 } else { (p * 7 % 60) as u8 }))
            .collect();
        fs::write(folder.join(format!("{part}-images-idx3-ubyte")), idx(0x803, &[count, 10, 10], &pixels)).unwrap();
        fs::write(folder.join(format!("{part}-labels-idx1-ubyte")), idx(0x801, &[count], &labels)).unwrap();
    }
}

#[test]
fn train_eval_and_train_again_from_the_saved_config() {
    let folder = folder();
    let (one, two) = (path(folder.path(), "one"), path(folder.path(), "two"));
    let output = run(&["train", "--json", "--device", "cpu", "--epochs", "3", "--hidden", "64", "--run", &one]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let events = lines(&output);
    let names: Vec<&str> = events.iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["start", "epoch", "epoch", "epoch", "done"]);
    assert!(
        events[0]["device"].as_str().unwrap().contains("cpu") && events[0]["bytes_peak"].as_u64().unwrap() > 10_000
    );
    assert_eq!(events[0]["test_data"].as_str().unwrap().len(), 16, "{}", events[0]);
    for key in ["train_loss", "test_accuracy", "flip_ratio", "images_per_second", "seconds"] {
        assert!(events[1][key].is_f64(), "{key} in {}", events[1]);
    }
    let done = &events[4];
    assert_eq!(done["run"].as_str(), Some(&*one));
    assert!(done["test_accuracy"].as_f64().unwrap() > 0.9);
    let logged = fs::read_to_string(Path::new(&one).join("metrics.jsonl")).unwrap();
    assert_eq!(logged.as_bytes(), output.stdout, "metrics.jsonl has the same lines");

    let eval = lines(&run(&["eval", &one, "--json", "--device", "cpu"]));
    assert_eq!(eval[0]["test_accuracy"], done["test_accuracy"]);
    assert_eq!(eval[0]["per_class"].as_object().unwrap().len(), 10);

    // The resolved configuration reproduces the run; flags take precedence over it.
    let config = path(Path::new(&one), "config.toml");
    let output = run(&["train", "--json", "--config", &config, "--run", &two]);
    assert_eq!(lines(&output).last().unwrap()["test_accuracy"], done["test_accuracy"]);
    let model = |run: &str| fs::read(Path::new(run).join("model.safetensors")).unwrap();
    assert!(model(&one) == model(&two), "same seed, same file");
    let flag = run(&["train", "--json", "--config", &config, "--epochs", "1", "--run", &path(folder.path(), "three")]);
    assert_eq!(lines(&flag).len(), 3);
    refused(&["train", "--run", &one], 2, &["run", "without a run"]);
    assert!(model(&one) == model(&two), "an existing run is not touched");

    // Given weights are kept: a tiny alpha flips almost none.
    let four = path(folder.path(), "four");
    let from = run(&[
        "train",
        "--json",
        "--epochs",
        "1",
        "--hidden",
        "64",
        "--alpha",
        "1e-7",
        "--init-from",
        &one,
        "--run",
        &four,
    ]);
    let continued = lines(&from).last().unwrap()["test_accuracy"].as_f64().unwrap();
    assert!(continued > done["test_accuracy"].as_f64().unwrap() - 0.03, "{continued} after {done}");
    let other =
        ["train", "--epochs", "1", "--hidden", "32", "--init-from", &one, "--run", &path(folder.path(), "five")];
    refused(&other, 2, &["init-from", "same network", "dense1.weight", "32", "64"]);
}

#[test]
fn layers_may_have_different_rules() {
    let folder = folder();
    let (one, two) = (path(folder.path(), "one"), path(folder.path(), "two"));
    // A threshold that no average reaches: no weight of the second layer flips.
    let rule = "dense[2=ema"; // Patterns have no bracket syntax: this one matches nothing.
    refused(&["train", "--layer-optimizer", rule, "--run", &one], 2, &["dense[2", "none"]);
    let rules = ["--layer-optimizer", "*2=bop,threshold=1e9", "--layer-optimizer", "dense*=ema,alpha=1e-2,cosine"];
    let common = ["train", "--json", "--device", "cpu", "--epochs", "1", "--hidden", "32"];
    let events = lines(&run(&[&common[..], &rules, &["--run", &one]].concat()));
    let flips = |layer: usize| events[1]["flip_ratio_by_layer"][layer][1].as_f64().unwrap();
    assert!(flips(0) > 0.0 && flips(1) == 0.0, "{}", events[1]);
    // The resolved configuration stores them as tables.
    let config = path(Path::new(&one), "config.toml");
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.contains("[[optimizer.rules]]") && text.contains("alpha = \"0.01,cosine\""), "{text}");
    let again = lines(&run(&["train", "--json", "--config", &config, "--run", &two]));
    assert_eq!(again[1]["train_loss"], events[1]["train_loss"]);
}

#[test]
fn without_arguments_it_trains_the_digits() {
    let folder = folder();
    let output = plusminus(&[]).current_dir(folder.path()).output().unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for word in ["dense1", "total", "device", "epoch  30", "test accuracy", "saved"] {
        assert!(text.contains(word), "{word} in {text}");
    }
    assert!(folder.path().join("runs/digits-mlp-1/model.safetensors").exists());
}

#[test]
fn summary_bench_and_devices_speak_json() {
    let summary = lines(&run(&["summary", "--json"]));
    let total = summary.last().unwrap();
    assert_eq!(total["weights_1bit"], 36_806_656, "784-4096x3-10 of Courbariaux");
    assert_eq!(total["macs_1bit"].as_u64().unwrap() + 784 * 4096, 36_806_656);
    assert!(total["weights_32bit"].is_u64() && total["macs_32bit"].is_u64() && total["bytes_peak"].is_u64());
    // Without fusion batch norm's output is a separate tensor.
    let peak = |flags: &[&str]| {
        let flags = [&["summary", "--json", "--model", "binarynet", "--width", "0.25"], flags].concat();
        lines(&run(&flags)).pop().unwrap()["bytes_peak"].as_u64().unwrap()
    };
    assert!(peak(&["--no-fuse"]) > peak(&[]), "{} {}", peak(&["--no-fuse"]), peak(&[]));
    // The commands of a step precede the total, which stays last.
    let program = lines(&run(&["summary", "--json", "--program", "--hidden", "64", "--batch-size", "10"]));
    let of = |recording: &str, command: &str| {
        let found = program.iter().filter(|line| line["recording"] == recording && line["command"] == command);
        found.cloned().collect::<Vec<_>>()
    };
    assert_eq!(
        of("train", "upload").iter().map(|line| &line["tensors"][0]["name"]).collect::<Vec<_>>(),
        ["pixels", "labels"]
    );
    let product =
        of("eval", "dispatch").into_iter().find(|line| line["kernel"] == "producers::xnor_matmul::xnor_matmul");
    let product = product.expect("a product of signs in an evaluation");
    assert_eq!((&product["layer"], &product["multiply_adds"]), (&"dense2".into(), &(10 * 64 * 10).into()));
    assert_eq!(product["tensors"][1]["shape"], "Bits[10 x 64]");
    assert!(program.last().unwrap()["bytes_peak"].is_u64());
    let text = String::from_utf8(run(&["summary", "--program", "--hidden", "64"]).stdout).unwrap();
    assert!(text.lines().any(|line| line.contains("dispatch dense2") && line.contains("multiply-adds")), "{text}");
    let output = run(&["bench", "kernels", "--size", "64", "--json", "--device", "cpu"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let kernels = lines(&output);
    assert!(kernels.iter().any(|k| k["kernel"] == "conv_bits_input"));
    assert!(kernels.iter().any(|k| k["kernel"] == "xnor_matmul" && k["gops"].as_f64().unwrap() > 0.0 && k["m"] == 64));
    let step = [
        "bench",
        "step",
        "--hidden",
        "64",
        "--batch-size",
        "10",
        "--steps",
        "3",
        "--json",
        "--device",
        "cpu",
        "--profile",
    ];
    let step = lines(&run(&step));
    assert!(step[0]["ms_median"].as_f64().unwrap() > 0.0 && step[0]["batch"] == 10);
    assert!(step.iter().any(|row| row["profile"] == "producers::xnor_matmul::xnor_matmul_statistics"), "{step:?}");
    assert_eq!(lines(&run(&["devices", "--json"])).last().unwrap()["name"], "cpu");
}

#[test]
fn a_sweep_resumes_and_is_drawn() {
    let folder = folder();
    let sweep = path(folder.path(), "sweep");
    let common = ["--hidden", "32", "--epochs", "1", "--device", "cpu", "--json", "--run", &sweep];
    let sweep_of =
        |grid: &[&str]| run(&[&["sweep", "--seeds", "2", "--grid", "alpha=1e-3,1e-2"], grid, &common[..]].concat());
    let first = lines(&sweep_of(&["--grid", "float-rate=1e-3"]));
    assert_eq!(first.len(), 4 + 2 + 1, "cells, points, done: {first:?}");
    // One more value: finished runs are kept, the diverging point is recorded, and the sweep continues.
    let second = lines(&sweep_of(&["--grid", "float-rate=1e-3,1e38"]));
    let is_new = |line: &&Value| line["event"] == "cell" && line["new"] == true;
    assert_eq!(second.iter().filter(is_new).count(), 4);
    assert_eq!(
        second.iter().filter(|line| line["cell"]["failed"].as_str().is_some_and(|f| f.contains("step"))).count(),
        4
    );
    let best = &second.last().unwrap()["best"];
    assert!(
        best["test_accuracy"].as_f64().unwrap() > 0.5 && best["values"][1] == "1e-3" && best["runs"] == 2,
        "{best}"
    );
    let csv = fs::read_to_string(Path::new(&sweep).join("results.csv")).unwrap();
    assert_eq!(csv.lines().count(), 9, "{csv}");
    let map = fs::read_to_string(Path::new(&sweep).join("heat-map.svg")).unwrap();
    assert!(map.contains("<svg") && map.contains("1e-2") && map.contains("diverged"));
    let other = ["sweep", "--grid", "gamma=0.1", "--run", &sweep];
    refused(&other, 2, &["run", "gamma", "alpha"]);
    let again = [
        &["sweep", "--seeds", "2", "--grid", "alpha=1e-3,1e-2", "--grid", "float-rate=1e-3", "--batch-size", "50"],
        &common[..],
    ];
    refused(&again.concat(), 2, &["other settings"]);

    let point = Path::new(&sweep).join("alpha=1e-3,float-rate=1e-3");
    let (one, two) = (path(&point, "seed-1"), path(&point, "seed-2"));
    let picture = path(folder.path(), "curves.svg");
    let plotted = run(&["plot", &one, &two, "--out", &picture]);
    let text = String::from_utf8(plotted.stdout).unwrap();
    assert!(text.contains("training loss") && text.contains("flip ratio"), "{text}");
    assert!(fs::read_to_string(&picture).unwrap().contains("test accuracy"));
    assert_eq!(lines(&run(&["plot", &one, "--json"]))[0]["picture"], path(Path::new(&one), "curves.svg"));
    let data = path(folder.path(), "");
    small_mnist(folder.path());
    let mnist = path(folder.path(), "mnist");
    let output =
        run(&["train", "--dataset", "mnist", "--data-dir", &data, "--hidden", "8", "--epochs", "1", "--run", &mnist]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    refused(
        &["plot", &one, &mnist],
        2,
        &["same data", "digits (360 test images of 8x8x1", "mnist (50 test images of 10x10x1"],
    );
    refused(&["plot", &path(folder.path(), "none")], 1, &["metrics.jsonl"]);
}

/// Writes a run folder with the files that `plot` reads: a start event with additional keys, and an epoch for each loss.
fn drawn_run(folder: &Path, name: &str, more: &str, losses: &[&str]) -> String {
    let start = r#"{"event":"start","device":"cpu","why":"","model":"mlp","dataset":"folder","input":[8,8,1],"classes":2,
        "train_images":9,"test_images":9,"epochs":9,"steps":9,"bytes_peak":9,"seed":1"#;
    let mut text = format!("{}{more}}}\n", start.replace('\n', ""));
    for (i, loss) in losses.iter().enumerate() {
        let (epoch, flips) = (i + 1, 0.01 / (i + 1) as f64);
        text += &format!(
            r#"{{"event":"epoch","epoch":{epoch},"train_loss":{loss},"train_accuracy":0.5,"test_loss":{loss},"#
        );
        text += &format!(r#""test_accuracy":0.5,"flip_ratio":{flips},"images_per_second":1.0,"seconds":1.0,"#);
        text += &format!("\"flip_ratio_by_layer\":[[\"dense1\",{flips}],[\"dense2\",{flips}]]}}\n");
    }
    fs::create_dir(folder.join(name)).unwrap();
    fs::write(folder.join(name).join("metrics.jsonl"), text).unwrap();
    path(folder, name)
}

#[test]
fn several_runs_are_drawn_by_layer() {
    let folder = folder();
    let [one, two] = ["one", "two"].map(|name| drawn_run(folder.path(), name, "", &["0.5", "0.25"]));
    let picture = path(folder.path(), "curves.svg");
    let output = run(&["plot", &one, &two, "--out", &picture]);
    let text = String::from_utf8(output.stdout).unwrap();
    let svg = fs::read_to_string(&picture).unwrap();
    for word in ["flip ratio of dense1", "flip ratio of dense2"] {
        assert!(text.contains(word) && svg.contains(word), "{word} in {text}");
    }
    assert_eq!(text.matches(&format!("{two}: 5.0000e-3 at 2")).count(), 3, "all flips and those of two layers: {text}");
    assert!(svg.matches(&two).count() == 5 && svg.matches("<polyline").count() > 10, "{svg}");
    refused(&["plot", &one, "--out", &path(folder.path(), "curves.png")], 2, &["out", ".svg", "curves.png"]);
    // A failed write leaves the existing file unchanged.
    let locked = path(folder.path(), "curves.svg/in-a-file.svg");
    refused(&["plot", &one, "--out", &locked], 1, &["in-a-file.svg"]);
    assert!(fs::read_to_string(&picture).unwrap() == svg, "the picture is unchanged");
    let alone = String::from_utf8(run(&["plot", &one, "--out", &picture]).stdout).unwrap();
    assert!(alone.contains("flip ratio by layer") && !alone.contains("flip ratio of"), "{alone}");
}

#[test]
fn runs_on_other_images_are_not_compared() {
    let folder = folder();
    let of = |name: &str, images: &str| drawn_run(folder.path(), name, images, &["0.5", "0.25"]);
    let (one, two) = (of("one", r#","test_data":"00ff""#), of("two", r#","test_data":"11ee""#));
    let (same, old) = (of("same", r#","test_data":"00ff""#), of("old", ""));
    refused(&["plot", &one, &two], 2, &["same images", "00ff", "two on 11ee"]);
    refused(&["plot", &old, &one, &two], 2, &["same images", "00ff", "two on 11ee"]);
    let picture = path(folder.path(), "curves.svg");
    assert_eq!(
        run(&["plot", &one, &same, &old, "--out", &picture]).status.code(),
        Some(0),
        "old runs have no fingerprint"
    );
}

#[test]
fn complete_epochs_of_a_run_are_drawn() {
    let folder = folder();
    let one = drawn_run(folder.path(), "one", "", &["0.5", "0.25", "null", "0.75", "0.5"]);
    let file = Path::new(&one).join("metrics.jsonl");
    let whole = fs::read_to_string(&file).unwrap();
    let picture = path(folder.path(), "curves.svg");
    let drawn = || {
        let output = run(&["plot", &one, "--out", &picture]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        (said(&output), fs::read_to_string(&picture).unwrap())
    };
    let (said, gap) = drawn();
    assert_eq!(said, [""; 0]);
    fs::write(&file, whole.replace("null", "0.5")).unwrap();
    let (_, through) = drawn();
    assert_eq!(gap.matches("<polyline").count(), through.matches("<polyline").count() + 1, "a gap");
    fs::write(&file, format!("{whole}{}", r#"{"event":"epoch","epo"#)).unwrap();
    let (said, cut) = drawn();
    assert!(said.len() == 1 && said[0].contains("incomplete") && said[0].contains("line 7"), "{said:?}");
    assert_eq!(cut, gap, "complete lines only");
    fs::write(&file, whole.replacen("event", "evnt", 3)).unwrap();
    refused(&["plot", &one, "--out", &picture], 1, &["metrics.jsonl", "line 1"]);
}

#[test]
fn translate_works_in_both_directions() {
    let sgd = ["translate", "--lr", "0.1", "--momentum", "0.9", "--weight-decay", "1e-4", "--json"];
    let one = &lines(&run(&[&sgd[..], &["--steps-per-epoch", "100"]].concat()))[0];
    let number = |object: &Value, key: &str| object[key].as_f64().unwrap_or_else(|| panic!("{key} in {object}"));
    let (alpha, gamma) = (number(one, "alpha"), number(one, "gamma"));
    assert!((alpha / 1.0e-4 - 1.0).abs() < 2e-3 && (gamma / 0.0999 - 1.0).abs() < 1e-3, "{one}");
    assert!(
        (number(one, "flip_ratio_noise") / ((1e-5_f64 / 1.9 * 2.0).sqrt() / std::f64::consts::PI) - 1.0).abs() < 1e-3
    );
    assert!((number(one, "corner") / (alpha / 2.0 / std::f64::consts::PI) - 1.0).abs() < 1e-2, "{one}");
    assert!(one["poles_real"] == true && (one["poles"][0][0].as_f64().unwrap() - 1.0 + alpha).abs() < 1e-12, "{one}");
    let steps = one["time_constants"][0].as_f64().unwrap();
    assert!(
        (steps * alpha - 1.0).abs() < 1e-3
            && (one["time_constants_epochs"][0].as_f64().unwrap() * 100.0 / steps - 1.0).abs() < 1e-9,
        "{one}"
    );
    let (alpha, gamma) = (alpha.to_string(), gamma.to_string());
    let two = &lines(&run(&["translate", "--alpha", &alpha, "--gamma", &gamma, "--lr", "0.1", "--json"]))[0];
    assert!(
        (number(two, "momentum") - 0.9).abs() < 1e-9 && (number(two, "weight_decay") / 1e-4 - 1.0).abs() < 1e-9,
        "{two}"
    );
    let ringing = &lines(&run(&["translate", "--lr", "1", "--momentum", "0.9", "--weight-decay", "0.1", "--json"]))[0];
    assert!(ringing["alpha"].is_null() && ringing["gamma"].is_null() && ringing["poles"][0][1] != 0.0, "{ringing}");
    let never = &lines(&run(&["translate", "--lr", "1", "--json"]))[0];
    assert!(never["time_constants"][0].is_null() && never["corner"].is_null() && never["alpha"] == 0.0, "{never}");
    let text = String::from_utf8(run(&sgd[..7]).stdout).unwrap();
    assert!(["alpha", "poles", "time constants", "flip"].iter().all(|word| text.contains(word)), "{text}");
    for (args, words) in [
        (vec!["translate"], vec!["lr", "alpha"]),
        (vec!["translate", "--gamma", "0.1"], vec!["alpha"]),
        (vec!["translate", "--alpha", "0.1", "--momentum", "0.9"], vec!["either"]),
        (vec!["translate", "--alpha", "2"], vec!["alpha", "(0, 1]", "2"]),
        (vec!["translate", "--lr", "0.1", "--momentum", "1"], vec!["momentum", "[0, 1)", "1"]),
        (vec!["translate", "--lr", "100", "--weight-decay", "1"], vec!["diverge otherwise", "100"]),
        (vec!["translate", "--lr", "1", "--steps-per-epoch", "0"], vec!["steps-per-epoch", "0"]),
    ] {
        refused(&args, 2, &words);
    }
}

#[test]
fn filters_are_measured_and_drawn() {
    let folder = folder();
    let picture = path(folder.path(), "filters.svg");
    // An average, the filter of order 1 with the same pole, and a rule that is not a filter.
    let rules = ["--optimizer", "ema alpha=0.05", "--optimizer", "iir poles=0.95", "--optimizer", "diode alpha=0.05"];
    let output = run(&[&["plot", "filter", "--json", "--steps", "500", "--out", &picture], &rules[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let lines = lines(&output);
    assert_eq!(lines.len(), 4);
    let points =
        |line: usize, what: &str| -> Vec<[f64; 2]> { serde_json::from_value(lines[line][what].clone()).unwrap() };
    for [t, y] in points(0, "impulse") {
        assert!((y - 0.95_f64.powf(t)).abs() < 1e-4, "impulse at {t}: {y}");
    }
    let gain = |f: f64| 0.05 / (1.0 + 0.95_f64.powi(2) - 1.9 * (std::f64::consts::TAU * f).cos()).sqrt();
    let (one, two) = (points(0, "response"), points(1, "response"));
    for ([f, y], [_, same]) in one.iter().zip(&two) {
        assert!((y - gain(*f) / gain(one[0][0])).abs() < 1e-3 && (y - same).abs() < 1e-4, "gain at {f}: {y}, {same}");
    }
    let svg = fs::read_to_string(&picture).unwrap();
    assert!(["ema alpha=0.05", "iir poles=0.95", "cycles per step"].iter().all(|text| svg.contains(text)));
    for (text, word) in [("nope", "cema"), ("cema lr=1", "alpha, gamma"), ("cema alpha", "NAME=VALUE"), ("", "RULE")] {
        refused(&["plot", "filter", "--optimizer", text, "--out", &picture], 2, &[word]);
    }
}

#[test]
fn published_values_state_formats_and_schedules() {
    let folder = folder();
    let one = path(folder.path(), "one");
    let flags =
        ["--optimizer", "bop2", "--hyperparameters", "paper", "--sigma", "0.5", "--epochs", "1", "--hidden", "32"];
    let output = run(&[&["train", "--device", "cpu", "--run", &one], &flags[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let config = fs::read_to_string(Path::new(&one).join("config.toml")).unwrap();
    let hyperparameters =
        ["alpha = \"0.01,linear:0.00001\"", "threshold = \"0.00001,linear:0.00000001\"", "sigma = \"0.5,constant\""];
    assert!(hyperparameters.iter().all(|hyperparameter| config.contains(hyperparameter)), "{config}");
    let summary = lines(&run(&["summary", "--json", "--hidden", "64", "--optimizer", "cema", "--state-dtype", "i16"]))
        .pop()
        .unwrap();
    // Two states of [64, 784] and [10, 64] in rows of 800 and 64, and two exponents and three maxima per row of each state.
    let states = 2 * 2 * (64 * 800 + 10 * 64) + 2 * (64 + 10) * (2 + 3) * 4;
    let expected = f64::from(states) / f64::from(64 * 784 + 10 * 64);
    assert_eq!(
        (&summary["state_bytes_per_weight"], &summary["state_dtype"]),
        (&Value::from(expected), &Value::from("i16"))
    );
    let flags = ["--lr", "0.1", "--momentum", "0.9", "--weight-decay", "1e-4", "--schedule", "linear:0.01"];
    let course = lines(&run(&[&["translate", "--json"], &flags[..]].concat())).remove(0)["schedule"].clone();
    let alpha = |i: usize| course[i]["alpha"].as_f64().unwrap();
    assert!(course.as_array().unwrap().len() == 5 && alpha(0) > 9e-5 && alpha(4) < 1.2e-5, "{course}");
    // After an early end of its schedule the filter is frozen, as in training.
    for flag in ["--alpha", "--lr"] {
        let flags = ["translate", flag, "1e-3", "--schedule", "linear@50%"];
        let course = lines(&run(&[&flags[..], &["--json"]].concat())).remove(0)["schedule"].clone();
        assert!(course[1]["frozen"] == false && course[1]["value"].as_f64().unwrap() > 4e-4, "{course}");
        for at in [&course[2], &course[4]] {
            assert!(at["frozen"] == true && at["alpha"] == 0.0 && at["flip_ratio_noise"] == 0.0, "{course}");
        }
        let text = String::from_utf8(run(&flags).stdout).unwrap();
        assert_eq!(text.matches("frozen, no weight flips").count(), 3, "{text}");
    }
}

#[test]
fn non_finite_states_end_training() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    // Weights with such states never change, and the losses look normal.
    let args =
        ["train", "--device", "cpu", "--epochs", "1", "--hidden", "16", "--optimizer", "latent-sgd", "--clip", "off"];
    let args = [&args[..], &["--weight-decay", "1e30", "--run", run.to_str().unwrap()]].concat();
    refused(&args, 1, &["training", "an optimizer state is NaN or infinite at step 1", "epoch 1"]);
    assert!(!run.join("model.safetensors").exists());
}

#[test]
fn flags_that_are_wrong() {
    for (args, words) in [
        (vec!["--nope"], vec!["--nope"]),
        (vec!["train", "--rule", "*=ema"], vec!["`layer-optimizer`, which replaces `rule`"]),
        (vec!["train", "--nope"], vec!["--nope"]),
        (vec!["train", "--alpha", "x"], vec!["alpha", "x"]),
        (vec!["train", "--model", "nope"], vec!["model", "mlp", "nope"]),
        (vec!["train", "--dataset", "nope"], vec!["dataset", "mnist", "nope"]),
        (vec!["train", "--device", "nope"], vec!["nope", "cpu"]),
        (vec!["train", "--device", "99"], vec!["99", "cpu"]),
        (vec!["train", "--device", " "], vec!["device", "cpu"]),
        (vec!["train", "--dataset", "mnist"], vec!["data-dir", "mnist"]),
        (vec!["train", "--batch-size", "1438"], vec!["batch-size", "1437", "1438"]),
        (vec!["train", "--batch-size", "0"], vec!["batch-size"]),
        (vec!["train", "--batch-size", "1"], vec!["batch-size", "at least 2"]),
        (
            vec!["train", "--loss", "squared-hinge", "--label-smoothing", "0.1"],
            vec!["label-smoothing", "squared-hinge"],
        ),
        (vec!["train", "--optimizer", "ema", "--gamma", "0.3"], vec!["ema", "gamma"]),
        (vec!["train", "--hidden", "0"], vec!["hidden", "[0]"]),
        (vec!["train", "--hidden", "64,0"], vec!["hidden", "[64, 0]"]),
        (vec!["train", "--model", "vgg-small", "--hidden", "64"], vec!["hidden", "mlp", "[64] with model vgg-small"]),
        (vec!["train", "--hidden", "99999999999"], vec!["hidden", "1048576"]),
        (vec!["summary", "--input", "99999x99999x1"], vec!["input", "99999x99999x1"]),
        (vec!["summary", "--classes", "1"], vec!["classes", "2 to"]),
        (vec!["summary", "--batch-size", "0"], vec!["batch-size"]),
        (vec!["train", "--alpha", "0"], vec!["alpha", "(0, 1]", "0"]),
        (vec!["train", "--alpha", "1.5"], vec!["alpha", "(0, 1]", "1.5"]),
        (vec!["train", "--alpha", "0.5,step:10:1"], vec!["alpha", "(0, 1]", "5 at step 1 of 450"]),
        (
            vec!["train", "--state-init", "zero", "--state-init-scale", "1e-6"],
            vec!["state-init", "scaled beside state-init-scale 0.000001", "got zero"],
        ),
        (
            vec!["train", "--state-init", "scaled", "--state-init-scale", "0"],
            vec!["state-init", "zero beside state-init-scale 0", "got scaled"],
        ),
        (
            vec!["train", "--optimizer", "latent-sgd", "--state-init", "scaled"],
            vec!["state-init", "latent-sgd", "got scaled"],
        ),
        (vec!["train", "--data-dir", "somewhere"], vec!["data-dir", "digits", "somewhere"]),
        (vec!["train", "--state-init-scale", "-1"], vec!["state-init-scale", "got -1"]),
        (vec!["train", "--dropout", "-0.2,0.5"], vec!["dropout", "-0.2"]),
        (vec!["translate", "--lr", "-0.1"], vec!["got -0.1"]),
        (vec!["sweep", "--grid", "alpha=1e-3,1e-3"], vec!["grid", "each value once"]),
        (vec!["bench", "step", "--steps", "0"], vec!["--steps", "0"]),
        (vec!["train", "--float-schedule", "linear@50%,exponential:1e-5"], vec!["float-rate", "NaN at step"]),
        (vec!["train", "--optimizer", "iir", "--cutoff", "1000,step:0.1:1"], vec!["cutoff", "1 at step 3 of 450"]),
        (vec!["train", "--alpha", "nan"], vec!["alpha", "(0, 1]", "NaN"]),
        (vec!["train", "--gamma", "-1"], vec!["gamma", "got -1"]),
        (vec!["train", "--gamma=-1"], vec!["gamma", "(0, 1]", "-1"]),
        (vec!["train", "--gamma", "2"], vec!["gamma", "(0, 1]", "2"]),
        (vec!["train", "--epochs", "0"], vec!["epochs"]),
        (vec!["train", "--limit", "0"], vec!["limit"]),
        (vec!["train", "--optimizer", "nope"], vec!["optimizer", "cema", "nope"]),
        (vec!["train", "--surrogate", "nope"], vec!["surrogate", "clip", "nope"]),
        (vec!["train", "--loss", "nope"], vec!["loss", "cross-entropy", "nope"]),
        (vec!["train", "--alpha-schedule", "linear"], vec!["`alpha NUMBER,SCHEDULE`, which replaces `alpha-schedule`"]),
        (vec!["sweep", "--grid", "hold=0,1e-6"], vec!["grid", "`state-init-scale`, which replaces `hold`"]),
        (vec!["sweep", "--grid", "float=true,false"], vec!["grid", "`full-precision`, which replaces `float`"]),
        (
            vec!["plot", "filter", "--optimizer", "ema hold=1e-6"],
            vec!["optimizer", "`state-init-scale`, which replaces `hold`"],
        ),
        (vec!["plot", "filter", "--optimizer", "ema state=f16"], vec!["`state-dtype`, which replaces `state`"]),
        (vec!["train", "--alpha", "1e-50"], vec!["--alpha", "at least 1e-45, the smallest f32", "1e-50"]),
        (vec!["train", "--float-rate", "1e-50"], vec!["--float-rate", "at least 1e-45, the smallest f32", "1e-50"]),
        (vec!["plot", "filter", "--optimizer", "ema", "--out", "filters.png"], vec!["out", ".svg", "filters.png"]),
        (vec!["train", "--mean", "0.5,1e-50"], vec!["--mean", "the smallest f32", "1e-50"]),
        (vec!["sweep", "--grid", "alpha=1e-3,1e-50"], vec!["grid: alpha", "the smallest f32", "1e-50"]),
        (vec!["train", "--alpha", "1e-3,linear:1e-50"], vec!["--alpha", "schedule", "the smallest f32", "1e-50"]),
        (vec!["train", "--float-rate", "inf"], vec!["--float-rate", "finite", "above 0", "inf"]),
        (vec!["train", "--width", "inf"], vec!["--width", "(0, 64]", "inf"]),
        (vec!["bench"], vec!["bench", "subcommand", "kernels, step"]),
        (
            vec!["train", "--layer-optimizer", "dense1=iir,design=bessel"],
            vec!["`dense1`: design", "in a file", "filter = { design", "design=bessel"],
        ),
        (
            vec!["train", "--layer-optimizer", "dense*=bop", "--layer-optimizer", "dense1=ema"],
            vec!["layer-optimizer", "no earlier pattern takes", "`dense1` behind `dense*`"],
        ),
        (vec!["train", "--full-precision", "--alpha", "1e-3"], vec!["alpha", "beside full-precision", "0.001"]),
        (vec!["train", "--full-precision", "--optimizer", "cema"], vec!["optimizer", "beside full-precision", "cema"]),
        (
            vec!["train", "--full-precision", "--state-init", "zero"],
            vec!["state-init", "beside full-precision", "zero"],
        ),
        (
            vec!["train", "--full-precision", "--target-flip-ratio", "1e-3"],
            vec!["target-flip-ratio", "beside full-precision"],
        ),
        (
            vec!["summary", "--full-precision", "--state-dtype", "i16"],
            vec!["state-dtype", "beside full-precision", "i16"],
        ),
        (vec!["train", "--alpha", "1e-3,nope"], vec!["alpha", "schedule", "nope"]),
        (vec!["train", "--alpha", "0.1,linear:2"], vec!["alpha", "(0, 1]", "linear:2"]),
        (vec!["train", "--alpha", "1e-3,linear,cosine"], vec!["schedule", "linear@500"]),
        (vec!["train", "--lr", "0.1"], vec!["cema", "alpha, gamma, state-init-scale", "lr = 0.1"]),
        (vec!["train", "--optimizer", "latent-sgd", "--alpha", "0.1"], vec!["latent-sgd", "momentum", "alpha = 0.1"]),
        (vec!["train", "--optimizer", "latent-adam", "--state-init", "scaled"], vec!["latent-adam", "scaled"]),
        (vec!["train", "--state-init", "nope"], vec!["state-init", "zero, scaled", "nope"]),
        (vec!["train", "--optimizer", "bop", "--threshold=-1"], vec!["threshold", "0 or a positive", "-1"]),
        (vec!["train", "--optimizer", "signum", "--momentum", "1"], vec!["momentum", "[0, 1)"]),
        (vec!["train", "--layer-optimizer", "dense1"], vec!["layer-optimizer", "LAYERS=RULE", "'dense1'"]),
        (vec!["train", "--layer-optimizer", "dense1=nope"], vec!["layers `dense1`", "cema", "nope"]),
        (
            vec!["train", "--layer-optimizer", "dense1=bop,gamma=1"],
            vec!["layers `dense1`", "bop", "threshold", "gamma = 1"],
        ),
        (vec!["train", "--layer-optimizer", "dense1=bop,alpha=1e-3,alpha=1e-4"], vec!["each hyperparameter once"]),
        (vec!["train", "--layer-optimizer", "dense1=bop,alpha=2"], vec!["layers `dense1`: alpha", "(0, 1]", "2"]),
        (
            vec!["train", "--layer-optimizer", "dense1=bop,alpha=1e-3,nope"],
            vec!["`dense1`: alpha: schedule", "linear", "nope"],
        ),
        (vec!["train", "--layer-optimizer", "dense1=ema,state-dtype=i4"], vec!["`dense1`: state-dtype", "i16", "i4"]),
        (
            vec!["train", "--layer-optimizer", "dense1=bop,state-dtype=i16"],
            vec!["`dense1`: state-dtype", "f32 for bop, got i16"],
        ),
        (
            vec!["train", "--layer-optimizer", "dense1=bop,state-init-scale=1,linear"],
            vec!["`dense1`: state-init-scale", "without a schedule", "1,linear"],
        ),
        (
            vec!["train", "--state-init-scale", "1e-3,linear"],
            vec!["state-init-scale", "without a schedule", "0.001,linear"],
        ),
        (vec!["train", "--optimizer", "latent-sgd", "--lr", "off"], vec!["lr", "a positive number", "off", "clip"]),
        (vec!["train", "--optimizer", "latent-sgd", "--lr", "1e39"], vec!["--lr", "NUMBER", "1e39"]),
        (
            vec!["train", "--layer-optimizer", "conv*=bop"],
            vec!["layer-optimizer", "dense1, dense2", "`conv*`, which matches none"],
        ),
        (vec!["train", "--label-smoothing", "1"], vec!["label-smoothing", "1"]),
        (vec!["--threads", "0", "--device", "cpu"], vec!["threads", "1 to"]),
        (vec!["--threads", "100000", "--device", "cpu"], vec!["threads", "1 to"]),
        (vec!["train", "--float-optimizer", "nope"], vec!["float-optimizer", "adam, sgd", "nope"]),
        (
            vec!["train", "--float-momentum", "0.9"],
            vec!["adam", "float-beta1, float-beta2, float-epsilon, float-weight-decay", "float-momentum = 0.9"],
        ),
        (
            vec!["train", "--float-optimizer", "sgd", "--float-beta2", "0.9"],
            vec!["sgd", "float-momentum, float-weight-decay", "float-beta2 = 0.9"],
        ),
        (vec!["train", "--float-beta1", "1"], vec!["float-beta1", "[0, 1)", "1"]),
        (vec!["train", "--float-epsilon", "0"], vec!["float-epsilon", "positive", "0"]),
        (vec!["train", "--float-weight-decay", "nan"], vec!["float-weight-decay", "0 or a positive", "NaN"]),
        (vec!["train", "--float-weight-decay", "x"], vec!["float-weight-decay", "x"]),
        (vec!["eval"], vec!["<RUN>"]),
        (vec!["plot"], vec!["<RUN>"]),
        (vec!["train", "--optimizer", "iir", "--poles", "1.01"], vec!["poles", "unit circle", "1.01"]),
        (vec!["train", "--optimizer", "iir", "--b", "0.2", "--a", "1,-0.9"], vec!["gain at frequency 0", "gain of 2"]),
        (vec!["train", "--optimizer", "iir", "--design", "elliptic"], vec!["design", "butterworth", "elliptic"]),
        (vec!["train", "--optimizer", "iir", "--cutoff", "2"], vec!["cutoff", "above 2"]),
        (vec!["train", "--order", "3"], vec!["filter", "iir", "cema"]),
        (vec!["train", "--optimizer", "bop", "--state-dtype", "i16"], vec!["state-dtype", "f32 for bop, got i16"]),
        (vec!["train", "--state-dtype", "bf16"], vec!["state-dtype", "f32, f16, i16, i8", "bf16"]),
        (vec!["train", "--hyperparameters", "paper"], vec!["hyperparameters", "defaults", "paper for cema"]),
        (vec!["translate", "--lr", "0.1", "--schedule", "nope"], vec!["schedule", "linear", "nope"]),
        (vec!["sweep"], vec!["grid", "none"]),
        (vec!["sweep", "--grid", "alpha"], vec!["grid", "NAME=VALUE", "alpha"]),
        (vec!["sweep", "--grid", ""], vec!["grid", "NAME=VALUE", "``"]),
        (vec!["sweep", "--grid", "alpha="], vec!["grid", "NAME=VALUE", "`alpha=`"]),
        (vec!["sweep", "--grid", "alpha=,"], vec!["grid", "NAME=VALUE", "`alpha=,`"]),
        (vec!["sweep", "--grid", "optimizer=ema,nope"], vec!["optimizer", "cema", "nope"]),
        (vec!["sweep", "--grid", r#"alpha="1e-3,linear","1e-3,nope""#], vec!["schedule", "linear", "nope"]),
        (vec!["train", "--diagnostics", "x"], vec!["--diagnostics", "x"]),
        (vec!["train", "--diagnostics=-1"], vec!["--diagnostics", "-1"]),
        (vec!["train", "--diagnostics", "--full-precision"], vec!["diagnostics", "binary weights", "floats"]),
        (vec!["train", "--tensorboard=maybe"], vec!["--tensorboard", "maybe"]),
        (vec!["sweep", "--grid", "alfa=1"], vec!["grid", "alfa"]),
        (vec!["sweep", "--grid", "alpha=1e-3,2"], vec!["alpha", "(0, 1]", "2"]),
        (vec!["sweep", "--grid", "alpha=1e-3", "--seeds", "0"], vec!["seeds"]),
        (vec!["summary", "--input", "28"], vec!["input", "28"]),
        (vec!["bench", "kernels", "--size", "33"], vec!["size", "33"]),
        (vec!["bench", "kernels", "--size", "100000"], vec!["size", "2048"]),
        (vec!["bench", "kernels", "--only", "nope"], vec!["only", "xnor_matmul", "nope"]),
    ] {
        refused(&args, 2, &words);
    }
}

#[test]
fn help_groups_settings_under_headings() {
    let help = |command: &str| String::from_utf8(run(&[command, "--help"]).stdout).unwrap();
    let [train, sweep] = ["train", "sweep"].map(help);
    let headings =
        ["Data", "Network", "Training", "Optimizer of binary weights", "Optimizer of float parameters", "Output"];
    for text in [&train, &sweep] {
        let places =
            headings.map(|heading| text.find(&format!("\n{heading}:\n")).unwrap_or_else(|| panic!("{heading}")));
        assert!(places.is_sorted(), "{places:?}");
    }
    // Lists of names come from the registries, defaults from the rules.
    for words in [
        "emnist-mnist, cifar10, cifar100, folder, svhn-folder [default: digits]",
        "reactnet-a [default: mlp]",
        "identity, clip, polynomial, swish, tanh",
        "latent-sgd, latent-adam",
        "in [0, 1) (signum, latent-sgd) [default: 0.9]",
        "[default: bop 1e-8, bop2 1e-6]",
        "adam, sgd [default: adam]",
        "f32, f16, i16, i8",
        "warmup:LENGTH",
    ] {
        assert!(train.contains(words), "`{words}` in {train}");
    }
    let summary = help("summary");
    assert!(summary.contains("--state-dtype") && summary.contains("--full-precision"), "{summary}");
    assert!(!summary.contains("--alpha") && summary.contains("--device"), "{summary}");
}

#[test]
fn networks_that_do_not_fit_their_images() {
    for (args, words) in [
        (
            vec!["summary", "--model", "binarynet", "--input", "4x4x3"],
            vec!["images that fit binarynet (32x32x3", "`maxpool3`", "2x2", "1x1"],
        ),
        (vec!["summary", "--model", "reactnet-a", "--input", "8x8x3"], vec!["reactnet-a (224x224x3", "`residual11`"]),
        // 8x8 is just enough for three poolings; less is not.
        (vec!["train", "--model", "binarynet", "--crop", "7x7"], vec!["binarynet", "`maxpool3`", "1x1"]),
        (vec!["summary", "--model", "binarynet", "--width", "0.001"], vec!["width", "1 of 128 channels", "0.001"]),
        (vec!["train", "--model", "binarynet", "--width", "0.001"], vec!["width", "1 of 128 channels", "0.001"]),
        (vec!["summary", "--model", "birealnet20", "--width", "0.03"], vec!["width", "1 of 16 channels", "0.03"]),
        (vec!["summary", "--width", "nan"], vec!["width", "(0, 64]", "nan"]),
        (
            vec!["train", "--full-precision", "--layer-optimizer", "*=bop"],
            vec!["layer-optimizer", "beside full-precision", "*=bop"],
        ),
    ] {
        refused(&args, 2, &words);
    }
    for args in [["binarynet", "--input", "8x8x1"], ["reactnet-a", "--width", "0.07"]] {
        let fits = run(&[&["summary", "--json", "--model"], &args[..]].concat());
        assert_eq!(fits.status.code(), Some(0), "{fits:?}");
    }
}

#[test]
fn teachers_that_do_not_fit() {
    let folder = folder();
    let at = |name: &str| path(folder.path(), name);
    let (teacher, logits, student) = (at("teacher"), at("logits.safetensors"), at("student"));
    let common = ["--device", "cpu", "--epochs", "1", "--hidden", "8", "--run"];
    let trained = run(&[&["train"], &common[..], &[&teacher]].concat());
    assert_eq!(trained.status.code(), Some(0), "{trained:?}");
    let (with, without) = (run(&["eval", &teacher, "--logits", &logits]), run(&["eval", &teacher]));
    assert_eq!(
        (with.status.code(), &with.stdout),
        (Some(0), &without.stdout),
        "writing logits does not change the evaluation"
    );
    let model = path(Path::new(&teacher), "model.safetensors");
    refused(&["eval", &teacher, "--logits", &model], 2, &["logits", "a new file", "model.safetensors"]);
    assert_eq!(run(&["eval", &teacher, "--logits", &logits]).status.code(), Some(0), "a file of logits is overwritten");
    if cfg!(unix) {
        refused(&["eval", &teacher, "--logits", "/dev/null"], 1, &["/dev/null", "not a regular file"]);
    }
    let (part, of_part, part_logits) = (["--validation", "0.1"], at("part"), at("part.safetensors"));
    let trained = run(&[&["train"], &common[..], &[&of_part], &part].concat());
    assert_eq!(trained.status.code(), Some(0), "{trained:?}");
    assert_eq!(run(&["eval", &of_part, "--logits", &part_logits]).status.code(), Some(0));
    for class in ["dark", "light"] {
        (0..8).for_each(|i| png(&folder.path().join(format!("images/{class}/{i}.png")), [8, 8], 1, &[i; 64]));
    }
    let (images, model) = (at("images"), path(Path::new(&teacher), "model.safetensors"));
    let other = ["--dataset", "folder", "--data-dir", &images, "--batch-size", "4"];
    let by_run = ["--teacher", &teacher];
    let by_file = ["--teacher-logits", &logits];
    let by_part = ["--teacher-logits", &part_logits];
    for (code, args, words) in [
        (2, [&by_run[..], &other].concat(), vec!["teacher", "same classes (dark, light)", "0, 1, 2"]),
        (2, [&by_run[..], &["--crop", "6x6"]].concat(), vec!["teacher", "6x6x1", "dense1.weight"]),
        (2, [by_run, by_file].concat(), vec!["teacher", "a run or a file of logits", "both"]),
        (2, [by_run, ["--loss", "squared-hinge"]].concat(), vec!["loss", "cross-entropy", "teacher", "squared-hinge"]),
        (2, [by_file, ["--loss", "squared-hinge"]].concat(), vec!["loss", "cross-entropy", "squared-hinge"]),
        (2, [by_file, ["--augment", "flip"]].concat(), vec!["augment", "none", "flip"]),
        (2, [by_run, ["--teacher-weight", "2"]].concat(), vec!["teacher-weight", "[0, 1]", "2"]),
        (2, vec!["--teacher-weight", "nan"], vec!["teacher-weight", "[0, 1]", "nan"]),
        (2, [by_run, ["--temperature", "0"]].concat(), vec!["temperature", "[0.001, 1000]", "0"]),
        (2, vec!["--temperature", "inf"], vec!["temperature", "[0.001, 1000]", "inf"]),
        (2, vec!["--temperature", "3"], vec!["temperature", "a teacher beside it", "3"]),
        (1, vec!["--teacher", &images], vec!["reading", "images/config.toml"]),
        (1, vec!["--teacher", "/nowhere"], vec!["reading", "/nowhere/config.toml"]),
        (1, vec!["--teacher-logits", "/nowhere"], vec!["reading", "/nowhere"]),
        (1, vec!["--teacher-logits", &model], vec!["model.safetensors", "1437 training images", "no tensor `logits`"]),
        (1, [by_file, ["--limit", "500"]].concat(), vec!["logits", "500 training images", "[1437, 10]"]),
        (1, [&by_file[..], &other].concat(), vec!["logits", "2 classes", "[1437, 10]"]),
        (1, [&by_part[..], &part, &["--split-seed", "1"]].concat(), vec!["logits", "other images", "labels differ"]),
        (2, vec!["--init-from", &teacher, "--width", "2"], vec!["init-from", "same network", "dense1.weight"]),
    ] {
        refused(&[&["train"], &common[..], &[&student], &args].concat(), code, &words);
    }
    assert!(!Path::new(&student).exists(), "a run that never started leaves no folder");
}

#[test]
fn networks_that_do_not_fit() {
    let folder = folder();
    let run = path(folder.path(), "run");
    // A gradient of 2^36 numbers; ten pairs of filter states of 2 x 15.7 GiB on the processor; 2 x 400 MiB on an adapter that binds 128 MiB.
    let args = ["train", "--device", "cpu", "--run", &run, "--hidden"];
    refused(&[&args[..], &["262144,262144"]].concat(), 1, &["tensor `", "dense2", "at most 2^32 - 1", "68719476736"]);
    refused(&[&args[..], &[&["65000"; 11].join(",")]].concat(), 1, &["cpu", "memory available"]);
    if String::from_utf8(run_devices()).unwrap().contains("llvmpipe") {
        let args = ["train", "--device", "llvmpipe", "--hidden", "10240,10240", "--run", &run];
        refused(&args, 1, &["llvmpipe", "dense2", "419430400", "binding limit", "134217728"]);
    } else {
        println!("skipped on a GPU: no adapter `llvmpipe`");
    }
    assert!(!Path::new(&run).exists());
}

fn run_devices() -> Vec<u8> {
    run(&["devices", "--json"]).stdout
}

#[test]
fn files_that_are_wrong() {
    let folder = folder();
    let config = path(folder.path(), "config.toml");
    for (text, words) in [
        ("alfa = 1", vec!["alfa", "line 1"]),
        ("epochs = 1\nalpha = \"x\"", vec!["line 2"]),
        ("[optimizer]\nname = \"cema\"\nspeed = 1", vec!["config.toml", "`speed`"]),
        ("[optimizer]\nname = \"cema\"\nhyperparameters = { alpha = [1] }", vec!["line", "NUMBER,SCHEDULE"]),
        ("alpha = \"0.1,nope\"", vec!["line 1", "schedule", "nope"]),
        ("[[optimizer.rules]]\nlayers = \"dense1\"", vec!["config.toml", "line 1", "name"]),
        ("[[optimizer.rules]]\nlayer = \"dense1\"", vec!["config.toml", "line", "`layer`", "`layers`"]),
        ("alpha = ", vec!["line 1"]),
        ("batch-size = 1", vec!["batch-size", "at least 2", "got 1"]),
        ("epochs = -1", vec!["config.toml", "line 1", "-1"]),
        ("layer-optimizer = [\"dense1\"]", vec!["config.toml", "line 1", "LAYERS=RULE"]),
        ("float-rate = 1e-50", vec!["config.toml", "float-rate", "the smallest f32", "1e-50"]),
        ("[optimizer]\nhyperparameters = { alpha = 1e-50 }", vec!["alpha", "the smallest f32", "1e-50"]),
        ("full-precision = true\nalpha = 1e-3", vec!["alpha", "beside full-precision"]),
        ("alpha-schedule = \"linear\"", vec!["`alpha NUMBER,SCHEDULE`, which replaces `alpha-schedule`"]),
        ("hold = 1e-6", vec!["config.toml", "`state-init-scale`, which replaces `hold`"]),
        ("[optimizer]\nstate = \"i16\"", vec!["config.toml", "`state-dtype`, which replaces `state`"]),
        ("[optimizer]\nhyperparameters = { hold = 0 }", vec!["`state-init-scale`, which replaces `hold`"]),
    ] {
        fs::write(&config, text).unwrap();
        refused(&["train", "--config", &config], 2, &words);
    }
    refused(&["train", "--config", &path(folder.path(), "none.toml")], 1, &["none.toml"]);
    refused(&["eval", &path(folder.path(), "none")], 1, &["none"]);
    refused(&["train", "--run", "/proc/nowhere/run"], 1, &["/proc/nowhere/run"]);
    let file = path(folder.path(), "file");
    fs::write(&file, "x").unwrap();
    refused(&["train", "--run", &path(Path::new(&file), "run")], 1, &["file/run"]);
    let run = path(folder.path(), "broken");
    fs::create_dir(&run).unwrap();
    // A run of a version with other names.
    fs::write(Path::new(&run).join("config.toml"), "float = false").unwrap();
    refused(&["eval", &run], 2, &["config.toml", "`full-precision`, which replaces `float`"]);
    fs::write(Path::new(&run).join("config.toml"), "hidden = [8]\n# end of the configuration\n").unwrap();
    refused(&["eval", &run], 1, &["model.safetensors"]);
    fs::write(Path::new(&run).join("model.safetensors"), "rubbish, no header").unwrap();
    refused(&["eval", &run], 1, &["model.safetensors", "safetensors"]);
}

/// Changes one file of a valid data set and expects an error with these words.
fn broken_data(file: &str, content: Option<Vec<u8>>, words: &[&str]) {
    let folder = folder();
    small_mnist(folder.path());
    match content {
        Some(bytes) => fs::write(folder.path().join(file), bytes).unwrap(),
        None => fs::remove_file(folder.path().join(file)).unwrap(),
    }
    let (data, run) = (path(folder.path(), ""), path(folder.path(), "run"));
    refused(&["train", "--dataset", "mnist", "--data-dir", &data, "--hidden", "8", "--run", &run], 1, words);
    assert!(!Path::new(&run).exists(), "a run that never started leaves no folder");
}

#[test]
fn data_that_is_wrong() {
    let images = "train-images-idx3-ubyte";
    let labels = "train-labels-idx1-ubyte";
    broken_data(images, None, &[images, "published at"]);
    broken_data(images, Some(vec![1, 2, 3]), &[images, "header", "3 bytes"]);
    broken_data(images, Some(idx(0x801, &[200, 10, 10], &[0; 20_000])), &[images, "magic", "0x00000803", "0x00000801"]);
    broken_data(images, Some(idx(0x803, &[200, 10, 10], &[0; 19_999])), &[images, "[200, 10, 10]", "19999"]);
    broken_data(images, Some(idx(0x803, &[u32::MAX, u32::MAX, u32::MAX], &[0; 8])), &[images, "8 bytes"]);
    broken_data(images, Some(idx(0x803, &[0, 10, 10], &[])), &[labels, "0 labels"]);
    broken_data(images, Some(idx(0x803, &[200, 10, 5], &[0; 10_000])), &["10 x 5", "10 x 10"]);
    broken_data(labels, Some(idx(0x801, &[199], &[0; 199])), &[labels, "200", "199"]);
    broken_data(labels, Some(idx(0x801, &[200], &[10; 200])), &[labels, "below 10", "label 10 of image 0"]);
    let folder = folder();
    small_mnist(folder.path());
    fs::remove_file(folder.path().join(images)).unwrap();
    fs::write(folder.path().join(format!("{images}.gz")), "no gzip").unwrap();
    let data = path(folder.path(), "");
    refused(&["train", "--dataset", "mnist", "--data-dir", &data], 1, &[images, "a header of 16 bytes", "7 bytes"]);
}

#[test]
fn small_mnist_trains() {
    let folder = folder();
    small_mnist(folder.path());
    let (data, run_folder) = (path(folder.path(), ""), path(folder.path(), "run"));
    let common = ["--dataset", "mnist", "--data-dir", &data, "--hidden", "32", "--batch-size", "20", "--json"];
    let output = run(&[&["train"], &common[..], &["--epochs", "10", "--run", &run_folder]].concat());
    assert!(lines(&output).last().unwrap()["test_accuracy"].as_f64().unwrap() > 0.95, "{output:?}");
    let limited =
        run(&[&["train"], &common[..], &["--epochs", "1", "--limit", "40", "--run", &path(folder.path(), "l")]]
            .concat());
    assert_eq!(lines(&limited)[0]["train_images"], 40);
}

#[test]
fn a_non_finite_loss_stops_and_names_the_step() {
    let folder = folder();
    let run = path(folder.path(), "run");
    let args = ["train", "--float-rate", "1e38", "--hidden", "8", "--diagnostics", "1", "--run", &run];
    refused(&args, 1, &["loss", "step", "epoch 1"]);
    let logged = fs::read_to_string(Path::new(&run).join("metrics.jsonl")).unwrap();
    assert!(logged.lines().skip(1).all(|line| line.contains("diagnostics")), "{logged}");
    assert!(logged.lines().count() > 2, "earlier measurements are kept");
}

#[test]
#[cfg(unix)]
fn an_interrupted_run_is_saved() {
    let folder = folder();
    let run_folder = path(folder.path(), "run");
    let mut child = plusminus(&["train", "--json", "--epochs", "100000", "--hidden", "64", "--run", &run_folder])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    // StateInit, and the first epochs.
    (0..3).for_each(|_| drop(output.next().unwrap().unwrap()));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let last = output.map(|line| line.unwrap()).last().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let done: Value = serde_json::from_str(&last).unwrap();
    assert_eq!((&done["event"], &done["interrupted"]), (&"done".into(), &true.into()));
    let eval = lines(&run(&["eval", &run_folder, "--json"]));
    assert_eq!(eval[0]["test_accuracy"], done["test_accuracy"], "the saved weights are those that were evaluated");
}

#[test]
fn runs_that_start_at_the_same_time_do_not_mix() {
    let folder = folder();
    let start = |args: &[&str]| {
        let args = [&["train", "--json", "--device", "cpu", "--epochs", "2", "--hidden", "32"], args].concat();
        plusminus(&args).current_dir(folder.path()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    };
    let codes = |children: Vec<std::process::Child>| {
        children.into_iter().map(|mut child| child.wait().unwrap().code()).filter(|code| *code == Some(0)).count()
    };
    assert_eq!(codes((0..4).map(|_| start(&["--run", "same"])).collect()), 1, "only one run gets the folder");
    assert_eq!(codes((0..4).map(|_| start(&[])).collect()), 4, "each run gets a different name");
    assert_eq!(fs::read_dir(folder.path().join("runs")).unwrap().count(), 4);
}

#[test]
#[cfg(target_os = "linux")]
fn a_folder_name_need_not_be_utf_8() {
    use std::os::unix::ffi::OsStrExt;
    let folder = folder();
    let name = folder.path().join(std::ffi::OsStr::from_bytes(&[0xff, 0xfd]));
    let output =
        plusminus(&["train", "--epochs", "1", "--hidden", "32", "--quiet", "--run"]).arg(&name).output().unwrap();
    assert_eq!((output.status.code(), said(&output).len()), (Some(0), 0), "{output:?}");
    assert!(name.join("model.safetensors").exists());
}

#[test]
#[cfg(unix)]
fn a_run_with_a_closed_stdout_is_saved() {
    let folder = folder();
    let run_folder = path(folder.path(), "run");
    let mut child = plusminus(&["train", "--json", "--epochs", "100000", "--hidden", "64", "--run", &run_folder])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // One line is read, then the pipe is closed, as `| head -1` does.
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(Path::new(&run_folder).join("model.safetensors").exists());
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_stdout_is_reported_and_the_run_is_saved() {
    let folder = folder();
    let run_folder = path(folder.path(), "run");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output =
        plusminus(&["train", "--epochs", "2", "--hidden", "64", "--run", &run_folder]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output)[0].contains("writing to stdout"), "{output:?}");
}

/// A tmpfs of 256 kB, unmounted on drop; `None` if mounting is not permitted.
#[cfg(target_os = "linux")]
struct SmallDisk(PathBuf);

#[cfg(target_os = "linux")]
impl SmallDisk {
    fn mount(at: &Path) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k", "none"])
            .arg(at)
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(at.to_path_buf()))
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_loses_nothing() {
    let folder = folder();
    let Some(disk) = SmallDisk::mount(folder.path()) else {
        println!("skipped: a small disk cannot be mounted here");
        return;
    };
    let run_folder = path(&disk.0, "run");
    let saved = run(&["train", "--epochs", "1", "--hidden", "64", "--run", &run_folder]);
    assert_eq!(saved.status.code(), Some(0), "{saved:?}");
    let before = fs::read(disk.0.join("run/model.safetensors")).unwrap();
    // A model of 1.2 MB does not fit into the remaining space.
    refused(
        &["train", "--epochs", "1", "--hidden", "2048,2048", "--run", &path(&disk.0, "big")],
        1,
        &["writing", "model.safetensors"],
    );
    assert!(fs::read(disk.0.join("run/model.safetensors")).unwrap() == before, "the saved run is unchanged");
    let left: Vec<_> = fs::read_dir(disk.0.join("big")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with(".writing")), "{left:?}");
    assert!(!disk.0.join("big/model.safetensors").exists(), "no partial model");
}
