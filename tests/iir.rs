//! The rule `iir` is the filter that its settings name: impulse and frequency responses of twelve filters equal SciPy's
//! (`benches/peers/filters_scipy.py` wrote them down), in f64 and through the f32 kernels of both engines.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that fails panics, and says what it measured")]

mod support;
#[path = "support/update.rs"]
mod update;

use plusminus::nn::Tensor;
use plusminus::optim::{BinaryOptimizer, Filter, FilterSpec, Hyperparameter, IIR, Schedule};
use plusminus::runtime::{CpuEngine, Engine};
use serde_json::Value;
use update::Update;

/// One filter of the file.
struct Golden {
    name: String,
    spec: FilterSpec,
    cutoff: f32,
    impulse: Vec<f64>,
    response: Vec<[f64; 2]>,
}

/// The file's frequencies and filters.
fn golden() -> (Vec<f64>, Vec<Golden>) {
    let file: Value = serde_json::from_str(include_str!("golden/filters.json")).unwrap();
    let of = |value: &Value| Golden {
        name: format!("{} {}", value["filter"], value["cutoff"]),
        spec: serde_json::from_value(value["filter"].clone()).unwrap(),
        cutoff: value["cutoff"].as_f64().unwrap_or(1000.0) as f32,
        impulse: serde_json::from_value(value["impulse"].clone()).unwrap(),
        response: serde_json::from_value(value["response"].clone()).unwrap(),
    };
    let filters: Vec<Golden> = file["filters"].as_array().unwrap().iter().map(of).collect();
    assert!(filters.len() >= 10);
    (serde_json::from_value(file["frequencies"].clone()).unwrap(), filters)
}

fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |largest, value| largest.max(value.abs()))
}

#[test]
fn responses_are_scipy_s() {
    let (frequencies, filters) = golden();
    for Golden { name, spec, cutoff, impulse, response } in filters {
        let sections = spec.resolve().unwrap().sections(cutoff);
        let top = largest(impulse.iter().copied());
        let got = sections.impulse(impulse.len());
        let impulse_error = largest(got.iter().zip(&impulse).map(|(a, b)| (a - b) / top));
        let off = |(f, [re, im]): (&f64, &[f64; 2])| {
            let got = sections.response(*f);
            (got[0] - re).hypot(got[1] - im)
        };
        let response_error = largest(frequencies.iter().zip(&response).map(off));
        println!("{name}: impulse off by {impulse_error:.1e} of its peak, response by {response_error:.1e}");
        // SciPy's own sections are in z, which costs it some digits for slow filters.
        assert!(impulse_error < 1e-9 && response_error < 1e-9, "{name}: {impulse_error:e}, {response_error:e}");
    }
}

/// A cut-off that does not move.
fn still(cutoff: f32) -> (&'static str, Hyperparameter) {
    ("cutoff", Hyperparameter::new(cutoff, Schedule::constant()))
}

fn rule(filter: &Golden) -> BinaryOptimizer {
    let made = match filter.spec.design {
        Some(_) => IIR.with([still(filter.cutoff)]),
        None => IIR.with::<f32>([]),
    };
    made.unwrap().with_filter(&filter.spec).unwrap()
}

/// How far off outputs are looked for, of the peak or the constant: this, its half, its quarter, and so on.
const WIDEST: f64 = 1e-5;
const WIDTHS: usize = 10;
/// The filter by itself, and as often a little above and a little below what is expected.
const COLUMNS: usize = 1 + 2 * WIDTHS;

fn width(pair: usize) -> f64 {
    WIDEST * 0.5_f64.powi(pair as i32)
}

/// The filter in columns that all see the same.
fn columns(rule: BinaryOptimizer, engine: Box<dyn Engine>) -> Update {
    Update::new(rule, [1, COLUMNS], engine)
}

/// One step with this gradient. What the kernel puts out is seen by the weights that it sets: the last section adds its first state to its
/// output, so with that state lowered by the expected output, a little more or a little less, the output's sign must be the little's. Gives the
/// smallest width, of `scale`, within which the output lies; none where it lies in no width.
fn output_lies_within(update: &mut Update, t: u64, gradient: f32, expected: f64, scale: f64) -> Option<f64> {
    let ty = update.info("w.s").ty;
    let before = update.floats("w.s");
    let last = before.len() / COLUMNS - 2;
    let mut shifted = before;
    let (first, little) = shifted[last * COLUMNS..][..COLUMNS].split_at_mut(1);
    for (pair, states) in little.chunks_exact_mut(2).enumerate() {
        let shift = |side: f64| (f64::from(first[0]) - expected + side * width(pair) * scale) as f32;
        states.copy_from_slice(&[shift(1.0), shift(-1.0)]);
    }
    let of = |data: Vec<f32>| Tensor::Floats { shape: ty.shape.clone(), data }.to_words(&ty).unwrap();
    update.upload("w.s", &of(shifted));
    let words = update.padded(|_| gradient);
    update.step(&words, t, 1000);
    let signs = update.signs();
    // An output above 0 writes -1.
    let lies = |pair: &usize| !signs.is_positive(0, 1 + 2 * pair) && signs.is_positive(0, 2 + 2 * pair);
    // The shifts are not to stay.
    let after = update.floats("w.s");
    let same = after.chunks_exact(COLUMNS).flat_map(|states| [states[0]; COLUMNS]).collect();
    update.upload("w.s", &of(same));
    (0..WIDTHS).take_while(lies).last().map(width)
}

#[test]
fn kernels_have_scipy_s_impulse_response() {
    for filter in golden().1 {
        for (engine_name, engine) in support::engines() {
            let mut update = columns(rule(&filter), engine);
            let top = largest(filter.impulse.iter().copied());
            let mut error = 0.0_f64;
            for (t, expected) in filter.impulse.iter().enumerate() {
                let gradient = if t == 0 { 1.0 } else { 0.0 };
                let within = output_lies_within(&mut update, t as u64, gradient, *expected, top);
                error = error.max(within.unwrap_or_else(|| {
                    panic!(
                        "{engine_name}: {}: step {t}: expected {expected:e} within {WIDEST:e} of the peak",
                        filter.name
                    )
                }));
            }
            println!("{engine_name}: {}: f32 within {error:.1e} of the peak", filter.name);
        }
    }
}

/// A constant gradient comes out as it went in; where a step moves a state by less than half a unit in its last place it stops, as a slow moving
/// average does.
#[test]
fn the_gain_at_frequency_0_is_1() {
    for (spec, cutoff, steps, share) in [
        ("design = \"bessel\"\norder = 8", 10.0, 300, 1e-6),
        ("design = \"butterworth\"\norder = 2", 5000.0, 20_000, 1e-4),
    ] {
        let made = IIR.with([still(cutoff)]).unwrap();
        let made = made.with_filter(&toml_spec(spec)).unwrap();
        let mut update = columns(made, Box::new(CpuEngine::new(Some(1)).unwrap()));
        let words = update.padded(|_| 0.7);
        (0..steps).for_each(|t| update.step(&words, t, steps));
        // The output for the same gradient once more.
        let within = output_lies_within(&mut update, steps, 0.7, 0.7, 0.7 * share / WIDEST);
        assert!(within.is_some(), "{spec}: expected 0.7 within {share:e}");
    }
}

fn toml_spec(text: &str) -> FilterSpec {
    let pairs = text.lines().map(|line| line.split_once(" = ").unwrap());
    let fields = pairs.map(|(name, value)| (name.to_string(), serde_json::from_str(value).unwrap()));
    serde_json::from_value(Value::Object(fields.collect())).unwrap()
}

/// A scaled start is the state of a filter whose input has long been -scale times the weight: that gradient leaves it unchanged.
#[test]
fn a_scaled_start_rests() {
    for spec in ["design = \"critical\"\norder = 5", "poles = \"0.9,0.8+0.1i\""] {
        let mut hyperparameters = vec![("state-init-scale", 0.25.into())];
        hyperparameters.extend(spec.starts_with("design").then(|| still(100.0)));
        let made = IIR.with(hyperparameters).unwrap().with_filter(&toml_spec(spec)).unwrap();
        let engine: Box<dyn Engine> = Box::new(CpuEngine::new(Some(1)).unwrap());
        let mut update = Update::new(made, [5, 40], engine);
        let (signs, before) = (update.signs(), update.floats("w.s"));
        let words = update.padded(|i| if signs.is_positive(i / 40, i % 40) { -0.25 } else { 0.25 });
        (0..200).for_each(|t| update.step(&words, t, 200));
        let moved = largest(update.floats("w.s").iter().zip(&before).map(|(a, b)| f64::from(a - b)));
        assert!(moved < 1e-6 && before.iter().any(|s| *s != 0.0), "{spec}: moved by {moved:e}");
        assert_eq!(update.words("counters")[1], 0, "{spec}: flips");
    }
}

#[test]
fn filters_belong_to_iir_alone() {
    let spec = toml_spec("poles = \"0.9\"");
    let error = plusminus::optim::CEMA.with::<f32>([]).unwrap().with_filter(&spec).unwrap_err().to_string();
    assert!(error.contains("iir") && error.contains("cema"), "{error}");
    let error = IIR.with([("cutoff", 100.0)]).unwrap().with_filter(&spec).unwrap_err().to_string();
    assert!(error.contains("cutoff") && error.contains("100"), "{error}");
    assert!(matches!(IIR.with::<f32>([]).unwrap().filter(), Some(Filter::Designed(poles)) if poles.len() == 2));
}
