//! Sign of activations, packed to bits, and its surrogate gradients.

use crate::bits;
use crate::error::{Error, Result};
use crate::graph::{AsEpilogue, Backward, Bound, Op, Port, Signs, Value};
use crate::runtime::interface::ops::sign as shader;
use crate::runtime::interface::ops::sign::{Params, sign, sign_backward, sign_mask, sign_mask_backward};
use crate::runtime::{Grid, Recording, kernel::kernel};
use crate::tensor::{DType, PANEL, TensorType, words_of};

kernel!(
    /// y = sign(x), packed.
    SIGN = ops::sign::{ sign }, twin = sign_twin
);
kernel!(
    /// y = sign(x), packed, and the mask |x| <= 1.
    SIGN_MASK = ops::sign::{ sign_mask }, twin = sign_mask_twin
);
kernel!(
    /// dx = dy where the mask is set.
    SIGN_MASK_BACKWARD = ops::sign::{ sign_mask_backward }, twin = sign_mask_backward_twin
);
kernel!(
    /// dx = dy * surrogate(x).
    SIGN_BACKWARD = ops::sign::{ sign_backward }, twin = sign_backward_twin
);

/// A surrogate gradient of sign.
#[derive(Clone, Copy)]
pub struct Surrogate {
    /// Name in flags and files.
    pub name: &'static str,
    /// Formula of s(x), where dx = dy * s(x).
    pub formula: &'static str,
    /// Publication.
    pub source: &'static str,
    /// s(x).
    pub derivative: fn(f32) -> f32,
    /// `surrogate` in the shader.
    code: u32,
}

/// The registry of surrogates.
pub static SURROGATES: [Surrogate; 6] = [
    Surrogate {
        name: "identity",
        formula: "1",
        source: "Bengio, Leonard, Courville 2013 (straight-through)",
        derivative: |_| 1.0,
        code: shader::IDENTITY,
    },
    Surrogate {
        name: "clip",
        formula: "1 if |x| <= 1 else 0",
        source: "Courbariaux et al. 2016, section 1.3",
        derivative: |x| if x.abs() <= 1.0 { 1.0 } else { 0.0 },
        code: shader::CLIP,
    },
    Surrogate {
        name: "polynomial",
        formula: "2 - 2|x| if |x| < 1 else 0",
        source: "Liu et al. 2018, Bi-Real Net, section 3.3",
        derivative: |x| if x.abs() < 1.0 { 2.0 - 2.0 * x.abs() } else { 0.0 },
        code: shader::POLYNOMIAL,
    },
    Surrogate {
        name: "swish",
        formula: "b (2 - b x tanh(b x / 2)) / (1 + cosh(b x)), b = 5",
        source: "Darabi et al. 2018, BNN+, section 3.1",
        derivative: |x| {
            let u = (5.0 * x).clamp(-40.0, 40.0);
            5.0 * (2.0 - u * (0.5 * u).tanh()) / (1.0 + u.cosh())
        },
        code: shader::SWISH,
    },
    Surrogate {
        name: "tanh",
        formula: "1 - tanh(x)^2",
        source: "Qin et al. 2020, IR-Net, section 3.2, with t = 1",
        derivative: |x| 1.0 - x.clamp(-20.0, 20.0).tanh().powi(2),
        code: shader::TANH,
    },
    Surrogate {
        name: "arctan",
        formula: "1 / (1 + (pi x)^2)",
        source: "Fang et al. 2021, section 4.1 (spiking networks), with alpha = 2",
        derivative: |x| 1.0 / (1.0 + (std::f32::consts::PI * x) * (std::f32::consts::PI * x)),
        code: shader::ARCTAN,
    },
];

impl Surrogate {
    /// Returns the surrogate of that name.
    pub fn named(name: &str) -> Result<&'static Self> {
        let names: Vec<&str> = SURROGATES.iter().map(|s| s.name).collect();
        SURROGATES.iter().find(|s| s.name == name).ok_or_else(|| Error::setting("surrogate", names.join(", "), name))
    }

    /// Whether backward requires only one bit per element.
    pub(in crate::ops) fn is_mask(&self) -> bool {
        self.name == "clip"
    }
}

/// Returns the surrogate of a code; identity for an unknown code.
fn by_code(code: u32) -> &'static Surrogate {
    SURROGATES.iter().find(|surrogate| surrogate.code == code).unwrap_or(&SURROGATES[0])
}

impl std::fmt::Debug for Surrogate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.name)
    }
}

/// y = +1 where x >= 0, else -1, packed; dx = dy * s(x). The clip surrogate keeps its mask as bits for backward, others keep x.
#[derive(Clone, Copy, Debug)]
pub struct Sign {
    /// Surrogate gradient of sign.
    pub surrogate: &'static Surrogate,
}

impl Sign {
    fn params(&self, ty: &TensorType) -> Params {
        Params { rows: ty.rows() as u32, columns: ty.columns() as u32, surrogate: self.surrogate.code }
    }
}

impl Op for Sign {
    fn name(&self) -> &'static str {
        "sign"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let x = inputs[0];
        if x.dtype != DType::F32 {
            return Err(Error::shape("sign", "floats in panels", x));
        }
        let bits = TensorType { dtype: DType::Bits, ..x.clone() };
        Ok(if self.surrogate.is_mask() { vec![bits.clone(), bits] } else { vec![bits] })
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let ((x, ty), (y, out)) = (bound.inputs[0], bound.outputs[0]);
        let chunk = words_of(ty.columns()) * PANEL;
        let (grid, tasks) = (Grid::Linear(out.words() as u64), ty.rows().div_ceil(PANEL));
        if self.surrogate.is_mask() {
            let buffers = sign_mask::Buffers { x, y: y.per_task(chunk), mask: bound.output(1).per_task(chunk) };
            recording.dispatch(&SIGN_MASK, self.params(ty), buffers, grid, tasks);
        } else {
            recording.dispatch(&SIGN, self.params(ty), sign::Buffers { x, y: y.per_task(chunk) }, grid, tasks);
        }
    }

    fn signs(&self) -> Option<Signs> {
        Some(Signs::Forward { kept: if self.surrogate.is_mask() { Port::Output(1) } else { Port::Input(0) } })
    }

    fn backward(&self, cx: &mut Backward<'_>) -> Result<Vec<Option<Value>>> {
        let Some(dy) = cx.grad(0) else { return Ok(vec![None]) };
        let kept = if self.surrogate.is_mask() { cx.output(1) } else { cx.input(0)? };
        Ok(vec![Some(cx.push(SignBackward(*self), &[kept, dy])?[0])])
    }
}

/// dx = dy * s(x). Inputs: the mask (clip) or x, then dy. Output: dx.
#[derive(Clone, Copy, Debug)]
pub struct SignBackward(pub Sign);

impl Op for SignBackward {
    fn name(&self) -> &'static str {
        "sign_backward"
    }

    fn signs(&self) -> Option<Signs> {
        Some(Signs::Backward { kept: 0, gradient: 1, masked: Some(0) })
    }

    fn as_epilogue(&self, input: usize) -> Option<AsEpilogue> {
        (input == 1 && self.0.surrogate.is_mask()).then(|| AsEpilogue { name: "mask", params: Vec::new() })
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![inputs[1].clone()])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (dx, ty) = bound.outputs[0];
        let dx = dx.per_task_in_each_panel(words_of(ty.columns()), ROWS_PER_TASK * PANEL);
        let (kept, dy) = (bound.input(0), bound.input(1));
        let (params, grid, tasks) =
            (self.0.params(ty), Grid::Linear(ty.words() as u64), ty.rows().div_ceil(ROWS_PER_TASK));
        if self.0.surrogate.is_mask() {
            recording.dispatch(&SIGN_MASK_BACKWARD, params, sign_mask_backward::Buffers { kept, dy, dx }, grid, tasks);
        } else {
            recording.dispatch(&SIGN_BACKWARD, params, sign_backward::Buffers { x: kept, dy, dx }, grid, tasks);
        }
    }
}

/// Returns the rows of row panel `index` in each column panel of x, as words.
fn row_panel(
    params: &Params,
    index: usize,
) -> impl Iterator<Item = (std::ops::Range<usize>, std::ops::Range<usize>, usize)> {
    let (rows, columns) = (params.rows as usize, params.columns as usize);
    let here = PANEL.min(rows - index * PANEL);
    (0..words_of(columns)).map(move |panel| {
        let first = (panel * rows + index * PANEL) * PANEL;
        (first..first + here * PANEL, panel * PANEL..panel * PANEL + here, PANEL.min(columns - panel * PANEL))
    })
}

/// A task covers one panel of 32 rows.
fn sign_twin(args: sign::Args<'_>) {
    let isa = bits::current();
    let y = args.y;
    y.fill(0);
    for (from, to, columns) in row_panel(args.params, args.index) {
        isa.sign_pack(&args.x[from], columns, &mut y[to]);
    }
}

fn sign_mask_twin(args: sign_mask::Args<'_>) {
    let isa = bits::current();
    let (y, mask) = (args.y, args.mask);
    y.fill(0);
    mask.fill(0);
    for (from, to, columns) in row_panel(args.params, args.index) {
        isa.sign_pack_mask(&args.x[from], columns, &mut y[to.clone()], &mut mask[to]);
    }
}

/// Bit by lane. A comparison with these constants vectorises; a shift by the lane does not.
const BITS: [u32; PANEL] = {
    let mut bits = [0; PANEL];
    let mut lane = 0;
    while lane < PANEL {
        bits[lane] = 1 << lane;
        lane += 1;
    }
    bits
};

/// Rows per task of the gradient twins.
const ROWS_PER_TASK: usize = 256;

/// A task covers 256 rows of all columns, also in the other gradient twin.
fn sign_mask_backward_twin(mut args: sign_mask_backward::Args<'_>) {
    let (rows, words) = (args.params.rows as usize, args.dx.panels());
    let first = args.index * ROWS_PER_TASK;
    for panel in 0..words {
        let dy = args.dy[(panel * rows + first) * PANEL..].chunks_exact(PANEL);
        for (row, (dx, dy)) in (first..).zip(args.dx.panel(panel).chunks_exact_mut(PANEL).zip(dy)) {
            let word = args.kept[((row / PANEL) * words + panel) * PANEL + row % PANEL];
            dx.copy_from_slice(dy);
            apply_mask(dx, word);
        }
    }
}

/// Sets the numbers of a panel's row to 0 where the bit of `word` is not set.
pub(in crate::ops) fn apply_mask(row: &mut [f32], word: u32) {
    for (value, bit) in row.iter_mut().zip(&BITS) {
        // All ones or all zeros: needs no branch, and discards a NaN where the mask is not set.
        let keep = if word & bit == 0 { 0 } else { u32::MAX };
        *value = f32::from_bits(value.to_bits() & keep);
    }
}

fn sign_backward_twin(mut args: sign_backward::Args<'_>) {
    let derivative = by_code(args.params.surrogate).derivative;
    let rows = args.params.rows as usize;
    for panel in 0..args.dx.panels() {
        let first = (panel * rows + args.index * ROWS_PER_TASK) * PANEL;
        for ((dx, dy), x) in args.dx.panel(panel).iter_mut().zip(&args.dy[first..]).zip(&args.x[first..]) {
            *dx = dy * derivative(*x);
        }
    }
}
