//! The networks of the zoo against PyTorch: outputs and gradients of one step, from the same weights and pixels. Of every network PyTorch's
//! answer at a small width is recorded in `tests/golden/zoo`. `PLUSMINUS_TORCH` names a Python that has PyTorch, which then runs
//! `benches/peers/zoo_step.py` for other weights, at width 1/8; without it that test says that it skips.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

mod support;

use plusminus::data::Batch;
use plusminus::nn::{MODELS, ModelSpec, Tensor, Weights};
use plusminus::optim::{BinaryRule, FloatRule};
use plusminus::runtime::CpuEngine;
use plusminus::tensor::{BitMatrix, Stream};
use plusminus::train::{Loss, Rules, Session};
use safetensors::SafeTensors;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::process::Command;

fn rules() -> Rules {
    Rules {
        binary: Box::new(BinaryRule::named("cema").unwrap().with::<f32>([]).unwrap()),
        float: FloatRule::named("adam").unwrap().with(1e-3, "constant".parse().unwrap(), &[]).unwrap(),
        layers: Vec::new(),
        control: None,
    }
}

fn floats(shape: &[usize], data: Vec<f32>) -> Tensor {
    Tensor::Floats { shape: shape.to_vec(), data }
}

fn write(path: &Path, tensors: &[(&str, Tensor)]) {
    let tensors = tensors.iter().map(|(name, tensor)| (name.to_string(), tensor.clone())).collect();
    std::fs::write(path, Weights { tensors }.to_bytes(&[]).unwrap()).unwrap();
}

/// PyTorch's answer, by name.
fn torch(python: &str, folder: &Path, spec: &ModelSpec) -> BTreeMap<String, Vec<f32>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/zoo_step.py");
    let width = spec.width.to_string();
    let status = Command::new(python)
        .args([script.as_os_str(), folder.as_os_str()])
        .args(["--model", &spec.model, "--width", &width])
        .status()
        .unwrap();
    assert!(status.success(), "{}: zoo_step.py", spec.model);
    let bytes = std::fs::read(folder.join("torch.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.tensors().into_iter().map(|(name, view)| (name, numbers(view.data()))).collect()
}

fn numbers(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn batch(pixels: &[u8], labels: Vec<u32>) -> Batch {
    Batch { pixels: words(pixels), valid: labels.len() as u32, labels, ..Batch::default() }
}

/// Largest difference, relative to the root mean square of what is expected.
fn difference(got: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let square: f64 = expected.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / expected.len() as f64;
    let most = got.iter().zip(expected).map(|(g, e)| f64::from((g - e).abs())).fold(0.0, f64::max);
    most / square.sqrt().max(1e-12)
}

/// Draws weights and pixels, runs both; gives how near a value came to a sign's decision, and the worst difference.
fn compare(python: &str, spec: &ModelSpec, rows: usize, seed: u64) -> (f32, f64, String) {
    let model = spec.build().unwrap();
    let engine = Box::new(CpuEngine::new(Some(2)).unwrap());
    let session = Session::with_gradients(&model, Loss::CrossEntropy(0.0), rules(), rows, seed, engine);
    let mut session = pollster::block_on(session).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let weights = pollster::block_on(session.weights()).unwrap();
    std::fs::write(folder.path().join("weights.safetensors"), weights.to_bytes(&[]).unwrap()).unwrap();
    let stream = Stream::new(seed, "pixels");
    let bytes: Vec<u8> = (0..(rows * model.features()) as u64).map(|i| stream.below(i, 256) as u8).collect();
    let labels: Vec<u32> = (0..rows as u32).map(|i| (3 + 4 * i) % 10).collect();
    let image = [&[rows][..], &spec.input].concat();
    let pixels = floats(&image, bytes.iter().map(|&b| f32::from(b)).collect());
    let as_floats = floats(&[rows], labels.iter().map(|&l| l as f32).collect());
    write(&folder.path().join("batch.safetensors"), &[("pixels", pixels), ("labels", as_floats)]);
    let batch = batch(&bytes, labels);
    pollster::block_on(session.train(&batch)).unwrap();
    let mut expected = torch(python, folder.path(), spec);
    let margin = expected.remove("margin").unwrap()[0];
    let loss = expected.remove("loss").unwrap()[0];
    let read_back = session.read_back().unwrap();
    let got = pollster::block_on(session.interval(read_back)).unwrap().unwrap().mean_loss();
    let mut worst = ((got - f64::from(loss)).abs() / f64::from(loss), "loss".to_string());
    for (name, expected) in expected {
        let Tensor::Floats { data, .. } = pollster::block_on(session.tensor(&name)).unwrap() else { unreachable!() };
        assert!(data.iter().any(|v| *v != 0.0), "{name} is all zeros");
        let difference = difference(&data, &expected);
        if difference > worst.0 {
            worst = (difference, name);
        }
    }
    (margin, worst.0, worst.1)
}

/// Of the root mean square of a gradient: sums of a few thousand f32 terms in another order, through up to twenty batch norms of few rows.
const ALLOWED: f64 = 2e-3;

#[test]
fn a_step_of_every_network_is_that_of_pytorch() {
    let Ok(python) = std::env::var("PLUSMINUS_TORCH") else {
        println!("skipped: PLUSMINUS_TORCH names no Python with torch (benches/peers/README.md)");
        return;
    };
    for zoo in &MODELS {
        // Images as small as the network lets them be: few values near a decision.
        let input = if zoo.input[0] == 224 { [64, 64, 3] } else { zoo.input };
        let spec = ModelSpec {
            hidden: (zoo.name == "mlp").then(|| vec![320, 264]),
            width: 0.125,
            ..ModelSpec::new(zoo.name, input, 10)
        };
        // A batch norm of two rows gives +-1 whatever comes: dense layers need some more.
        let rows = if zoo.name == "mlp" { 8 } else { 4 };
        // In a large network some value may lie so near to a sign's decision that rounding turns it, and all behind it differs: a network that is
        // right agrees on most seeds, one that is wrong on none.
        let mut differ = Vec::new();
        let found =
            (1..8).map(|seed| (seed, compare(&python, &spec, rows, seed))).find(|(seed, (margin, worst, name))| {
                let fine = *worst < ALLOWED;
                if !fine {
                    differ.push(format!(
                        "seed {seed}: {name} differs by {worst:.1e}, nearest to a decision {margin:.1e}"
                    ));
                }
                fine
            });
        let Some((seed, (margin, worst, name))) = found else { panic!("{}: {}", zoo.name, differ.join("; ")) };
        println!(
            "{}: seed {seed}, nearest to a decision {margin:.1e}, worst difference {worst:.1e} of {name}",
            zoo.name
        );
    }
}

/// A step that PyTorch took, as `tests/golden/README.md` describes it.
struct Golden<'a>(SafeTensors<'a>, HashMap<String, String>);

impl<'a> Golden<'a> {
    fn new(file: &'a [u8]) -> Self {
        let (_, header) = SafeTensors::read_metadata(file).unwrap();
        Self(SafeTensors::deserialize(file).unwrap(), header.metadata().clone().unwrap())
    }

    /// The network, as the file's notes say.
    fn spec(&self) -> ModelSpec {
        let note = |name: &str| self.1[name].as_str();
        let size: usize = note("size").parse().unwrap();
        let hidden = |units: &String| units.split(',').map(|units| units.parse().unwrap()).collect();
        ModelSpec {
            hidden: self.1.get("hidden").map(hidden),
            width: note("width").parse().unwrap(),
            ..ModelSpec::new(note("model"), [size, size, 3], 10)
        }
    }

    fn bytes(&self, name: &str) -> &[u8] {
        self.0.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}")).data()
    }

    /// The weights it started from; running statistics are as they are.
    fn weights(&self, first: Weights) -> Weights {
        let recorded = |(name, tensor): (String, Tensor)| {
            let tensor = match tensor {
                Tensor::Bits(bits) => {
                    let (rows, columns, signs) = (bits.rows(), bits.columns(), self.bytes(&name));
                    assert_eq!(signs.len(), (rows * columns).div_ceil(8), "{name}");
                    let bit = |i: usize| signs[i / 8] >> (i % 8) & 1 == 1;
                    Tensor::Bits(BitMatrix::from_fn(rows, columns, |r, c| bit(r * columns + c)))
                }
                Tensor::Floats { shape, data } => {
                    let data = if name.contains("running_") { data } else { numbers(self.bytes(&name)) };
                    floats(&shape, data)
                }
                other => panic!("{name}: expected signs or floats, got {}", other.describe()),
            };
            (name, tensor)
        };
        Weights { tensors: first.tensors.into_iter().map(recorded).collect() }
    }

    /// What was recorded of a gradient against all of it: the worst difference, in units of the root mean square.
    fn gradient_difference(&self, name: &str, got: &[f32]) -> f64 {
        let (some, sums) = (numbers(self.bytes(&format!("{name}.some"))), numbers(self.bytes(&format!("{name}.sums"))));
        let (sum, squares) = (f64::from(sums[0]), f64::from(sums[1]));
        let rms = (squares / got.len() as f64).sqrt();
        let entries =
            some.iter().enumerate().map(|(i, e)| f64::from((got[i * got.len() / some.len()] - e).abs()) / rms);
        let total = |of: fn(f64) -> f64| got.iter().map(|&g| of(f64::from(g))).sum::<f64>();
        // Errors of a sum add up as a random walk; a square errs twice.
        let of_sum = (total(|g| g) - sum).abs() / squares.sqrt();
        let of_squares = (total(|g| g * g) - squares).abs() / squares / 2.0;
        entries.chain([of_sum, of_squares]).max_by(f64::total_cmp).unwrap()
    }
}

#[test]
fn a_step_of_every_network_is_the_recorded_one() {
    for zoo in &MODELS {
        let name = zoo.name;
        let path = format!("{}/tests/golden/zoo/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
        let file = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let golden = Golden::new(&file);
        let spec = golden.spec();
        assert_eq!(spec.model, name);
        let model = spec.build().unwrap();
        let labels = words(golden.bytes("labels"));
        for (engine_name, engine) in support::engines() {
            let rows = labels.len();
            let session = Session::with_gradients(&model, Loss::CrossEntropy(0.0), rules(), rows, 1, engine);
            let mut session = pollster::block_on(session).unwrap();
            let weights = golden.weights(pollster::block_on(session.weights()).unwrap());
            session.set_weights(&weights).unwrap();
            pollster::block_on(session.train(&batch(golden.bytes("pixels"), labels.clone()))).unwrap();
            let read_back = session.read_back().unwrap();
            let loss = pollster::block_on(session.interval(read_back)).unwrap().unwrap().mean_loss();
            let is_kept = |name: &&String| name.ends_with(".grad");
            let trained: Vec<String> = session.plan().named.keys().filter(is_kept).cloned().collect();
            let mut read = |tensor: &str| match pollster::block_on(session.tensor(tensor)).unwrap() {
                Tensor::Floats { data, .. } => data,
                other => panic!("{tensor}: expected floats, got {}", other.describe()),
            };
            let recorded = f64::from(numbers(golden.bytes("loss"))[0]);
            let logits = difference(&read("logits"), &numbers(golden.bytes("logits")));
            let mut found = vec![("loss", (loss - recorded).abs() / recorded), ("logits", logits)];
            let names = golden.0.names();
            let gradients: Vec<&str> = names.iter().filter_map(|name| name.strip_suffix(".some")).collect();
            assert_eq!(gradients.len(), trained.len(), "{name}: gradients of {trained:?}");
            found.extend(gradients.iter().map(|name| (*name, golden.gradient_difference(name, &read(name)))));
            for (what, difference) in &found {
                assert!(*difference < ALLOWED, "{name}, {engine_name}: {what} differs by {difference:.1e}");
            }
            let worst = found.iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
            println!("{name}, {engine_name}: worst difference {:.1e} of {}", worst.1, worst.0);
        }
    }
}
