//! Tests of image files in all forms: what people have is read as every viewer shows it, and damaged files end no training.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "tests panic on failure")]

#[path = "support/images.rs"]
mod images;
#[path = "support/program.rs"]
mod program;

use images::{Jpeg, exif, jpeg, png, segment};
use plusminus::data::{Data, DataSpec, Dataset};
use plusminus::tensor::Stream;
use program::{lines, plusminus, run};
use std::fs;
use std::path::Path;
use std::sync::Arc;

fn spec(folder: &Path) -> DataSpec {
    DataSpec { dataset: "folder".into(), data_dir: Some(folder.into()), ..DataSpec::default() }
}

fn image(set: &Arc<dyn Dataset>, index: usize) -> Vec<u8> {
    let mut bytes = vec![0; set.shape().iter().product()];
    set.image(index, &mut bytes).unwrap();
    bytes
}

/// Writes a file as the only image of both classes and parts, and reads it.
fn load(bytes: &[u8], ending: &str, change: impl Fn(DataSpec) -> DataSpec) -> Data {
    let folder = tempfile::tempdir().unwrap();
    for class in ["train/a", "train/b", "test/a", "test/b"] {
        let class = folder.path().join(class);
        fs::create_dir_all(&class).unwrap();
        fs::write(class.join(format!("x.{ending}")), bytes).unwrap();
    }
    let data = change(spec(folder.path())).load().unwrap();
    assert_eq!(data.skipped, [""; 0]);
    data
}

const FULL: [usize; 2] = [1, 1];

/// A YCbCr JPEG of one colour: a strong blue.
fn blue(size: [usize; 2], luma: [usize; 2], is_apart: bool) -> Vec<u8> {
    Jpeg { size, sampling: &[luma, FULL, FULL], is_apart, segments: Vec::new() }.bytes(|c, _, _| [41, 228, 113][c])
}

#[test]
fn components_in_scans_of_their_own_have_the_colours_of_one_scan() {
    for luma in [[1, 1], [2, 1], [1, 2], [2, 2]] {
        for size in [[24, 24], [37, 50], [480, 640]] {
            let [together, apart] = [false, true].map(|is_apart| {
                let data = load(&blue(size, luma, is_apart), "jpg", |spec| spec);
                assert_eq!(data.shape, [size[0], size[1], 3]);
                image(&data.train, 0)
            });
            let furthest = together.iter().zip(&apart).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(furthest <= 1, "{luma:?} {size:?}: {:?} and {:?}", &together[..3], &apart[..3]);
            assert!(apart.chunks(3).all(|p| p[0] < 30 && p[1] < 30 && p[2] > 200), "{:?}", &apart[..3]);
        }
    }
}

#[test]
fn what_stands_behind_the_end_of_a_jpeg_is_not_read() {
    let whole = blue([16, 16], FULL, false);
    let pixels = image(&load(&whole, "jpg", |spec| spec).train, 0);
    let film = [&whole[..], b"\0\0\0\x18ftypmp42", &[0x55; 5000], &[0xff, 0xda, 0xff, 0xd8, 1, 2]].concat();
    let preview = segment(0xe1, &[&b"Exif\0\0"[..], &whole].concat());
    let with_preview = [&whole[..2], &preview, &whole[2..]].concat();
    for (bytes, what) in
        [(film, "a film"), ([&whole[..], &whole].concat(), "another image"), (with_preview, "a preview")]
    {
        assert_eq!(image(&load(&bytes, "jpg", |spec| spec).train, 0), pixels, "{what}");
    }
}

#[test]
fn orientations_are_applied() {
    // Two blocks: dark at the left, light at the right.
    let read = |orientation| {
        let jpeg = Jpeg { size: [8, 16], sampling: &[FULL], is_apart: false, segments: exif(orientation) };
        let data = load(&jpeg.bytes(|_, x, _| [20, 230][x]), "jpg", |spec| spec);
        let pixels = image(&data.train, 0);
        (data.shape, pixels[0], *pixels.last().unwrap())
    };
    for (orientation, expected) in [
        (1, ([8, 16, 1], 20, 230)),
        (2, ([8, 16, 1], 230, 20)),
        (3, ([8, 16, 1], 230, 20)),
        (6, ([16, 8, 1], 20, 230)),
        (8, ([16, 8, 1], 230, 20)),
        (0, ([8, 16, 1], 20, 230)),
    ] {
        assert_eq!(read(orientation), expected, "orientation {orientation}");
    }
}

#[test]
fn alpha_is_laid_on_the_background() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.png");
    png(&path, [1, 2], 4, &[0, 0, 0, 0, 9, 90, 200, 255]);
    let ink = fs::read(&path).unwrap();
    let read = |background: Option<&str>| {
        let data = load(&ink, "png", |spec| DataSpec { background: background.map(String::from), ..spec });
        image(&data.train, 0)
    };
    assert_eq!(read(None), [255, 255, 255, 9, 90, 200], "white by default");
    assert_eq!(read(Some("none")), [0, 0, 0, 9, 90, 200]);
    assert_eq!(read(Some("black")), [0, 0, 0, 9, 90, 200]);
    assert_eq!(read(Some("#102030")), [16, 32, 48, 9, 90, 200]);
    // A colour makes grey images with alpha colour images; white does not.
    png(&path, [1, 1], 2, &[7, 0]);
    let grey = fs::read(&path).unwrap();
    let background = |text: &str| DataSpec { background: Some(text.into()), ..DataSpec::default() };
    let red = load(&grey, "png", |spec| DataSpec { background: background("#ff0000").background, ..spec });
    assert_eq!((red.shape, image(&red.train, 0)), ([1, 1, 3], vec![255, 0, 0]));
    assert_eq!(load(&grey, "png", |spec| spec).shape, [1, 1, 1]);
}

/// Mutates a file: flips bits, cuts, doubles or removes a piece, sets a byte to an extreme value.
fn mutated(file: &[u8], stream: Stream, number: u64) -> Vec<u8> {
    let draw = |index: u64, bound: usize| stream.below(number * 64 + index, bound as u32) as usize;
    let mut bytes = file.to_vec();
    for round in 0..=draw(0, 3) as u64 {
        let base = 1 + 5 * round;
        let (at, length) = (draw(base, bytes.len()), 1 + draw(base + 1, 16));
        let end = (at + length).min(bytes.len());
        match draw(base + 2, 6) {
            0 => bytes[at] ^= 1 << draw(base + 3, 8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][draw(base + 3, 5)],
            2 => bytes.truncate(at.max(8)),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let piece = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, piece));
            }
            _ => bytes[at..end].iter_mut().zip(0..).for_each(|(byte, i)| *byte = draw(base + 3 + i % 2, 256) as u8),
        }
        if bytes.len() < 9 {
            return bytes;
        }
    }
    // Half of the PNG files get right checksums, so that the mutation reaches the decoder.
    if bytes.starts_with(b"\x89PNG") && draw(60, 2) == 0 {
        mend_checksums(&mut bytes);
    }
    bytes
}

/// Sets the checksum (CRC-32) of each chunk of a PNG.
fn mend_checksums(bytes: &mut [u8]) {
    let mut at = 8;
    while let Some(length) = bytes.get(at..at + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize) {
        let end = at + 8 + length;
        if end + 4 > bytes.len() {
            return;
        }
        let one = |crc: u32, byte: &u8| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
        };
        let crc = !bytes[at + 4..end].iter().fold(u32::MAX, one);
        bytes[end..end + 4].copy_from_slice(&crc.to_be_bytes());
        at = end + 4;
    }
}

/// Files of several kinds to be mutated.
fn seeds(folder: &Path) -> Vec<(&'static str, Vec<u8>)> {
    let noise = |count: usize| (0..count).map(|i| Stream::new(5, "seed").word(i as u64) as u8).collect::<Vec<_>>();
    let mut seeds = Vec::new();
    for samples in 1..=4 {
        let path = folder.join("seed.png");
        png(&path, [12, 10], samples, &noise(120 * samples));
        seeds.push(("png", fs::read(&path).unwrap()));
    }
    for (luma, is_apart) in [([1, 1], false), ([2, 2], false), ([2, 2], true), ([1, 1], true)] {
        let level = |c: usize, x: usize, y: usize| (60 + 40 * c + 13 * x + 29 * y) as u8;
        let jpeg = Jpeg { size: [24, 32], sampling: &[luma, FULL, FULL], is_apart, segments: exif(6) };
        seeds.push(("jpg", jpeg.bytes(level)));
    }
    let path = folder.join("seed.jpg");
    jpeg(&path, &[&[10, 200], &[90, 30]]);
    seeds.push(("jpg", fs::read(&path).unwrap()));
    seeds
}

/// `PLUSMINUS_FUZZ_FILES=20000` tries more files, and `PLUSMINUS_FUZZ_SEED` others.
#[test]
fn damaged_files_are_named_and_end_no_training() {
    let number = |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (count, seed) = (number("PLUSMINUS_FUZZ_FILES", 600), number("PLUSMINUS_FUZZ_SEED", 1));
    let folder = tempfile::tempdir().unwrap();
    let seeds = seeds(folder.path());
    let root = folder.path().join("data");
    for (part, class) in ["train", "test"].into_iter().flat_map(|part| ["a", "b"].map(|class| (part, class))) {
        let class = root.join(part).join(class);
        fs::create_dir_all(&class).unwrap();
        // Each class keeps an image.
        fs::write(class.join("whole.png"), &seeds[0].1).unwrap();
    }
    for i in 0..count {
        let (ending, seed_file) = &seeds[i as usize % seeds.len()];
        let bytes = mutated(seed_file, Stream::new(seed, "mutations"), i);
        fs::write(root.join(if i % 2 == 0 { "train/a" } else { "train/b" }).join(format!("{i:06}.{ending}")), bytes)
            .unwrap();
    }
    let (data, run_folder) = (root.to_str().unwrap(), folder.path().join("run"));
    let args = ["train", "--dataset", "folder", "--data-dir", data, "--image-size", "8x8", "--hidden", "8", "--json"];
    let more = ["--batch-size", "10", "--epochs", "1", "--device", "cpu", "--run", run_folder.to_str().unwrap()];
    let output = plusminus(&[&args[..], &more].concat()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !said.contains("panicked"), "{said}");
    let start = &lines(&output)[0];
    let skipped = start["skipped"].as_array().unwrap();
    assert_eq!(start["train_images"].as_u64().unwrap() + skipped.len() as u64, count + 2, "read or named");
    assert!(skipped.len() as u64 > count / 10, "{} of {count} files are damaged", skipped.len());
    for text in skipped {
        let (file, reason) = text.as_str().unwrap().split_once(": ").unwrap();
        assert!(Path::new(file).is_file() && !reason.is_empty() && !reason.contains('\n'), "{text}");
    }
    assert_eq!(start["skipped_by_reason"]["unreadable"], skipped.len());
}

/// Compares the pixels of many forms of files with Pillow's, if `PLUSMINUS_PYTHON` (default `python3`) has pillow and numpy.
#[test]
fn files_are_read_as_pillow_shows_them() {
    let python = std::env::var("PLUSMINUS_PYTHON").unwrap_or_else(|_| "python3".into());
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/images.py");
    let has_pillow = std::process::Command::new(&python).args(["-c", "import numpy, PIL"]).output();
    if !has_pillow.is_ok_and(|output| output.status.success()) {
        println!("skipped: `{python}` has no pillow and numpy");
        return;
    }
    let output =
        std::process::Command::new(&python).args(["-W", "ignore"]).arg(script).arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut wrong = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()) {
        if !entry.is_dir() {
            continue;
        }
        count += 1;
        let head = fs::read_to_string(entry.with_extension("txt")).unwrap();
        let words: Vec<&str> = head.split_whitespace().collect();
        let size: Vec<usize> = words[1..].iter().map(|side| side.parse().unwrap()).collect();
        // Largest and mean difference.
        let (max, mean) = match words[0] {
            "exact" => (2, 0.5),
            "rounded" => (3, 0.5),
            _ => (16, 1.0),
        };
        for (channels, ending) in [(3, "rgb"), (1, "grey")] {
            let name = format!("{} {ending}", entry.file_name().unwrap().display());
            let expected = fs::read(entry.with_extension(ending)).unwrap();
            match (DataSpec { channels: Some(channels), ..spec(&entry) }).load() {
                Ok(data) if data.shape == [size[0], size[1], channels] => {
                    let pixels = image(&data.train, 0);
                    let off: Vec<u8> = pixels.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).collect();
                    let (furthest, sum) = (*off.iter().max().unwrap(), off.iter().map(|&d| f64::from(d)).sum::<f64>());
                    if furthest > max || sum > mean * off.len() as f64 {
                        wrong.push(format!("{name}: differs by {furthest}, {:.2} in the mean", sum / off.len() as f64));
                    }
                }
                Ok(data) => wrong.push(format!("{name}: {:?} instead of {size:?}", data.shape)),
                Err(error) => wrong.push(format!("{name}: {error}")),
            }
        }
    }
    assert!(count > 150 && wrong.is_empty(), "{count} forms\n{}", wrong.join("\n"));
}

#[test]
fn formats_are_detected_by_content() {
    // A BMP of one blue pixel, named as a PNG.
    let mut bmp = b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\x18\0".to_vec();
    bmp.resize(54, 0);
    bmp.extend([200, 20, 10, 0]);
    let data = load(&bmp, "png", |spec| spec);
    assert_eq!((data.shape, image(&data.train, 0)), ([1, 1, 3], vec![10, 20, 200]));
    let output = run(&["train", "--help"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("--background"), "{output:?}");
}
