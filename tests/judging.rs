//! Tests of how runs are judged: confusion matrices, balanced accuracy, weights of classes, early stopping, the best epoch.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

#[path = "support/images.rs"]
mod images;
#[path = "support/program.rs"]
mod program;

use program::{folder, lines, path, refused, run};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Trains a small network, and returns its events.
fn trained(run_folder: &str, more: &[&str]) -> Vec<Value> {
    let common = ["train", "--json", "--device", "cpu", "--hidden", "32", "--run", run_folder];
    let output = run(&[&common[..], more].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    lines(&output)
}

/// A folder with 40 pictures of one class and 8 of another, which are hard to tell apart. The second class has a comma in its name.
fn lopsided(folder: &Path) -> String {
    for (class, count, grey) in [("many", 40_usize, 100), ("few, and rare", 8, 104)] {
        for i in 0..count {
            let part = if i % 4 == 3 { "test" } else { "train" };
            let pixels: Vec<u8> = (0..64).map(|p| (grey + (p * 7 + i * 13) % 9) as u8).collect();
            images::png(&folder.join(format!("{part}/{class}/{i}.png")), [8, 8], 1, &pixels);
        }
    }
    folder.to_string_lossy().into_owned()
}

#[test]
fn eval_writes_the_confusion_matrix() {
    let folder = folder();
    let (one, data) = (path(folder.path(), "one"), lopsided(&folder.path().join("data")));
    let events = trained(&one, &["--dataset", "folder", "--data-dir", &data, "--epochs", "3"]);
    assert!(events[1]["test_balanced_accuracy"].is_f64(), "classes are lopsided: {}", events[1]);
    let output = run(&["eval", &one, "--json", "--device", "cpu"]);
    let eval = &lines(&output)[0];
    assert_eq!(eval["samples"], serde_json::json!({ "few, and rare": 2, "many": 10 }));
    let confusion: Vec<Vec<u64>> = serde_json::from_value(eval["confusion"].clone()).unwrap();
    assert_eq!(confusion.iter().map(|row| row.iter().sum()).collect::<Vec<u64>>(), [2, 10]);
    let correct = confusion[0][0] + confusion[1][1];
    assert_eq!(eval["test_accuracy"], f64::from(correct as u32) / 12.0);
    let balanced = (confusion[0][0] as f64 / 2.0 + confusion[1][1] as f64 / 10.0) / 2.0;
    assert!((eval["balanced_accuracy"].as_f64().unwrap() - balanced).abs() < 1e-12, "{eval}");
    assert_eq!(events[3]["test_balanced_accuracy"], eval["balanced_accuracy"]);
    let csv = fs::read_to_string(Path::new(&one).join("confusion.csv")).unwrap();
    let row = |i: usize| format!("{},{}", confusion[i][0], confusion[i][1]);
    let expected = format!("class,\"few, and rare\",many\n\"few, and rare\",{}\nmany,{}\n", row(0), row(1));
    assert_eq!(csv, expected);
    let svg = fs::read_to_string(Path::new(&one).join("confusion.svg")).unwrap();
    assert!(svg.contains("<svg") && svg.contains("few, and rare") && svg.contains("predicted class"), "{svg}");
    let text = String::from_utf8(run(&["eval", &one, "--device", "cpu"]).stdout).unwrap();
    assert!(text.contains("balanced") && text.contains("predicted") && text.contains("of 10"), "{text}");
    // Even classes have no balanced accuracy in training.
    let digits = trained(&path(folder.path(), "two"), &["--epochs", "1"]);
    assert!(digits[1].get("test_balanced_accuracy").is_none(), "{}", digits[1]);
}

#[test]
fn weights_of_classes_change_the_gradient() {
    let folder = folder();
    let data = lopsided(&folder.path().join("data"));
    let loss = |name: &str, more: &[&str]| {
        let args = ["--dataset", "folder", "--data-dir", &data, "--epochs", "4"];
        let events = trained(&path(folder.path(), name), &[&args[..], more].concat());
        events[4]["train_loss"].as_f64().unwrap()
    };
    let plain = loss("plain", &[]);
    // 36 images, 6 and 30 of the classes.
    let (balanced, listed) =
        (loss("balanced", &["--class-weights", "balanced"]), loss("listed", &["--class-weights", "3,0.6"]));
    assert_eq!(balanced, listed);
    assert!(balanced != plain, "{plain}");
    assert_eq!(loss("ones", &["--class-weights", "1,1"]), plain);
    let hinge = |name: &str, more: &[&str]| loss(name, &[&["--loss", "squared-hinge"], more].concat());
    assert!(hinge("hinge", &[]) != hinge("weighted-hinge", &["--class-weights", "balanced"]));
    let config = fs::read_to_string(folder.path().join("listed/config.toml")).unwrap();
    assert!(config.contains("class-weights = \"3,0.6\""), "{config}");
    for (weights, words) in [
        ("1,2", ["class-weights", "10 numbers", "2"]),
        ("x", ["class-weights", "balanced", "x"]),
        ("1,-1", ["class-weights", "positive", "-1"]),
    ] {
        refused(&["train", "--class-weights", weights, "--run", &path(folder.path(), "wrong")], 2, &words);
    }
}

/// Weights of rare classes raise the share of their images that is found.
#[test]
fn balanced_weights_find_rare_classes() {
    let folder = folder();
    let data = lopsided(&folder.path().join("data"));
    let balanced = |name: &str, seed: &str, weights: &str| {
        let args =
            ["--dataset", "folder", "--data-dir", &data, "--epochs", "30", "--seed", seed, "--class-weights", weights];
        let events = trained(&path(folder.path(), &format!("{name}-{seed}")), &args);
        events[30]["test_balanced_accuracy"].as_f64().unwrap()
    };
    let mean = |name: &str, weights: &str| {
        ["1", "2", "3", "4"].map(|seed| balanced(name, seed, weights)).iter().sum::<f64>() / 4.0
    };
    let (plain, weighted) = (mean("plain", "1,1"), mean("weighted", "balanced"));
    assert!(weighted >= plain, "balanced accuracy {plain} without weights, {weighted} with them");
}

#[test]
fn training_stops_when_validation_no_longer_improves() {
    let folder = folder();
    let one = path(folder.path(), "one");
    let flags = ["--epochs", "60", "--validation", "0.2", "--early-stopping", "3"];
    let events = trained(&one, &flags);
    let (last, done) = (&events[events.len() - 2], events.last().unwrap());
    let (epoch, best) = (last["epoch"].as_u64().unwrap(), done["best"]["epoch"].as_u64().unwrap());
    assert!(epoch < 60 && epoch == best + 3, "{last}, {done}");
    assert!(done.get("interrupted").is_none(), "{done}");
    assert_eq!(done["test_accuracy"], last["test_accuracy"], "the last epoch's");
    // The best epoch's weights are kept.
    let of = |flags: &[&str]| lines(&run(&[&["eval", &one, "--json", "--device", "cpu"], flags].concat())).remove(0);
    assert_eq!(of(&["--best"])["test_accuracy"], done["best"]["test_accuracy"]);
    assert_eq!(of(&[])["test_accuracy"], done["test_accuracy"]);
    let two = path(folder.path(), "two");
    refused(&["train", "--early-stopping", "3", "--run", &two], 2, &["early-stopping", "--validation", "none"]);
    trained(&two, &["--epochs", "1"]);
    refused(&["eval", &two, "--best"], 2, &["best", "validation", "best.safetensors"]);
}
