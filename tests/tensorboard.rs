//! Event files have whole records with the right checksums and the values of `metrics.jsonl`, and TensorBoard's own package reads the
//! same in them where Python has it (`PLUSMINUS_PYTHON`, default `python3`).
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

#[path = "support/program.rs"]
mod program;

use program::{lines, run};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// CRC-32C bit by bit, then TensorFlow's mask.
fn masked_checksum(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0x82f6_3b78 } else { sum >> 1 };
        }
    }
    (!sum).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().unwrap())
}

/// The messages of a file of records.
fn records(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        assert_eq!(word(&bytes[8..12]), masked_checksum(&bytes[..8]), "checksum of a length");
        let message = &bytes[12..12 + length];
        assert_eq!(word(&bytes[12 + length..16 + length]), masked_checksum(message), "checksum of a message");
        all.push(message);
        bytes = &bytes[16 + length..];
    }
    all
}

/// A field of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Field<'a> {
    Integer(u64),
    Double(f64),
    Bytes(&'a [u8]),
    Float(f32),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let length = 1 + bytes.iter().position(|byte| byte & 0x80 == 0).unwrap();
    let (here, rest) = bytes.split_at(length);
    *bytes = rest;
    here.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
}

/// Fields of a message in their order, by number.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let value = match key & 7 {
            0 => Field::Integer(varint(&mut bytes)),
            kind => {
                let length = match kind {
                    1 => 8,
                    2 => varint(&mut bytes) as usize,
                    5 => 4,
                    _ => panic!("wire type {kind}"),
                };
                let (here, rest) = bytes.split_at(length);
                bytes = rest;
                match kind {
                    1 => Field::Double(f64::from_le_bytes(here.try_into().unwrap())),
                    2 => Field::Bytes(here),
                    _ => Field::Float(f32::from_le_bytes(here.try_into().unwrap())),
                }
            }
        };
        all.push((key >> 3, value));
    }
    all
}

/// (tag, step, value) of every scalar, and tags of histograms.
fn content(bytes: &[u8]) -> (Vec<(String, u64, f64)>, Vec<String>) {
    let (mut scalars, mut histograms) = (Vec::new(), Vec::new());
    let records = records(bytes);
    assert!(fields(records[0]).contains(&(3, Field::Bytes(b"brain.Event:2"))), "the version comes first");
    for record in &records[1..] {
        let event = fields(record);
        let [(1, Field::Double(time)), (2, Field::Integer(step)), (5, Field::Bytes(summary))] = event[..] else {
            panic!("time, step, summary: {event:?}")
        };
        assert!(time > 1.6e9, "seconds since 1970");
        for (number, value) in fields(summary) {
            let (1, Field::Bytes(value)) = (number, value) else { panic!("values") };
            match fields(value)[..] {
                [(1, Field::Bytes(tag)), (2, Field::Float(value))] => {
                    scalars.push((String::from_utf8(tag.to_vec()).unwrap(), step, f64::from(value)));
                }
                [(1, Field::Bytes(tag)), (5, Field::Bytes(histogram))] => {
                    let numbers = fields(histogram);
                    let lengths =
                        numbers.iter().filter_map(|(_, f)| if let Field::Bytes(b) = f { Some(b.len()) } else { None });
                    assert_eq!(lengths.collect::<Vec<_>>(), [128, 128], "limits and counts of 16 bins");
                    histograms.push(String::from_utf8(tag.to_vec()).unwrap());
                }
                ref other => panic!("a scalar or a histogram: {other:?}"),
            }
        }
    }
    (scalars, histograms)
}

/// A short run; its event file, and its lines.
fn trained(folder: &Path, name: &str, args: &[&str]) -> (PathBuf, Vec<Value>) {
    let to = folder.join(name).to_string_lossy().into_owned();
    let common = ["train", "--json", "--device", "cpu", "--epochs", "3", "--hidden", "32", "--run", &to];
    let events = lines(&run(&[&common[..], args].concat()));
    let mut files = fs::read_dir(&to).unwrap().map(|entry| entry.unwrap().path());
    let found = files.find(|path| path.to_string_lossy().contains("events.out.tfevents."));
    (found.unwrap_or_default(), events)
}

#[test]
fn event_files_have_the_values_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["--tensorboard", "--diagnostics", "10", "--validation", "0.1"];
    let (file, events) = trained(folder.path(), "one", &args);
    let (scalars, histograms) = content(&fs::read(&file).unwrap());
    let steps = events[0]["steps"].as_u64().unwrap();
    let mut expected = BTreeMap::new();
    let mut add = |tag: String, step: u64, value: &Value| {
        if let Some(value) = value.as_f64() {
            expected.insert((tag, step), value);
        }
    };
    let mut measurements = 0;
    for event in &events {
        if event["event"] == "epoch" {
            let step = steps * event["epoch"].as_u64().unwrap();
            for part in ["train", "validation", "test"] {
                add(format!("loss/{part}"), step, &event[format!("{part}_loss")]);
                add(format!("accuracy/{part}"), step, &event[format!("{part}_accuracy")]);
            }
            add("flip_ratio/all".into(), step, &event["flip_ratio"]);
            add("images_per_second".into(), step, &event["images_per_second"]);
            for pair in event["flip_ratio_by_layer"].as_array().unwrap() {
                add(format!("flip_ratio/{}", pair[0].as_str().unwrap()), step, &pair[1]);
            }
        } else if event["event"] == "diagnostics" {
            measurements += 1;
            for layer in event["layers"].as_array().unwrap() {
                let name = layer["layer"].as_str().unwrap();
                let step = event["step"].as_u64().unwrap();
                add(format!("flip_ratio_at_step/{name}"), step, &layer["flip_ratio"]);
                for key in ["never_flipped", "oscillating", "gradient_rms", "state_rms", "masked", "dead_channels"] {
                    add(format!("{key}/{name}"), step, &layer[key]);
                }
            }
        }
    }
    assert_eq!(measurements, 3, "every tenth of 3 x 12 steps");
    assert_eq!(scalars.len(), expected.len());
    for (tag, step, value) in &scalars {
        let wanted = expected[&(tag.clone(), *step)];
        assert!((value - wanted).abs() <= 1e-6 * wanted.abs(), "{tag} at {step}: expected {wanted}, got {value}");
    }
    assert_eq!(histograms, ["state_log2_over_rms/dense1", "state_log2_over_rms/dense2"].repeat(3));
    in_python(&file, &scalars, &histograms);

    let (none, _) = trained(folder.path(), "two", &[]);
    assert_eq!(none, PathBuf::new(), "no event file unless it is asked for");
    let plotted = run(&["plot", &file.parent().unwrap().to_string_lossy()]);
    let text = String::from_utf8(plotted.stdout).unwrap();
    let panels =
        ["flip ratio by layer", "never flipped", "oscillate", "gradient", "masked by the surrogate", "same sign"];
    assert!(panels.iter().all(|panel| text.contains(panel)), "{text}");
}

/// What TensorBoard's loader finds.
const LOADER: &str = "
import sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1], size_guidance={'scalars': 0, 'histograms': 0})
events.Reload()
for tag in events.Tags()['scalars']:
    for event in events.Scalars(tag):
        print('scalar', tag, event.step, repr(event.value))
for tag in events.Tags()['histograms']:
    for event in events.Histograms(tag):
        print('histogram', tag, event.step, len(event.histogram_value.bucket))
";

fn in_python(file: &Path, scalars: &[(String, u64, f64)], histograms: &[String]) {
    let python = std::env::var("PLUSMINUS_PYTHON").unwrap_or_else(|_| "python3".into());
    let has = |output: &std::io::Result<std::process::Output>| output.as_ref().is_ok_and(|o| o.status.success());
    if !has(&Command::new(&python).args(["-c", "import tensorboard"]).output()) {
        println!("skipped in TensorBoard's package: `{python}` has none");
        return;
    }
    let output = Command::new(&python).args(["-c", LOADER]).arg(file).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
    let of_kind = |kind: &str| found.iter().filter(|row| row[0] == kind).count();
    assert_eq!((of_kind("scalar"), of_kind("histogram")), (scalars.len(), histograms.len()), "{text}");
    for (tag, step, value) in scalars {
        let same = |row: &&Vec<&str>| row[1] == tag && row[2].parse() == Ok(*step);
        let row = found.iter().find(same).unwrap_or_else(|| panic!("{tag} at {step} in {text}"));
        assert_eq!(row[3].parse::<f64>().unwrap(), *value, "{tag} at {step}");
    }
}
