//! Initial states derived from the signs of their weights.

use crate::graph::{FromSigns, Init, StateContext};
use crate::tensor::{Stream, pack_numbers};
use std::sync::Arc;

/// Returns states of the weight's sign times a factor, one factor per plane of a state `[rows][planes][columns]`.
pub fn scaled_sign(factors: impl IntoIterator<Item = f32>) -> Init {
    Init::FromSigns(Arc::new(ScaledSign { factors: factors.into_iter().collect() }))
}

/// Returns states of the weight's sign times a number drawn uniformly from [0, bound), from the random stream of the state's name.
pub fn random_scaled_sign(bound: f32) -> Init {
    Init::FromSigns(Arc::new(RandomScaledSign { bound }))
}

#[derive(Clone, Debug)]
struct ScaledSign {
    factors: Vec<f32>,
}

impl FromSigns for ScaledSign {
    fn words(&self, state: &StateContext<'_>) -> Vec<u32> {
        signed(state, self.factors.len(), |_, plane| self.factors[plane])
    }
}

#[derive(Clone, Copy, Debug)]
struct RandomScaledSign {
    bound: f32,
}

impl FromSigns for RandomScaledSign {
    fn words(&self, state: &StateContext<'_>) -> Vec<u32> {
        let stream = Stream::new(state.seed, state.name);
        signed(state, 1, |i, _| self.bound * stream.unit(i as u64))
    }
}

/// Returns signs times the magnitudes of elements, given by their index and plane.
fn signed(state: &StateContext<'_>, planes: usize, size: impl Fn(usize, usize) -> f32) -> Vec<u32> {
    let columns = state.signs.columns();
    let value = |i: usize| {
        let (row, plane, column) = (i / columns / planes, i / columns % planes, i % columns);
        let size = size(i, plane);
        if state.signs.is_positive(row, column) { size } else { -size }
    };
    let data: Vec<f32> = (0..state.signs.rows() * planes * columns).map(value).collect();
    pack_numbers(state.ty, &data)
        .unwrap_or_else(|| panic!("`{}`: {planes} states of a weight in {}", state.name, state.ty))
}
