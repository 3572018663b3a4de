//! Tests of data sets from files: their contents, the batches that training receives, and one clear line for every error.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "tests panic on failure")]

#[path = "support/images.rs"]
mod images;
#[path = "support/program.rs"]
mod program;

use images::{jpeg, png};
use plusminus::Result;
use plusminus::data::{Batch, Data, DataSpec, Dataset, InMemory, Loader};
use plusminus::nn::PixelScale;
use plusminus::runtime::CpuEngine;
use plusminus::tensor::Stream;
use plusminus::train::{Event, Settings, Trainer};
use pollster::block_on;
use program::{folder, lines, refused, run};
use std::fs;
use std::path::Path;
use std::sync::Arc;

fn spec(dataset: &str, folder: &Path) -> DataSpec {
    DataSpec { dataset: dataset.into(), data_dir: Some(folder.into()), ..DataSpec::default() }
}

fn image(set: &Arc<dyn Dataset>, index: usize) -> Vec<u8> {
    let mut bytes = vec![0; set.shape().iter().product()];
    set.image(index, &mut bytes).unwrap();
    bytes
}

fn labels(set: &Arc<dyn Dataset>) -> Vec<u32> {
    (0..set.len()).map(|i| set.label(i)).collect()
}

/// Returns the red value of pixel `i` of a class: three rows are bright.
fn red(label: u8, i: usize) -> u8 {
    if i / 96 == usize::from(label) { 250 } else { 10 }
}

/// Returns CIFAR records of images whose pixels are (red, row, column). `head` precedes each label.
fn records(head: &[u8], labels: &[u8]) -> Vec<u8> {
    let planes = |label: u8| {
        (0..3).flat_map(move |c| (0..1024).map(move |i| [red(label, i), (i / 32) as u8, (i % 32) as u8][c]))
    };
    labels.iter().flat_map(|&label| head.iter().copied().chain([label]).chain(planes(label))).collect()
}

/// Writes the files of CIFAR-10 with 20 images each, two per class.
fn small_cifar10(folder: &Path) {
    let labels: Vec<u8> = (0..20).map(|i| i % 10).collect();
    for file in (1..=5).map(|i| format!("data_batch_{i}.bin")).chain(["test_batch.bin".into()]) {
        fs::write(folder.join(file), records(&[], &labels)).unwrap();
    }
}

#[test]
fn cifar_is_read_as_published() {
    let folder = folder();
    let unpacked = folder.path().join("cifar-10-batches-bin");
    fs::create_dir(&unpacked).unwrap();
    small_cifar10(&unpacked);
    let data = spec("cifar10", folder.path()).load().unwrap();
    assert_eq!((data.train.len(), data.test.len(), data.shape), (100, 20, [32, 32, 3]));
    assert_eq!((&*data.classes[0], &*data.classes[9]), ("airplane", "truck"), "names where there is no file of them");
    assert_eq!(labels(&data.train)[18..22], [8, 9, 0, 1]);
    let pixels = image(&data.train, 23);
    assert!(
        pixels.chunks(3).enumerate().all(|(i, p)| p == [red(3, i), (i / 32) as u8, (i % 32) as u8]),
        "channel last"
    );
    let scale = PixelScale::of(&data);
    let red = scale.scale[0] * 100.0 + scale.shift[0];
    assert!((red - (100.0 / 255.0 - 0.4914) / 0.2470).abs() < 1e-5 && scale.shift[1] != scale.shift[2], "{scale:?}");

    let names: Vec<String> = (0..10).map(|i| format!("name {i}")).collect();
    fs::write(unpacked.join("batches.meta.txt"), names.join("\n") + "\n\n").unwrap();
    assert_eq!(spec("cifar10", &unpacked).load().unwrap().classes, names);

    for (file, labels) in [("train.bin", &[99, 0, 5][..]), ("test.bin", &[7])] {
        fs::write(folder.path().join(file), records(&[19], labels)).unwrap();
    }
    let data = spec("cifar100", folder.path()).load().unwrap();
    assert_eq!((labels(&data.train), labels(&data.test)), (vec![99, 0, 5], vec![7]), "fine labels");
    assert_eq!((data.classes.len(), &*data.classes[99]), (100, "worm"));
    assert_eq!(image(&data.test, 0)[..6], [10, 0, 0, 10, 0, 1]);
}

#[test]
fn wrong_cifar_files_are_named() {
    let refuse = |change: &dyn Fn(&Path), words: &[&str]| {
        let folder = folder();
        small_cifar10(folder.path());
        change(folder.path());
        let args = ["train", "--dataset", "cifar10", "--data-dir", folder.path().to_str().unwrap(), "--hidden", "8"];
        let run = folder.path().join("run");
        refused(&[&args[..], &["--run", run.to_str().unwrap()]].concat(), 1, words);
        assert!(!run.exists(), "a run that never started leaves no folder");
    };
    let third = "data_batch_3.bin";
    refuse(&|f| fs::remove_file(f.join(third)).unwrap(), &[third, "www.cs.toronto.edu", "cifar-10-binary.tar.gz"]);
    let without = |f: &Path| {
        for file in (1..=5).map(|i| format!("data_batch_{i}.bin")).chain(["test_batch.bin".into()]) {
            fs::rename(f.join(&file), f.join(file.trim_end_matches(".bin"))).unwrap();
        }
    };
    let binary = "the binary version";
    refuse(&without, &[binary, "cifar-10-binary.tar.gz", "got `data_batch_1` of the version for Python"]);
    let in_folder = |f: &Path| {
        without(f);
        fs::create_dir(f.join("cifar-10-batches-py")).unwrap();
        fs::rename(f.join("data_batch_1"), f.join("cifar-10-batches-py/data_batch_1")).unwrap();
    };
    refuse(&in_folder, &[binary, "`cifar-10-batches-py/data_batch_1` of the version for Python"]);
    let packed = |f: &Path| {
        fs::remove_file(f.join("data_batch_1.bin")).unwrap();
        fs::write(f.join("cifar-10-binary.tar.gz"), "").unwrap();
    };
    refuse(&packed, &[binary, "`cifar-10-binary.tar.gz`, which must be unpacked"]);
    refuse(&|f| fs::write(f.join(third), [0; 5000]).unwrap(), &[third, "3073", "5000"]);
    refuse(&|f| fs::write(f.join("test_batch.bin"), []).unwrap(), &["test_batch.bin", "3073", "0 bytes"]);
    refuse(&|f| fs::write(f.join(third), records(&[], &[1, 10])).unwrap(), &[third, "below 10", "label 10 of image 1"]);
    refuse(&|f| fs::write(f.join("batches.meta.txt"), "cat\ndog\n").unwrap(), &["batches.meta.txt", "10 names", "2"]);
}

/// Writes an idx file: a header of big-endian numbers, then bytes.
fn idx(path: &Path, magic: u32, extents: &[u32], bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let head = [magic].iter().chain(extents).flat_map(|number| number.to_be_bytes()).collect::<Vec<u8>>();
    fs::write(path, [&head, bytes].concat()).unwrap();
}

/// Writes four idx files of images of 2 x 3 pixels, with labels from `first` on; `name` makes their paths from part and kind.
fn small_idx(folder: &Path, parts: [&str; 2], first: u8, name: impl Fn(&str, &str) -> String) {
    for part in parts {
        let pixels: Vec<u8> = (0..24).collect();
        idx(&folder.join(name(part, "images-idx3")), 0x803, &[4, 2, 3], &pixels);
        idx(&folder.join(name(part, "labels-idx1")), 0x801, &[4], &[first, first + 1, first + 9, first]);
    }
}

#[test]
fn idx_files_are_found_under_their_other_names() {
    let mnist = ["train", "t10k"];
    let usual = |part: &str, kind: &str| format!("{part}-{kind}-ubyte");
    type Rename<'a> = &'a dyn Fn(&str, &str) -> String;
    let names: [(&str, Rename<'_>); 6] = [
        ("as published", &usual),
        ("with a dot", &|part, kind| format!("{part}-{}-ubyte", kind.replace('-', "."))),
        ("in capitals", &|part, kind| usual(part, kind).to_uppercase()),
        ("not gzipped, but called so", &|part, kind| usual(part, kind) + ".gz"),
        ("as torchvision unpacks them", &|part, kind| format!("MNIST/raw/{}", usual(part, kind))),
        ("in folders of their names", &|part, kind| format!("{0}/{0}", usual(part, kind))),
    ];
    for (what, name) in names {
        let folder = folder();
        small_idx(folder.path(), mnist, 0, name);
        let data = spec("mnist", folder.path()).load().unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!((data.shape, labels(&data.test), data.train.len()), ([2, 3, 1], vec![0, 1, 9, 0], 4), "{what}");
        assert_eq!(image(&data.test, 1), [6, 7, 8, 9, 10, 11], "{what}");
    }
    let folder = folder();
    small_idx(folder.path(), mnist, 0, |part, kind| format!("FashionMNIST/raw/{}", usual(part, kind)));
    assert_eq!(spec("fashion-mnist", folder.path()).load().unwrap().classes[9], "boot");
    let missing = spec("mnist", folder.path()).load().unwrap_err().to_string();
    assert!(missing.contains("train-images-idx3-ubyte.gz") && missing.contains("yann.lecun.com"), "{missing}");
}

#[test]
fn emnist_has_columns_and_its_own_labels() {
    let folder = folder();
    let name = |part: &str, kind: &str| format!("gzip/{part}-{kind}-ubyte");
    small_idx(folder.path(), ["emnist-letters-train", "emnist-letters-test"], 1, name);
    small_idx(folder.path(), ["emnist-balanced-train", "emnist-balanced-test"], 37, name);
    let letters = spec("emnist-letters", folder.path()).load().unwrap();
    assert_eq!((letters.shape, labels(&letters.test)), ([3, 2, 1], vec![0, 1, 9, 0]), "labels from 1");
    assert_eq!(image(&letters.test, 1), [6, 9, 7, 10, 8, 11], "columns become rows");
    assert_eq!((&*letters.classes[0], letters.classes.len()), ("A", 26));
    let balanced = spec("emnist-balanced", folder.path()).load().unwrap();
    assert_eq!((labels(&balanced.test), &*balanced.classes[37]), (vec![37, 38, 46, 37], "b"));
    small_idx(folder.path(), ["emnist-letters-train", "emnist-letters-test"], 0, name);
    let wrong = spec("emnist-letters", folder.path()).load().unwrap_err().to_string();
    assert!(wrong.contains("labels from 1 and below 27, got label 0 of image 0"), "{wrong}");
}

/// Writes two classes of grey 6 x 6 images, with five training and two test images each; pixel values start at 10 and 200.
fn small_folder(root: &Path) {
    for (part, count) in [("train", 5), ("test", 2)] {
        for (class, first) in [("dark", 10), ("light", 200)] {
            for i in 0..count {
                png(&root.join(part).join(class).join(format!("{i}.png")), [6, 6], 1, &[first + i; 36]);
            }
        }
    }
}

#[test]
fn a_folder_gives_classes_and_images_in_order() {
    let folder = folder();
    let root = folder.path();
    small_folder(root);
    fs::write(root.join("train/dark/notes.txt"), "no image").unwrap();
    fs::create_dir(root.join("train/.hidden")).unwrap();
    let data = spec("folder", root).load().unwrap();
    assert_eq!((data.classes.join(" "), data.shape), ("dark light".into(), [6, 6, 1]), "grey, because all images are");
    assert_eq!((labels(&data.train), labels(&data.test)), ([vec![0; 5], vec![1; 5]].concat(), vec![0, 0, 1, 1]));
    assert_eq!((image(&data.train, 7), image(&data.test, 1)), (vec![202; 36], vec![11; 36]));
    assert_eq!(spec("svhn-folder", root).load().unwrap().shape, [32, 32, 1]);

    // One colour image makes all images colour; --channels overrides this.
    png(&root.join("test/dark/0.png"), [6, 6], 3, &[255, 0, 0].repeat(36));
    let data = spec("folder", root).load().unwrap();
    assert_eq!((image(&data.train, 7), image(&data.test, 0)), (vec![202; 108], [255, 0, 0].repeat(36)));
    let grey = DataSpec { channels: Some(1), ..spec("folder", root) }.load().unwrap();
    assert_eq!((grey.shape, image(&grey.test, 0)), ([6, 6, 1], vec![76; 36]), "luma of red");
}

#[test]
fn every_kind_of_image_is_read() {
    let folder = folder();
    let root = folder.path();
    small_folder(root);
    let class = root.join("train/dark");
    png(&class.join("a.png"), [6, 6], 2, &[77, 0].repeat(36));
    png(&class.join("b.PNG"), [6, 6], 4, &[1, 2, 3, 0].repeat(36));
    fs::rename(class.join("a.png"), class.join("a.JPEG")).unwrap();
    // Blocks of 8 x 8 scaled to 6 x 6 and cropped at the centre.
    jpeg(&class.join("c.jpg"), &[&[90, 90], &[90, 90]]);
    jpeg(&class.join("d.jpg"), &[&[0, 255, 3], &[0, 255, 3], &[0, 255, 3]]);
    let without_alpha = DataSpec { background: Some("none".into()), ..spec("folder", root) };
    let data = DataSpec { image_size: Some("6x6".into()), ..without_alpha }.load().unwrap();
    assert_eq!(data.skipped, [""; 0]);
    assert_eq!((data.shape, data.train.len()), ([6, 6, 3], 14));
    assert_eq!(image(&data.train, 5), [77; 108], "a PNG with alpha, whatever its name says");
    assert_eq!(image(&data.train, 6), [1, 2, 3].repeat(36));
    assert_eq!(image(&data.train, 7), [90; 108]);
    let stripes = image(&data.train, 8);
    assert_eq!(stripes[..3], [0; 3], "{stripes:?}");
    assert!(stripes[6] > 215 && stripes[15] < 5, "{stripes:?}");
    // An image of another shape is scaled to cover the target and cropped at the centre.
    jpeg(&class.join("e.jpg"), &[&[200, 50, 50, 50, 50, 9]]);
    let data = DataSpec { image_size: Some("4x8".into()), ..spec("folder", root) }.load().unwrap();
    let middle = image(&data.train, 9);
    assert_eq!((data.shape, &middle[..]), ([4, 8, 3], &[50; 96][..]));
}

#[test]
fn images_that_cannot_be_read_are_named_and_left_out() {
    let folder = folder();
    let root = folder.path();
    small_folder(root);
    let class = root.join("train/light");
    fs::write(class.join("1.png"), "text").unwrap();
    let whole = fs::read(class.join("2.png")).unwrap();
    fs::write(class.join("2.png"), &whole[..whole.len() - 20]).unwrap();
    jpeg(&class.join("7.jpg"), &[&[90]]);
    let whole = fs::read(class.join("7.jpg")).unwrap();
    fs::write(class.join("7.jpg"), &whole[..whole.len() - 3]).unwrap();
    fs::write(class.join("8.jpg"), &whole[..40]).unwrap();
    let spec = DataSpec { image_size: Some("6x6".into()), ..spec("folder", root) };
    let data = spec.load().unwrap();
    assert_eq!((data.train.len(), data.skipped.len()), (8, 4), "{:?}", data.skipped);
    for name in ["1.png: none of PNG, JPEG", "2.png: ", "7.jpg: the file is truncated", "8.jpg: "] {
        assert!(data.skipped.iter().any(|skipped| skipped.contains(name)), "{name} in {:?}", data.skipped);
    }
    assert_eq!((image(&data.train, 6), data.train.label(6)), (vec![203; 36], 1), "indices stay contiguous");

    let (root, run_folder) = (root.to_str().unwrap(), root.join("run"));
    let args = ["train", "--dataset", "folder", "--data-dir", root, "--image-size", "6x6", "--hidden", "8", "--json"];
    let args = [&args[..], &["--batch-size", "4", "--epochs", "1", "--run", run_folder.to_str().unwrap()]].concat();
    refused(&[&args[..], &["--strict"]].concat(), 1, &["1.png", "an image that can be read", "PNG, JPEG"]);
    let output = run(&args);
    assert_eq!(lines(&output)[0]["skipped"].as_array().unwrap().len(), 4, "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("skipped  4 unreadable images") && said.contains("7.jpg"), "{said}");
    assert_eq!(said.lines().filter(|line| line.starts_with("         ")).count(), 4, "one line per file: {said}");
    let eval = lines(&run(&["eval", run_folder.to_str().unwrap(), "--json"]));
    assert!(eval[0]["per_class"]["dark"].is_number() && eval[0]["per_class"]["light"].is_number(), "{eval:?}");
    for part in ["train", "test"] {
        fs::rename(folder.path().join(part).join("dark"), folder.path().join(part).join("night")).unwrap();
    }
    refused(&["eval", run_folder.to_str().unwrap()], 2, &["data-dir", "dark, light", "light, night"]);
}

#[test]
fn folders_that_are_wrong() {
    let refuse = |code: i32, change: &dyn Fn(&Path), flags: &[&str], words: &[&str]| {
        let folder = folder();
        small_folder(folder.path());
        change(folder.path());
        let args = ["train", "--dataset", "folder", "--data-dir", folder.path().to_str().unwrap()];
        let args = [&args[..], &["--hidden", "8", "--batch-size", "4", "--epochs", "1"], flags].concat();
        refused(&[&args[..], &["--run", folder.path().join("run").to_str().unwrap()]].concat(), code, words);
    };
    let remove = |f: &Path, path: &str| fs::remove_dir_all(f.join(path)).unwrap();
    let empty = |f: &Path, path: &str| {
        remove(f, path);
        fs::create_dir(f.join(path)).unwrap();
    };
    let odd = |f: &Path| png(&f.join("train/light/odd.png"), [5, 7], 1, &[0; 35]);
    let nothing = |_: &Path| {};
    refuse(1, &|f| remove(f, "train/dark"), &[], &["train", "at least 2 folders of images", "light"]);
    refuse(1, &|f| empty(f, "train/dark"), &[], &["train/dark", ".png", "none"]);
    refuse(1, &|f| empty(f, "test/light"), &[], &["test/light", ".png", "none"]);
    refuse(1, &|f| remove(f, "train"), &[], &["a training part", "got test"]);
    refuse(
        1,
        &|f| fs::rename(f.join("test"), f.join("Training")).unwrap(),
        &[],
        &["one folder per part", "Training and train"],
    );
    let loose = |f: &Path| {
        remove(f, "train");
        png(&f.join("train/1.png"), [6, 6], 1, &[0; 36]);
    };
    refuse(1, &loose, &[], &["train: ", "one folder per class, as in test", "images without a class"]);
    refuse(1, &|f| fs::rename(f.join("test/dark"), f.join("test/night")).unwrap(), &[], &["dark, light", "night"]);
    refuse(
        1,
        &|f| [remove(f, "train"), remove(f, "test")].into_iter().collect(),
        &[],
        &["2 folders of images", "none"],
    );
    refuse(2, &odd, &[], &["image-size", "6x6", "5x7", "odd.png"]);
    refuse(2, &nothing, &["--crop", "7x6"], &["crop", "6x6", "7x6"]);
    refuse(2, &nothing, &["--crop", "7"], &["crop", "HEIGHTxWIDTH", "7"]);
    refuse(2, &nothing, &["--image-size", "0x4"], &["image-size", "HEIGHTxWIDTH", "0x4"]);
    refuse(2, &nothing, &["--channels", "2"], &["channels", "1 or 3", "2"]);
    refuse(2, &nothing, &["--augment", "lighting"], &["augment", "3 channels", "1"]);
    refuse(2, &nothing, &["--mean", "0.1,0.2"], &["mean", "2 numbers"]);
    let unreadable = |f: &Path| (0..5).for_each(|i| fs::write(f.join(format!("train/dark/{i}.png")), "x").unwrap());
    refuse(1, &unreadable, &[], &["class `dark`", "4.png"]);
    refused(&["train", "--dataset", "folder", "--data-dir", "/nowhere"], 1, &["/nowhere"]);
    refused(&["train", "--dataset", "folder"], 2, &["data-dir", "folder"]);
}

#[test]
fn flags_of_data_that_are_wrong() {
    for (flags, words) in [
        (vec!["--augment", "blur"], vec!["augment", "pad-crop", "blur"]),
        (vec!["--augment", "pad-crop,random-resized-crop"], vec!["augment", "one way to crop"]),
        (vec!["--augment", "none,flip"], vec!["augment", "none"]),
        (vec!["--augment", "lighting"], vec!["augment", "3 channels", "1"]),
        (vec!["--validation", "1"], vec!["validation", "[0, 1)", "1"]),
        (vec!["--validation", "nan"], vec!["validation", "[0, 1)", "nan"]),
        (vec!["--crop", "9x8"], vec!["crop", "8x8", "9x8"]),
        (vec!["--image-size", "8x8"], vec!["image-size", "folder", "digits"]),
        (vec!["--channels", "1"], vec!["channels", "folder", "digits"]),
        (vec!["--background", "white"], vec!["background", "folder", "digits"]),
        (vec!["--background", "red", "--dataset", "folder"], vec!["background", "#RRGGBB", "red"]),
        (vec!["--std", "0"], vec!["std", "above 0", "0"]),
        (vec!["--mean", "inf"], vec!["mean", "from 0 to 1", "inf"]),
        (vec!["--mean", "125.3,123,113.9"], vec!["mean", "from 0 to 1", "125.3"]),
        (vec!["--std", "63"], vec!["std", "at most 1", "63"]),
        (vec!["--mean", "1,2,3,4,5"], vec!["mean", "5 numbers"]),
    ] {
        refused(&[&["train"], &flags[..]].concat(), 2, &words);
    }
}

fn noise(shape: [usize; 3], count: usize) -> Arc<InMemory> {
    let stream = Stream::new(7, "noise");
    let pixels = (0..count * shape.iter().product::<usize>()).map(|i| stream.word(i as u64) as u8).collect();
    Arc::new(InMemory { shape, pixels, labels: (0..count as u32).map(|i| i % 10).collect() })
}

fn noisy(shape: [usize; 3], crop: [usize; 2], augment: &str) -> Data {
    let (names, train) = (augment.split(',').map(String::from).collect::<Vec<_>>(), noise(shape, 50));
    let classes = (0..10).map(|i| i.to_string()).collect();
    let data = Data::new("noise", 255, classes, train.clone(), train);
    let augment = plusminus::data::Augment::parse(&names).unwrap();
    Data { augment, shape: [crop[0], crop[1], shape[2]], ..data }
}

#[test]
fn threads_change_no_batch() {
    for (augment, crop) in
        [("pad-crop,flip", [16, 16]), ("random-resized-crop,flip,lighting", [13, 11]), ("none", [9, 9])]
    {
        let data = noisy([16, 16, 3], crop, augment);
        let epoch = |threads, number, seed| -> Vec<Batch> {
            let loader = Loader::training(&data, 16).unwrap().with_threads(Some(threads));
            loader.epoch(Some(Stream::new(seed, &format!("order.{number}")))).map(Result::unwrap).collect()
        };
        let one = epoch(1, 1, 1);
        assert_eq!(one.len(), 4);
        assert!(one == epoch(4, 1, 1), "{augment}: four threads");
        assert!(one != epoch(1, 2, 1) && one != epoch(1, 1, 2), "{augment}: another epoch, another seed");
    }
}

#[test]
fn an_augmentation_differs_by_epoch_and_evaluation_has_none() {
    let data = noisy([16, 16, 3], [16, 16], "pad-crop,flip");
    let first = |stream: Stream| {
        let batch = Loader::training(&data, 50).unwrap().epoch(Some(stream)).next().unwrap().unwrap();
        let bytes: &[u8] = bytes_of(&batch.pixels);
        let rows = bytes.chunks(768).map(<[u8]>::to_vec).collect::<Vec<_>>();
        let originals = (0..50).map(|i| image(&data.train, i)).collect::<Vec<_>>();
        rows.iter().filter(|row| originals.contains(row)).count()
    };
    assert!(first(Stream::new(1, "order.1")) < 5, "nearly all of 50 images are moved or mirrored");
    let evaluated = Loader::for_evaluation(&data, &data.test, 50).unwrap().epoch(None).next().unwrap().unwrap();
    assert_eq!(bytes_of(&evaluated.pixels)[..768], image(&data.test, 0), "as it is");
}

fn bytes_of(words: &[u32]) -> &[u8] {
    bytemuck::cast_slice(words)
}

/// A set some of whose images can no longer be read: they are skipped, or end training.
struct Vanishing {
    images: InMemory,
    gone: std::ops::Range<usize>,
    ends_training: bool,
}

impl Dataset for Vanishing {
    fn shape(&self) -> [usize; 3] {
        self.images.shape
    }

    fn len(&self) -> usize {
        self.images.len()
    }

    fn image(&self, index: usize, out: &mut [u8]) -> Result<()> {
        let path = format!("gone/{index}.png").into();
        match (self.gone.contains(&index), self.ends_training) {
            (false, _) => self.images.image(index, out),
            (true, false) => Err(plusminus::Error::Unreadable { path, reason: "nothing".into() }),
            (true, true) => {
                Err(plusminus::Error::Format { path, expected: "a PNG or JPEG image".into(), got: "nothing".into() })
            }
        }
    }

    fn label(&self, index: usize) -> u32 {
        self.images.label(index)
    }

    fn decodes_lazily(&self) -> bool {
        true
    }
}

fn vanishing(count: usize, gone: std::ops::Range<usize>, ends_training: bool) -> Arc<dyn Dataset> {
    Arc::new(Vanishing { images: (*noise([4, 4, 1], count)).clone(), gone, ends_training })
}

fn trainer(settings: Settings, data: Data) -> Trainer {
    let settings = Settings { hidden: Some(vec![16]), batch_size: Some(10), ..settings };
    let config = settings.resolve().unwrap();
    let model = config.model_for(&data).build().unwrap();
    let engine = Box::new(CpuEngine::new(Some(1)).unwrap());
    block_on(Trainer::from_parts(config, data, model, (engine, "a test".into()), None)).unwrap()
}

#[test]
fn an_error_of_a_data_set_ends_training() {
    for threads in [1, 4] {
        let data = noisy([4, 4, 1], [4, 4], "none");
        let data = Data { train: vanishing(50, 30..31, true), ..data };
        let mut trainer = trainer(Settings { threads: Some(threads), ..Settings::default() }, data);
        let error = block_on(trainer.fit(|_| {})).unwrap_err().to_string();
        assert_eq!(error, "gone/30.png: expected a PNG or JPEG image, got nothing");
    }
}

#[test]
fn in_the_place_of_an_image_that_cannot_be_read_comes_the_next() {
    for (count, gone, batches) in [(50, 30..31, 5), (50, 0..7, 5), (41, 40..41, 4), (50, 49..50, 5), (45, 10..41, 2)] {
        for crop in [[4, 4], [3, 2]] {
            let data = Data { train: vanishing(count, gone.clone(), false), ..noisy([4, 4, 1], crop, "none") };
            let epoch = |threads, order: Option<Stream>| -> (Vec<Batch>, Vec<String>) {
                let loader = Loader::training(&data, 10).unwrap().with_threads(Some(threads));
                (loader.epoch(order).map(Result::unwrap).collect(), loader.skipped())
            };
            let order = Some(Stream::new(1, "order.1"));
            let (one, skipped) = epoch(1, order);
            assert_eq!((one.len(), skipped.len()), (batches, gone.len()), "{count} {gone:?}");
            assert!(skipped[0].starts_with("gone/") && skipped[0].ends_with(".png: nothing"), "{skipped:?}");
            assert!(one == epoch(4, order).0, "whatever the threads");
            // Every batch but the last is full, every readable image is there once, and padding is 0.
            let valid: Vec<u32> = one.iter().map(|batch| batch.valid).collect();
            assert!(valid[..batches - 1].iter().all(|&valid| valid == 10), "{valid:?}");
            for batch in epoch(2, None).0.iter().chain(&one) {
                let bytes = crop[0] * crop[1];
                let rows = bytes_of(&batch.pixels).chunks(bytes);
                let shown = noisy([4, 4, 1], crop, "none");
                let whole = Loader::for_evaluation(
                    &Data { train: noise([4, 4, 1], count), ..shown },
                    &(noise([4, 4, 1], count) as _),
                    count,
                );
                let whole = whole.unwrap().epoch(None).next().unwrap().unwrap();
                for (row, pixels) in rows.take(10).enumerate() {
                    match batch.samples.get(row) {
                        Some(&sample) => {
                            assert_eq!(pixels, &bytes_of(&whole.pixels)[sample as usize * bytes..][..bytes]);
                            assert_eq!(batch.labels[row], sample % 10);
                        }
                        None => assert!(pixels.iter().all(|&byte| byte == 0) && batch.labels[row] == 0),
                    }
                }
            }
            let mut samples: Vec<u32> = one.iter().flat_map(|batch| batch.samples.clone()).collect();
            samples.sort_unstable();
            assert_eq!(samples, (0..count as u32).filter(|&i| !gone.contains(&(i as usize))).collect::<Vec<_>>());
        }
    }
}

#[test]
fn training_goes_on_without_images_that_cannot_be_read() {
    let data = noisy([4, 4, 1], [4, 4], "none");
    let run = |train, test| {
        let data = Data { train, test, ..data.clone() };
        let mut trainer = trainer(Settings { epochs: Some(2), ..Settings::default() }, data);
        let mut events = Vec::new();
        block_on(trainer.fit(|event| events.push(event.clone()))).map(|_| events)
    };
    let events = run(vanishing(41, 40..41, false), vanishing(50, 0..2, false)).unwrap();
    let skipped: Vec<&[String]> = events
        .iter()
        .filter_map(|event| match event {
            Event::Epoch { skipped, .. } => Some(&skipped[..]),
            _ => None,
        })
        .collect();
    assert_eq!(skipped[0], ["gone/0.png: nothing", "gone/1.png: nothing", "gone/40.png: nothing"]);
    assert!(skipped[1].is_empty(), "named once: {skipped:?}");
    assert!(matches!(events.last(), Some(Event::Done { skipped: 3, .. })), "{:?}", events.last());
    let error = run(vanishing(20, 0..20, false), noise([4, 4, 1], 50)).unwrap_err().to_string();
    assert!(error.contains("training images that can be read") && error.contains("gone/0.png"), "{error}");
}

#[test]
fn a_model_larger_than_the_images_is_refused() {
    let data = Data { shape: [5, 4, 1], ..noisy([4, 4, 1], [4, 4], "none") };
    let config = Settings { hidden: Some(vec![16]), batch_size: Some(10), ..Settings::default() }.resolve().unwrap();
    let model = config.model_for(&data).build().unwrap();
    let engine = Box::new(CpuEngine::new(Some(1)).unwrap());
    let Err(error) = block_on(Trainer::from_parts(config, data, model, (engine, "a test".into()), None)) else {
        panic!("a view larger than the images was accepted");
    };
    assert!(error.to_string().contains("5x4") && error.to_string().contains("4x4x1"), "{error}");
}

#[test]
fn images_held_back_are_reported_and_the_best_epoch_is_noted() {
    let settings = Settings { validation: Some(0.1), epochs: Some(4), limit: Some(500), ..Settings::default() };
    let data = settings.clone().resolve().unwrap().data().load().unwrap();
    assert_eq!((data.train.len(), data.test.len()), (500, 360), "a limit cuts training alone");
    let validation = data.validation.clone().unwrap();
    assert!((135..=150).contains(&validation.len()), "a tenth of 1,437: {}", validation.len());
    let held: Vec<Vec<u8>> = (0..validation.len()).map(|i| image(&validation, i)).collect();
    assert!((0..500).all(|i| !held.contains(&image(&data.train, i))), "no validation image is trained on");
    let counts = (0..10).map(|class| labels(&data.train).iter().filter(|&&l| l == class).count()).collect::<Vec<_>>();
    assert_eq!(counts, [50; 10], "balanced");

    let (mut trainer, mut seen) = (trainer(settings, data), Vec::new());
    let outcome = block_on(trainer.fit(|event| {
        if let Event::Epoch { epoch, validation_accuracy, validation_loss, test_accuracy, .. } = event {
            assert!(validation_loss.unwrap().is_finite());
            seen.push((*epoch, validation_accuracy.unwrap(), *test_accuracy));
        }
    }));
    let best = outcome.unwrap().best.unwrap();
    let top = seen.iter().map(|(_, accuracy, _)| *accuracy).fold(0.0, f64::max);
    let first = seen.iter().find(|(_, accuracy, _)| *accuracy == top).unwrap();
    assert_eq!((best.epoch, best.validation_accuracy, best.test_accuracy), *first, "{seen:?}");
}

#[test]
fn a_network_learns_small_cifar_and_its_configuration_comes_back() {
    let folder = folder();
    small_cifar10(folder.path());
    let run_folder = folder.path().join("run");
    let (data, run_folder) = (folder.path().to_str().unwrap(), run_folder.to_str().unwrap());
    let args = ["train", "--dataset", "cifar10", "--data-dir", data, "--hidden", "64", "--batch-size", "20", "--json"];
    let more = ["--epochs", "10", "--validation", "0.2", "--augment", "flip", "--crop", "30x32", "--run", run_folder];
    let events = lines(&run(&[&args[..], &more].concat()));
    assert_eq!((&events[0]["train_images"], &events[0]["validation_images"]), (&80.into(), &20.into()));
    assert_eq!((&events[0]["input"], &events[0]["classes"]), (&serde_json::json!([30, 32, 3]), &10.into()));
    let done = events.last().unwrap();
    assert!(done["test_accuracy"].as_f64().unwrap() > 0.8 && done["best"]["epoch"].is_u64(), "{done}");
    let config = fs::read_to_string(Path::new(run_folder).join("config.toml")).unwrap();
    for line in ["augment = [\"flip\"]", "validation = 0.2", "crop = \"30x32\"", "strict = false"] {
        assert!(config.contains(line), "`{line}` in {config}");
    }
    let eval = lines(&run(&["eval", run_folder, "--json"]));
    assert_eq!(eval[0]["test_accuracy"], done["test_accuracy"]);
    assert!(eval[0]["per_class"]["frog"].is_number());
}
