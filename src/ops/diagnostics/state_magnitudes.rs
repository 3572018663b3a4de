//! Magnitudes of the values whose signs are the weights, where these are not a tensor of floats: narrow states, and outputs of filters.

use crate::error::Result;
use crate::graph::{Bound, Op};
use crate::ops::diagnostics::magnitudes::{ExponentHistogram, LANES, Magnitudes};
use crate::runtime::interface::StepParams;
use crate::runtime::interface::ops::state_magnitudes::{Params, sections, state_f16, state_i8, state_i16};
use crate::runtime::{Grid, Recording, kernel::kernel};
use crate::tensor::{DType, TensorType, half_value};
use std::sync::atomic::AtomicU32;

kernel!(
    /// [`MAGNITUDES`](crate::ops::diagnostics::magnitudes::MAGNITUDES) of 16-bit floats.
    STATE_F16 = ops::state_magnitudes::{ state_f16 }, twin = f16_twin
);
kernel!(
    /// [`STATE_F16`] for 16-bit integers.
    STATE_I16 = ops::state_magnitudes::{ state_i16 }, twin = i16_twin
);
kernel!(
    /// [`STATE_F16`] for 8-bit integers.
    STATE_I8 = ops::state_magnitudes::{ state_i8 }, twin = i8_twin
);
kernel!(
    /// [`MAGNITUDES`](crate::ops::diagnostics::magnitudes::MAGNITUDES) of the output of second-order sections.
    BIQUAD_MAGNITUDES = ops::state_magnitudes::{ sections }, twin = sections_twin
);

/// [`Magnitudes`] of a narrow state, after its update. Inputs: the state, 16-bit floats or integers in rows; for integers also the
/// exponents of their units. Updates: as [`Magnitudes`], with types derived from the state's.
#[derive(Clone, Copy, Debug)]
pub struct NarrowMagnitudes {
    /// Unit of 16-bit floats.
    pub unit: f32,
    /// Index of the state among the rule's states: the units of its rows follow those of the states before it.
    pub state: usize,
}

impl Op for NarrowMagnitudes {
    fn name(&self) -> &'static str {
        "narrow_magnitudes"
    }

    fn outputs(&self, _inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(Vec::new())
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (state, ty) = bound.inputs[0];
        let rows = ty.rows();
        let params = Params { unit: self.unit, first: (self.state * rows) as u32, ..params(ty, ty.words() / rows) };
        let (counts, squares) = (bound.update(0), bound.update(1).per_task(1));
        let blocks = Magnitudes::squares(ty).elements();
        let grid = Grid::Tiles([blocks as u32, 1, 1]);
        let exponents = || bound.inputs[1].0;
        match ty.dtype {
            DType::I16 => {
                let buffers = state_i16::Buffers { state, exponents: exponents(), counts, squares };
                recording.dispatch(&STATE_I16, params, buffers, grid, blocks);
            }
            DType::I8 => {
                let buffers = state_i8::Buffers { state, exponents: exponents(), counts, squares };
                recording.dispatch(&STATE_I8, params, buffers, grid, blocks);
            }
            _ => {
                let buffers = state_f16::Buffers { state, counts, squares };
                recording.dispatch(&STATE_F16, params, buffers, grid, blocks);
            }
        }
    }
}

/// [`Magnitudes`] of the output of a filter of second-order sections at a step, before its update: y = b0 u + p of the last section, where
/// u is the gradient for the first section, then the y of the previous one. Inputs: the gradient, the sections' states. Updates: as
/// [`Magnitudes`], with types derived from the gradient's.
#[derive(Clone, Copy, Debug)]
pub struct BiquadMagnitudes {
    /// Index of the rule's first vec4 of the step's hyperparameters: b0, b1, a1, a2 of each section.
    pub hyper_offset: u32,
}

impl Op for BiquadMagnitudes {
    fn name(&self) -> &'static str {
        "biquad_magnitudes"
    }

    fn outputs(&self, _inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(Vec::new())
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let ((g, ty), (s, states)) = (bound.inputs[0], bound.inputs[1]);
        let planes = (states.words() / ty.words()) as u32;
        let params = Params { planes, hyper_offset: self.hyper_offset, ..params(ty, ty.words() / ty.rows()) };
        let blocks = Magnitudes::squares(ty).elements();
        let buffers = sections::Buffers { g, s, counts: bound.update(0), squares: bound.update(1).per_task(1) };
        recording.dispatch(&BIQUAD_MAGNITUDES, params, buffers, Grid::Tiles([blocks as u32, 1, 1]), blocks);
    }
}

fn params(ty: &TensorType, pitch: usize) -> Params {
    let (words, block) = (ty.words() as u32, Magnitudes::block(ty) as u32);
    Params { words, block, pitch: pitch as u32, unit: 0.0, first: 0, planes: 0, hyper_offset: 0 }
}

/// Returns the sum of squares of a block of words with N numbers each, from a function of the word, its row and its position in the row.
fn block<const N: usize>(
    (index, params): (usize, &Params),
    counts: &[AtomicU32],
    numbers: impl Fn(usize, usize, usize) -> [f32; N],
) -> f32 {
    let (first, pitch) = (index * params.block as usize, params.pitch as usize);
    let end = (first + params.block as usize).min(params.words as usize);
    // Counted instead of divided: divisions would take longer than the rest of the loop.
    let (mut row, mut place) = (first / pitch, first % pitch);
    let mut histogram = ExponentHistogram::new();
    for at in (first..end).step_by(LANES) {
        let count = LANES.min(end - at);
        let mut values = [[0.0; LANES]; N];
        for (lane, i) in (at..at + count).enumerate() {
            let numbers = numbers(i, row, place);
            values.iter_mut().zip(numbers).for_each(|(values, number)| values[lane] = number);
            place += 1;
            if place == pitch {
                (row, place) = (row + 1, 0);
            }
        }
        values.iter().for_each(|values| histogram.add(&values[..count]));
    }
    histogram.end(counts)
}

/// Returns the unit in which a row of integers is stored after the step.
fn unit(params: &Params, step: &StepParams, exponents: &[u32], row: usize) -> f32 {
    let at = (params.first as usize + row) * 2 + step.step.wrapping_add(1) as usize % 2;
    f32::from_bits(exponents[at] << 23)
}

fn f16_twin(args: state_f16::Args<'_>) {
    let (state, scale) = (args.state, args.params.unit);
    let numbers = |i: usize, _, _| [0, 16].map(|shift| half_value((state[i] >> shift) as u16) * scale);
    args.squares[0] = block((args.index, args.params), args.counts, numbers);
}

fn i16_twin(args: state_i16::Args<'_>) {
    let (state, params, step, exponents) = (args.state, args.params, args.step, args.exponents);
    let numbers = |i: usize, row, _| {
        let unit = unit(params, step, exponents, row);
        [0, 16].map(|shift| f32::from((state[i] >> shift) as i16) * unit)
    };
    args.squares[0] = block((args.index, params), args.counts, numbers);
}

fn i8_twin(args: state_i8::Args<'_>) {
    let (state, params, step, exponents) = (args.state, args.params, args.step, args.exponents);
    let numbers = |i: usize, row, _| {
        let unit = unit(params, step, exponents, row);
        [0, 8, 16, 24].map(|shift| f32::from((state[i] >> shift) as i8) * unit)
    };
    args.squares[0] = block((args.index, params), args.counts, numbers);
}

fn sections_twin(args: sections::Args<'_>) {
    let (g, s, params, pitch) = (args.g, args.s, args.params, args.params.pitch as usize);
    let planes = s.len() / g.len();
    let hyperparameters = &args.step.hyperparameters[params.hyper_offset as usize..][..planes / 2];
    let numbers = |i: usize, row: usize, place: usize| {
        let states = &s[row * planes * pitch + place..];
        [hyperparameters.iter().enumerate().fold(g[i], |u, (k, [b0, ..])| b0 * u + states[2 * k * pitch])]
    };
    args.squares[0] = block((args.index, params), args.counts, numbers);
}
