//! Tests of folders of images as people have them: which files are read, in which part they are, what is said of the others, and which images are
//! judged.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "tests panic on failure")]

#[path = "support/images.rs"]
mod images;
#[path = "support/program.rs"]
mod program;

use images::png;
use plusminus::data::{Data, DataSpec, Dataset};
use plusminus::tensor::Stream;
use program::{folder, lines, refused, run};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;

fn load(root: &Path) -> Data {
    DataSpec { dataset: "folder".into(), data_dir: Some(root.into()), ..DataSpec::default() }.load().unwrap()
}

/// Writes a grey image of 6 x 6 pixels of noise around a level; `seed` makes it unique.
fn picture(path: &Path, level: u8, seed: u64) {
    let noise = Stream::new(seed, "picture");
    let pixels: Vec<u8> = (0..36).map(|i| level + (noise.word(i) % 40) as u8).collect();
    png(path, [6, 6], 1, &pixels);
}

/// Writes `count` images of each class `(name, level)`.
fn classes(root: &Path, count: u64, names: &[(&str, u8)]) {
    for (name, level) in names {
        for i in 0..count {
            let seed = Stream::new(i, &format!("{}/{name}", root.display())).word(0);
            picture(&root.join(name).join(format!("{i:03}.png")), *level, seed.into());
        }
    }
}

const TWO: [(&str, u8); 2] = [("a", 20), ("b", 180)];

fn paths(set: &Arc<dyn Dataset>) -> BTreeSet<String> {
    (0..set.len()).map(|i| set.file(i).unwrap().path.clone()).collect()
}

/// Trains a small network on a folder.
fn train(root: &Path, run_folder: &Path, more: &[&str]) -> Output {
    let (data, run_folder) = (root.to_str().unwrap(), run_folder.to_str().unwrap());
    let args =
        ["train", "--dataset", "folder", "--data-dir", data, "--hidden", "16", "--batch-size", "10", "--device", "cpu"];
    let epochs: &[&str] = if more.contains(&"--epochs") { &[] } else { &["--epochs", "3"] };
    run(&[&args[..], epochs, &["--run", run_folder, "--json"], more].concat())
}

fn eval(run_folder: &Path, more: &[&str]) -> Value {
    let output = run(&[&["eval", run_folder.to_str().unwrap(), "--json", "--device", "cpu"], more].concat());
    lines(&output).pop().unwrap_or_else(|| panic!("{output:?}"))
}

#[test]
fn a_split_is_kept_when_files_are_added_and_differs_by_seed() {
    let folder = folder();
    classes(folder.path(), 40, &TWO);
    let before = load(folder.path());
    let test = paths(&before.test);
    assert_eq!((before.train.len() + before.test.len(), paths(&before.train).intersection(&test).count()), (80, 0));
    assert!(
        (8..=26).contains(&test.len()) && ["a/", "b/"].iter().all(|class| test.iter().any(|p| p.starts_with(class)))
    );
    // Names that come before, between and behind the others.
    for name in ["000-first", "0205", "zzz"] {
        picture(&folder.path().join(format!("a/{name}.png")), 20, 1);
    }
    let after = load(folder.path());
    assert!(test.is_subset(&paths(&after.test)) && paths(&before.train).is_subset(&paths(&after.train)));
    assert_eq!(after.train.len() + after.test.len(), 83);
    let spec = DataSpec {
        dataset: "folder".into(),
        data_dir: Some(folder.path().into()),
        split_seed: 1,
        ..DataSpec::default()
    };
    assert_ne!(paths(&spec.load().unwrap().test), paths(&after.test), "another seed");
    // The validation images of a folder with files are chosen by their paths as well.
    let held = |count: u64| {
        classes(folder.path(), count, &TWO);
        paths(&DataSpec { validation: 0.3, ..spec.clone() }.load().unwrap().validation.unwrap())
    };
    let first = held(40);
    assert!(first.len() > 5 && first.is_subset(&held(60)), "{first:?}");
}

#[test]
fn a_class_of_few_files_is_in_both_parts() {
    for count in 2..6 {
        let folder = folder();
        classes(folder.path(), count, &TWO);
        let data = load(folder.path());
        for set in [&data.train, &data.test] {
            assert_eq!(
                (0..set.len()).map(|i| set.label(i)).collect::<BTreeSet<_>>(),
                BTreeSet::from([0, 1]),
                "{count}"
            );
        }
    }
}

#[test]
fn eval_judges_what_the_run_was_not_trained_on() {
    let folder = folder();
    let (root, run_folder) = (folder.path().join("data"), folder.path().join("run"));
    classes(&root, 30, &TWO);
    let events = lines(&train(&root, &run_folder, &["--epochs", "80"]));
    let (trained, tested) = (events[0]["train_images"].as_u64().unwrap(), events[0]["test_images"].as_u64().unwrap());
    assert_eq!(eval(&run_folder, &[])["test_accuracy"], events.last().unwrap()["test_accuracy"]);

    // New images with labels, without parts; classes may be missing, sizes and colours may differ.
    let new = folder.path().join("new");
    classes(&new, 20, &TWO[..1]);
    png(&new.join("a/large.png"), [12, 12], 3, &[30; 432]);
    let judged = eval(&run_folder, &["--data-dir", new.to_str().unwrap()]);
    assert_eq!(
        (&judged["images"], &judged["left_out"], &judged["per_class"]["b"]),
        (&json!(21), &json!(0), &Value::Null)
    );
    assert_eq!(judged["test_accuracy"], 1.0, "{judged}");

    // The same images under other names and in parts, with one more.
    let moved = folder.path().join("moved");
    fs::create_dir(&moved).unwrap();
    fs::rename(&root, moved.join("val")).unwrap();
    fs::rename(moved.join("val/a/003.png"), moved.join("val/a/renamed.png")).unwrap();
    picture(&moved.join("Testing/b/more.png"), 180, 99);
    let judged = eval(&run_folder, &["--data-dir", moved.to_str().unwrap()]);
    assert_eq!((&judged["images"], &judged["left_out"]), (&json!(tested + 1), &json!(trained)), "{judged}");
    let text = run(&["eval", run_folder.to_str().unwrap(), "--data-dir", moved.to_str().unwrap()]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains(&format!("on {} images; {trained} left out, since the run was trained on them", tested + 1)),
        "{text}"
    );

    // Nothing new, another class, no class at all.
    let seen: BTreeSet<String> =
        fs::read_to_string(run_folder.join("data.jsonl")).unwrap().lines().skip(1).filter_map(seen_path).collect();
    assert_eq!(seen.len() as u64, trained);
    let only_seen = folder.path().join("seen");
    for path in &seen {
        let from = moved.join("val").join(path.replace("a/003.png", "a/renamed.png"));
        fs::create_dir_all(only_seen.join(path).parent().unwrap()).unwrap();
        fs::copy(from, only_seen.join(path)).unwrap();
    }
    let refuse = |data: &Path, words: &[&str]| {
        refused(&["eval", run_folder.to_str().unwrap(), "--data-dir", data.to_str().unwrap()], 1, words);
    };
    refuse(&only_seen, &["images that the run was not trained on", &format!("all {trained}")]);
    picture(&new.join("c/1.png"), 100, 5);
    refuse(&new, &["classes of the run (a, b)", "`c`"]);
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    fs::write(empty.join("1.png"), "").unwrap();
    refuse(&empty, &["images in folders of the classes of the run (a, b)", "1 outside a class folder"]);
}

#[test]
fn eval_names_what_it_cannot_read_and_is_strict_if_asked() {
    let folder = folder();
    let (root, run_folder, new) = (folder.path().join("data"), folder.path().join("run"), folder.path().join("new"));
    classes(&root, 15, &TWO);
    assert!(train(&root, &run_folder, &[]).status.success());
    classes(&new, 3, &TWO);
    fs::write(new.join("a/broken.jpg"), [0xff, 0xd8, 0xff]).unwrap();
    fs::write(new.join("b/list.txt"), "").unwrap();
    let args = ["--data-dir", new.to_str().unwrap()];
    let judged = eval(&run_folder, &args);
    assert_eq!((&judged["images"], &judged["skipped"]), (&json!(6), &json!(1)));
    assert_eq!(judged["skipped_by_reason"], json!({ "ending .txt": 1, "unreadable": 1 }));
    let text = run(&[&["eval", run_folder.to_str().unwrap()], &args[..]].concat());
    let (out, said) = (String::from_utf8(text.stdout).unwrap(), String::from_utf8(text.stderr).unwrap());
    assert!(out.contains("on 6 images; not read: 1 ending .txt, 1 unreadable"), "{out}");
    assert!(said.contains("broken.jpg: the file is truncated"), "{said}");
    let strict = [&["eval", run_folder.to_str().unwrap(), "--strict"], &args[..]].concat();
    refused(&strict, 1, &["broken.jpg", "an image that can be read", "the file is truncated"]);
}

fn seen_path(line: &str) -> Option<String> {
    let file: Value = serde_json::from_str(line).unwrap();
    (file["part"] == "train").then(|| file["path"].as_str().unwrap().to_string())
}

#[test]
fn runs_that_were_trained_on_test_images_are_noticed() {
    let folder = folder();
    let (root, first) = (folder.path().join("data"), folder.path().join("first"));
    classes(&root, 30, &TWO);
    assert!(train(&root, &first, &[]).status.success());
    let from = first.to_str().unwrap();
    for flag in ["--init-from", "--teacher"] {
        let notices = |name: &str, more: &[&str]| {
            let output = train(&root, &folder.path().join(format!("{name}{flag}")), &[&[flag, from], more].concat());
            let notices = lines(&output)[0]["notices"].as_array().cloned().unwrap_or_default();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(said.lines().filter(|line| line.starts_with("notice   ")).count(), notices.len(), "{said}");
            notices.iter().map(|notice| notice.as_str().unwrap().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(notices("same", &[]), [""; 0], "the same split");
        let other = notices("other", &["--split-seed", "7"]);
        assert!(
            other[0].contains("other test images (fingerprint") && other[1].contains("was trained on"),
            "{other:?}"
        );
        let run_folder = folder.path().join(format!("strict{flag}"));
        let strict = train(&root, &run_folder, &[flag, from, "--split-seed", "7", "--strict"]);
        assert_eq!(strict.status.code(), Some(2), "{strict:?}");
        let said = program::said(&strict);
        assert!(said[0].contains("not trained on test images") && !run_folder.exists(), "{said:?}");
    }
}

#[test]
fn copies_of_training_images_in_the_test_part_are_noticed() {
    let folder = folder();
    let root = folder.path().join("data");
    classes(&root.join("train"), 12, &TWO);
    classes(&root.join("test"), 5, &TWO);
    let start = |name: &str| lines(&train(&root, &folder.path().join(name), &[]))[0].clone();
    assert_eq!(start("before")["notices"], Value::Null);
    fs::copy(root.join("train/a/003.png"), root.join("test/a/copy.png")).unwrap();
    assert_eq!(
        start("after")["notices"],
        json!(["1 of the 11 test images are training images as well (an error with --strict)"])
    );
    let strict = train(&root, &folder.path().join("strict"), &["--strict"]);
    assert_eq!(strict.status.code(), Some(2));
    assert!(program::said(&strict)[0].contains("1 of the 11 test images"), "{strict:?}");
}

#[test]
fn files_that_are_not_read_are_counted_by_reason() {
    let folder = folder();
    let root = folder.path();
    classes(&root.join("Train"), 12, &TWO);
    classes(&root.join("Testing"), 4, &TWO);
    classes(&root.join("valid"), 3, &TWO);
    classes(&root.join("extra"), 2, &TWO[..1]);
    let write = |path: &str| {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), "x").unwrap();
    };
    for path in [
        "Train/a/1.heic",
        "Train/a/2.HEIC",
        "Train/b/deep/notes.txt",
        "Train/b/README",
        "labels.csv",
        "Train/a/.DS_Store",
    ] {
        write(path);
    }
    write("Train/a/broken.png");
    write("Train/__MACOSX/a/._1.png");
    write("__MACOSX/Train/a/._1.png");
    picture(&root.join("Train/loose.png"), 1, 1);
    picture(&root.join("Train/b/deep/er/nested.png"), 180, 2);
    let run_folder = root.join("run");
    let output = train(root, &run_folder, &[]);
    assert!(output.status.success(), "{output:?}");
    let start = &lines(&output)[0];
    let counts = ["train_images", "validation_images", "test_images"].map(|key| start[key].as_u64().unwrap());
    assert_eq!(counts, [25, 6, 8], "{start}");
    let reasons = json!({
        "ending .heic": 2, "ending .txt": 1, "ending .csv": 1, "no ending": 1, "hidden": 1, "unreadable": 1,
        "outside a class folder": 1, "outside Train, valid, Testing": 2,
    });
    assert_eq!(
        (&start["skipped_by_reason"], start["skipped"].as_array().unwrap().len()),
        (&reasons, 1),
        "one text for a broken image"
    );
    assert!(lines(&output)[1]["validation_accuracy"].is_number(), "the validation part is the validation set");
    let args =
        ["train", "--dataset", "folder", "--data-dir", root.to_str().unwrap(), "--hidden", "8", "--batch-size", "5"];
    let text = run(&[&args[..], &["--epochs", "1", "--run", root.join("two").to_str().unwrap()]].concat());
    let text = String::from_utf8(text.stdout).unwrap();
    let line = "data     folder: 25 training, 6 validation, 8 test images; not read: 1 ending .csv, 2 ending .heic";
    assert!(text.contains(line) && text.contains("1 unreadable"), "{text}");
    refused(&[&args[..], &["--validation", "0.1", "--run", "three"]].concat(), 2, &["validation", "validation part"]);
}

#[test]
fn parts_that_are_missing_and_folders_that_are_classes() {
    // Without a test part, the training part is split; the validation part stays.
    let folder = folder();
    classes(&folder.path().join("training"), 30, &TWO);
    classes(&folder.path().join("val"), 3, &TWO[..1]);
    let data = load(folder.path());
    assert_eq!(
        (data.train.len() + data.test.len(), data.validation.unwrap().len()),
        (60, 3),
        "a class may be missing there"
    );
    assert!(data.test.len() > 4 && paths(&data.test).iter().all(|path| path.starts_with("training/")));
    // Folders that hold images are classes, whatever their names.
    let folder = self::folder();
    classes(folder.path(), 10, &[("bus", 20), ("car", 90), ("train", 180)]);
    assert_eq!(load(folder.path()).classes, ["bus", "car", "train"]);
    // Unlabelled images beside a training part are counted.
    let folder = self::folder();
    classes(&folder.path().join("train"), 20, &TWO);
    picture(&folder.path().join("test/1.png"), 9, 9);
    let data = load(folder.path());
    assert_eq!((data.train.len() + data.test.len(), &data.skipped_by_reason["outside train"]), (40, &1));
}

#[test]
fn a_file_that_is_no_image_file_does_not_wait_or_recur() {
    let folder = folder();
    classes(folder.path(), 10, &TWO);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(folder.path().join("a"), folder.path().join("a/again")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("nowhere.png"), folder.path().join("a/broken.png")).unwrap();
        let pipe = folder.path().join("b/pipe.png");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let data = load(folder.path());
        assert_eq!(data.train.len() + data.test.len(), 20);
        let skipped = data.skipped.join("\n");
        assert!(
            skipped.contains("broken.png: No such file") && skipped.contains("pipe.png: not a regular file"),
            "{skipped}"
        );
    }
}

#[test]
fn class_names_survive_a_run() {
    let names = [("a\nb", 20), ("c, \"d\"", 90), (" caf\u{e9}\t", 150), ("x\\y", 210)];
    let folder = folder();
    let (root, first) = (folder.path().join("data"), folder.path().join("first"));
    classes(&root, 15, &names);
    assert!(train(&root, &first, &[]).status.success());
    let judged = eval(&first, &[]);
    let keys: BTreeSet<&str> = judged["per_class"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, names.iter().map(|(name, _)| *name).collect());
    let text = String::from_utf8(run(&["eval", first.to_str().unwrap()]).stdout).unwrap();
    assert!(text.lines().count() > 5 && text.contains("  a\\nb ") && text.contains(" caf\u{e9}\\t"), "{text}");
    // A teacher and its logits.
    let (logits, second) = (folder.path().join("logits"), folder.path().join("second"));
    assert!(run(&["eval", first.to_str().unwrap(), "--logits", logits.to_str().unwrap()]).status.success());
    let taught = train(&root, &second, &["--teacher-logits", logits.to_str().unwrap()]);
    assert!(taught.status.success(), "{taught:?}");
    let taught = train(&root, &folder.path().join("third"), &["--teacher", first.to_str().unwrap()]);
    assert!(taught.status.success(), "{taught:?}");
    // Other images with as many labels of each class, and other classes.
    let third = fs::read(root.join("x\\y/002.png")).unwrap();
    for i in 0..15 {
        let path = root.join(format!("x\\y/{i:03}.png"));
        fs::write(&path, [&third[..], &[i]].concat()).unwrap();
    }
    let words = ["--teacher-logits", logits.to_str().unwrap()];
    let said = program::said(&train(&root, &folder.path().join("other"), &words));
    assert!(said.len() == 1 && said[0].contains("files differ"), "{said:?}");
    fs::rename(root.join("a\nb"), root.join("a\nc")).unwrap();
    let words = ["--teacher", first.to_str().unwrap()];
    let said = program::said(&train(&root, &folder.path().join("fourth"), &words));
    assert!(said.len() == 1 && said[0].contains("a\\nb"), "{said:?}");
}

#[cfg(unix)]
#[test]
fn names_that_are_not_unicode_are_classes_of_their_own() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = folder();
    for (bytes, level) in [(&b"caf\xe8"[..], 20), (b"caf\xe9", 180)] {
        let class = folder.path().join(OsStr::from_bytes(bytes));
        (0..8).for_each(|i| picture(&class.join(format!("{i}.png")), level, i + u64::from(level)));
    }
    let data = load(folder.path());
    assert_eq!(data.classes, ["caf\\xe8", "caf\\xe9"]);
    assert_eq!(data.train.len() + data.test.len(), 16);
}

/// Images that a run was trained on are not judged when their files are renamed, moved or copied to the test part.
#[test]
fn eval_leaves_out_training_images_that_changed_their_part() {
    let folder = folder();
    let (root, run_folder) = (folder.path().join("data"), folder.path().join("run"));
    classes(&root.join("train"), 12, &TWO);
    classes(&root.join("test"), 6, &TWO);
    assert!(train(&root, &run_folder, &[]).status.success());
    let before = eval(&run_folder, &[]);
    let copied = std::fs::read_dir(root.join("train/a")).unwrap().map(|entry| entry.unwrap().path());
    for (i, path) in copied.enumerate() {
        std::fs::copy(&path, root.join(format!("test/a/copy{i}.png"))).unwrap();
    }
    let after = eval(&run_folder, &[]);
    assert_eq!((&after["images"], &after["left_out"]), (&before["images"], &json!(12)), "{after}");
    assert_eq!(after["test_accuracy"], before["test_accuracy"]);
    // Without the record nothing is known of the images.
    std::fs::remove_file(run_folder.join("data.jsonl")).unwrap();
    let unknown = run(&["eval", run_folder.to_str().unwrap(), "--device", "cpu", "--strict"]);
    assert_eq!(unknown.status.code(), Some(2), "{unknown:?}");
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("has no data.jsonl"), "{unknown:?}");
}
