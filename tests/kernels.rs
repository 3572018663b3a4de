//! Compares three implementations of every kernel: its definition (plain loops in this file), its twin on the CPU, and every variant of its
//! shader. Integers, bits, and products of small integers are compared with `==`, other floats within the table of tolerances. A kernel
//! without a case here fails `every_kernel_has_a_definition`.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

mod support;

use plusminus::graph::{Bound, Op};
use plusminus::ops::{
    Activation, ActivationBackward, Add, AvgPool, AvgPoolBackward, BatchNorm, BatchNormBackward, BatchNormStatistics,
    BiquadMagnitudes, ByChannel, ByChannelBackward, ChannelSums, ClassWeights, Composed, ConstantChannels, ConvBits,
    ConvBitsInput, ConvBitsWeight, ConvFloat, ConvFloatInput, ConvFloatWeight, ConvShape, ConvWeights, Distillation,
    DistillationBackward, DropSigns, DropSignsBackward, Dropout, EPSILON, Flatten, FloatBits, FloatBitsTransposed,
    JoinDropped, JoinDroppedBackward, MOMENTUM, Magnitudes, Matmul, MatmulInput, MatmulTransposed, MaxPool,
    MaxPoolBackward, MeanLoss, NarrowMagnitudes, NormSign, NormSignBackward, Normalise, PadValue, SURROGATES,
    SampleFlips, ShiftChannels, Sign, SignBackward, SoftmaxCrossEntropy, SoftmaxCrossEntropyBackward, SquaredHinge,
    SquaredHingeBackward, Surrogate, TransposeBits, Unflatten, UnpackSigns, Window, XnorMatmul, weight_type,
};
use plusminus::optim::{
    AdamUpdate, BINARY_RULES, BinaryRule, BinaryUpdate, FlipControlUpdate, FusedUpdate, SgdUpdate, State, StateType,
};
use plusminus::runtime::{BufferId, BufferInfo, Engine, Kernel, Program, Recording, StepLimits, StepParams};
use plusminus::tensor::{DType, Draws, Layout, PANEL, Stream, TensorType, half_rounded, half_value, words_of};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Fill value of uninitialised memory: NaN as a float, and an implausible integer.
const POISON: u32 = 0x7fc0_dead;

/// A row-major matrix of f64.
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

    /// Returns random integers in +-`bound`.
    fn integers(rows: usize, columns: usize, bound: u32, name: &str) -> Self {
        let stream = Stream::new(5, name);
        Self::from_fn(rows, columns, |r, c| {
            f64::from(stream.below((r * columns + c) as u64, 2 * bound + 1)) - f64::from(bound)
        })
    }

    /// Returns random floats in +-`bound` that f32 represents exactly.
    fn reals(rows: usize, columns: usize, bound: f32, name: &str) -> Self {
        let stream = Stream::new(6, name);
        Self::from_fn(rows, columns, |r, c| f64::from(bound * (2.0 * stream.unit((r * columns + c) as u64) - 1.0)))
    }

    /// Returns random signs, +-1.
    fn signs(rows: usize, columns: usize, name: &str) -> Self {
        let stream = Stream::new(7, name);
        Self::from_fn(rows, columns, |r, c| if stream.word((r * columns + c) as u64) & 1 == 1 { 1.0 } else { -1.0 })
    }

    fn at(&self, r: usize, c: usize) -> f64 {
        self.data[r * self.columns + c]
    }
}

/// Returns the index of the word with element (r, c) of a tensor, and the bit or byte in the word.
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

/// Returns the elements; panics if the tails are not 0.
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

/// The comparison of an output.
#[derive(Clone, Copy, Debug)]
enum Compare {
    Exact,
    /// Permits f32 epsilon * (the value + 4 |expected|).
    Float(f64),
    /// Permits factor * |expected|, or 2^-24.
    Step(f64),
    /// Words of floats, which may differ by this number of units in the last place.
    Words(f64),
    /// Bits, unchecked where the definition's margin (a matrix of the same shape) is below this value.
    Margin(f64),
}

/// One use of one operation, with the expected results by its definition.
struct Case {
    name: String,
    op: Box<dyn Op>,
    inputs: Vec<(TensorType, Matrix)>,
    updates: Vec<(TensorType, Matrix)>,
    step: StepParams,
    /// Expected updates, then outputs; `None` is not compared.
    expected: Vec<Option<(Matrix, Compare)>>,
    /// For `Compare::Margin`: the distance of each element from its threshold.
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

    /// Excludes the next result from the comparison.
    fn ignore(mut self) -> Self {
        self.expected.push(None);
        self
    }

    fn valid(mut self, rows: usize) -> Self {
        self.step.valid_rows = rows as u32;
        self
    }

    /// Returns a program with only this operation, and the types of its tensors: inputs, updates, outputs.
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
        let info = |(i, ty): (usize, &TensorType)| BufferInfo {
            name: format!("tensor {i}"),
            ty: None,
            words: ty.words(),
            slot: i,
        };
        let buffers: Vec<BufferInfo> = all.iter().enumerate().map(info).collect();
        // Slots are longer than their tensors, as planned ones may be; the length must not affect arrayLength.
        let slots = buffers.iter().map(|b| b.words + 7).collect();
        let limits = StepLimits { rows: self.step.valid_rows, losses: self.step.loss_slot + 1 };
        (Program { buffers, slots, recordings: vec![recording], limits, poison: Some(POISON) }, all)
    }

    /// Runs the operation and compares its results.
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
                Compare::Words(steps) => (g - e).abs() <= steps,
                Compare::Step(share) => (g - e).abs() <= (share * e.abs()).max(2_f64.powi(-24)),
                Compare::Margin(least) => g == e || self.margin.as_ref().unwrap().data[i].abs() < least,
            };
            assert!(fine, "{place}: at ({r}, {c}) expected {e}, got {g}, compared {compare:?}");
        }
    }
}

/// Returns rows, columns and depth: corner cases, then random ones.
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

/// Computes y\[r\]\[c\] = sum of a(r, k) b(k, c).
fn sum(
    rows: usize,
    columns: usize,
    depth: usize,
    a: impl Fn(usize, usize) -> f64,
    b: impl Fn(usize, usize) -> f64,
) -> Matrix {
    Matrix::from_fn(rows, columns, |r, c| (0..depth).map(|k| a(r, k) * b(k, c)).sum())
}

/// Returns the values where the mask is set, 0 elsewhere.
fn where_set(values: &Matrix, mask: &Matrix) -> Matrix {
    Matrix::from_fn(values.rows, values.columns, |r, c| if mask.at(r, c) > 0.0 { values.at(r, c) } else { 0.0 })
}

/// Returns the statistics of the first `valid` rows by definition: running mean and variance before and after, mean, biased variance.
fn statistics(y: &Matrix, valid: usize) -> [Matrix; 6] {
    let (n, count) = (y.columns, valid as f64);
    let mean = Matrix::from_fn(1, n, |_, c| (0..valid).map(|r| y.at(r, c)).sum::<f64>() / count);
    let deviation = |c: usize| (0..valid).map(|r| (y.at(r, c) - mean.at(0, c)).powi(2)).sum::<f64>();
    let variance = Matrix::from_fn(1, n, |_, c| deviation(c) / count);
    let old = [Matrix::reals(1, n, 1.0, "rm"), Matrix::from_fn(1, n, |_, c| 1.0 + c as f64 * 0.25)];
    let share = if valid > 1 { f64::from(MOMENTUM) } else { 0.0 };
    let running = |old: f64, now: f64| old + share * (now - old);
    let running_mean = Matrix::from_fn(1, n, |_, c| running(old[0].at(0, c), mean.at(0, c)));
    let unbiased = |c: usize| deviation(c) / (count - 1.0).max(1.0);
    let running_variance = Matrix::from_fn(1, n, |_, c| running(old[1].at(0, c), unbiased(c)));
    let [old_mean, old_variance] = old;
    [old_mean, old_variance, running_mean, running_variance, mean, variance]
}

/// Adds to a case of integer outputs (`made`, the first outputs) their statistics, with three quarters of the samples valid.
fn with_statistics(case: Case, samples: usize, made: &[&Matrix]) -> Case {
    let (y, valid) = (made[0], samples - samples / 4);
    let [old_mean, old_variance, running_mean, running_variance, mean, variance] =
        statistics(y, valid * (y.rows / samples));
    let mut case = case
        .valid(valid)
        .update(vector(y.columns), &old_mean)
        .update(vector(y.columns), &old_variance)
        .expect(running_mean, Compare::Float(200.0))
        .expect(running_variance, Compare::Float(4000.0));
    for matrix in made {
        case = case.expect((*matrix).clone(), Compare::Exact);
    }
    case.expect(mean, Compare::Float(200.0)).expect(variance, Compare::Float(4000.0)).ignore()
}

/// Returns a producer of `inputs` inputs with the operations that these epilogues stand for.
fn composed(producer: impl Op, inputs: usize, epilogues: &[&str]) -> Composed {
    epilogues.iter().fold(Composed::new(Arc::new(producer), inputs), |composed, name| {
        let surrogate = Surrogate::named("clip").unwrap();
        let (op, tile, inputs): (Arc<dyn Op>, usize, usize) = match *name {
            "statistics" => (Arc::new(BatchNormStatistics), 0, 1),
            "threshold" => (Arc::new(NormSign), 0, 5),
            "join_dropped" => (Arc::new(JOIN.0), 0, 2),
            "mask" => (Arc::new(SignBackward(Sign { surrogate })), 1, 2),
            "add" => (Arc::new(Add), 0, 2),
            other => panic!("no operation for the epilogue `{other}`"),
        };
        composed.then(op, tile, inputs).unwrap_or_else(|| panic!("{name} is not permitted"))
    })
}

/// Adds the sign of batch norm to the case of a product with the integers `y`.
fn with_threshold(case: Case, y: &Matrix) -> Case {
    let n = y.columns;
    // Scales of both signs.
    let (mean, scale, bias) =
        (Matrix::reals(1, n, 9.0, "mean"), Matrix::reals(1, n, 2.0, "scale"), Matrix::reals(1, n, 3.0, "bias"));
    let variance = Matrix::from_fn(1, n, |_, c| 0.5 + c as f64);
    let z = Matrix::from_fn(y.rows, n, |r, c| {
        let rstd = 1.0 / (variance.at(0, c) + f64::from(EPSILON)).sqrt();
        (y.at(r, c) - mean.at(0, c)) * rstd * scale.at(0, c) + bias.at(0, c)
    });
    let signs = Matrix::from_fn(z.rows, n, |r, c| if z.at(r, c) >= 0.0 { 1.0 } else { -1.0 });
    let vectors = [&mean, &variance, &scale, &bias];
    let mut case = vectors.into_iter().fold(case, |case, values| case.input(vector(n), values));
    case = case.expect(signs, Compare::Margin(1e-4));
    case.margin = Some(z);
    case
}

/// A join of dropped signs, and its scale.
const JOIN: (JoinDropped, f32) = (JoinDropped { probability: 0.375 }, 0.8);

/// Adds the sum with another product, of type `ty`, to the case of a product with the integers `y`.
fn with_join(case: Case, ty: TensorType, y: &Matrix) -> Case {
    let other = Matrix::integers(y.rows, y.columns, 50, "other");
    let sum = |r: usize, c: usize| f64::from((y.at(r, c) + other.at(r, c)) as f32 * JOIN.1);
    case.input(ty, &other).expect(Matrix::from_fn(y.rows, y.columns, sum), Compare::Exact)
}

fn product_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for [m, n, k] in shapes() {
        let name = |op: &str| format!("{op} {m} x {n} x {k}");
        let (a, w) = (Matrix::signs(m, k, "a"), Matrix::signs(n, k, "w"));
        let y = sum(m, n, k, |r, i| a.at(r, i), |i, c| w.at(c, i));
        let operands = |case: Case| case.input(TensorType::bits(m, k), &a).input(TensorType::bits(n, k), &w);
        let fused = Case::new(name("xnor_matmul, statistics"), composed(XnorMatmul, 2, &["statistics"]));
        cases.push(with_statistics(operands(fused), m, &[&y]));
        let fused = Case::new(name("xnor_matmul, threshold"), composed(XnorMatmul, 2, &["threshold"]));
        cases.push(with_threshold(operands(fused), &y));
        let fused = Case::new(name("xnor_matmul, join"), composed(XnorMatmul, 2, &["join_dropped"]));
        cases.push(with_join(operands(fused), TensorType::panels(DType::I32, m, n), &y));
        cases.push(operands(Case::new(name("xnor_matmul"), XnorMatmul)).expect(y, Compare::Exact));
        cases.push(
            Case::new(name("transpose_bits"), TransposeBits)
                .input(TensorType::bits(m, k), &a)
                .expect(Matrix::from_fn(k, m, |r, c| a.at(c, r)), Compare::Exact),
        );
        // Small integers: the sum does not depend on the order. Reals: the error of a sum of k terms.
        let exact = (|r, c, name: &str| Matrix::integers(r, c, 8, name)) as fn(usize, usize, &str) -> Matrix;
        let real = (|r, c, name: &str| Matrix::reals(r, c, 1.0, name)) as fn(usize, usize, &str) -> Matrix;
        for (make, compare) in [(exact, Compare::Exact), (real, Compare::Float(2.0 * k as f64))] {
            let (x, s) = (make(m, k, "x"), Matrix::signs(k, n, "s"));
            let y = sum(m, n, k, |r, i| x.at(r, i), |i, c| s.at(i, c));
            let operands = |case: Case| case.input(panels(m, k), &x).input(TensorType::bits(k, n), &s);
            let mask = Matrix::signs(m, n, "kept");
            cases.push(
                operands(Case::new(name("float_bits, masked"), composed(FloatBits, 2, &["mask"])))
                    .input(TensorType::bits(m, n), &mask)
                    .expect(where_set(&y, &mask), compare),
            );
            cases.push(operands(Case::new(name("float_bits"), FloatBits)).expect(y, compare));
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

/// A convolution's geometry: batch, height, width, input channels, output channels, kernel, stride, dilation, padding, groups.
struct Geometry {
    image: [usize; 4],
    shape: ConvShape,
}

fn geometries() -> Vec<Geometry> {
    // Corner cases: 1x1 to 7x7, kernel as large as the image, strides with remaining pixels, partial words, groups, depthwise.
    let rows: [[usize; 10]; 16] = [
        [1, 1, 1, 1, 1, 1, 1, 1, 0, 1],
        [2, 5, 5, 32, 32, 3, 1, 1, 1, 1],
        [2, 7, 6, 33, 40, 3, 1, 1, 1, 1],
        [3, 9, 8, 16, 10, 3, 2, 1, 1, 1],
        [1, 11, 13, 64, 70, 3, 3, 1, 1, 1],
        [2, 9, 10, 35, 32, 3, 1, 2, 2, 1],
        [1, 8, 8, 3, 20, 7, 2, 1, 3, 1],
        [2, 7, 7, 40, 33, 7, 1, 1, 0, 1],
        [1, 6, 9, 64, 64, 5, 2, 2, 4, 2],
        [2, 6, 6, 96, 128, 3, 1, 1, 1, 1],
        [2, 6, 5, 64, 128, 3, 2, 1, 1, 2],
        [2, 6, 5, 12, 18, 3, 1, 1, 1, 2],
        [2, 6, 5, 40, 40, 3, 2, 1, 1, 40],
        [1, 5, 6, 33, 66, 3, 1, 2, 2, 33],
        [3, 4, 4, 100, 36, 1, 1, 1, 0, 1],
        [1, 12, 40, 32, 64, 3, 1, 1, 1, 1],
    ];
    let of = |(i, [batch, height, width, inputs, channels, side, stride, dilation, padding, groups]): (
        usize,
        [usize; 10],
    )| {
        let kernel = if i % 4 == 3 { [side, side.div_ceil(2)] } else { [side, side] };
        let window = Window { kernel, stride, dilation, padding };
        let pad = if i % 3 == 2 { PadValue::One } else { PadValue::Zero };
        let both = [pad, if i % 2 == 0 { PadValue::One } else { PadValue::Zero }];
        let shape = ConvShape { window, channels, groups, pad };
        let image = [batch, height, width, inputs];
        let shapes = if both[0] == both[1] { vec![shape] } else { both.map(|pad| ConvShape { pad, ..shape }).to_vec() };
        shapes.into_iter().map(move |shape| Geometry { image, shape }).collect::<Vec<_>>()
    };
    rows.into_iter().enumerate().flat_map(of).collect()
}

impl Geometry {
    fn out(&self) -> [usize; 2] {
        self.shape.window.output("test", [self.image[1], self.image[2]]).unwrap()
    }

    /// Calls `each` for every term of the sum: output row, output channel, weight row (tap, output channel), input channel of the group; input row,
    /// `None` in the padding; input channel.
    fn terms(&self, mut each: impl FnMut([usize; 4], Option<usize>, usize)) {
        let ([batch, height, width, inputs], Window { kernel, stride, dilation, padding }) =
            (self.image, self.shape.window);
        let (outputs, [out_height, out_width]) = (self.shape.channels, self.out());
        let depth = inputs / self.shape.groups;
        for b in 0..batch {
            for (oy, ox) in (0..out_height).flat_map(|y| (0..out_width).map(move |x| (y, x))) {
                for (ky, kx) in (0..kernel[0]).flat_map(|y| (0..kernel[1]).map(move |x| (y, x))) {
                    let (y, x) = (oy * stride + ky * dilation, ox * stride + kx * dilation);
                    let inside = (padding..padding + height).contains(&y) && (padding..padding + width).contains(&x);
                    let source = inside.then(|| (b * height + y - padding) * width + x - padding);
                    for (o, c) in (0..outputs).flat_map(|o| (0..depth).map(move |c| (o, c))) {
                        let row = (b * out_height + oy) * out_width + ox;
                        let group = o / (outputs / self.shape.groups);
                        each([row, o, (ky * kernel[1] + kx) * outputs + o, c], source, group * depth + c);
                    }
                }
            }
        }
    }

    /// Returns the value of the padding.
    fn missing(&self) -> f64 {
        if self.shape.pad == PadValue::One { 1.0 } else { 0.0 }
    }

    fn weight(&self, dtype: DType) -> TensorType {
        weight_type(dtype, &self.shape, self.image[3])
    }
}

/// Computes y, dx and dw by plain loops.
fn convolution(g: &Geometry, x: &Matrix, w: &Matrix, dy: &Matrix) -> [Matrix; 3] {
    let zeros = |like: &Matrix| Matrix::from_fn(like.rows, like.columns, |_, _| 0.0);
    let [mut y, mut dx, mut dw] = [zeros(dy), zeros(x), zeros(w)];
    g.terms(|[row, o, tap, c], source, channel| {
        let value = source.map_or(g.missing(), |p| x.at(p, channel));
        y.data[row * dy.columns + o] += value * w.at(tap, c);
        dw.data[tap * w.columns + c] += value * dy.at(row, o);
        if let Some(p) = source {
            dx.data[p * x.columns + channel] += w.at(tap, c) * dy.at(row, o);
        }
    });
    [y, dx, dw]
}

fn conv_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for g in geometries() {
        let ([batch, height, width, inputs], shape, [out_height, out_width]) = (g.image, g.shape, g.out());
        let name = |op: &str, kind: &str| format!("{op} {:?} {shape:?}, {kind}", g.image);
        let (pixels, out_pixels) = (batch * height * width, batch * out_height * out_width);
        let weight = g.weight(DType::Bits);
        let image = |dtype| TensorType::new(dtype, Layout::Panels, &g.image);
        let out = TensorType::new(DType::F32, Layout::Panels, &[batch, out_height, out_width, shape.channels]);
        let (a, w) = (Matrix::signs(pixels, inputs, "a"), Matrix::signs(weight.rows(), weight.columns(), "w"));
        let terms = (weight.columns() * shape.window.taps()) as f64;
        let aligned = shape.groups == 1 || (weight.columns() % 32 == 0 && (shape.channels / shape.groups) % 32 == 0);
        let (taps, panels, gap) = (shape.window.taps(), words_of(shape.channels), words_of(weight.columns()) * PANEL);
        // One row per output channel; columns are taps, padded to whole panels of words.
        let packed = Matrix::from_fn(shape.channels, taps * gap, |o, i| {
            let (tap, c) = (i / gap, i % gap);
            if c < weight.columns() { w.at(tap * shape.channels + o, c) } else { -1.0 }
        });
        let sums = Matrix::from_fn(panels * taps, PANEL, |i, lane| {
            let (panel, tap) = (i / taps, i % taps);
            let o = panel * PANEL + lane;
            if o >= shape.channels {
                return 0.0;
            }
            (0..weight.columns()).map(|c| w.at(tap * shape.channels + o, c)).sum()
        });
        let (packed_type, sums_type) =
            (TensorType::bits(shape.channels, taps * gap), TensorType::plain(DType::I32, &[panels, taps, PANEL]));
        if aligned {
            cases.push(
                Case::new(name("conv_weights", ""), ConvWeights(shape))
                    .input(weight.clone(), &w)
                    .expect(packed.clone(), Compare::Exact)
                    .expect(sums.clone(), Compare::Exact),
            );
        }
        for (kind, compare) in [("integers", Compare::Exact), ("reals", Compare::Float(4.0 * terms))] {
            let make = |r, c, name: &str| {
                if kind == "integers" { Matrix::integers(r, c, 8, name) } else { Matrix::reals(r, c, 1.0, name) }
            };
            let dy = make(out_pixels, shape.channels, "dy");
            let weight_compare = if kind == "integers" { compare } else { Compare::Float(4.0 * out_pixels as f64) };
            let input_compare =
                if kind == "integers" { compare } else { Compare::Float(4.0 * (taps * shape.channels) as f64) };
            let [y, dx, dw] = convolution(&g, &a, &w, &dy);
            if aligned {
                if kind == "integers" {
                    let operands = |case: Case| {
                        case.input(image(DType::Bits), &a)
                            .input(weight.clone(), &w)
                            .input(packed_type.clone(), &packed)
                            .input(sums_type.clone(), &sums)
                    };
                    let fused = composed(ConvBits(shape), 4, &["statistics"]);
                    let fused = Case::new(name("conv_bits, statistics", kind), fused);
                    cases.push(with_statistics(operands(fused), batch, &[&y]));
                    let fused = composed(ConvBits(shape), 4, &["threshold"]);
                    let fused = Case::new(name("conv_bits, threshold", kind), fused);
                    cases.push(with_threshold(operands(fused), &y));
                    let fused = composed(ConvBits(shape), 4, &["join_dropped"]);
                    let ty = TensorType { dtype: DType::I32, ..out.clone() };
                    let fused = Case::new(name("conv_bits, join", kind), fused);
                    cases.push(with_join(operands(fused), ty, &y));
                    let case = Case::new(name("conv_bits", kind), ConvBits(shape));
                    cases.push(operands(case).expect(y, Compare::Exact));
                }
                let op = ConvBitsInput(shape, g.image);
                let (mask, other) = (Matrix::signs(pixels, inputs, "kept"), make(pixels, inputs, "other"));
                let operands = |case: Case| case.input(out.clone(), &dy).input(packed_type.clone(), &packed);
                let masked = where_set(&dx, &mask);
                let joined = Matrix::from_fn(pixels, inputs, |p, c| masked.at(p, c) + other.at(p, c));
                cases.push(
                    operands(Case::new(name("conv_bits_input, masked", kind), composed(op, 2, &["mask"])))
                        .input(image(DType::Bits), &mask)
                        .expect(masked, input_compare),
                );
                cases.push(
                    operands(Case::new(name("conv_bits_input, joined", kind), composed(op, 2, &["mask", "add"])))
                        .input(image(DType::Bits), &mask)
                        .input(image(DType::F32), &other)
                        .expect(joined, input_compare),
                );
                cases.push(operands(Case::new(name("conv_bits_input", kind), op)).expect(dx, input_compare));
                cases.push(
                    Case::new(name("conv_bits_weight", kind), ConvBitsWeight(shape))
                        .input(out.clone(), &dy)
                        .input(image(DType::Bits), &a)
                        .expect(dw, weight_compare),
                );
            }
            let (x, w) = (make(pixels, inputs, "x"), make(weight.rows(), weight.columns(), "wf"));
            let [y, dx, dw] = convolution(&g, &x, &w, &dy);
            cases.push(
                Case::new(name("conv_float", kind), ConvFloat(shape))
                    .input(image(DType::F32), &x)
                    .input(g.weight(DType::F32), &w)
                    .expect(y, compare),
            );
            cases.push(
                Case::new(name("conv_float_input", kind), ConvFloatInput(shape, g.image))
                    .input(out.clone(), &dy)
                    .input(g.weight(DType::F32), &w)
                    .expect(dx, input_compare),
            );
            cases.push(
                Case::new(name("conv_float_weight", kind), ConvFloatWeight(shape))
                    .input(out.clone(), &dy)
                    .input(image(DType::F32), &x)
                    .expect(dw, weight_compare),
            );
        }
    }
    cases
}

fn pool_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let windows = [
        (2, 2, 0, [2, 8, 6, 40]),
        (3, 2, 1, [1, 7, 9, 33]),
        (3, 1, 1, [3, 5, 5, 5]),
        (1, 2, 0, [2, 5, 4, 64]),
        (4, 4, 0, [5, 4, 4, 70]),
    ];
    for ((side, stride, padding, image), integer) in windows.into_iter().flat_map(|w| [(w, true), (w, false)]) {
        let window = Window { kernel: [side, side], stride, dilation: 1, padding };
        let g =
            Geometry { image, shape: ConvShape { window, channels: image[3], groups: image[3], pad: PadValue::Zero } };
        let [out_height, out_width] = g.out();
        let (rows, out_rows, channels) = (image[0] * image[1] * image[2], image[0] * out_height * out_width, image[3]);
        // Few distinct integers, hence many ties.
        let x =
            if integer { Matrix::integers(rows, channels, 2, "x") } else { Matrix::reals(rows, channels, 1.0, "x") };
        let dy = Matrix::integers(out_rows, channels, 8, "dy");
        let taps = window.taps();
        let mut best = vec![(0, f64::NEG_INFINITY, 0); out_rows * channels];
        // Tail lanes are all 0, so the first tap inside the image is chosen.
        let mut first = vec![None; out_rows];
        let (mut mean, mut mean_dx) =
            (Matrix::from_fn(out_rows, channels, |_, _| 0.0), Matrix::from_fn(rows, channels, |_, _| 0.0));
        g.terms(|[row, c, tap, _], source, _| {
            let Some(source) = source else { return };
            first[row].get_or_insert(tap / channels);
            let at = row * channels + c;
            if x.at(source, c) > best[at].1 {
                best[at] = (tap / channels, x.at(source, c), source);
            }
            mean.data[at] += x.at(source, c) / taps as f64;
            mean_dx.data[source * channels + c] += dy.at(row, c) / taps as f64;
        });
        let largest = Matrix::from_fn(out_rows, channels, |r, c| best[r * channels + c].1);
        let mut max_dx = Matrix::from_fn(rows, channels, |_, _| 0.0);
        best.iter()
            .enumerate()
            .for_each(|(i, (_, _, source))| max_dx.data[source * channels + i % channels] += dy.data[i]);
        let panels = words_of(channels);
        let word = |panel: usize, row: usize, quad: usize| {
            let byte = |lane: usize| {
                let c = panel * PANEL + quad * 4 + lane;
                let tap = if c < channels { best[row * channels + c].0 } else { first[row].unwrap() };
                tap as f64 * f64::from(1 << (8 * lane))
            };
            (0..4).map(byte).sum::<f64>()
        };
        let chosen = Matrix::from_fn(panels * out_rows, PANEL / 4, |i, quad| word(i / out_rows, i % out_rows, quad));
        let chosen_type = TensorType::plain(DType::U32, &[panels, out_rows, PANEL / 4]);
        let ty = |dtype, shape: [usize; 4]| TensorType::new(dtype, Layout::Panels, &shape);
        let out = ty(DType::F32, [image[0], out_height, out_width, channels]);
        let dtype = if integer { DType::I32 } else { DType::F32 };
        let name = |op: &str| format!("{op} {window:?} {image:?}, integer {integer}");
        if integer {
            let fused = Case::new(name("max_pool, statistics"), composed(MaxPool(window), 1, &["statistics"]));
            cases.push(with_statistics(fused.input(ty(dtype, image), &x), image[0], &[&largest, &chosen]));
        }
        cases.push(
            Case::new(name("max_pool"), MaxPool(window))
                .input(ty(dtype, image), &x)
                .expect(largest, Compare::Exact)
                .expect(chosen.clone(), Compare::Exact),
        );
        cases.push(
            Case::new(name("max_pool_backward"), MaxPoolBackward(window, image))
                .input(chosen_type, &chosen)
                .input(out.clone(), &dy)
                .expect(max_dx, Compare::Exact),
        );
        cases.push(
            Case::new(name("avg_pool"), AvgPool(window))
                .input(ty(dtype, image), &x)
                .expect(mean, Compare::Float(2.0 * taps as f64)),
        );
        cases.push(
            Case::new(name("avg_pool_backward"), AvgPoolBackward(window, image))
                .input(out, &dy)
                .expect(mean_dx, Compare::Float(16.0 * taps as f64)),
        );
    }
    cases
}

/// Returns windows over images: the convolution geometries that pooling accepts, and random ones with every permitted padding.
fn pool_geometries() -> Vec<Geometry> {
    let stream = Stream::new(9, "windows");
    let random = |i: u64| {
        let mut place = 16 * i;
        let mut draw = |least: usize, most: usize| {
            place += 1;
            least + stream.below(place, (most - least + 1) as u32) as usize
        };
        let (kernel, dilation) = ([draw(1, 4), draw(1, 4)], draw(1, 2));
        let padding = draw(0, kernel[0].min(kernel[1]) / 2);
        let window = Window { kernel, stride: draw(1, 3), dilation, padding };
        let [height, width] = kernel.map(|side| draw(dilation * (side - 1) + 1, 12));
        ([draw(1, 3), height, width, draw(1, 80)], window)
    };
    let fits = |g: &Geometry| 2 * g.shape.window.padding <= g.shape.window.kernel.into_iter().min().unwrap();
    let known = geometries().into_iter().filter(fits).map(|g| (g.image, g.shape.window));
    let of = |(image, window): ([usize; 4], Window)| Geometry {
        image,
        shape: ConvShape { window, channels: image[3], groups: image[3], pad: PadValue::Zero },
    };
    // More taps per side than the image has words.
    let wide = ([1, 1, 1, 3], Window { kernel: [40, 40], stride: 1, dilation: 1, padding: 20 });
    known.chain([wide]).chain((0..12).map(random)).map(of).collect()
}

/// Returns the maximum of each window over the taps inside the image.
fn largest(g: &Geometry, x: &Matrix) -> Matrix {
    let [height, width] = g.out();
    let mut y = Matrix::from_fn(g.image[0] * height * width, g.image[3], |_, _| f64::NEG_INFINITY);
    g.terms(|[row, c, ..], source, _| {
        if let Some(source) = source {
            y.data[row * x.columns + c] = y.data[row * x.columns + c].max(x.at(source, c));
        }
    });
    y
}

/// Returns poolings with bits as output: of bits, and of integers followed by batch norm and sign.
fn pool_bits_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for g in pool_geometries() {
        let (window, [batch, height, width, n]) = (g.shape.window, g.image);
        let name = |op: &str| format!("{op} {window:?} {:?}", g.image);
        let image = |dtype| TensorType::new(dtype, Layout::Panels, &g.image);
        let x = Matrix::signs(batch * height * width, n, "x");
        cases.push(
            Case::new(name("max_pool of bits"), MaxPool(window))
                .input(image(DType::Bits), &x)
                .expect(largest(&g, &x), Compare::Exact),
        );
        let v = Matrix::integers(batch * height * width, n, 50, "v");
        // Numbers are pooled in windows of at most 256 taps.
        if window.kernel[0] * window.kernel[1] <= 256 {
            let op = composed(MaxPool(window), 1, &["threshold"]);
            let case = Case::new(name("max_pool, threshold"), op).input(image(DType::I32), &v);
            cases.push(with_threshold(case, &largest(&g, &v)));
        }
    }
    cases
}

fn channel_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (i, [m, n, _]) in shapes().into_iter().enumerate() {
        // Some shapes have several blocks of rows.
        let m = if i % 3 == 0 { m * 9 } else { m };
        let name = |op: &str| format!("{op} {m} x {n}");
        let (x, dy, v) =
            (Matrix::integers(m, n, 6, "x"), Matrix::integers(m, n, 6, "dy"), Matrix::integers(1, n, 3, "v"));
        for kind in [ByChannel::Bias, ByChannel::Scale, ByChannel::Prelu] {
            let y = Matrix::from_fn(m, n, |r, c| match kind {
                ByChannel::Bias => x.at(r, c) + v.at(0, c),
                ByChannel::Prelu if x.at(r, c) > 0.0 => x.at(r, c),
                _ => x.at(r, c) * v.at(0, c),
            });
            let dtype = if i % 2 == 0 { DType::I32 } else { DType::F32 };
            cases.push(
                Case::new(name(&format!("{kind:?}")), kind)
                    .input(TensorType::panels(dtype, m, n), &x)
                    .input(vector(n), &v)
                    .expect(y, Compare::Exact),
            );
            if kind == ByChannel::Bias {
                continue;
            }
            let passes = |r: usize, c: usize| kind == ByChannel::Prelu && x.at(r, c) > 0.0;
            let dx = Matrix::from_fn(m, n, |r, c| dy.at(r, c) * if passes(r, c) { 1.0 } else { v.at(0, c) });
            let term = |r: usize, c: usize| if passes(r, c) { 0.0 } else { dy.at(r, c) * x.at(r, c) };
            let dv = Matrix::from_fn(1, n, |_, c| (0..m).map(|r| term(r, c)).sum());
            cases.push(
                Case::new(name(&format!("{kind:?} backward")), ByChannelBackward(kind))
                    .input(TensorType::panels(dtype, m, n), &x)
                    .input(vector(n), &v)
                    .input(panels(m, n), &dy)
                    .expect(dx, Compare::Exact)
                    .expect(dv, Compare::Exact)
                    .ignore(),
            );
        }
        let sums = Matrix::from_fn(1, n, |_, c| (0..m).map(|r| dy.at(r, c)).sum());
        cases.push(
            Case::new(name("channel_sums"), ChannelSums).input(panels(m, n), &dy).expect(sums, Compare::Exact).ignore(),
        );
        for (channels, offset) in [(n + 5, -3), (n, 2), (1, n as isize - 1), (n + 40, -40)] {
            let y = Matrix::from_fn(m, channels, |r, c| {
                c.checked_add_signed(offset).filter(|c| *c < n).map_or(0.0, |c| x.at(r, c))
            });
            cases.push(
                Case::new(name(&format!("shift_channels {channels} {offset}")), ShiftChannels { channels, offset })
                    .input(panels(m, n), &x)
                    .expect(y, Compare::Exact),
            );
        }
        for probability in [0.0, 0.25, 0.9, 1.0 - 2_f32.powi(-24)] {
            cases.push(dropout_case(m, n, probability));
            cases.extend(drop_signs_cases(m, n, probability));
        }
        for kind in [Activation::Relu, Activation::Hardtanh] {
            let x = Matrix::from_fn(m, n, |r, c| x.at(r, c) / 4.0);
            let f = |x: f64| if kind == Activation::Relu { x.max(0.0) } else { x.clamp(-1.0, 1.0) };
            let inside = |x: f64| if kind == Activation::Relu { x > 0.0 } else { x.abs() < 1.0 };
            cases.push(
                Case::new(name(&format!("{kind:?}")), kind)
                    .input(panels(m, n), &x)
                    .expect(Matrix::from_fn(m, n, |r, c| f(x.at(r, c))), Compare::Exact),
            );
            let dx = Matrix::from_fn(m, n, |r, c| if inside(x.at(r, c)) { dy.at(r, c) } else { 0.0 });
            cases.push(
                Case::new(name(&format!("{kind:?} backward")), ActivationBackward(kind))
                    .input(panels(m, n), &x)
                    .input(panels(m, n), &dy)
                    .expect(dx, Compare::Exact),
            );
        }
    }
    for (samples, height, width, channels) in [(1, 1, 1, 1), (3, 2, 5, 7), (4, 4, 4, 32), (2, 3, 3, 64), (33, 2, 1, 33)]
    {
        let (pixels, image) =
            (height * width, TensorType::new(DType::F32, Layout::Panels, &[samples, height, width, channels]));
        let x = Matrix::reals(samples * pixels, channels, 1.0, "x");
        let y = Matrix::from_fn(samples, pixels * channels, |r, f| x.at(r * pixels + f / channels, f % channels));
        let name = |op: &str| format!("{op} {image}");
        cases.push(Case::new(name("flatten"), Flatten).input(image.clone(), &x).expect(y.clone(), Compare::Exact));
        cases.push(
            Case::new(name("unflatten"), Unflatten([samples, height, width, channels]))
                .input(panels(samples, pixels * channels), &y)
                .expect(x, Compare::Exact),
        );
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
        let bits = Matrix::signs(m, n, "bits");
        for layout in [Layout::Panels, Layout::Rows] {
            cases.push(
                Case::new(name("unpack_signs"), UnpackSigns(layout))
                    .input(TensorType::bits(m, n), &bits)
                    .expect(bits.clone(), Compare::Exact),
            );
        }
        let channels = [1, 3].into_iter().find(|c| n % c == 0).unwrap_or(1);
        let (scale, shift) = ([0.5, 2.0, -0.25, 1.0], [-1.0, 0.0, 0.125, 3.0]);
        let pixel_rows = n / channels;
        let bytes = Matrix::from_fn(m * pixel_rows, channels, |p, c| {
            (((p / pixel_rows) * 31 + (p % pixel_rows * channels + c) * 7) % 256) as f64
        });
        let pixels = Matrix::from_fn(m, n, |r, c| {
            f64::from(scale[c % channels]) * bytes.at(r * pixel_rows + c / channels, c % channels)
                + f64::from(shift[c % channels])
        });
        let image = [m, 1, pixel_rows, channels];
        cases.push(
            Case::new(name("normalise"), Normalise { scale, shift, images: false })
                .input(TensorType::plain(DType::U8, &image), &bytes)
                .expect(pixels.clone(), Compare::Exact),
        );
        let pixels =
            Matrix::from_fn(m * pixel_rows, channels, |p, c| pixels.at(p / pixel_rows, p % pixel_rows * channels + c));
        cases.push(
            Case::new(name("normalise to images"), Normalise { scale, shift, images: true })
                .input(TensorType::plain(DType::U8, &image), &bytes)
                .expect(pixels, Compare::Exact),
        );
    }
    cases
}

fn sign_cases(m: usize, n: usize) -> Vec<Case> {
    // Random values with zeros of both signs and both borders of the mask.
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
        let saved = if clip { (TensorType::bits(m, n), &mask) } else { (panels(m, n), &x) };
        let dx = Matrix::from_fn(m, n, |r, c| dy.at(r, c) * f64::from((surrogate.derivative)(x.at(r, c) as f32)));
        // Transcendental functions: a few units in the last place of values up to 5, computed from exp of up to 10.
        let compare =
            if ["swish", "tanh"].contains(&surrogate.name) { Compare::Float(200.0) } else { Compare::Float(1.0) };
        cases.push(
            Case::new(format!("{name} backward"), SignBackward(op))
                .input(saved.0, saved.1)
                .input(panels(m, n), &dy)
                .expect(dx, if clip { Compare::Exact } else { compare }),
        );
    }
    cases
}

fn batch_norm_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (i, [samples, n, _]) in shapes().into_iter().enumerate() {
        let integer = i % 2 == 0;
        // Rows of features, and images; large images have several blocks of rows.
        let image = if i % 3 == 0 { [1, 1] } else { [3, 5 + i] };
        let (pixels, valid_samples) = (image[0] * image[1], samples - samples / 4);
        let (m, valid) = (samples * pixels, valid_samples * pixels);
        let dtype = if integer { DType::I32 } else { DType::F32 };
        let of = |dtype| match pixels {
            1 => TensorType::panels(dtype, samples, n),
            _ => TensorType::new(dtype, Layout::Panels, &[samples, image[0], image[1], n]),
        };
        let (ty, floats) = (of(dtype), of(DType::F32));
        let y = if integer { Matrix::integers(m, n, 50, "y") } else { Matrix::reals(m, n, 5.0, "y") };
        let count = valid as f64;
        let [old_mean, old_variance, running_mean, running_variance, mean, variance] = statistics(&y, valid);
        let name = |op: &str| format!("{op} {m} x {n}, {valid} valid, integer {integer}");
        cases.push(
            Case::new(name("batch_norm_statistics"), BatchNormStatistics)
                .valid(valid_samples)
                .input(ty.clone(), &y)
                .update(vector(n), &old_mean)
                .update(vector(n), &old_variance)
                .expect(running_mean, Compare::Float(200.0))
                .expect(running_variance, Compare::Float(4000.0))
                .expect(mean, Compare::Float(200.0))
                .expect(variance, Compare::Float(4000.0))
                .ignore(),
        );
        // Mean and variance are inputs from here on and need not be those of y.
        let (mean, variance) = (Matrix::reals(1, n, 1.0, "mean"), Matrix::from_fn(1, n, |_, c| 0.5 + c as f64));
        let (scale, bias, dz) =
            (Matrix::reals(1, n, 2.0, "scale"), Matrix::reals(1, n, 1.0, "bias"), Matrix::reals(m, n, 1.0, "dz"));
        let rstd = |c: usize| 1.0 / (variance.at(0, c) + f64::from(EPSILON)).sqrt();
        let normal = |r: usize, c: usize| (y.at(r, c) - mean.at(0, c)) * rstd(c);
        cases.push(
            Case::new(name("batch_norm"), BatchNorm)
                .valid(valid_samples)
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
        let z = Matrix::from_fn(m, n, |r, c| normal(r, c) * scale.at(0, c) + bias.at(0, c));
        let signs = Matrix::from_fn(m, n, |r, c| if z.at(r, c) >= 0.0 { 1.0 } else { -1.0 });
        let mask = Matrix::from_fn(m, n, |r, c| if z.at(r, c).abs() <= 1.0 { 1.0 } else { -1.0 });
        let bits = TensorType { dtype: DType::Bits, ..floats.clone() };
        let mut fused = Case::new(name("norm_sign"), NormSign)
            .valid(valid_samples)
            .input(ty.clone(), &y)
            .input(vector(n), &mean)
            .input(vector(n), &variance)
            .input(vector(n), &scale)
            .input(vector(n), &bias)
            .expect(signs, Compare::Margin(1e-4))
            .expect(mask.clone(), Compare::Margin(1e-4));
        // The smaller of the two margins.
        fused.margin = Some(Matrix::from_fn(m, n, |r, c| z.at(r, c).abs().min((z.at(r, c).abs() - 1.0).abs())));
        cases.push(fused);
        let masked = where_set(&dz, &mask);
        for (fused, dz_seen) in [(false, &dz), (true, &masked)] {
            let dbias = Matrix::from_fn(1, n, |_, c| (0..valid).map(|r| dz_seen.at(r, c)).sum());
            let dscale = Matrix::from_fn(1, n, |_, c| (0..valid).map(|r| dz_seen.at(r, c) * normal(r, c)).sum());
            let dy = Matrix::from_fn(m, n, |r, c| {
                let inner = dz_seen.at(r, c) - dbias.at(0, c) / count - normal(r, c) * dscale.at(0, c) / count;
                if r < valid { scale.at(0, c) * rstd(c) * inner } else { 0.0 }
            });
            // A normalised value may be as large as 70 here, and it enters twice.
            let case = if fused {
                Case::new(name("norm_sign_backward"), NormSignBackward)
            } else {
                Case::new(name("batch_norm_backward"), BatchNormBackward)
            };
            let case = case
                .valid(valid_samples)
                .input(ty.clone(), &y)
                .input(floats.clone(), &dz)
                .input(vector(n), &mean)
                .input(vector(n), &variance)
                .input(vector(n), &scale);
            let case = if fused { case.input(bits.clone(), &mask) } else { case };
            cases.push(
                case.expect(dy, Compare::Float(40_000.0))
                    .expect(dscale, Compare::Float(70.0 * 4.0 * m as f64))
                    .expect(dbias, Compare::Float(4.0 * m as f64))
                    .ignore(),
            );
            // The gradient means.
            cases.last_mut().unwrap().expected.push(None);
        }
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
        let by_class = Matrix::reals(1, classes, 2.0, "weights of classes");
        cases.push(
            Case::new(name("class_weights"), ClassWeights)
                .input(panels(m, classes), &z)
                .input(words(m), &labels)
                .input(vector(classes), &by_class)
                .expect(Matrix::from_fn(m, classes, |r, c| by_class.at(0, label(r)) * z.at(r, c)), Compare::Float(1.0)),
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
        let (weight, temperature) = (0.75, 2.0);
        let taught = Matrix::reals(m, classes, 4.0, "t");
        let soft = |z: &Matrix, r: usize, c: usize, heat: f64| {
            (z.at(r, c) / heat).exp() / (0..classes).map(|c| (z.at(r, c) / heat).exp()).sum::<f64>()
        };
        let loss = Matrix::from_fn(1, m, |_, r| {
            let by_label: f64 = (0..classes).map(|c| -target(r, c) * soft(&z, r, c, 1.0).ln()).sum();
            let by_teacher: f64 =
                (0..classes).map(|c| -soft(&taught, r, c, temperature) * soft(&z, r, c, temperature).ln()).sum();
            let mixed = (1.0 - weight) * by_label + weight * temperature.powi(2) * by_teacher;
            if r < valid { mixed } else { 0.0 }
        });
        let op = Distillation { smoothing, weight: weight as f32, temperature: temperature as f32 };
        let inputs = |case: Case| {
            case.valid(valid).input(panels(m, classes), &z).input(words(m), &labels).input(panels(m, classes), &taught)
        };
        cases.push(
            inputs(Case::new(name("distillation"), op))
                .update(words(classes), &before)
                .expect(Matrix::from_fn(1, classes, |_, c| before.at(0, c) + hits(c)), Compare::Exact)
                .expect(loss, Compare::Float(200.0 + 4.0 * classes as f64)),
        );
        let dz = Matrix::from_fn(m, classes, |r, c| {
            let by_teacher = soft(&z, r, c, temperature) - soft(&taught, r, c, temperature);
            let by_label = soft(&z, r, c, 1.0) - target(r, c);
            share(r, (1.0 - weight) * by_label + weight * temperature * by_teacher)
        });
        cases.push(
            inputs(Case::new(name("distillation_backward"), DistillationBackward(op)))
                .expect(dz, Compare::Float(100.0)),
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
    for (value, earlier, first) in [(f64::NAN, none, 40.0), (f64::INFINITY, none, 40.0), (f64::NAN, 7.0, 7.0)] {
        let broken = Matrix::from_fn(1, m, |_, r| if r == valid / 2 { value } else { rows.at(0, r) });
        let mut case = case(&format!("{value}"), &broken, earlier);
        case.expected.push(None);
        cases.push(case.expect(one(first), Compare::Exact));
    }
    cases
}

/// The definition of a rule for binary weights in f64. Returns the new states and the decision; the weight becomes its negated sign.
fn definition(rule: &str, g: f64, s: &[f64], k: [f64; 16]) -> (Vec<f64>, f64) {
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
            let (x, decision) = latent(s[0] - k[0] * (sign(m) + k[2] * s[0]), k[3]);
            (vec![x, m], decision)
        }
        "lion" => {
            let (c, m) = (average(s[1], k[1], g), average(s[1], k[2], g));
            let (x, decision) = latent(s[0] - k[0] * (sign(c) + k[3] * s[0]), k[4]);
            (vec![x, m], decision)
        }
        "latent-sgd" => {
            let m = k[1] * s[1] + g + k[2] * s[0];
            let (x, decision) = latent(s[0] - k[0] * m, k[3]);
            (vec![x, m], decision)
        }
        "latent-adam" => {
            let d = g + k[4] * s[0];
            let (m, v) = (average(s[1], k[2], d), average(s[2], k[3], d * d));
            let (x, decision) = latent(s[0] - k[0] * m / (v.sqrt() * k[1] + k[6]), k[5]);
            (vec![x, m, v], decision)
        }
        other => panic!("no definition of the rule `{other}`"),
    }
}

/// Returns hyperparameters for the kernels: powers of two, which are exact in f32; clips and thresholds that some weights reach.
fn kernel_hyperparameters(rule: &str) -> [f32; 16] {
    let first = match rule {
        "iir" => [0.125, 0.25, 0.5, 0.0625, 0.25, 0.5, 0.75, 0.125],
        "bop" | "bop2" => [0.125, 0.0625, 0.25, 0.0, 0.0, 0.0, 0.0, 0.0],
        "signum" => [0.125, 0.25, 0.5, 0.25, 0.0, 0.0, 0.0, 0.0],
        "lion" => [0.125, 0.25, 0.0625, 0.5, 0.25, 0.0, 0.0, 0.0],
        "latent-sgd" => [0.125, 0.75, 0.5, 0.25, 0.0, 0.0, 0.0, 0.0],
        "latent-adam" => [0.125, 1.25, 0.25, 0.125, 0.5, 0.25, 1e-8, 0.0],
        _ => [0.125, 0.25, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    };
    std::array::from_fn(|i| first[i % 8])
}

/// Returns the hyperparameters of the step. The layer's factor halves the rate of rules that have one.
fn step_hyperparameters(rule: &BinaryRule) -> [[f32; 4]; 4] {
    let mut all = kernel_hyperparameters(rule.name);
    all[0] *= if rule.is_filter { 1.0 } else { 2.0 };
    std::array::from_fn(|i| std::array::from_fn(|j| all[4 * i + j]))
}

/// The gradient of an update.
enum Gradient {
    /// It is in memory.
    Stored(Matrix),
    /// The update computes it, as the transposed first matrix times the second one.
    Product(Matrix, Matrix),
}

impl Gradient {
    /// Returns a product of this shape. Its sums are exact in f32.
    fn product(m: usize, n: usize, bound: f64) -> Self {
        const DEPTH: usize = 5;
        let x = Matrix::reals(DEPTH, m, 1.0, "x");
        let exact = |r: usize, c: usize| (x.at(r, c) * 64.0).round() / 512.0 * bound;
        Self::Product(Matrix::from_fn(DEPTH, m, exact), Matrix::signs(DEPTH, n, "s"))
    }

    /// Returns its numbers.
    fn numbers(&self) -> Matrix {
        match self {
            Self::Stored(g) => g.clone(),
            Self::Product(x, s) => sum(x.columns, s.columns, x.rows, |r, j| x.at(j, r), |j, c| s.at(j, c)),
        }
    }

    /// Creates the case of an update with this gradient.
    fn case(&self, name: String, update: BinaryUpdate) -> Case {
        match self {
            Self::Stored(g) => Case::new(name, update).input(padded(g.rows, g.columns), g),
            Self::Product(x, s) => {
                let fused = FusedUpdate { gradient: Arc::new(FloatBitsTransposed), update };
                let case = Case::new(format!("{name}, behind a product"), fused);
                case.input(panels(x.rows, x.columns), x).input(TensorType::bits(s.rows, s.columns), s)
            }
        }
    }
}

fn binary_rule_case(rule: &'static BinaryRule, planes: usize, [m, n]: [usize; 2], gradient: &Gradient) -> Case {
    let (g, w) = (gradient.numbers(), Matrix::signs(m, n, "w"));
    let squares = |name: &str| name == "v";
    let state_type =
        if rule.is_filter { TensorType::new(DType::F32, Layout::Rows, &[m, planes, n]) } else { padded(m, n) };
    let states: Vec<Matrix> = rule
        .states
        .iter()
        .map(|&State { name, .. }| {
            let x = Matrix::reals(planes * m, n, 0.5, name);
            let x = Matrix::from_fn(
                planes * m,
                n,
                |r, c| if (r / planes + c).is_multiple_of(7) { 0.0 } else { x.at(r, c) },
            );
            Matrix::from_fn(planes * m, n, |r, c| if squares(name) { x.at(r, c).abs() } else { x.at(r, c) })
        })
        .collect();
    let hyperparameters = kernel_hyperparameters(rule.name);
    let after = |r: usize, c: usize| {
        let old: Vec<f64> = states.iter().flat_map(|s| (0..planes).map(move |p| s.at(r * planes + p, c))).collect();
        definition(rule.name, g.at(r, c), &old, hyperparameters.map(f64::from))
    };
    let w1 = Matrix::from_fn(m, n, |r, c| match after(r, c).1 {
        v if v > 0.0 => -1.0,
        v if v < 0.0 => 1.0,
        _ => w.at(r, c),
    });
    // The margin of a decision. Below a threshold the decision is 0, and its margin is the distance of the average from the threshold.
    let margin = Matrix::from_fn(m, n, |r, c| {
        let (new, decision) = after(r, c);
        match rule.name {
            "bop" => new[0].abs() - f64::from(hyperparameters[1]),
            "bop2" => new[0].abs() - f64::from(hyperparameters[1]) * new[1].sqrt(),
            _ if decision == 0.0 => 1.0,
            _ => decision,
        }
    });
    let undecided = margin.data.iter().any(|v| v.abs() < 1e-6);
    let flipped = w1.data.iter().zip(&w.data).filter(|(a, b)| a != b).count() as f64;
    let op = BinaryUpdate { rule, planes, state: StateType::F32, stream: 0, hyper_offset: 2, layer: 1 };
    let mut case = gradient.case(format!("{} {m} x {n}, {planes} planes", rule.name), op);
    case.step.hyperparameters[2..6].copy_from_slice(&step_hyperparameters(rule));
    case.margin = Some(margin);
    case = case.update(TensorType::bits(m, n), &w).update(words(7), &counters()).expect(w1, Compare::Margin(1e-6));
    case.expected.push((!undecided).then(|| (counted(flipped, 0.0), Compare::Exact)));
    for (i, state) in states.iter().enumerate() {
        // Division by the root of a small square magnifies the rounding error.
        let scale = if rule.name == "latent-adam" { 20.0 } else { 4.0 };
        let new = Matrix::from_fn(planes * m, n, |r, c| after(r / planes, c).0[i * planes + r % planes]);
        case = case.update(state_type.clone(), state).expect(new, Compare::Float(scale));
    }
    case
}

/// Returns the moving averages with narrow states, at step 7. The same 16 bits of a random number round all states of a weight. Integers become
/// floor(x + bits / 65536) in their unit, after truncation to multiples of 1/65536. 16-bit floats are rounded away from zero if the remaining
/// fraction of a step plus the upper 13 bits / 8192 reaches 1. A kernel may differ by one step where f32 rounds; the signs of values next to 0
/// are then not compared.
fn narrow_cases(m: usize, n: usize) -> Vec<Case> {
    let types = [StateType::F16, StateType::I16, StateType::I8];
    let rules = BINARY_RULES.into_iter().filter(|rule| rule.kernel(StateType::I8, 1).is_some());
    let cases = |rule, state| {
        // 16-bit floats: magnitudes on both sides of the smallest normal number.
        let bound = if state == StateType::F16 { 6e-9 } else { 1.0 };
        let stored = Gradient::Stored(Matrix::reals(m, n, bound, "g"));
        let product = Gradient::product(m, n, if state == StateType::F16 { 2_f64.powi(-27) } else { 1.0 });
        [stored, product].map(|gradient| narrow_case(rule, state, [m, n], &gradient))
    };
    rules.flat_map(|rule| types.map(|state| cases(rule, state))).flatten().collect()
}

fn narrow_case(rule: &'static BinaryRule, state: StateType, [m, n]: [usize; 2], gradient: &Gradient) -> Case {
    const STEP: u32 = 7;
    let (is_float, count) = (state == StateType::F16, rule.states.len());
    let most = match state {
        StateType::F16 => 65504.0,
        StateType::I16 => 32767.0,
        _ => 127.0,
    };
    // Integers: the unit makes the largest value 1.
    let unit = if is_float { 2_f64.powi(-16) } else { 2_f64.powi(1 - 8 * state.bytes() as i32) };
    let (g, w) = (gradient.numbers(), Matrix::signs(m, n, "w"));
    let first = |name: &str| {
        let x = Matrix::reals(m, n, 1.0, name);
        let half = |x: f64| f64::from(half_value(half_rounded((x * 5e-4) as f32, 0x1000)));
        Matrix::from_fn(m, n, |r, c| if is_float { half(x.at(r, c)) } else { (0.9 * most * x.at(r, c)).round() })
    };
    let states: Vec<Matrix> = rule.states.iter().map(|state| first(state.name)).collect();
    // Largest magnitudes per row after the previous step: saturated, almost saturated, normal, small, far too small, zero.
    let peak = |row: usize| [1.0, 0.8, 0.5, 0.1, 0.01, 0.0][row % 6] * most;
    let moved = |row: usize| if is_float { 0 } else { [4, 1, 0, -1, -3, 0][row % 6] };
    let (hyperparameters, stream) = (kernel_hyperparameters(rule.name), 5);
    let draws = Draws::new(1, STEP, stream);
    let stored = |value: f64, random: u32, row: usize| {
        let x = value / (unit * 2_f64.powi(moved(row)));
        if is_float {
            f64::from(half_rounded_by_definition(x, random))
        } else {
            (((x.clamp(-most, most) * 65536.0).trunc() + f64::from(random)) / 65536.0).floor()
        }
    };
    let after = |r: usize, c: usize| {
        let old: Vec<f64> = states.iter().map(|s| s.at(r, c) * unit).collect();
        let word = draws.word(((r * words_of(n) + c / 32) * 16 + c % 16) as u32);
        let (new, _) = definition(rule.name, g.at(r, c), &old, hyperparameters.map(f64::from));
        let half = word >> (c % 32 / 16 * 16) & 0xffff;
        new.iter().map(|value| stored(*value, half, r)).collect::<Vec<f64>>()
    };
    let w1 = Matrix::from_fn(m, n, |r, c| match after(r, c)[count - 1] {
        v if v > 0.0 => -1.0,
        v if v < 0.0 => 1.0,
        _ => w.at(r, c),
    });
    let op = BinaryUpdate { rule, planes: 1, state, stream, hyper_offset: 2, layer: 1 };
    let mut case = gradient.case(format!("{} {state} {m} x {n}", rule.name), op);
    case.step.step = STEP;
    case.step.hyperparameters[2..6].copy_from_slice(&step_hyperparameters(rule));
    case.margin = Some(Matrix::from_fn(m, n, |r, c| after(r, c)[count - 1]));
    let step_size = if is_float { 2_f64.powi(-24) } else { 1.0 };
    case = case
        .update(TensorType::bits(m, n), &w)
        .update(words(7), &counters())
        .expect(w1, Compare::Margin(1.5 * step_size));
    // Flips with a decision next to 0 are not compared. Integers with too small units test the counter of saturated states.
    case.expected.push(None);
    if !is_float {
        let (before, after) = row_states(state, [count, m], &peak, &moved, &|i, row| {
            (0..n).map(|c| after(row, c)[i].abs()).fold(0.0, f64::max)
        });
        case = case.update(words(5 * count * m), &before);
        case = case.expect(after, Compare::Float(1.0 / f64::from(f32::EPSILON)));
    }
    for (i, old) in states.iter().enumerate() {
        let new = Matrix::from_fn(m, n, |r, c| after(r, c)[i]);
        let one = Compare::Float(1.0 / f64::from(f32::EPSILON));
        let compare = if is_float { Compare::Step(2_f64.powi(-10)) } else { one };
        case = case.update(TensorType::new(state.dtype(), Layout::Rows, &[m, n]), old).expect(new, compare);
    }
    case
}

/// Returns `row_state` of `count` states of `m` rows before and after step 7. Exponents by step mod 2: step 7 reads entry 1 and writes
/// entry 0. Largest magnitudes by step mod 3: step 7 reads entry 0, fills entry 1 and clears entry 2.
fn row_states(
    state: StateType,
    [count, m]: [usize; 2],
    peak: &dyn Fn(usize) -> f64,
    moved: &dyn Fn(usize) -> i32,
    size: &dyn Fn(usize, usize) -> f64,
) -> (Matrix, Matrix) {
    let exponent = 127 + 1 - 8 * state.bytes() as i32;
    let split = 2 * count * m;
    let before = |i: usize| match i.checked_sub(split) {
        None => {
            if i % 2 == 1 {
                f64::from(exponent)
            } else {
                0.0
            }
        }
        Some(i) => {
            if i % 3 == 1 {
                0.0
            } else {
                peak(i / 3 % m).floor()
            }
        }
    };
    let after = |i: usize| match i.checked_sub(split) {
        None => f64::from(exponent + if i.is_multiple_of(2) { moved(i / 2 % m) } else { 0 }),
        Some(i) => match i % 3 {
            0 => peak(i / 3 % m).floor(),
            1 => size(i / 3 / m, i / 3 % m),
            _ => 0.0,
        },
    };
    (Matrix::from_fn(1, 5 * count * m, |_, i| before(i)), Matrix::from_fn(1, 5 * count * m, |_, i| after(i)))
}

/// Rounds to a neighbouring 16-bit float: away from zero if (fraction of the step) + (upper 13 of 16 bits) / 8192 reaches 1.
fn half_rounded_by_definition(x: f64, random: u32) -> f32 {
    let step = 2_f64.powi((x.abs().log2().floor() as i32).max(-14) - 10);
    let steps = (x.abs() / step + f64::from(random >> 3) / 8192.0).floor();
    (steps * step).copysign(x) as f32
}

/// Returns the initial counters of two layers: flips, saturated states, rate factors, and no failed step.
fn counters() -> Matrix {
    let one = f64::from(1.0_f32.to_bits());
    let half = f64::from(0.5_f32.to_bits());
    let list = [5.0, 6.0, 7.0, 8.0, one, half, f64::from(u32::MAX)];
    Matrix::from_fn(1, list.len(), |_, i| list[i])
}

/// Returns the counters after an update of the second layer.
fn counted(flips: f64, saturated: f64) -> Matrix {
    let before = counters();
    Matrix::from_fn(1, 7, |_, i| before.at(0, i) + [0.0, flips, 0.0, saturated, 0.0, 0.0, 0.0][i])
}

fn optimizer_cases() -> Vec<Case> {
    let shapes = shapes().into_iter().map(|[m, n, _]| [m, n]);
    let of = |[m, n]: [usize; 2]| {
        let kernels = BINARY_RULES.into_iter().flat_map(|rule| rule.kernels.iter().map(move |kernel| (rule, kernel)));
        let floats = kernels.filter(|(_, kernel)| kernel.storage == StateType::F32);
        let binary = floats.flat_map(move |(rule, kernel)| {
            // Some states and gradients are exactly 0: their weight is kept.
            let g = Matrix::reals(m, n, 1.0, "g");
            let clear = |r: usize, c: usize| if (r + c).is_multiple_of(7) { 0.0 } else { g.at(r, c) };
            let gradients = [Gradient::Stored(Matrix::from_fn(m, n, clear)), Gradient::product(m, n, 1.0)];
            gradients.map(|gradient| binary_rule_case(rule, kernel.planes, [m, n], &gradient))
        });
        binary.chain(narrow_cases(m, n)).chain(float_rule_cases(n * m))
    };
    shapes.flat_map(of).collect()
}

/// Returns a case of dropout, whose backward is the same operation.
fn dropout_case(m: usize, n: usize, probability: f32) -> Case {
    const STREAM: u32 = 0x1234_5678;
    const STEP: u32 = 41;
    let (ty, x) = (TensorType::panels(DType::F32, m, n), Matrix::reals(m, n, 1.0, "x"));
    let draws = Draws::new(1, STEP, STREAM);
    let dropped =
        |r: usize, c: usize| f64::from(draws.word(place(&ty, r, c).0 as u32)) / 2_f64.powi(32) < f64::from(probability);
    let scale = 1.0 / (1.0 - probability);
    let y = Matrix::from_fn(m, n, |r, c| if dropped(r, c) { 0.0 } else { f64::from(x.at(r, c) as f32 * scale) });
    let mut case = Case::new(format!("dropout {probability} {m} x {n}"), Dropout { probability, stream: STREAM });
    case.step.step = STEP;
    case.input(ty, &x).expect(y, Compare::Exact)
}

/// Returns cases of dropped signs, which are +1 in one copy and -1 in the other and cancel in the sum of the products.
fn drop_signs_cases(m: usize, n: usize, probability: f32) -> [Case; 5] {
    const STREAM: u32 = 0x8765_4321;
    const STEP: u32 = 43;
    let (floats, integers) = (TensorType::panels(DType::F32, m, n), TensorType::panels(DType::I32, m, n));
    let draws = Draws::new(1, STEP, STREAM);
    let dropped = |r: usize, c: usize| {
        f64::from(draws.word((r * words_of(n) * PANEL + c) as u32)) / 2_f64.powi(32) < f64::from(probability)
    };
    let copy = |a: &Matrix, sign: f64| Matrix::from_fn(m, n, |r, c| if dropped(r, c) { sign } else { a.at(r, c) });
    let sum = |a: &Matrix, b: &Matrix| Matrix::from_fn(m, n, |r, c| f64::from((a.at(r, c) + b.at(r, c)) as f32));
    let scale = 0.5 / (1.0 - probability);
    let scaled = |x: &Matrix| Matrix::from_fn(m, n, |r, c| f64::from(x.at(r, c) as f32 * scale));
    let undropped = |x: &Matrix| Matrix::from_fn(m, n, |r, c| if dropped(r, c) { 0.0 } else { x.at(r, c) });
    let [up, down] = ["up", "down"].map(|name| Matrix::reals(m, n, 2.0, name));
    let [some, others] = ["some", "others"].map(|name| Matrix::integers(m, n, 5000, name));
    let (signs, both, join) =
        (Matrix::signs(m, n, "signs"), DropSigns { probability, stream: STREAM }, JoinDropped { probability });
    let name = |op: &str| format!("{op} {probability} {m} x {n}");
    let mut cases = [
        Case::new(name("drop_signs"), both)
            .input(TensorType::bits(m, n), &signs)
            .expect(copy(&signs, 1.0), Compare::Exact)
            .expect(copy(&signs, -1.0), Compare::Exact),
        Case::new(name("drop_signs backward"), DropSignsBackward(both))
            .input(floats.clone(), &up)
            .input(floats.clone(), &down)
            .expect(undropped(&sum(&up, &down)), Compare::Exact),
        Case::new(name("join_dropped integers"), join)
            .input(integers.clone(), &some)
            .input(integers, &others)
            .expect(scaled(&sum(&some, &others)), Compare::Exact),
        Case::new(name("join_dropped floats"), join)
            .input(floats.clone(), &up)
            .input(floats.clone(), &down)
            .expect(scaled(&sum(&up, &down)), Compare::Exact),
        Case::new(name("join_dropped backward"), JoinDroppedBackward(join))
            .input(floats, &up)
            .expect(scaled(&up), Compare::Exact),
    ];
    cases.iter_mut().for_each(|case| case.step.step = STEP);
    cases
}

fn float_rule_cases(n: usize) -> Vec<Case> {
    let (g, p, m0) = (Matrix::reals(1, n, 1.0, "g"), Matrix::reals(1, n, 1.0, "p"), Matrix::reals(1, n, 0.1, "m"));
    let v0 = Matrix::from_fn(1, n, |_, c| 0.01 + m0.at(0, c).abs());
    let each = |f: &dyn Fn(usize) -> f64| Matrix::from_fn(1, n, |_, c| f(c));
    let (rate, correction, one, two, epsilon) = (0.5, 1.25, 0.125, 0.25, f64::from(1e-8_f32));
    let decay = 0.0625;
    let slope = |c: usize| g.at(0, c) + decay * p.at(0, c);
    let m1 = each(&|c| m0.at(0, c) + one * (slope(c) - m0.at(0, c)));
    let v1 = each(&|c| v0.at(0, c) + two * (slope(c).powi(2) - v0.at(0, c)));
    let p1 = each(&|c| p.at(0, c) - rate * m1.at(0, c) / (v1.at(0, c).sqrt() * correction + epsilon));
    let update = AdamUpdate { hyper_offset: 1, epsilon: 1e-8, decay: decay as f32 };
    let mut adam = Case::new(format!("adam {n}"), update).input(vector(n), &g);
    adam.step.hyperparameters[1] = [rate, correction, one, two].map(|v| v as f32);
    // Counters of two layers; the last word is the first failed step.
    let counters = |failed: f64| Matrix::from_fn(1, 7, |_, c| if c == 6 { failed } else { c as f64 });
    let adam =
        adam.update(vector(n), &m0).update(vector(n), &v0).update(vector(n), &p).update(words(7), &counters(9.0));
    let adam = adam.expect(m1, Compare::Float(2.0)).expect(v1, Compare::Float(2.0)).expect(p1, Compare::Float(20.0));
    let adam = adam.expect(counters(9.0), Compare::Exact);
    let mu = 0.875;
    let velocity = each(&|c| mu * m0.at(0, c) + (g.at(0, c) + decay * p.at(0, c)));
    let p1 = each(&|c| p.at(0, c) - rate * velocity.at(0, c));
    let sgd = |what: &str, g: &Matrix| {
        let mut sgd = Case::new(format!("sgd {n}{what}"), SgdUpdate { hyper_offset: 1 }).input(vector(n), g);
        (sgd.step.step, sgd.step.hyperparameters[1]) = (8, [rate, mu, decay, 0.0].map(|v| v as f32));
        sgd.update(vector(n), &m0).update(vector(n), &p).update(words(7), &counters(9.0))
    };
    // A float rule also records the failed step.
    let broken = each(&|c| if c == n / 2 { f64::INFINITY } else { g.at(0, c) });
    let failed = sgd(", an infinite gradient", &broken).ignore().ignore().expect(counters(8.0), Compare::Exact);
    let sgd = sgd("", &g).expect(velocity, Compare::Float(4.0)).expect(p1, Compare::Float(4.0));
    vec![adam, sgd.expect(counters(9.0), Compare::Exact), failed]
}

/// Returns cases of the controller by definition, with rates at, below and above their limits, and a layer without flips.
fn flip_control_cases() -> Vec<Case> {
    let (target, layers) = (0.01, 70);
    let rate = |layer: usize| [0.5, 0.0, 1e-3][layer % 3];
    let weights = |layer: usize| 100.0 * (1 + layer) as f64;
    let flips = |layer: usize| [0, 5, 400][layer % 3] + 7 * layer as u32;
    let before = |layer: usize| if layer.is_multiple_of(5) { flips(layer) } else { 7 * layer as u32 };
    let factor = |layer: usize| [1.0_f32, 1e-6, 1.99, 3.0][layer % 4];
    let average = |layer: usize| 0.002 * (layer % 7) as f32;
    let float = |x: f32| f64::from(x.to_bits());
    let counters = |factors: &dyn Fn(usize) -> f32| {
        Matrix::from_fn(1, 3 * layers + 1, |_, c| match c / layers {
            0 => f64::from(flips(c)),
            2 => float(factors(c % layers)),
            _ => 3.0,
        })
    };
    let control = |before: &dyn Fn(usize) -> u32, average: &dyn Fn(usize) -> f32| {
        Matrix::from_fn(layers, 5, |layer, c| match c {
            0 => float(weights(layer) as f32),
            1 => float(1.0),
            2 => (4 * (layer % 3)) as f64,
            3 => f64::from(before(layer)),
            _ => float(average(layer)),
        })
    };
    let smoothed = |layer: usize| {
        let ratio = (flips(layer) - before(layer)) as f32 / weights(layer) as f32;
        average(layer) + 0.1 * (ratio - average(layer))
    };
    let moved = |layer: usize| {
        let (target, r) = (target as f32, smoothed(layer));
        let moved = (factor(layer) * (1.0 + (0.05 * (target - r) / target).clamp(-0.2, 0.2))).max(1e-6);
        if rate(layer) > 0.0 { moved.min(1.0 / rate(layer)) } else { moved }
    };
    let table = TensorType::plain(DType::U32, &[layers, 5]);
    let mut case = Case::new("flip_control", FlipControlUpdate { hyper_offset: 12 });
    (0..3).for_each(|i| case.step.hyperparameters[4 * i][0] = rate(i));
    case.step.hyperparameters[12][0] = target as f32;
    let case = case.update(words(3 * layers + 1), &counters(&factor)).update(table, &control(&before, &average));
    vec![case.expect(counters(&moved), Compare::Words(8.0)).expect(control(&flips, &smoothed), Compare::Words(8.0))]
}

/// Returns the kernels of diagnostics, whose outputs do not affect the step.
fn diagnostics_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for [m, n, _] in shapes().into_iter().chain([[300, 70, 0], [513, 100, 0]]) {
        cases.push(magnitudes_case(padded(m, n)));
        cases.extend([StateType::F16, StateType::I16, StateType::I8].map(|state| narrow_magnitudes_case(state, m, n)));
        cases.extend([1, 3].map(|sections| biquad_magnitudes_case(sections, m, n)));
        cases.push(constant_channels_case(m, n));
        cases.extend([(0, true), (7, false), (7, true)].map(|(step, report)| sample_flips_case(m, n, step, report)));
    }
    cases
}

fn magnitudes_case(ty: TensorType) -> Case {
    let (m, n) = (ty.rows(), ty.columns());
    let random = Matrix::reals(m, n, 1.0, "x");
    // Random values mixed with special ones: zeros of both signs, the smallest normal number, a subnormal, a small and a large value.
    let special = [0.0, -0.0, f64::from(f32::MIN_POSITIVE), 1e-40, 3e-9, -700.0];
    let x = Matrix::from_fn(m, n, |r, c| {
        let value = special.get((r * n + c) % 17).copied().unwrap_or(random.at(r, c) * 0.5_f64.powi((c % 9) as i32));
        f64::from(value as f32)
    });
    let block = ty.words().div_ceil(64).max(4096);
    with_histogram(Case::new(format!("magnitudes {m} x {n}"), Magnitudes).input(ty.clone(), &x), &ty, &x, block)
}

/// Adds to `case` the results of [`Magnitudes`] for a tensor of these values in blocks of `block` words, padding included.
fn with_histogram(case: Case, ty: &TensorType, x: &Matrix, block: usize) -> Case {
    let pitch = words_of(x.columns) * PANEL;
    let (blocks, before) = (Magnitudes::squares(ty), Matrix::from_fn(1, 256, |_, e| e as f64));
    let exponent = |value: f64| ((value as f32).to_bits() >> 23 & 255) as usize;
    let padding = x.rows * pitch - x.rows * x.columns;
    let count = |e: usize| x.data.iter().filter(|v| exponent(**v) == e).count() + if e == 0 { padding } else { 0 };
    let square = |b: usize| -> f64 {
        let of_block =
            |(i, v): (usize, &f64)| if (i / x.columns * pitch + i % x.columns) / block == b { v * v } else { 0.0 };
        x.data.iter().enumerate().map(of_block).sum()
    };
    // Up to 64 lanes with 1/64 of the values in each sum.
    let largest = x.data.iter().map(|v| v * v).fold(0.0, f64::max);
    case.update(Magnitudes::counts(), &before)
        .update(blocks.clone(), &Matrix::from_fn(1, blocks.elements(), |_, _| 5.0))
        .expect(Matrix::from_fn(1, 256, |_, e| (e + count(e)) as f64), Compare::Exact)
        .expect(Matrix::from_fn(1, blocks.elements(), |_, b| square(b)), Compare::Float(64.0 * largest))
}

/// Returns a case of the second of two states, with the rows' units after this step.
fn narrow_magnitudes_case(state: StateType, m: usize, n: usize) -> Case {
    const STEP: u32 = 6;
    let (ty, random) = (TensorType::new(state.dtype(), Layout::Rows, &[m, n]), Matrix::reals(m, n, 1.0, "x"));
    let (most, is_float) = (if state == StateType::I8 { 127.0 } else { 32767.0 }, state == StateType::F16);
    // Every magnitude, 0 and the limits.
    let stored = Matrix::from_fn(m, n, |r, c| {
        let value = [0.0, most, -most].get((r * n + c) % 11).copied();
        let value =
            value.unwrap_or(most * random.at(r, c) * 0.5_f64.powi((c % 17) as i32 * if is_float { 2 } else { 1 }));
        if is_float { f64::from(half_value(half_rounded(value as f32, 0x1000))) } else { value.round() }
    });
    let exponent = |r: usize| 100 + (r * 7 % 40) as i32;
    let unit = |r: usize| if is_float { 2_f64.powi(-16) } else { 2_f64.powi(exponent(r) - 127) };
    let x = Matrix::from_fn(m, n, |r, c| stored.at(r, c) * unit(r));
    let op = NarrowMagnitudes { unit: StateType::HALF_UNIT, state: 1 };
    let mut case = Case::new(format!("state magnitudes {state} {m} x {n}"), op).input(ty.clone(), &stored);
    case.step.step = STEP;
    if !is_float {
        // Step 6 wrote the exponents of step 7 to entry 1.
        let units = |_, i: usize| if i % 2 == 1 && i / 2 >= m { f64::from(exponent(i / 2 - m)) } else { 90.0 };
        case = case.input(words(4 * m), &Matrix::from_fn(1, 4 * m, units));
    }
    let block = ty.words().div_ceil(64).max(4096) * ty.elements_a_word();
    with_histogram(case, &ty, &x, block)
}

/// Values and coefficients with few digits, so that the output is exact.
fn biquad_magnitudes_case(sections: usize, m: usize, n: usize) -> Case {
    let (g, s) = (Matrix::integers(m, n, 40, "g"), Matrix::integers(2 * sections * m, n, 40, "s"));
    let factors = [0.25, -0.5, 2.0];
    let y = Matrix::from_fn(m, n, |r, c| {
        (0..sections).fold(g.at(r, c), |u, k| f64::from(factors[k]) * u + s.at(r * 2 * sections + 2 * k, c))
    });
    let (ty, states) = (padded(m, n), TensorType::new(DType::F32, Layout::Rows, &[m, 2 * sections, n]));
    let mut case =
        Case::new(format!("magnitudes of {sections} sections {m} x {n}"), BiquadMagnitudes { hyper_offset: 5 })
            .input(ty.clone(), &g)
            .input(states, &s);
    (0..sections).for_each(|k| case.step.hyperparameters[5 + k] = [factors[k], 7.0, 8.0, 9.0]);
    with_histogram(case, &ty, &y, ty.words().div_ceil(64).max(4096))
}

fn constant_channels_case(m: usize, n: usize) -> Case {
    let valid = m - m / 4;
    let random = Matrix::signs(m, n, "x");
    // Every third channel has a constant sign in the valid rows; for every sixth the sign is negative.
    let x = Matrix::from_fn(m, n, |r, c| match (r < valid, c % 6) {
        (true, 0) => -1.0,
        (true, 3) => 1.0,
        _ => random.at(r, c),
    });
    let is_constant = |c: &usize| (0..valid).all(|r| x.at(r, *c) == x.at(0, *c));
    let one = |value: usize| Matrix::from_fn(1, 1, |_, _| value as f64);
    Case::new(format!("constant_channels {m} x {n}, {valid} valid"), ConstantChannels)
        .valid(valid)
        .input(TensorType::bits(m, n), &x)
        .update(words(1), &one(11))
        .expect(one(11 + (0..n).filter(is_constant).count()), Compare::Exact)
}

/// The sample has one random word of each stretch.
fn sample_flips_case(m: usize, n: usize, step: u32, report: bool) -> Case {
    const WINDOW: u32 = 3;
    let (w, op) = (Matrix::signs(m, n, "w"), SampleFlips { window: WINDOW, report });
    let ty = TensorType::bits(m, n);
    let states = SampleFlips::states(&ty).map(|(_, ty)| ty);
    let (count, total) = (states[0].elements(), m * words_of(n));
    assert_eq!(count, total.min(256));
    let place = |j: usize| {
        let i = j * (total / count) + Draws::new(0, 0, 0).word(j as u32) as usize % (total / count);
        (i / words_of(n), i % words_of(n) * PANEL)
    };
    let now = |j: usize, bit: usize| {
        let (r, c) = place(j);
        c + bit < n && w.at(r, c + bit) > 0.0
    };
    let real = |j: usize, bit: usize| place(j).1 + bit < n;
    // Before: some bits differ from the present ones; each bit's last flip is at a random step up to the previous one.
    let stream = Stream::new(9, "sample");
    let number = |j: usize, bit: usize| (j * PANEL + bit) as u64;
    let flips = |j: usize, bit: usize| real(j, bit) && step > 0 && stream.below(number(j, bit), 3) == 0;
    let last = |j: usize, bit: usize| if step == 0 { 0 } else { stream.below(1_000_000 + number(j, bit), step) };
    let had = |j: usize, bit: usize| real(j, bit) && stream.below(2_000_000 + number(j, bit), 2) == 0;
    let is_back = |j: usize, bit: usize| {
        let (last, flips) = (last(j, bit), flips(j, bit));
        flips && last != 0 && step - last <= WINDOW
    };
    let bits = |of: &dyn Fn(usize, usize) -> bool| {
        Matrix::from_fn(1, count, |_, j| f64::from((0..PANEL).map(|bit| u32::from(of(j, bit)) << bit).sum::<u32>()))
    };
    let all =
        |of: &dyn Fn(usize, usize) -> bool| (0..count * PANEL).filter(|i| of(i / PANEL, i % PANEL)).count() as f64;
    let numbers = |of: &dyn Fn(usize, usize) -> u32| {
        Matrix::from_fn(1, count * PANEL, |_, i| f64::from(of(i / PANEL, i % PANEL)))
    };
    let old = |j: usize, bit: usize| had(j, bit) && step > 0;
    let ever = |j: usize, bit: usize| old(j, bit) || flips(j, bit);
    let back = |j: usize, bit: usize| old(j, bit) || is_back(j, bit);
    let found = if report { [all(&real), all(&ever), all(&back), 0.0] } else { [1.0, 2.0, 3.0, 4.0] };
    let mut case = Case::new(format!("sample_flips {m} x {n}, step {step}, report {report}"), op).input(ty, &w);
    case.step.step = step;
    case.update(states[0].clone(), &bits(&|j, bit| now(j, bit) != flips(j, bit)))
        .update(states[1].clone(), &numbers(&last))
        .update(states[2].clone(), &bits(&had))
        .update(states[3].clone(), &bits(&had))
        .update(states[4].clone(), &Matrix::from_fn(1, 4, |_, i| 1.0 + i as f64))
        .expect(bits(&now), Compare::Exact)
        .expect(numbers(&|j, bit| if flips(j, bit) { step } else { last(j, bit) }), Compare::Exact)
        .expect(bits(&ever), Compare::Exact)
        .expect(bits(&|j, bit| !report && back(j, bit)), Compare::Exact)
        .expect(Matrix::from_fn(1, 4, |_, i| found[i]), Compare::Exact)
}

/// Checks the cases of a group on the CPU and with every variant of every kernel on the test adapter.
fn check_all(cases: &[Case]) {
    let mut engine = plusminus::runtime::CpuEngine::new(Some(2)).unwrap();
    cases.iter().for_each(|case| case.check(&mut engine, "cpu"));
    #[cfg(feature = "gpu")]
    if let Some(mut engine) = support::gpu() {
        let variants = |case: &Case| {
            let program = case.program().0;
            program.recordings[0].dispatches().map(|d| d.kernel.all_variants().count()).max().unwrap_or(0)
        };
        let default_alone = std::env::var("PLUSMINUS_DEFAULT_VARIANTS").is_ok_and(|value| value == "1");
        for case in cases {
            if default_alone {
                case.check(&mut engine, &support::test_device());
                continue;
            }
            for number in 0..variants(case) {
                engine.force_variant(Some(number));
                case.check(&mut engine, &format!("{}, variant {number}", support::test_device()));
            }
            engine.fold_above(2);
            case.check(&mut engine, &format!("{}, grid folded", support::test_device()));
            engine.split_above(1);
            case.check(&mut engine, &format!("{}, grid folded and split", support::test_device()));
            engine.split_above(65_535);
            engine.fold_above(65_535);
        }
    }
}

#[test]
fn products() {
    check_all(&product_cases());
}

#[test]
fn convolutions() {
    check_all(&conv_cases());
}

#[test]
fn pooling() {
    check_all(&pool_cases());
    check_all(&pool_bits_cases());
}

#[test]
fn by_channel() {
    check_all(&channel_cases());
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
fn diagnostics() {
    check_all(&diagnostics_cases());
    check_all(&flip_control_cases());
}

#[test]
fn every_kernel_has_a_definition() {
    let groups = [
        product_cases(),
        conv_cases(),
        pool_cases(),
        pool_bits_cases(),
        channel_cases(),
        elementwise_cases(),
        batch_norm_cases(),
        loss_cases(),
        optimizer_cases(),
        diagnostics_cases(),
        flip_control_cases(),
    ];
    let mut tested = BTreeSet::new();
    for case in groups.iter().flatten() {
        tested.extend(case.program().0.recordings[0].dispatches().map(|d| d.kernel.label()));
    }
    let all = plusminus::ops::KERNELS.iter().copied().chain(plusminus::optim::kernels());
    let listed: BTreeSet<&str> = all.map(Kernel::label).collect();
    assert_eq!(tested, listed, "kernels with a case here, and kernels in the registries");
}
