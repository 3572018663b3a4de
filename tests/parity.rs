//! Parity with PyTorch, from the 20 recorded steps of `tests/golden`. Each step starts from PyTorch's state; loss, gradients, running
//! statistics, Adam's results and both filters are held to the table of tolerances, and the binary weights to equality wherever the
//! filter behind them is more than rounding noise (see the README there). A free run from the first state must keep to the losses.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that fails panics, and says what it measured")]

mod support;
#[path = "support/tolerance.rs"]
mod tolerance;

use plusminus::data::Batch;
use plusminus::nn::{Model, ModelSpec, PixelScale, Tensor};
use plusminus::optim::{Adam, CEMA, Schedule};
use plusminus::runtime::Engine;
use plusminus::tensor::BitMatrix;
use plusminus::train::{Loss, Rules, Session};
use pollster::block_on;
use safetensors::SafeTensors;
use std::collections::BTreeMap;
use tolerance::{FIRST_MOMENT, GRADIENT, LOSS, PARAMETER, SECOND_FILTER, SECOND_MOMENT, TRAJECTORY, Tolerance};

static FILE: &[u8] = include_bytes!("golden/mlp.safetensors");
const STEPS: u64 = 20;
const LAYERS: std::ops::RangeInclusive<usize> = 1..=3;

struct Golden<'a>(SafeTensors<'a>);

impl Golden<'_> {
    fn open() -> Self {
        Self(SafeTensors::deserialize(FILE).unwrap())
    }

    fn raw(&self, step: u64, name: &str) -> (Vec<usize>, Vec<u8>) {
        let view = self.0.tensor(&format!("t{step}.{name}")).unwrap();
        (view.shape().to_vec(), view.data().to_vec())
    }

    fn floats(&self, step: u64, name: &str) -> Vec<f32> {
        let (_, bytes) = self.raw(step, name);
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    }

    fn tensor(&self, step: u64, name: &str) -> Tensor {
        Tensor::Floats { shape: self.raw(step, name).0, data: self.floats(step, name) }
    }

    fn signs(&self, step: u64, name: &str) -> BitMatrix {
        let (shape, bytes) = self.raw(step, name);
        BitMatrix::from_fn(shape[0], shape[1], |r, c| bytes[r * shape[1] + c] == 1)
    }

    fn batch(&self, step: u64) -> Batch {
        let (_, pixels) = self.raw(step, "images");
        let (_, labels) = self.raw(step, "labels");
        let words = |bytes: &[u8]| bytes.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect();
        let (pixels, labels): (Vec<u32>, Vec<u32>) = (words(&pixels), words(&labels));
        Batch { valid: labels.len() as u32, pixels, labels, ..Batch::default() }
    }
}

/// Names of the float states: ours, the file's, and the tolerance of a step.
fn states(i: usize) -> Vec<(String, String, Tolerance)> {
    let row = |ours: &str, theirs: &str, tolerance| (format!("norm{i}.{ours}"), format!("norm{i}.{theirs}"), tolerance);
    vec![
        (format!("dense{i}.weight.m"), format!("dense{i}.m"), FIRST_MOMENT),
        (format!("dense{i}.weight.h"), format!("dense{i}.h"), SECOND_FILTER),
        row("scale", "scale", PARAMETER),
        row("bias", "bias", PARAMETER),
        row("running_mean", "running_mean", PARAMETER),
        row("running_variance", "running_var", PARAMETER),
        row("scale.m", "scale_m", FIRST_MOMENT),
        row("scale.v", "scale_v", SECOND_MOMENT),
        row("bias.m", "bias_m", FIRST_MOMENT),
        row("bias.v", "bias_v", SECOND_MOMENT),
    ]
}

fn session(engine: Box<dyn Engine>) -> Session {
    let spec = ModelSpec {
        hidden: Some(vec![33, 20]),
        pixels: PixelScale::to_unit(16),
        ..ModelSpec::new("mlp", [8, 8, 1], 10)
    };
    let model: Model = spec.build().unwrap();
    let rules = Rules {
        binary: Box::new(CEMA.with([("alpha", 0.01), ("gamma", 0.1)]).unwrap()),
        float: Box::new(Adam::new(1e-3, Schedule::constant()).unwrap()),
        layers: Vec::new(),
        control: None,
    };
    let mut session = block_on(Session::with_gradients(&model, Loss::CrossEntropy(0.0), rules, 16, 1, engine)).unwrap();
    session.set_total_steps(STEPS);
    session
}

fn set_state(session: &mut Session, golden: &Golden<'_>, step: u64) {
    for i in LAYERS {
        let name = format!("dense{i}.weight");
        session.set_tensor(&name, &Tensor::Bits(golden.signs(step, &name))).unwrap();
        for (ours, theirs, _) in states(i) {
            session.set_tensor(&ours, &golden.tensor(step, &theirs)).unwrap();
        }
    }
}

fn floats(session: &mut Session, name: &str) -> Vec<f32> {
    match block_on(session.tensor(name)).unwrap() {
        Tensor::Floats { data, .. } => data,
        other => panic!("`{name}`: expected floats, got {}", other.describe()),
    }
}

/// Takes step `step`; gives its loss.
fn train(session: &mut Session, golden: &Golden<'_>, step: u64) -> f64 {
    assert_eq!(session.step(), step);
    block_on(session.train(&golden.batch(step))).unwrap();
    let read_back = session.read_back().unwrap();
    block_on(session.interval(read_back))
        .unwrap()
        .unwrap_or_else(|step| panic!("the loss of step {step} is not finite"))
        .loss
}

/// Weights that were compared, that agree, and all of them.
#[derive(Default)]
struct Signs {
    compared: usize,
    agree: usize,
    all: usize,
}

/// Compares the weights of layer `i` with the record of `step` wherever the recorded filter is more than rounding noise.
fn compare_signs(session: &mut Session, golden: &Golden<'_>, step: u64, i: usize, signs: &mut Signs, place: &str) {
    let name = format!("dense{i}.weight");
    let expected = golden.signs(step, &name);
    let Tensor::Bits(got) = block_on(session.tensor(&name)).unwrap() else { panic!("`{name}`: expected signs") };
    let h = golden.floats(step, &format!("dense{i}.h"));
    let rms = (h.iter().map(|&h| f64::from(h).powi(2)).sum::<f64>() / h.len() as f64).sqrt();
    let floor = 1e-5 * rms;
    for (at, &h) in h.iter().enumerate() {
        let (r, c) = (at / expected.columns(), at % expected.columns());
        signs.all += 1;
        if f64::from(h).abs() < floor {
            continue;
        }
        signs.compared += 1;
        signs.agree += usize::from(got.is_positive(r, c) == expected.is_positive(r, c));
        assert_eq!(
            got.is_positive(r, c),
            expected.is_positive(r, c),
            "{place}: sign of {name}[{r}][{c}], where PyTorch's h is {h:e} (floor {floor:e})"
        );
    }
}

#[test]
fn every_step_from_the_recorded_state_arrives_where_pytorch_arrives() {
    let golden = Golden::open();
    for (engine_name, engine) in support::engines() {
        let mut session = session(engine);
        let mut shares: BTreeMap<String, (f64, Tolerance)> = BTreeMap::new();
        let mut signs = Signs::default();
        for step in 0..STEPS {
            let place = format!("{engine_name}: step {step}");
            set_state(&mut session, &golden, step);
            let loss = train(&mut session, &golden, step);
            let mut check = |what: &str, row: Tolerance, got: &[f32], expected: &[f32]| {
                let share = tolerance::check(&row, &format!("{place}: {what}"), got, expected);
                let worst = shares.entry(what.to_string()).or_insert((0.0, row));
                worst.0 = worst.0.max(share);
            };
            check("loss", LOSS, &[loss as f32], &golden.floats(step, "loss"));
            for i in LAYERS {
                for (ours, theirs) in [
                    (format!("dense{i}.weight.grad"), format!("dense{i}.grad")),
                    (format!("norm{i}.scale.grad"), format!("norm{i}.scale_grad")),
                    (format!("norm{i}.bias.grad"), format!("norm{i}.bias_grad")),
                ] {
                    check(&ours, GRADIENT, &floats(&mut session, &ours), &golden.floats(step, &theirs));
                }
                for (ours, theirs, row) in states(i) {
                    check(&ours, row, &floats(&mut session, &ours), &golden.floats(step + 1, &theirs));
                }
                compare_signs(&mut session, &golden, step + 1, i, &mut signs, &place);
            }
        }
        for (what, (share, row)) in &shares {
            tolerance::report(row, &format!("{engine_name}: {what}, 20 steps"), *share);
        }
        println!("{engine_name}: {} of {} signs compared, {} agree", signs.compared, signs.all, signs.agree);
        assert_eq!(shares.len(), 1 + 3 * 13, "{engine_name}: kinds of tensors compared");
        assert!(
            signs.compared * 1000 > signs.all * 999,
            "{engine_name}: expected more than 99.9 % of {} signs above the floor, got {}",
            signs.all,
            signs.compared
        );
    }
}

/// From PyTorch's first state on, nothing is corrected.
#[test]
fn a_free_run_keeps_to_pytorch_s_losses() {
    let golden = Golden::open();
    for (engine_name, engine) in support::engines() {
        let mut session = session(engine);
        set_state(&mut session, &golden, 0);
        let mut worst = 0.0_f64;
        for step in 0..STEPS {
            let loss = train(&mut session, &golden, step);
            let place = format!("{engine_name}: loss of step {step} of a free run");
            worst = worst.max(tolerance::check(&TRAJECTORY, &place, &[loss], &golden.floats(step, "loss")));
        }
        tolerance::report(&TRAJECTORY, &format!("{engine_name}: 20 losses of a free run"), worst);
    }
}
