//! Every kernel three times: its definition (the plainest loops, here), its twin on the processor, and every variant of its
//! shader. Integers, bits, and products of small integers are compared with `==`, real floats within the table of tolerances.
//! A kernel without a case here fails `every_kernel_has_a_definition`.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

mod support;

use plusminus::graph::{Bound, Op};
use plusminus::ops::{
    Add, BatchNorm, BatchNormBackward, BatchNormStatistics, EPSILON, FloatBits, FloatBitsTransposed, MOMENTUM, Matmul,
    MatmulInput, MatmulTransposed, MeanLoss, Normalise, SURROGATES, Sign, SignBackward, SoftmaxCrossEntropy,
    SoftmaxCrossEntropyBackward, SquaredHinge, SquaredHingeBackward, TransposeBits, XnorMatmul,
};
use plusminus::optim::{AdamUpdate, BINARY_RULES, BinaryRule, BinaryUpdate, SgdUpdate, StateType};
use plusminus::runtime::{BufferId, BufferInfo, Engine, Kernel, Program, Recording, StepParams};
use plusminus::tensor::{DType, Draws, Layout, PANEL, Stream, TensorType, half_rounded, half_value, words_of};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A word that is a not-a-number as a float, and no sensible integer: fresh memory holds it.
const POISON: u32 = 0x7fc0_dead;

/// A matrix of plain numbers, row after row.
#[derive(Clone, Debug)]
struct Matrix {
    rows: usize,
    columns: usize,
    data: Vec<f64>,
}

impl Matrix {
    fn from_fn(rows: usize, columns: usize, f: impl Fn(usize, usize) -> f64) -> Self {
        let data = (0..rows * columns).map(|i| f(i / columns, i % columns)).collect();
        Self { rows, columns, data }
    }

    /// Integers in +-`bound`.
    fn integers(rows: usize, columns: usize, bound: u32, name: &str) -> Self {
        let stream = Stream::new(5, name);
        Self::from_fn(rows, columns, |r, c| {
            f64::from(stream.below((r * columns + c) as u64, 2 * bound + 1)) - f64::from(bound)
        })
    }

    /// Floats in +-`bound` that f32 holds.
    fn reals(rows: usize, columns: usize, bound: f32, name: &str) -> Self {
        let stream = Stream::new(6, name);
        Self::from_fn(rows, columns, |r, c| f64::from(bound * (2.0 * stream.unit((r * columns + c) as u64) - 1.0)))
    }

    /// +-1.
    fn signs(rows: usize, columns: usize, name: &str) -> Self {
        let stream = Stream::new(7, name);
        Self::from_fn(rows, columns, |r, c| if stream.word((r * columns + c) as u64) & 1 == 1 { 1.0 } else { -1.0 })
    }

    fn at(&self, r: usize, c: usize) -> f64 {
        self.data[r * self.columns + c]
    }
}

/// Index of the word with element (r, c) of a tensor, and the bit or byte in it.
fn place(ty: &TensorType, r: usize, c: usize) -> (usize, u32) {
    let (rows, columns, words) = (ty.rows(), ty.columns(), words_of(ty.columns()));
    match (ty.dtype, ty.layout) {
        (DType::Bits, _) => (((r / PANEL) * words + c / PANEL) * PANEL + r % PANEL, (c % PANEL) as u32),
        (DType::F16 | DType::I16, _) => ((r * words * PANEL + c) / 2, 16 * (c % 2) as u32),
        (DType::I8, _) => ((r * words * PANEL + c) / 4, 8 * (c % 4) as u32),
        (DType::U8, _) => ((r * columns + c) / 4, 8 * ((r * columns + c) % 4) as u32),
        (_, Layout::Plain) => (r * columns + c, 0),
        (_, Layout::Rows) => (r * words * PANEL + c, 0),
        (_, Layout::Panels) => (((c / PANEL) * rows + r) * PANEL + c % PANEL, 0),
    }
}

fn pack(ty: &TensorType, matrix: &Matrix) -> Vec<u32> {
    assert_eq!((ty.rows(), ty.columns()), (matrix.rows, matrix.columns));
    let mut words = vec![0; ty.words()];
    for r in 0..matrix.rows {
        for c in 0..matrix.columns {
            let (word, shift) = place(ty, r, c);
            let value = matrix.at(r, c);
            words[word] |= match ty.dtype {
                DType::F32 => (value as f32).to_bits(),
                DType::I32 => (value as i32).cast_unsigned(),
                DType::U32 => value as u32,
                DType::F16 => u32::from(half_rounded(value as f32, 0x1000)) << shift,
                DType::I16 => u32::from((value as i16).cast_unsigned()) << shift,
                DType::I8 => u32::from((value as i8).cast_unsigned()) << shift,
                DType::U8 => (value as u32) << shift,
                DType::Bits => u32::from(value > 0.0) << shift,
            };
        }
    }
    words
}

/// The elements, and a check that everything else (tails) is 0.
fn unpack(ty: &TensorType, words: &[u32]) -> Matrix {
    let mut rest = words.to_vec();
    let matrix = Matrix::from_fn(ty.rows(), ty.columns(), |r, c| {
        let (word, shift) = place(ty, r, c);
        match ty.dtype {
            DType::F32 => f64::from(f32::from_bits(words[word])),
            DType::I32 => f64::from(words[word].cast_signed()),
            DType::U32 => f64::from(words[word]),
            DType::F16 => f64::from(half_value((words[word] >> shift) as u16)),
            DType::I16 => f64::from((words[word] >> shift) as i16),
            DType::I8 => f64::from((words[word] >> shift) as i8),
            DType::U8 => f64::from(words[word] >> shift & 255),
            DType::Bits => {
                if words[word] >> shift & 1 == 1 {
                    1.0
                } else {
                    -1.0
                }
            }
        }
    });
    for r in 0..ty.rows() {
        for c in 0..ty.columns() {
            let (word, shift) = place(ty, r, c);
            rest[word] &= match ty.dtype {
                DType::Bits => !(1 << shift),
                DType::U8 | DType::I8 => !(255 << shift),
                DType::F16 | DType::I16 => !(0xffff << shift),
                _ => 0,
            };
        }
    }
    assert!(rest.iter().all(|&w| w == 0), "the tail of {ty} is not 0");
    matrix
}

/// How an output is compared.
#[derive(Clone, Copy, Debug)]
enum Compare {
    Exact,
    /// Allowed: factor * f32 epsilon * scale of the case, plus the same times |expected|.
    Float(f64),
    /// Allowed: the factor times |expected|, or a 2^24th.
    Step(f64),
    /// Bits, free where the definition's margin (a matrix of the same shape) is below this.
    Margin(f64),
}

/// One use of one operation, with what its definition says.
struct Case {
    name: String,
    op: Box<dyn Op>,
    inputs: Vec<(TensorType, Matrix)>,
    updates: Vec<(TensorType, Matrix)>,
    step: StepParams,
    /// Expected updates, then outputs; `None` is not looked at.
    expected: Vec<Option<(Matrix, Compare)>>,
    /// For `Compare::Margin`: how far from a decision each element is.
    margin: Option<Matrix>,
}

impl Case {
    fn new(name: impl Into<String>, op: impl Op + 'static) -> Self {
        let step = StepParams { valid_rows: 1, seed: 1, ..StepParams::default() };
        Self {
            name: name.into(),
            op: Box::new(op),
            inputs: vec![],
            updates: vec![],
            step,
            expected: vec![],
            margin: None,
        }
    }

    fn input(mut self, ty: TensorType, matrix: &Matrix) -> Self {
        self.inputs.push((ty, matrix.clone()));
        self
    }

    fn update(mut self, ty: TensorType, matrix: &Matrix) -> Self {
        self.updates.push((ty, matrix.clone()));
        self
    }

    fn expect(mut self, matrix: Matrix, compare: Compare) -> Self {
        self.expected.push(Some((matrix, compare)));
        self
    }

    fn valid(mut self, rows: usize) -> Self {
        self.step.valid_rows = rows as u32;
        self
    }

    /// The program of this one operation, and the types of its tensors: inputs, updates, outputs.
    fn program(&self) -> (Program, Vec<TensorType>) {
        let types: Vec<&TensorType> = self.inputs.iter().map(|(ty, _)| ty).collect();
        let outputs = self.op.outputs(&types).unwrap_or_else(|e| panic!("{}: {e}", self.name));
        let given = self.inputs.iter().chain(&self.updates).map(|(ty, _)| ty.clone());
        let all: Vec<TensorType> = given.chain(outputs).collect();
        let bind = |range: std::ops::Range<usize>| range.map(|i| (BufferId(i as u32), &all[i])).collect();
        let (a, b) = (self.inputs.len(), self.inputs.len() + self.updates.len());
        let bound = Bound { inputs: bind(0..a), updates: bind(a..b), outputs: bind(b..all.len()) };
        let mut recording = Recording::new("test");
        self.op.record(&mut recording, &bound);
        let info =
            |(i, ty): (usize, &TensorType)| BufferInfo { name: format!("tensor {i}"), words: ty.words(), slot: i };
        let buffers: Vec<BufferInfo> = all.iter().enumerate().map(info).collect();
        // Slots are longer than their tensors, as planned ones may be: arrayLength must not see that.
        let slots = buffers.iter().map(|b| b.words + 7).collect();
        (Program { buffers, slots, recordings: vec![recording], poison: Some(POISON) }, all)
    }

    /// Runs it and compares.
    fn check(&self, engine: &mut dyn Engine, device: &str) {
        let (program, types) = self.program();
        pollster::block_on(engine.load(Arc::new(program))).unwrap_or_else(|e| panic!("{}: {e}", self.name));
        for (i, (ty, matrix)) in self.inputs.iter().chain(&self.updates).enumerate() {
            engine.upload(BufferId(i as u32), &pack(ty, matrix)).unwrap();
        }
        pollster::block_on(engine.play(0, &[], &self.step)).unwrap_or_else(|e| panic!("{}: {e}", self.name));
        let first = self.inputs.len();
        let ids: Vec<BufferId> = (first..types.len()).map(|i| BufferId(i as u32)).collect();
        let words = pollster::block_on(engine.download(&ids).unwrap()).unwrap();
        assert_eq!(self.expected.len(), ids.len(), "{}: expectations", self.name);
        for (i, (words, expected)) in words.iter().zip(&self.expected).enumerate() {
            let Some((expected, compare)) = expected else { continue };
            let got = unpack(&types[first + i], words);
            self.compare(&got, expected, *compare, &format!("{} on {device}, result {i}", self.name));
        }
    }

    fn compare(&self, got: &Matrix, expected: &Matrix, compare: Compare, place: &str) {
        assert_eq!((got.rows, got.columns), (expected.rows, expected.columns), "{place}");
        for (i, (g, e)) in got.data.iter().zip(&expected.data).enumerate() {
            let (r, c) = (i / got.columns, i % got.columns);
            let fine = match compare {
                Compare::Exact => g == e,
                Compare::Float(scale) => (g - e).abs() <= f64::from(f32::EPSILON) * (scale + 4.0 * e.abs()),
                Compare::Step(share) => (g - e).abs() <= (share * e.abs()).max(2_f64.powi(-24)),
                Compare::Margin(least) => g == e || self.margin.as_ref().unwrap().data[i].abs() < least,
            };
            assert!(fine, "{place}: at ({r}, {c}) expected {e}, got {g}, compared {compare:?}");
        }
    }
}

/// Rows, columns, depth: the corners, then random ones.
fn shapes() -> Vec<[usize; 3]> {
    let mut shapes = vec![
        [1, 1, 1],
        [31, 31, 31],
        [32, 32, 32],
        [33, 33, 33],
        [7, 10, 5000],
        [100, 65, 784],
        [70, 129, 64],
        [3, 40, 63],
    ];
    let stream = Stream::new(8, "shapes");
    shapes.extend((0..6).map(|i| [0, 1, 2].map(|j| 1 + stream.below(3 * i + j, 150) as usize)));
    shapes
}

fn panels(rows: usize, columns: usize) -> TensorType {
    TensorType::panels(DType::F32, rows, columns)
}

fn padded(rows: usize, columns: usize) -> TensorType {
    TensorType::new(DType::F32, Layout::Rows, &[rows, columns])
}

fn vector(count: usize) -> TensorType {
    TensorType::plain(DType::F32, &[count])
}

fn words(count: usize) -> TensorType {
    TensorType::plain(DType::U32, &[count])
}

/// y\[r\]\[c\] = sum of a(r, k) b(k, c).
fn sum(
    rows: usize,
    columns: usize,
    depth: usize,
    a: impl Fn(usize, usize) -> f64,
    b: impl Fn(usize, usize) -> f64,
) -> Matrix {
    Matrix::from_fn(rows, columns, |r, c| (0..depth).map(|k| a(r, k) * b(k, c)).sum())
}

fn product_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for [m, n, k] in shapes() {
        let name = |op: &str| format!("{op} {m} x {n} x {k}");
        let (a, w) = (Matrix::signs(m, k, "a"), Matrix::signs(n, k, "w"));
        cases.push(
            Case::new(name("xnor_matmul"), XnorMatmul)
                .input(TensorType::bits(m, k), &a)
                .input(TensorType::bits(n, k), &w)
                .expect(sum(m, n, k, |r, i| a.at(r, i), |i, c| w.at(c, i)), Compare::Exact),
        );
        cases.push(
            Case::new(name("transpose_bits"), TransposeBits)
                .input(TensorType::bits(m, k), &a)
                .expect(Matrix::from_fn(k, m, |r, c| a.at(c, r)), Compare::Exact),
        );
        // Small integers: every order of summation gives the same number. Reals: the error of a sum of k terms.
        let exact = (|r, c, name: &str| Matrix::integers(r, c, 8, name)) as fn(usize, usize, &str) -> Matrix;
        let real = (|r, c, name: &str| Matrix::reals(r, c, 1.0, name)) as fn(usize, usize, &str) -> Matrix;
        for (make, compare) in [(exact, Compare::Exact), (real, Compare::Float(2.0 * k as f64))] {
            let (x, s) = (make(m, k, "x"), Matrix::signs(k, n, "s"));
            cases.push(
                Case::new(name("float_bits"), FloatBits)
                    .input(panels(m, k), &x)
                    .input(TensorType::bits(k, n), &s)
                    .expect(sum(m, n, k, |r, i| x.at(r, i), |i, c| s.at(i, c)), compare),
            );
            let g = make(k, m, "g");
            cases.push(
                Case::new(name("float_bits_transposed"), FloatBitsTransposed)
                    .input(panels(k, m), &g)
                    .input(TensorType::bits(k, n), &s)
                    .expect(sum(m, n, k, |r, i| g.at(i, r), |i, c| s.at(i, c)), compare),
            );
            let (w, v) = (make(n, k, "w"), make(k, n, "v"));
            cases.push(
                Case::new(name("matmul"), Matmul)
                    .input(panels(m, k), &x)
                    .input(padded(n, k), &w)
                    .expect(sum(m, n, k, |r, i| x.at(r, i), |i, c| w.at(c, i)), compare),
            );
            cases.push(
                Case::new(name("matmul_input"), MatmulInput)
                    .input(panels(m, k), &x)
                    .input(padded(k, n), &v)
                    .expect(sum(m, n, k, |r, i| x.at(r, i), |i, c| v.at(i, c)), compare),
            );
            cases.push(
                Case::new(name("matmul_transposed"), MatmulTransposed)
                    .input(panels(k, m), &g)
                    .input(panels(k, n), &v)
                    .expect(sum(m, n, k, |r, i| g.at(i, r), |i, c| v.at(i, c)), compare),
            );
        }
    }
    cases
}

fn elementwise_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for [m, n, _] in shapes() {
        let name = |op: &str| format!("{op} {m} x {n}");
        let (a, b) = (Matrix::reals(m, n, 3.0, "a"), Matrix::reals(m, n, 3.0, "b"));
        let added = Matrix::from_fn(m, n, |r, c| f64::from(a.at(r, c) as f32 + b.at(r, c) as f32));
        cases.push(
            Case::new(name("add"), Add).input(panels(m, n), &a).input(panels(m, n), &b).expect(added, Compare::Exact),
        );
        cases.extend(sign_cases(m, n));
        let channels = [1, 3].into_iter().find(|c| n % c == 0).unwrap_or(1);
        let (scale, shift) = ([0.5, 2.0, -0.25, 1.0], [-1.0, 0.0, 0.125, 3.0]);
        let bytes = Matrix::from_fn(m, n, |r, c| ((r * 31 + c * 7) % 256) as f64);
        let pixels = Matrix::from_fn(m, n, |r, c| {
            f64::from(scale[c % channels]) * bytes.at(r, c) + f64::from(shift[c % channels])
        });
        cases.push(
            Case::new(name("normalise"), Normalise { scale, shift, channels })
                .input(TensorType::plain(DType::U8, &[m, n]), &bytes)
                .expect(pixels, Compare::Exact),
        );
    }
    cases
}

fn sign_cases(m: usize, n: usize) -> Vec<Case> {
    // Zeros of both signs and both borders of the mask stand among random values.
    let random = Matrix::reals(m, n, 2.0, "x");
    let special = [0.0, -0.0, 1.0, -1.0, 1.0 + f64::from(f32::EPSILON)];
    let x = Matrix::from_fn(m, n, |r, c| special.get((r * n + c) % 11).copied().unwrap_or(random.at(r, c)));
    let dy = Matrix::reals(m, n, 1.0, "dy");
    let signs = Matrix::from_fn(m, n, |r, c| if x.at(r, c) >= 0.0 { 1.0 } else { -1.0 });
    let mask = Matrix::from_fn(m, n, |r, c| if x.at(r, c).abs() <= 1.0 { 1.0 } else { -1.0 });
    let mut cases = Vec::new();
    for surrogate in &SURROGATES {
        let op = Sign { surrogate };
        let name = format!("sign {} {m} x {n}", surrogate.name);
        let forward = Case::new(&name, op).input(panels(m, n), &x).expect(signs.clone(), Compare::Exact);
        let clip = surrogate.name == "clip";
        cases.push(if clip { forward.expect(mask.clone(), Compare::Exact) } else { forward });
        let kept = if clip { (TensorType::bits(m, n), &mask) } else { (panels(m, n), &x) };
        let dx = Matrix::from_fn(m, n, |r, c| dy.at(r, c) * f64::from((surrogate.derivative)(x.at(r, c) as f32)));
        // Transcendental functions: a few units in the last place of values up to 5, by way of exp of up to 10.
        let compare =
            if ["swish", "tanh"].contains(&surrogate.name) { Compare::Float(200.0) } else { Compare::Float(1.0) };
        cases.push(
            Case::new(format!("{name} backward"), SignBackward(op))
                .input(kept.0, kept.1)
                .input(panels(m, n), &dy)
                .expect(dx, if clip { Compare::Exact } else { compare }),
        );
    }
    cases
}

fn batch_norm_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for ([m, n, _], integer) in shapes().into_iter().zip([true, false].into_iter().cycle()) {
        let valid = m - m / 4;
        let ty = TensorType::panels(if integer { DType::I32 } else { DType::F32 }, m, n);
        let y = if integer { Matrix::integers(m, n, 50, "y") } else { Matrix::reals(m, n, 5.0, "y") };
        let count = valid as f64;
        let mean = Matrix::from_fn(1, n, |_, c| (0..valid).map(|r| y.at(r, c)).sum::<f64>() / count);
        let deviation = |c: usize| (0..valid).map(|r| (y.at(r, c) - mean.at(0, c)).powi(2)).sum::<f64>();
        let variance = Matrix::from_fn(1, n, |_, c| deviation(c) / count);
        let (old_mean, old_variance) =
            (Matrix::reals(1, n, 1.0, "rm"), Matrix::from_fn(1, n, |_, c| 1.0 + c as f64 * 0.25));
        let share = if valid > 1 { f64::from(MOMENTUM) } else { 0.0 };
        let running = |old: f64, now: f64| old + share * (now - old);
        let name = |op: &str| format!("{op} {m} x {n}, {valid} valid, integer {integer}");
        cases.push(
            Case::new(name("batch_norm_statistics"), BatchNormStatistics)
                .valid(valid)
                .input(ty.clone(), &y)
                .update(vector(n), &old_mean)
                .update(vector(n), &old_variance)
                .expect(Matrix::from_fn(1, n, |_, c| running(old_mean.at(0, c), mean.at(0, c))), Compare::Float(200.0))
                .expect(
                    Matrix::from_fn(1, n, |_, c| running(old_variance.at(0, c), deviation(c) / (count - 1.0).max(1.0))),
                    Compare::Float(4000.0),
                )
                .expect(mean.clone(), Compare::Float(200.0))
                .expect(variance.clone(), Compare::Float(4000.0)),
        );
        // From here mean and variance are inputs: any values do.
        let (mean, variance) = (Matrix::reals(1, n, 1.0, "mean"), Matrix::from_fn(1, n, |_, c| 0.5 + c as f64));
        let (scale, bias, dz) =
            (Matrix::reals(1, n, 2.0, "scale"), Matrix::reals(1, n, 1.0, "bias"), Matrix::reals(m, n, 1.0, "dz"));
        let rstd = |c: usize| 1.0 / (variance.at(0, c) + f64::from(EPSILON)).sqrt();
        let normal = |r: usize, c: usize| (y.at(r, c) - mean.at(0, c)) * rstd(c);
        cases.push(
            Case::new(name("batch_norm"), BatchNorm)
                .valid(valid)
                .input(ty.clone(), &y)
                .input(vector(n), &mean)
                .input(vector(n), &variance)
                .input(vector(n), &scale)
                .input(vector(n), &bias)
                .expect(
                    Matrix::from_fn(m, n, |r, c| normal(r, c) * scale.at(0, c) + bias.at(0, c)),
                    Compare::Float(800.0),
                ),
        );
        let dbias = Matrix::from_fn(1, n, |_, c| (0..valid).map(|r| dz.at(r, c)).sum());
        let dscale = Matrix::from_fn(1, n, |_, c| (0..valid).map(|r| dz.at(r, c) * normal(r, c)).sum());
        let dy = Matrix::from_fn(m, n, |r, c| {
            let inner = dz.at(r, c) - dbias.at(0, c) / count - normal(r, c) * dscale.at(0, c) / count;
            if r < valid { scale.at(0, c) * rstd(c) * inner } else { 0.0 }
        });
        // A normal value may be as large as 70 here, and its share enters twice.
        cases.push(
            Case::new(name("batch_norm_backward"), BatchNormBackward)
                .valid(valid)
                .input(ty, &y)
                .input(panels(m, n), &dz)
                .input(vector(n), &mean)
                .input(vector(n), &variance)
                .input(vector(n), &scale)
                .expect(dy, Compare::Float(40_000.0))
                .expect(dscale, Compare::Float(70.0 * 4.0 * m as f64))
                .expect(dbias, Compare::Float(4.0 * m as f64)),
        );
    }
    cases
}

fn loss_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for ([m, n, _], smoothing) in shapes().into_iter().zip([0.0, 0.1_f32].into_iter().cycle()) {
        let (valid, classes) = (m - m / 4, n.max(2));
        let z = Matrix::reals(m, classes, 4.0, "z");
        let labels = Matrix::from_fn(1, m, |_, r| ((r * 7) % classes) as f64);
        let label = |r: usize| labels.at(0, r) as usize;
        let best = |r: usize| (0..classes).fold(0, |best, c| if z.at(r, c) > z.at(r, best) { c } else { best });
        let before = Matrix::from_fn(1, classes, |_, c| c as f64);
        let hits = |class: usize| (0..valid).filter(|&r| best(r) == class && label(r) == class).count() as f64;
        let correct = Matrix::from_fn(1, classes, |_, c| before.at(0, c) + hits(c));
        let name = |op: &str| format!("{op} {m} x {classes}, {valid} valid, smoothing {smoothing}");
        let e = f64::from(smoothing);
        let total = |r: usize| (0..classes).map(|c| z.at(r, c).exp()).sum::<f64>();
        let target = |r: usize, c: usize| e / classes as f64 + if c == label(r) { 1.0 - e } else { 0.0 };
        let loss = Matrix::from_fn(1, m, |_, r| {
            let expected: f64 = (0..classes).map(|c| target(r, c) * z.at(r, c)).sum();
            if r < valid { total(r).ln() - expected } else { 0.0 }
        });
        let op = SoftmaxCrossEntropy { smoothing };
        cases.push(
            Case::new(name("softmax_cross_entropy"), op)
                .valid(valid)
                .input(panels(m, classes), &z)
                .input(words(m), &labels)
                .update(words(classes), &before)
                .expect(correct.clone(), Compare::Exact)
                .expect(loss, Compare::Float(60.0 + classes as f64)),
        );
        let share = |r: usize, v: f64| if r < valid { v / valid as f64 } else { 0.0 };
        let dz = Matrix::from_fn(m, classes, |r, c| share(r, z.at(r, c).exp() / total(r) - target(r, c)));
        cases.push(
            Case::new(name("softmax_cross_entropy_backward"), SoftmaxCrossEntropyBackward(op))
                .valid(valid)
                .input(panels(m, classes), &z)
                .input(words(m), &labels)
                .expect(dz, Compare::Float(60.0)),
        );
        let sign = |r: usize, c: usize| if c == label(r) { 1.0 } else { -1.0 };
        let slack = |r: usize, c: usize| (1.0 - sign(r, c) * z.at(r, c)).max(0.0);
        let hinge = Matrix::from_fn(1, m, |_, r| {
            let sum: f64 = (0..classes).map(|c| slack(r, c).powi(2)).sum();
            if r < valid { sum / classes as f64 } else { 0.0 }
        });
        cases.push(
            Case::new(name("squared_hinge"), SquaredHinge)
                .valid(valid)
                .input(panels(m, classes), &z)
                .input(words(m), &labels)
                .update(words(classes), &before)
                .expect(correct, Compare::Exact)
                .expect(hinge, Compare::Float(60.0)),
        );
        let dz = Matrix::from_fn(m, classes, |r, c| share(r, -2.0 * sign(r, c) * slack(r, c) / classes as f64));
        cases.push(
            Case::new(name("squared_hinge_backward"), SquaredHingeBackward)
                .valid(valid)
                .input(panels(m, classes), &z)
                .input(words(m), &labels)
                .expect(dz, Compare::Float(4.0)),
        );
        cases.extend(mean_loss_cases(m, valid));
    }
    cases
}

fn mean_loss_cases(m: usize, valid: usize) -> Vec<Case> {
    let (before, none) = (Matrix::reals(1, 5, 1.0, "ring"), f64::from(u32::MAX));
    let rows = Matrix::from_fn(1, m, |_, r| if r < valid { (r % 5) as f64 + 0.5 } else { 0.0 });
    let mean = rows.data.iter().sum::<f64>() / valid as f64;
    let one = |value: f64| Matrix::from_fn(1, 1, |_, _| value);
    let ring = |at: usize, value: f64| Matrix::from_fn(1, 5, |_, i| if i == at { value } else { before.at(0, i) });
    let case = |name: &str, rows: &Matrix, failed: f64| {
        let mut case = Case::new(format!("mean_loss {m}, {name}"), MeanLoss).valid(valid);
        (case.step.step, case.step.loss_slot) = (40, 3);
        case.input(vector(m), rows).update(vector(5), &before).update(words(1), &one(failed))
    };
    let fine = case("finite", &rows, none).expect(ring(3, mean), Compare::Float(8.0)).expect(one(none), Compare::Exact);
    let mut cases = vec![fine];
    for (value, earlier, kept) in [(f64::NAN, none, 40.0), (f64::INFINITY, none, 40.0), (f64::NAN, 7.0, 7.0)] {
        let broken = Matrix::from_fn(1, m, |_, r| if r == valid / 2 { value } else { rows.at(0, r) });
        let mut case = case(&format!("{value}"), &broken, earlier);
        case.expected.push(None);
        cases.push(case.expect(one(kept), Compare::Exact));
    }
    cases
}

/// What a rule for binary weights means, in f64: the new states and the verdict whose sign the weight becomes the opposite of.
fn definition(rule: &str, g: f64, s: &[f64], k: [f64; 8]) -> (Vec<f64>, f64) {
    let average = |old: f64, rate: f64, new: f64| old + rate * (new - old);
    let sign = |v: f64| if v == 0.0 { 0.0 } else { v.signum() };
    let obeyed = |m: f64, least: f64| if m.abs() > least { m } else { 0.0 };
    let latent = |x: f64, clip: f64| (x.clamp(-clip, clip), -x.clamp(-clip, clip));
    match rule {
        "ema" => (vec![average(s[0], k[0], g)], average(s[0], k[0], g)),
        "cema" => {
            let m = average(s[0], k[1], g);
            let h = average(s[1], k[0], m);
            (vec![m, h], h)
        }
        "iir" => {
            let (mut new, mut u) = (Vec::new(), g);
            for (state, k) in s.chunks(2).zip(k.chunks(4)) {
                let y = k[0] * u + state[0];
                new.extend([state[0] + state[1] + k[1] * u - k[2] * y, state[1] + k[3] * (u - y)]);
                u = y;
            }
            (new, u)
        }
        "bop" => (vec![average(s[0], k[0], g)], obeyed(average(s[0], k[0], g), k[1])),
        "bop2" => {
            let (m, v) = (average(s[0], k[0], g), average(s[1], k[2], g * g));
            (vec![m, v], obeyed(m, k[1] * (v.sqrt() + 1e-10)))
        }
        "diode" => {
            let m = average(s[0], k[1], g);
            let h = average(s[1], k[0], sign(m));
            (vec![m, h], h)
        }
        "signum" => {
            let m = average(s[1], k[1], g);
            let (x, verdict) = latent(s[0] - k[0] * (sign(m) + k[2] * s[0]), k[3]);
            (vec![x, m], verdict)
        }
        "latent-sgd" => {
            let m = k[1] * s[1] + g + k[2] * s[0];
            let (x, verdict) = latent(s[0] - k[0] * m, k[3]);
            (vec![x, m], verdict)
        }
        "latent-adam" => {
            let d = g + k[4] * s[0];
            let (m, v) = (average(s[1], k[2], d), average(s[2], k[3], d * d));
            let (x, verdict) = latent(s[0] - k[0] * m / (v.sqrt() * k[1] + k[6]), k[5]);
            (vec![x, m, v], verdict)
        }
        other => panic!("no definition of the rule `{other}`"),
    }
}

/// Knobs as the kernels get them: powers of two, so that f32 holds them; clips and thresholds that some weights meet.
fn kernel_knobs(rule: &str) -> [f32; 8] {
    match rule {
        "iir" => [0.125, 0.25, 0.5, 0.0625, 0.25, 0.5, 0.75, 0.125],
        "bop" | "bop2" => [0.125, 0.0625, 0.25, 0.0, 0.0, 0.0, 0.0, 0.0],
        "signum" => [0.125, 0.25, 0.5, 0.25, 0.0, 0.0, 0.0, 0.0],
        "latent-sgd" => [0.125, 0.75, 0.5, 0.25, 0.0, 0.0, 0.0, 0.0],
        "latent-adam" => [0.125, 1.25, 0.25, 0.125, 0.5, 0.25, 1e-8, 0.0],
        _ => [0.125, 0.25, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    }
}

fn binary_rule_case(rule: &'static BinaryRule, m: usize, n: usize) -> Case {
    // Some states and gradients are exactly 0: their weight is kept.
    let clear = |name: &str, bound: f32| {
        let x = Matrix::reals(m, n, bound, name);
        Matrix::from_fn(m, n, |r, c| if (r + c).is_multiple_of(7) { 0.0 } else { x.at(r, c) })
    };
    let (g, w) = (clear("g", 1.0), Matrix::signs(m, n, "w"));
    let squares = |name: &str| name == "v";
    // A filter here has two sections.
    let planes = if rule.is_filter { 4 } else { 1 };
    let state_type =
        if rule.is_filter { TensorType::new(DType::F32, Layout::Rows, &[m, planes, n]) } else { padded(m, n) };
    let states: Vec<Matrix> = rule
        .states
        .iter()
        .map(|(name, _)| {
            let x = Matrix::reals(planes * m, n, 0.5, name);
            let x = Matrix::from_fn(
                planes * m,
                n,
                |r, c| if (r / planes + c).is_multiple_of(7) { 0.0 } else { x.at(r, c) },
            );
            Matrix::from_fn(planes * m, n, |r, c| if squares(name) { x.at(r, c).abs() } else { x.at(r, c) })
        })
        .collect();
    let knobs = kernel_knobs(rule.name);
    let after = |r: usize, c: usize| {
        let old: Vec<f64> = states.iter().flat_map(|s| (0..planes).map(move |p| s.at(r * planes + p, c))).collect();
        definition(rule.name, g.at(r, c), &old, knobs.map(f64::from))
    };
    let w1 = Matrix::from_fn(m, n, |r, c| match after(r, c).1 {
        v if v > 0.0 => -1.0,
        v if v < 0.0 => 1.0,
        _ => w.at(r, c),
    });
    // How far from a decision: a verdict of 0 beside a threshold is as near as the average to the threshold.
    let margin = Matrix::from_fn(m, n, |r, c| {
        let (new, verdict) = after(r, c);
        match rule.name {
            "bop" => new[0].abs() - f64::from(knobs[1]),
            "bop2" => new[0].abs() - f64::from(knobs[1]) * new[1].sqrt(),
            _ if verdict == 0.0 => 1.0,
            _ => verdict,
        }
    });
    let undecided = margin.data.iter().any(|v| v.abs() < 1e-6);
    let flipped = w1.data.iter().zip(&w.data).filter(|(a, b)| a != b).count() as f64;
    let op = BinaryUpdate { rule, planes, state: StateType::F32, stream: 0, knob: 2, layer: 1 };
    let mut case = Case::new(format!("{} {m} x {n}", rule.name), op).input(padded(m, n), &g);
    case.step.knobs[2].copy_from_slice(&knobs[..4]);
    case.step.knobs[3].copy_from_slice(&knobs[4..]);
    case.margin = Some(margin);
    let counters = Matrix::from_fn(1, 3, |_, i| i as f64);
    case = case.update(TensorType::bits(m, n), &w).update(words(3), &counters).expect(w1, Compare::Margin(1e-6));
    let counted = Matrix::from_fn(1, 3, |_, i| i as f64 + if i == 1 { flipped } else { 0.0 });
    case.expected.push((!undecided).then_some((counted, Compare::Exact)));
    for (i, state) in states.iter().enumerate() {
        // Where an average is divided by the root of a small square, its rounding grows.
        let scale = if rule.name == "latent-adam" { 20.0 } else { 4.0 };
        let new = Matrix::from_fn(planes * m, n, |r, c| after(r / planes, c).0[i * planes + r % planes]);
        case = case.update(state_type.clone(), state).expect(new, Compare::Float(scale));
    }
    case
}

/// The moving averages with narrow states, at step 7. A state is rounded by a byte of a drawn number: integers to floor(x + byte / 256) of their
/// unit, of which a 256th is cut off before; halves to the neighbour below where the byte is below the share of a step that is left. A kernel may
/// round otherwise where f32 errs: then by one step, and the sign of what is next to 0 is free.
fn narrow_cases(m: usize, n: usize) -> Vec<Case> {
    let types = [StateType::F16, StateType::I16, StateType::I8];
    let rules = BINARY_RULES.into_iter().filter(|rule| rule.narrow.is_some());
    rules.flat_map(|rule| types.map(|state| narrow_case(rule, state, m, n))).collect()
}

fn narrow_case(rule: &'static BinaryRule, state: StateType, m: usize, n: usize) -> Case {
    const STEP: u32 = 7;
    let (is_float, count) = (state == StateType::F16, rule.states.len());
    let most = match state {
        StateType::F16 => 65504.0,
        StateType::I16 => 32767.0,
        _ => 127.0,
    };
    // Halves: sizes on both sides of their least normal number. Integers: the unit is such that the largest is 1.
    let unit = if is_float { 2_f64.powi(-12) } else { 2_f64.powi(1 - 8 * state.bytes() as i32) };
    let (g, w) = (Matrix::reals(m, n, if is_float { 1e-7 } else { 1.0 }, "g"), Matrix::signs(m, n, "w"));
    let first = |name: &str| {
        let x = Matrix::reals(m, n, 1.0, name);
        let half = |x: f64| f64::from(half_value(half_rounded((x * 5e-4) as f32, 0x1000)));
        Matrix::from_fn(m, n, |r, c| if is_float { half(x.at(r, c)) } else { (0.9 * most * x.at(r, c)).round() })
    };
    let states: Vec<Matrix> = rule.states.iter().map(|(name, _)| first(name)).collect();
    // Largest sizes after the step before, by row: too large, fine, small, none.
    let peak = |row: usize| [0.8, 0.5, 0.1, 0.0][row % 4] * most;
    let moved = |row: usize| if is_float { 0 } else { [1, 0, -1, 0][row % 4] };
    let (knobs, stream) = (kernel_knobs(rule.name), 5);
    let draws = Draws::new(1, STEP, stream);
    let stored = |value: f64, byte: u32, row: usize| {
        let x = value / (unit * 2_f64.powi(moved(row)));
        if is_float {
            f64::from(half_rounded_by_definition(x, byte))
        } else {
            (((x.clamp(-most, most) * 256.0).trunc() + f64::from(byte)) / 256.0).floor()
        }
    };
    let after = |r: usize, c: usize| {
        let old: Vec<f64> = states.iter().map(|s| s.at(r, c) * unit).collect();
        let word = draws.word(((r * words_of(n) + c / 32) * 16 + c % 16) as u32);
        let (new, _) = definition(rule.name, g.at(r, c), &old, knobs.map(f64::from));
        let byte = |i: usize| word >> (c % 32 / 16 * 16 + 8 * i) & 255;
        new.iter().enumerate().map(|(i, value)| stored(*value, byte(i), r)).collect::<Vec<f64>>()
    };
    let w1 = Matrix::from_fn(m, n, |r, c| match after(r, c)[count - 1] {
        v if v > 0.0 => -1.0,
        v if v < 0.0 => 1.0,
        _ => w.at(r, c),
    });
    let op = BinaryUpdate { rule, planes: 1, state, stream, knob: 2, layer: 1 };
    let mut case = Case::new(format!("{} {state} {m} x {n}", rule.name), op).input(padded(m, n), &g);
    case.step.step = STEP;
    case.step.knobs[2].copy_from_slice(&knobs[..4]);
    case.margin = Some(Matrix::from_fn(m, n, |r, c| after(r, c)[count - 1]));
    let (step_size, counters) = (if is_float { 2_f64.powi(-24) } else { 1.0 }, Matrix::from_fn(1, 3, |_, i| i as f64));
    case = case
        .update(TensorType::bits(m, n), &w)
        .update(words(3), &counters)
        .expect(w1, Compare::Margin(1.5 * step_size));
    case.expected.push(None);
    for (i, old) in states.iter().enumerate() {
        let new = Matrix::from_fn(m, n, |r, c| after(r, c)[i]);
        let one = Compare::Float(1.0 / f64::from(f32::EPSILON));
        let compare = if is_float { Compare::Step(2_f64.powi(-10)) } else { one };
        case = case.update(TensorType::new(state.dtype(), Layout::Rows, &[m, n]), old).expect(new, compare);
    }
    if is_float {
        return case
            .update(words(1), &Matrix::from_fn(1, 1, |_, _| 0.0))
            .expect(Matrix::from_fn(1, 1, |_, _| 0.0), Compare::Exact);
    }
    // Exponents by step mod 2: step 7 reads place 1 and writes place 0.
    let exponent = 127 + 1 - 8 * state.bytes() as i32;
    let exponents = |i: usize| (exponent + if i.is_multiple_of(2) { moved(i / 2 % m) } else { 0 }) as f64;
    let before = Matrix::from_fn(1, 2 * count * m, |_, i| if i % 2 == 1 { f64::from(exponent) } else { 0.0 });
    case = case.update(words(2 * count * m), &before);
    case = case.expect(Matrix::from_fn(1, 2 * count * m, |_, i| exponents(i)), Compare::Exact);
    // Largest sizes by step mod 3: step 7 reads place 0, fills 1 and clears 2.
    let before = |i: usize| if i == 3 * count * m || i % 3 == 1 { 0.0 } else { peak(i / 3 % m).floor() };
    case = case.update(words(3 * count * m + 1), &Matrix::from_fn(1, 3 * count * m + 1, |_, i| before(i)));
    let sizes = |state: usize, row: usize| (0..n).map(|c| after(row, c)[state].abs()).fold(0.0, f64::max);
    let ends = (0..m * n).flat_map(|i| after(i / n, i % n)).filter(|v| v.abs() >= most).count() as f64;
    let expected = |i: usize| match (i, i % 3) {
        (i, _) if i == 3 * count * m => ends,
        (i, 0) => before(i),
        (i, 1) => sizes(i / 3 / m, i / 3 % m),
        _ => 0.0,
    };
    case.expect(
        Matrix::from_fn(1, 3 * count * m + 1, |_, i| expected(i)),
        Compare::Float(1.0 / f64::from(f32::EPSILON)),
    )
}

/// The half below or above, the one above where (share of the step) + (byte + 1/2) / 256 reaches 1.
fn half_rounded_by_definition(x: f64, byte: u32) -> f32 {
    let step = 2_f64.powi((x.abs().log2().floor() as i32).max(-14) - 10);
    let steps = (x.abs() / step + (f64::from(byte) + 0.5) / 256.0).floor();
    (steps * step).copysign(x) as f32
}

fn optimizer_cases() -> Vec<Case> {
    let shapes = shapes().into_iter().map(|[m, n, _]| [m, n]);
    let of = |[m, n]: [usize; 2]| {
        let binary = BINARY_RULES.into_iter().map(move |rule| binary_rule_case(rule, m, n));
        binary.chain(narrow_cases(m, n)).chain(float_rule_cases(n * m))
    };
    shapes.flat_map(of).collect()
}

fn float_rule_cases(n: usize) -> Vec<Case> {
    let (g, p, m0) = (Matrix::reals(1, n, 1.0, "g"), Matrix::reals(1, n, 1.0, "p"), Matrix::reals(1, n, 0.1, "m"));
    let v0 = Matrix::from_fn(1, n, |_, c| 0.01 + m0.at(0, c).abs());
    let each = |f: &dyn Fn(usize) -> f64| Matrix::from_fn(1, n, |_, c| f(c));
    let (rate, correction, one, two, epsilon) = (0.5, 1.25, 0.125, 0.25, f64::from(1e-8_f32));
    let m1 = each(&|c| m0.at(0, c) + one * (g.at(0, c) - m0.at(0, c)));
    let v1 = each(&|c| v0.at(0, c) + two * (g.at(0, c).powi(2) - v0.at(0, c)));
    let p1 = each(&|c| p.at(0, c) - rate * m1.at(0, c) / (v1.at(0, c).sqrt() * correction + epsilon));
    let mut adam = Case::new(format!("adam {n}"), AdamUpdate { knob: 1, epsilon: 1e-8 }).input(vector(n), &g);
    adam.step.knobs[1] = [rate, correction, one, two].map(|v| v as f32);
    let adam = adam.update(vector(n), &m0).update(vector(n), &v0).update(vector(n), &p);
    let adam = adam.expect(m1, Compare::Float(2.0)).expect(v1, Compare::Float(2.0)).expect(p1, Compare::Float(20.0));
    let (mu, decay) = (0.875, 0.0625);
    let velocity = each(&|c| mu * m0.at(0, c) + (g.at(0, c) + decay * p.at(0, c)));
    let p1 = each(&|c| p.at(0, c) - rate * velocity.at(0, c));
    let mut sgd = Case::new(format!("sgd {n}"), SgdUpdate { knob: 1 }).input(vector(n), &g);
    sgd.step.knobs[1] = [rate, mu, decay, 0.0].map(|v| v as f32);
    let sgd = sgd.update(vector(n), &m0).update(vector(n), &p);
    vec![adam, sgd.expect(velocity, Compare::Float(4.0)).expect(p1, Compare::Float(4.0))]
}

/// The cases of a group, on the processor and on every variant of every kernel of the test adapter.
fn check_all(cases: &[Case]) {
    let mut engine = plusminus::runtime::CpuEngine::new(Some(2)).unwrap();
    cases.iter().for_each(|case| case.check(&mut engine, "cpu"));
    #[cfg(feature = "gpu")]
    if let Some(mut engine) = support::gpu() {
        let variants = |case: &Case| {
            let dispatches = &case.program().0.recordings[0].dispatches;
            dispatches.iter().map(|d| d.kernel.all_variants().count()).max().unwrap_or(0)
        };
        for case in cases {
            for number in 0..variants(case) {
                engine.force_variant(Some(number));
                case.check(&mut engine, &format!("{}, variant {number}", support::test_device()));
            }
        }
    }
}

#[test]
fn products() {
    check_all(&product_cases());
}

#[test]
fn elementwise() {
    check_all(&elementwise_cases());
}

#[test]
fn batch_norm() {
    check_all(&batch_norm_cases());
}

#[test]
fn losses() {
    check_all(&loss_cases());
}

#[test]
fn optimizers() {
    check_all(&optimizer_cases());
}

#[test]
fn every_kernel_has_a_definition() {
    let groups = [product_cases(), elementwise_cases(), batch_norm_cases(), loss_cases(), optimizer_cases()];
    let mut tested = BTreeSet::new();
    for case in groups.iter().flatten() {
        tested.extend(case.program().0.recordings[0].dispatches.iter().map(|d| d.kernel.label()));
    }
    let listed = |kernels: &'static [&'static Kernel]| kernels.iter().map(|k| k.label());
    let listed: BTreeSet<&str> = listed(plusminus::ops::KERNELS).chain(listed(plusminus::optim::KERNELS)).collect();
    assert_eq!(tested, listed, "kernels with a case here, and kernels in the roll-calls");
}
