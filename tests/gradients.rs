//! Gradients: smooth operations by central differences in the middle of a graph, the surrogates of sign against their closed
//! formulas, and rows without a sample, which must neither get a gradient nor lend anything to others.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that fails panics, and says what it measured")]

mod support;
#[path = "support/tolerance.rs"]
mod tolerance;

use plusminus::graph::{Graph, Init, Plan, Purpose, Role, Value, backward, plan};
use plusminus::ops::{
    Add, BatchNorm, BatchNormStatistics, DropSigns, Dropout, JoinDropped, Matmul, SURROGATES, Sign,
    SoftmaxCrossEntropy, SquaredHinge, Surrogate, UnpackSigns, XnorMatmul, join,
};
use plusminus::runtime::{Engine, StepLimits, StepParams, Target};
use plusminus::tensor::{BitMatrix, DType, Draws, Layout, Stream, TensorType};
use pollster::block_on;
use std::collections::BTreeMap;
use std::sync::Arc;
use tolerance::{DIFFERENCE, ELEMENTWISE, TRANSCENDENTAL};

/// Rows of every batch here, and how many of them hold samples where some do not. No extent is a multiple of 32.
const ROWS: usize = 7;
const VALID: u32 = 5;
const CLASSES: usize = 10;
/// Step of the differences: the error of a loss enters divided by it, the fifth derivative multiplied by its fourth power.
const H: f64 = 0.05;

/// What a graph ends in.
#[derive(Clone, Copy, Debug)]
enum Ending {
    CrossEntropy(f32),
    Hinge,
}

/// A graph with its gradients, on an engine.
struct Problem {
    plan: Plan,
    engine: Box<dyn Engine>,
    /// Float parameters: type, and row-major values without padding.
    values: BTreeMap<String, (TensorType, Vec<f32>)>,
}

/// Word of element (row, column).
fn place(ty: &TensorType, row: usize, column: usize) -> usize {
    match ty.layout {
        Layout::Plain => row * ty.columns() + column,
        Layout::Rows => row * ty.columns().div_ceil(32) * 32 + column,
        Layout::Panels => ((column / 32) * ty.rows() + row) * 32 + column % 32,
    }
}

fn words_of(ty: &TensorType, values: &[f32]) -> Vec<u32> {
    let mut words = vec![0; ty.words()];
    values.iter().enumerate().for_each(|(i, v)| words[place(ty, i / ty.columns(), i % ty.columns())] = v.to_bits());
    words
}

fn values_of(ty: &TensorType, words: &[u32]) -> Vec<f32> {
    let columns = ty.columns();
    (0..ty.elements()).map(|i| f32::from_bits(words[place(ty, i / columns, i % columns)])).collect()
}

fn float(graph: &mut Graph, name: &str, ty: TensorType) -> Value {
    graph.parameter(name, ty, Role::Float, Init::Fill(0.0))
}

fn activations(graph: &mut Graph, name: &str, columns: usize) -> Value {
    float(graph, name, TensorType::panels(DType::F32, ROWS, columns))
}

/// x wᵀ with float weights called `name`.
fn dense(graph: &mut Graph, x: Value, name: &str, units: usize) -> Value {
    let ty = TensorType::new(DType::F32, Layout::Rows, &[units, graph.ty(x).columns()]);
    let w = float(graph, name, ty);
    graph.add(Matmul, &[x, w], &[]).unwrap()
}

/// Batch norm with the statistics of the batch; parameters `NAME.scale` and `NAME.bias`.
fn norm(graph: &mut Graph, y: Value, name: &str) -> Value {
    let vector = TensorType::plain(DType::F32, &[graph.ty(y).columns()]);
    let [scale, bias] = ["scale", "bias"].map(|part| float(graph, &format!("{name}.{part}"), vector.clone()));
    let running = ["mean", "variance"].map(|part| {
        graph.state(&format!("{name}.running_{part}"), vector.clone(), Purpose::Statistic, Init::Fill(0.0))
    });
    let statistics = graph.push(Arc::new(BatchNormStatistics), &[y], &running).unwrap();
    graph.add(BatchNorm, &[y, statistics[0], statistics[1], scale, bias], &[]).unwrap()
}

impl Problem {
    /// `build` gives the logits. `size` bounds the values that are drawn for a parameter of that name.
    fn new(
        build: impl Fn(&mut Graph) -> Value,
        ending: Ending,
        size: impl Fn(&str) -> f32,
        mut engine: Box<dyn Engine>,
    ) -> Self {
        let mut graph = Graph::new();
        let logits = build(&mut graph);
        let labels = graph.input("labels", TensorType::plain(DType::U32, &[ROWS]));
        let correct =
            graph.state("correct", TensorType::plain(DType::U32, &[CLASSES]), Purpose::Counter, Init::Words(0));
        let inputs = [logits, labels];
        let loss = match ending {
            Ending::CrossEntropy(smoothing) => graph.add(SoftmaxCrossEntropy { smoothing }, &inputs, &[correct]),
            Ending::Hinge => graph.add(SquaredHinge, &inputs, &[correct]),
        }
        .unwrap();
        let gradients = backward(&mut graph, loss, &join).unwrap();
        graph.keep(loss, "loss");
        if let Some(node) = graph.nodes().iter().position(|node| node.op.name() == "sign_backward") {
            let dy = graph.nodes()[node].inputs[1];
            graph.keep(dy, "dy");
            let forward = graph.nodes().iter().position(|node| node.op.name() == "sign").unwrap();
            let bits = graph.nodes()[forward].outputs[0];
            graph.keep(bits, "bits");
        }
        let trained = graph.trained();
        assert_eq!(gradients.len(), trained.len(), "a gradient for each parameter");
        for (value, _) in &trained {
            let name = format!("{}.grad", graph.info(*value).name);
            graph.keep(gradients[value], &name);
        }
        let mut plan = plan(&[("step", &graph)], StepLimits { rows: ROWS as u32, losses: 1 }, &Target::any()).unwrap();
        plan.program.poison = Some(0x7fc0_0000);
        block_on(engine.load(Arc::new(plan.program.clone()))).unwrap();
        let mut values = BTreeMap::new();
        for (id, info) in plan.named.values() {
            let words = match info.ty.dtype {
                DType::F32 if trained.iter().any(|(value, _)| graph.info(*value).name == info.name) => {
                    let stream = Stream::new(1, &info.name);
                    let center = if info.name.ends_with("scale") { 1.0 } else { 0.0 };
                    let draw = |i| center + size(&info.name) * (2.0 * stream.unit(i) - 1.0);
                    let drawn: Vec<f32> = (0..info.ty.elements() as u64).map(draw).collect();
                    let words = words_of(&info.ty, &drawn);
                    values.insert(info.name.clone(), (info.ty.clone(), drawn));
                    words
                }
                DType::Bits if ["w", "signs"].contains(&&*info.name) => {
                    BitMatrix::random(info.ty.rows(), info.ty.columns(), Stream::new(1, "w")).panels().to_vec()
                }
                _ => vec![0; info.ty.words()],
            };
            engine.upload(*id, &words).unwrap();
        }
        Self { plan, engine, values }
    }

    fn set(&mut self, name: &str, values: &[f32]) {
        let (ty, _) = &self.values[name];
        self.engine.upload(self.plan.id(name), &words_of(ty, values)).unwrap();
    }

    fn words(&mut self, name: &str) -> Vec<u32> {
        let download = self.engine.download(&[self.plan.id(name)]).unwrap();
        block_on(download).unwrap().remove(0)
    }

    fn gradient(&mut self, name: &str) -> Vec<f32> {
        let name = format!("{name}.grad");
        let words = self.words(&name);
        values_of(&self.plan.named[&name].1.ty, &words)
    }

    /// Plays the graph; gives the mean of the rows' losses in f64.
    fn play(&mut self, valid: u32) -> f64 {
        let labels: Vec<u32> = (0..ROWS as u32).map(|r| if r < valid { 3 * r % CLASSES as u32 } else { 0 }).collect();
        let step = StepParams { valid_rows: valid, ..StepParams::default() };
        block_on(self.engine.play(0, &[(self.plan.id("labels"), &labels)], &step)).unwrap();
        let losses = self.words("loss");
        losses[..valid as usize].iter().map(|&w| f64::from(f32::from_bits(w))).sum::<f64>() / f64::from(valid)
    }

    /// Derivative of the loss along `direction` by a central difference of fourth order.
    fn difference(&mut self, name: &str, direction: &[f64], valid: u32) -> f64 {
        let base = self.values[name].1.clone();
        // The steps as f32 has them, so that their rounding does not count; the direction's own share is exact to 1e-6.
        let mut at = |steps: f64| {
            let moved: Vec<f32> =
                base.iter().zip(direction).map(|(v, d)| (f64::from(*v) + steps * H * d) as f32).collect();
            self.set(name, &moved);
            self.play(valid)
        };
        let derivative = (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * H);
        self.set(name, &base);
        derivative
    }

    /// Holds the gradient of every parameter to differences: along some of its elements, and along directions through all of them.
    fn check(&mut self, what: &str, valid: u32) {
        let names: Vec<String> = self.values.keys().cloned().collect();
        for name in names {
            self.play(valid);
            let gradient = self.gradient(&name);
            let (mut got, mut expected) = (Vec::new(), Vec::new());
            let count = gradient.len();
            let stream = Stream::new(2, &name);
            for pick in 0..16.min(count as u64) {
                let at = stream.below(pick, count as u32) as usize;
                let mut direction = vec![0.0; count];
                direction[at] = 1.0;
                got.push(f64::from(gradient[at]));
                expected.push(self.difference(&name, &direction, valid));
            }
            for turn in 1..=8 {
                let sign = |i| if stream.word(turn << 32 | i) & 1 == 1 { 1.0 } else { -1.0 };
                let direction: Vec<f64> = (0..count as u64).map(|i| sign(i) / (count as f64).sqrt()).collect();
                got.push(direction.iter().zip(&gradient).map(|(d, g)| d * f64::from(*g)).sum());
                expected.push(self.difference(&name, &direction, valid));
            }
            let largest = expected.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
            assert!(
                largest > 20.0 * DIFFERENCE.atol,
                "{what}: {name}: expected a derivative that can be measured, got {largest:e} at most"
            );
            tolerance::assert_close(&DIFFERENCE, &format!("{what}: {name} (largest {largest:.1e})"), &got, &expected);
        }
    }
}

/// Sizes that keep activations near 1 behind products of some 40 terms.
fn sizes(name: &str) -> f32 {
    match name.chars().next() {
        Some('w') => 0.3,
        _ => 1.0,
    }
}

#[test]
fn float_products_with_cross_entropy() {
    for smoothing in [0.0, 0.1] {
        for (engine_name, engine) in support::engines() {
            let build = |graph: &mut Graph| {
                let x = activations(graph, "x", 37);
                let y = dense(graph, x, "w1", 41);
                dense(graph, y, "w2", CLASSES)
            };
            let what = format!("{engine_name}: products, smoothing {smoothing}");
            let mut problem = Problem::new(build, Ending::CrossEntropy(smoothing), sizes, engine);
            problem.check(&what, ROWS as u32);
            problem.check(&format!("{what}, short batch"), VALID);
        }
    }
}

#[test]
fn batch_norm_with_the_statistics_of_the_batch() {
    for (engine_name, engine) in support::engines() {
        let build = |graph: &mut Graph| {
            let x = activations(graph, "x", 35);
            let y = dense(graph, x, "w1", 33);
            let z = norm(graph, y, "norm");
            dense(graph, z, "w2", CLASSES)
        };
        let sizes = |name: &str| if name.ends_with("scale") { 0.3 } else { sizes(name) };
        let mut problem = Problem::new(build, Ending::CrossEntropy(0.1), sizes, engine);
        problem.check(&format!("{engine_name}: batch norm"), ROWS as u32);
        problem.check(&format!("{engine_name}: batch norm, short batch"), VALID);
    }
}

#[test]
fn squared_hinge_away_from_its_kinks() {
    for (engine_name, engine) in support::engines() {
        let build = |graph: &mut Graph| {
            let x = activations(graph, "x", 37);
            let y = dense(graph, x, "w1", 33);
            let near = dense(graph, y, "w2", CLASSES);
            let far = activations(graph, "far", CLASSES);
            graph.add(Add, &[near, far], &[]).unwrap()
        };
        // Logits lie near -3, 0 and 3, so that margins are used up or left by far, and no step crosses a kink.
        let sizes = |name: &str| if name == "x" { 0.4 } else { 0.1 };
        let mut problem = Problem::new(build, Ending::Hinge, sizes, engine);
        let far: Vec<f32> = (0..ROWS * CLASSES).map(|i| [-3.0, 0.0, 3.0][i * 7 % 3]).collect();
        problem.set("far", &far);
        problem.values.get_mut("far").unwrap().1 = far;
        problem.check(&format!("{engine_name}: squared hinge"), ROWS as u32);
        problem.check(&format!("{engine_name}: squared hinge, short batch"), VALID);
    }
}

#[test]
fn a_value_that_is_used_several_times() {
    for (engine_name, engine) in support::engines() {
        let build = |graph: &mut Graph| {
            let x = activations(graph, "x", 37);
            let h = dense(graph, x, "w1", 34);
            let around = dense(graph, h, "w2", 34);
            let sum = graph.add(Add, &[h, around], &[]).unwrap();
            let twice = graph.add(Add, &[h, h], &[]).unwrap();
            let all = graph.add(Add, &[sum, twice], &[]).unwrap();
            dense(graph, all, "w3", CLASSES)
        };
        let sizes = |name: &str| if name.starts_with('w') { 0.15 } else { 1.0 };
        let mut problem = Problem::new(build, Ending::CrossEntropy(0.0), sizes, engine);
        problem.check(&format!("{engine_name}: joins"), ROWS as u32);
    }
}

#[test]
fn dropout_drops_the_same_again() {
    for (engine_name, engine) in support::engines() {
        let build = |graph: &mut Graph| {
            let x = activations(graph, "x", 37);
            let h = dense(graph, x, "w1", 34);
            let some = graph.add(Dropout { probability: 0.3, stream: 7 }, &[h], &[]).unwrap();
            dense(graph, some, "w2", CLASSES)
        };
        let sizes = |name: &str| if name.starts_with('w') { 0.3 } else { 1.0 };
        let mut problem = Problem::new(build, Ending::CrossEntropy(0.0), sizes, engine);
        problem.check(&format!("{engine_name}: dropout"), ROWS as u32);
    }
}

/// Float weights behind signs, some of which are dropped.
#[test]
fn dropped_signs_drop_the_same_again() {
    for (engine_name, engine) in support::engines() {
        let build = |graph: &mut Graph| {
            let signs = graph.state("signs", TensorType::bits(ROWS, 37), Purpose::Kept, Init::Signs);
            let copies = graph.push(Arc::new(DropSigns { probability: 0.3, stream: 7 }), &[signs], &[]).unwrap();
            let weight = float(graph, "w1", TensorType::new(DType::F32, Layout::Rows, &[34, 37]));
            let mut product = |signs: Value| {
                let floats = graph.add(UnpackSigns(Layout::Panels), &[signs], &[]).unwrap();
                graph.add(Matmul, &[floats, weight], &[]).unwrap()
            };
            let [up, down] = [copies[0], copies[1]].map(&mut product);
            let h = graph.add(JoinDropped { probability: 0.3 }, &[up, down], &[]).unwrap();
            dense(graph, h, "w2", CLASSES)
        };
        let sizes = |name: &str| if name.starts_with('w') { 0.1 } else { 1.0 };
        let mut problem = Problem::new(build, Ending::CrossEntropy(0.0), sizes, engine);
        problem.check(&format!("{engine_name}: dropped signs"), ROWS as u32);
    }
}

/// The product of signs lacks those that are dropped, and is divided by the share of the others, exactly.
#[test]
fn dropped_signs_are_not_in_the_product() {
    for (engine_name, engine) in support::engines() {
        let build = |graph: &mut Graph| {
            let signs = graph.state("signs", TensorType::bits(ROWS, 37), Purpose::Kept, Init::Signs);
            let w = graph.parameter("w", TensorType::bits(34, 37), Role::Binary, Init::Signs);
            let copies = graph.push(Arc::new(DropSigns { probability: 0.5, stream: 9 }), &[signs], &[]).unwrap();
            let [up, down] = [0, 1].map(|i| graph.add(XnorMatmul, &[copies[i], w], &[]).unwrap());
            let product = graph.add(JoinDropped { probability: 0.5 }, &[up, down], &[]).unwrap();
            graph.keep(product, "product");
            dense(graph, product, "w2", CLASSES)
        };
        let mut problem = Problem::new(build, Ending::CrossEntropy(0.0), sizes, engine);
        problem.play(ROWS as u32);
        let [a, w] = [("signs", ROWS), ("w", 34)]
            .map(|(name, rows)| BitMatrix::from_panels(rows, 37, problem.words(name)).expect("clean tails"));
        let got = values_of(&TensorType::panels(DType::F32, ROWS, 34), &problem.words("product"));
        let draws = Draws::new(0, 0, 9);
        for (i, got) in got.into_iter().enumerate() {
            let (row, unit) = (i / 34, i % 34);
            let kept = |k: &usize| draws.word((row * 64 + k) as u32) >= 1 << 31;
            let agree = |k: usize| if a.is_positive(row, k) == w.is_positive(unit, k) { 2.0 } else { -2.0 };
            let expected: f32 = (0..37).filter(kept).map(agree).sum();
            assert_eq!(got, expected, "{engine_name}: row {row}, unit {unit}");
        }
    }
}

#[test]
fn rows_without_a_sample_count_for_nothing() {
    for ending in [Ending::CrossEntropy(0.1), Ending::Hinge] {
        for (engine_name, engine) in support::engines() {
            let build = |graph: &mut Graph| {
                let x = activations(graph, "x", 35);
                let y = dense(graph, x, "w1", 33);
                let z = norm(graph, y, "norm");
                dense(graph, z, "w2", CLASSES)
            };
            let mut problem = Problem::new(build, ending, sizes, engine);
            let names: Vec<String> = problem.values.keys().cloned().collect();
            let mut seen = Vec::new();
            for garbage in [0.0, 1.0, -1e6] {
                let mut x = problem.values["x"].1.clone();
                x[VALID as usize * 35..].iter_mut().for_each(|v| *v = garbage * (1.0 + *v));
                problem.set("x", &x);
                let loss = problem.play(VALID);
                let gradients: Vec<Vec<u32>> = names.iter().map(|n| problem.words(&format!("{n}.grad"))).collect();
                let what = format!("{engine_name}: {ending:?}, garbage {garbage}");
                let dx = problem.gradient("x");
                let (with, without) = dx.split_at(VALID as usize * 35);
                assert!(
                    with.iter().all(|g| g.is_finite() && *g != 0.0),
                    "{what}: gradients of rows with a sample: {with:?}"
                );
                for (i, g) in without.iter().enumerate() {
                    assert_eq!(*g, 0.0, "{what}: gradient of x[{}][{}]: expected 0", VALID as usize + i / 35, i % 35);
                }
                assert!(loss.is_finite(), "{what}: loss {loss}");
                seen.push((loss.to_bits(), gradients));
            }
            for (i, later) in seen.iter().enumerate().skip(1) {
                for (name, (a, b)) in names.iter().zip(seen[0].1.iter().zip(&later.1)) {
                    assert_eq!(a, b, "{engine_name}: {ending:?}: gradient of {name} depends on garbage {i}");
                }
                assert_eq!(seen[0].0, later.0, "{engine_name}: {ending:?}: the loss depends on garbage {i}");
            }
        }
    }
}

/// s(x) as the papers have it, in f64.
fn closed_formula(name: &str, x: f64) -> f64 {
    match name {
        "identity" => 1.0,
        "clip" => f64::from(u8::from(x.abs() <= 1.0)),
        "polynomial" => 2.0 * (1.0 - x.abs()).max(0.0),
        // Derivative of 2 s(bx) (1 + bx (1 - s(bx))) - 1 with the logistic function s and b = 5; it vanishes far out.
        "swish" if x.abs() > 100.0 => 0.0,
        "swish" => 5.0 * (2.0 - 5.0 * x * (2.5 * x).tanh()) / (1.0 + (5.0 * x).cosh()),
        "tanh" => 1.0 / x.cosh().powi(2),
        "arctan" => 1.0 / (1.0 + (std::f64::consts::PI * x).powi(2)),
        other => panic!("no closed formula for surrogate `{other}`"),
    }
}

/// What surrogates may stumble on, then a grid over -3..=3, to fill a matrix.
fn grid(columns: usize) -> Vec<f32> {
    let above = f32::from_bits(1.0_f32.to_bits() + 1);
    let below = f32::from_bits(1.0_f32.to_bits() - 1);
    let special = [0.0, 1.0, above, below, f32::MIN_POSITIVE, 0.5, 1.5, 2.0, 5.0, 19.0, 21.0, 100.0, 1e30, f32::MAX];
    let both = special.iter().flat_map(|&x| [x, -x]);
    let count = ROWS * columns;
    let even = (0..count).map(|i| -3.0 + 6.0 * i as f32 / (count - 1) as f32);
    let mut grid: Vec<f32> = both.chain(even).take(count).collect();
    // Specials are in the first rows, which hold samples.
    assert!(special.len() * 2 < VALID as usize * columns);
    grid.truncate(count);
    grid
}

#[test]
fn surrogates_are_their_closed_formulas() {
    const COLUMNS: usize = 45;
    let mut names = Vec::new();
    for surrogate in &SURROGATES {
        names.push(surrogate.name);
        for (engine_name, engine) in support::engines() {
            surrogate_is_its_formula(surrogate, COLUMNS, &format!("{engine_name}: {}", surrogate.name), engine);
        }
    }
    assert_eq!(names, ["identity", "clip", "polynomial", "swish", "tanh", "arctan"]);
}

fn surrogate_is_its_formula(surrogate: &'static Surrogate, columns: usize, what: &str, engine: Box<dyn Engine>) {
    let build = |graph: &mut Graph| {
        let x = activations(graph, "x", columns);
        let signs = graph.push(Arc::new(Sign { surrogate }), &[x], &[]).unwrap()[0];
        let w = graph.parameter("w", TensorType::bits(CLASSES, columns), Role::Binary, Init::Signs);
        let y = graph.add(XnorMatmul, &[signs, w], &[]).unwrap();
        norm(graph, y, "norm")
    };
    let mut problem = Problem::new(build, Ending::CrossEntropy(0.0), sizes, engine);
    let x = grid(columns);
    problem.set("x", &x);
    problem.play(VALID);
    let ty = problem.plan.named["x"].1.ty.clone();
    let dx = problem.gradient("x");
    let dy = values_of(&ty, &problem.words("dy"));
    let bits = BitMatrix::from_panels(ROWS, columns, problem.words("bits")).expect("tails stay 0");
    let (mut ratios, mut formula) = (Vec::new(), Vec::new());
    for i in 0..x.len() {
        let (r, c) = (i / columns, i % columns);
        assert_eq!(bits.is_positive(r, c), x[i] >= 0.0, "{what}: sign of {} at [{r}][{c}]", x[i]);
        if r >= VALID as usize {
            assert_eq!(dx[i], 0.0, "{what}: gradient of [{r}][{c}], a row without a sample");
            continue;
        }
        if surrogate.name == "clip" {
            // The mask is exact: the gradient itself, bit for bit, or +0.
            let expected = if x[i].abs() <= 1.0 { dy[i].to_bits() } else { 0 };
            let got = dx[i].to_bits();
            assert_eq!(got, expected, "{what}: x {:e}: expected bits {expected:#010x}, got {got:#010x}", x[i]);
        }
        assert!(dy[i].abs() > 1e-6, "{what}: expected a gradient to pass on at [{r}][{c}], got {:e}", dy[i]);
        ratios.push(f64::from(dx[i]) / f64::from(dy[i]));
        formula.push(closed_formula(surrogate.name, f64::from(x[i])));
    }
    let row = if ["swish", "tanh"].contains(&surrogate.name) { TRANSCENDENTAL } else { ELEMENTWISE };
    tolerance::assert_close(&row, what, &ratios, &formula);
}
