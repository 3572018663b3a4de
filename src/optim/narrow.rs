//! Narrow states of the moving averages: 16-bit floats, or integers whose unit a row shares, rounded at random.

use crate::bits::{self, Averages, Format, I16, Swept, Unit};
use crate::error::{Error, Result};
use crate::graph::Init;
use crate::runtime::Kernel;
use crate::runtime::interface::StepParams;
use crate::runtime::interface::optim::narrow::{
    Params, cascade_f16, cascade_i8, cascade_i16, ema_f16, ema_i8, ema_i16,
};
use crate::runtime::kernel::kernel;
use crate::tensor::{DType, Draws, PANEL};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

kernel!(
    /// `cema` with states of 16-bit floats.
    CASCADE_F16 = optim::narrow::{ cascade_f16 }, twin = cascade_f16_twin
);
kernel!(
    /// `cema` with states of 16-bit integers.
    CASCADE_I16 = optim::narrow::{ cascade_i16 }, twin = cascade_i16_twin
);
kernel!(
    /// `cema` with states of 8-bit integers.
    CASCADE_I8 = optim::narrow::{ cascade_i8 }, twin = cascade_i8_twin
);
kernel!(
    /// `ema` with a state of 16-bit floats.
    AVERAGE_F16 = optim::narrow::{ ema_f16 }, twin = ema_f16_twin
);
kernel!(
    /// `ema` with a state of 16-bit integers.
    AVERAGE_I16 = optim::narrow::{ ema_i16 }, twin = ema_i16_twin
);
kernel!(
    /// `ema` with a state of 8-bit integers.
    AVERAGE_I8 = optim::narrow::{ ema_i8 }, twin = ema_i8_twin
);

/// A rule's kernels for narrow states.
#[derive(Clone, Copy, Debug)]
pub struct Narrow {
    f16: &'static Kernel,
    i16: &'static Kernel,
    i8: &'static Kernel,
}

pub(super) const CASCADE: Narrow = Narrow { f16: &CASCADE_F16, i16: &CASCADE_I16, i8: &CASCADE_I8 };
pub(super) const AVERAGE: Narrow = Narrow { f16: &AVERAGE_F16, i16: &AVERAGE_I16, i8: &AVERAGE_I8 };

impl Narrow {
    /// The kernel for a type of states.
    pub fn kernel(&self, state: StateType) -> Option<&'static Kernel> {
        match state {
            StateType::F32 => None,
            StateType::F16 => Some(self.f16),
            StateType::I16 => Some(self.i16),
            StateType::I8 => Some(self.i8),
        }
    }
}

/// How a rule's states are stored. Narrow ones are rounded to one of their two neighbours at random, the nearer the likelier, by a hash of
/// (seed, step, parameter, element), so that changes below a step of the format still count on average.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StateType {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats of 2^16 times the state: sizes from 1e-12 to 1, as large as gradients of a mean cross-entropy are.
    F16,
    /// 16-bit integers in a power of two that a row shares and that follows the row's largest size.
    I16,
    /// The same with 8 bits.
    I8,
}

/// What halves hold of a state.
const SCALE: f32 = 65536.0;

impl StateType {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::I16, Self::I8];

    /// Unit of 16-bit floats.
    pub const HALF_UNIT: f32 = 1.0 / SCALE;

    /// Element type of a state's tensor.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
            Self::I16 => DType::I16,
            Self::I8 => DType::I8,
        }
    }

    /// Bytes of a state.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::I16 => 2,
            Self::I8 => 1,
        }
    }

    /// Size of a gradient that first units are made for. i16: a large one of a last layer. i8, whose steps are coarse: a usual one. Units
    /// follow by some powers a step; until they fit, states are at the ends, with their signs, or coarse.
    fn first_gradient(self) -> f32 {
        2_f32.powi(if self == Self::I8 { -11 } else { -6 })
    }

    /// Biased exponent of the unit for a first state of this size: it takes half the range, or a quarter.
    fn exponent(self, size: f32) -> u32 {
        let bits = 8 * self.bytes() as u32;
        (size.to_bits() >> 23).clamp(30 + bits, 226).saturating_sub(bits - 3)
    }

    /// A first state as its tensor holds it, of integers in the unit of this exponent.
    pub(super) fn stored(self, state: f32, exponent: u32) -> f32 {
        match self {
            Self::F32 => state,
            Self::F16 => SCALE * state,
            Self::I16 | Self::I8 => state * f32::from_bits((254 - exponent) << 23),
        }
    }

    /// Exponents of the first units of up to two states, each given as `[rate, first size]`: for the size that it starts with, or for what
    /// its rate leaves of the gradient, or of the state before, in one step, whichever is larger.
    pub(super) fn exponents(self, states: &[[f32; 2]]) -> [u32; 2] {
        let (mut step, mut exponents) = (self.first_gradient(), [0; 2]);
        for (exponent, [rate, size]) in exponents.iter_mut().zip(states) {
            step *= rate;
            *exponent = self.exponent(step.max(*size));
        }
        exponents
    }

    /// Tensors of words beside `states` states, for `rows` rows: name, length, first words. Exponents of the units `[states][rows][2]`;
    /// largest sizes `[states][rows][3]` and, last, how often a state was at the end of what the format holds.
    pub(super) fn extra(self, states: usize, rows: usize, exponents: [u32; 2]) -> Vec<(&'static str, usize, Init)> {
        let clear = Init::Words(0);
        match self {
            Self::F32 => Vec::new(),
            Self::F16 => vec![("peaks", 1, clear)],
            Self::I16 | Self::I8 => {
                let of_state = |exponent| std::iter::repeat_n(exponent, 2 * rows);
                let first = Init::List(exponents.into_iter().take(states).flat_map(of_state).collect());
                vec![("exponents", 2 * states * rows, first), ("peaks", 3 * states * rows + 1, clear)]
            }
        }
    }
}

impl fmt::Display for StateType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::I16 => "i16",
            Self::I8 => "i8",
        })
    }
}

impl FromStr for StateType {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|state| state.to_string() == text);
        found.ok_or_else(|| Error::setting("state-dtype", Self::ALL.map(|state| state.to_string()).join(", "), text))
    }
}

/// One task's panel of 32 rows, whatever the rule and the format.
struct Panel<'a> {
    index: usize,
    g: &'a [f32],
    weight: &'a mut [u32],
    flips: &'a [AtomicU32],
    /// None of them for 16-bit floats.
    exponents: &'a [AtomicU32],
    peaks: &'a [AtomicU32],
    params: &'a Params,
    step: &'a StepParams,
}

impl Panel<'_> {
    /// Unit of a state of a row, and where its largest size goes: `unit` of the shader.
    fn unit<F: Format>(&self, state: usize, row: usize) -> (Unit, usize) {
        let (row, step) = (state * self.params.rows as usize + row, self.step.step);
        let [old, next] = [step, step.wrapping_add(1)].map(|step| &self.exponents[row * 2 + step as usize % 2]);
        let [now, before, after] = [0, 2, 1].map(|later| row * 3 + step.wrapping_add(later) as usize % 3);
        let (exponent, peak) = (old.load(Relaxed), self.peaks[before].load(Relaxed) as f32);
        // At the end a state may be any size.
        let up = if peak >= F::MAX { 4 } else { u32::from(peak > 0.75 * F::MAX) };
        let down = if peak < F::MAX / 64.0 { 3 } else { u32::from(peak < 0.25 * F::MAX) };
        let moved = if peak > 0.0 && down > 0 { exponent.max(27 + down) - down } else { (exponent + up).min(227) };
        next.store(moved, Relaxed);
        self.peaks[after].store(0, Relaxed);
        (Unit { old: f32::from_bits(exponent << 23), inverse: f32::from_bits((254 - moved) << 23) }, now)
    }

    /// Updates each row with `averages` at these rates, and books what it found.
    fn sweep<F: Format, const STATES: usize>(
        self,
        mut states: [&mut [F::Stored]; STATES],
        rates: [f32; STATES],
        averages: impl Fn(Averages<'_, F, STATES>) -> Swept<STATES>,
    ) {
        let (pitch, first) = (self.params.words as usize * PANEL, self.index * PANEL);
        let draws = Draws::new(self.step.seed, self.step.step, self.params.stream);
        let (mut flips, mut saturated) = (0, 0);
        for row in 0..PANEL.min(self.params.rows as usize - first) {
            let fixed = (Unit { old: StateType::HALF_UNIT, inverse: SCALE }, usize::MAX);
            let is_float = self.exponents.is_empty();
            let units: [(Unit, usize); STATES] =
                std::array::from_fn(|i| if is_float { fixed } else { self.unit::<F>(i, first + row) });
            let mut rows = states.iter_mut().map(|state| &mut state[row * pitch..][..pitch]);
            let here = averages(Averages {
                row,
                g: &self.g[(first + row) * pitch..][..pitch],
                weight: &mut *self.weight,
                states: std::array::from_fn(|_| rows.next().expect("one of each state")),
                units: units.map(|(unit, _)| unit),
                draws: (draws, ((first + row) * pitch / 2) as u32),
                rates,
            });
            flips += here.flips;
            saturated += here.saturated;
            for ((_, at), peak) in units.iter().zip(here.peaks).filter(|_| !is_float) {
                self.peaks[*at].store(peak as u32, Relaxed);
            }
        }
        self.flips[self.params.layer as usize].fetch_add(flips, Relaxed);
        self.peaks[self.peaks.len() - 1].fetch_add(saturated, Relaxed);
    }

    /// Alpha and gamma.
    fn hyperparameters(&self) -> [f32; 2] {
        let [alpha, gamma, ..] = self.step.hyperparameters[self.params.hyper_offset as usize];
        [alpha, gamma]
    }
}

/// `panel!(args, exponents)`: the parts of a twin's arguments that are no states.
macro_rules! panel {
    ($args:ident, $exponents:expr) => {
        Panel {
            index: $args.index,
            g: $args.g,
            weight: $args.weight,
            flips: $args.flips,
            exponents: $exponents,
            peaks: $args.peaks,
            params: $args.params,
            step: $args.step,
        }
    };
}

fn cascade<F: Format<Stored: bytemuck::Pod>>(
    panel: Panel<'_>,
    [m, h]: [&mut [u32]; 2],
    sweep: impl Fn(bits::Averages<'_, F, 2>) -> bits::Swept<2>,
) {
    let [alpha, gamma] = panel.hyperparameters();
    panel.sweep([bytemuck::cast_slice_mut(m), bytemuck::cast_slice_mut(h)], [gamma, alpha], sweep);
}

fn ema<F: Format<Stored: bytemuck::Pod>>(panel: Panel<'_>, h: &mut [u32]) {
    let [alpha, _] = panel.hyperparameters();
    panel.sweep::<F, 1>([bytemuck::cast_slice_mut(h)], [alpha], |row| bits::current().averages(row));
}

fn cascade_f16_twin(args: cascade_f16::Args<'_>) {
    cascade::<bits::F16>(panel!(args, &[]), [args.m, args.h], |row| bits::current().averages(row));
}

fn cascade_i16_twin(args: cascade_i16::Args<'_>) {
    cascade::<I16>(panel!(args, args.exponents), [args.m, args.h], |row| bits::current().cascade_i16(row));
}

fn cascade_i8_twin(args: cascade_i8::Args<'_>) {
    cascade::<bits::I8>(panel!(args, args.exponents), [args.m, args.h], |row| bits::current().averages(row));
}

fn ema_f16_twin(args: ema_f16::Args<'_>) {
    ema::<bits::F16>(panel!(args, &[]), args.h);
}

fn ema_i16_twin(args: ema_i16::Args<'_>) {
    ema::<I16>(panel!(args, args.exponents), args.h);
}

fn ema_i8_twin(args: ema_i8::Args<'_>) {
    ema::<bits::I8>(panel!(args, args.exponents), args.h);
}
