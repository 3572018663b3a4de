//! Writes the sign of the tile's batch norm as bits; with the epilogue `clip_mask` behind it also the mask of the clip surrogate.

use super::contract::{Consumer, EpilogueKind, TileAt, TileUse};
use crate::bits;
use crate::graph::{Bound, share};
use crate::ops::norm::batch_norm::rstd;
use crate::ops::norm::statistics::width;
use crate::ops::reduce::{Lanes, lanes};
use crate::runtime::interface::epilogues::threshold::ThresholdParams;
use crate::runtime::{NamedBuffers, Task, TaskPanels};
use crate::tensor::{PANEL, words_of};

/// Signs of (tile - mean) / sqrt(variance + epsilon) * scale + bias.
pub static KIND: EpilogueKind =
    EpilogueKind { name: "threshold", tile: TileUse::Consumes, integers: true, outputs: 1, bind, finish: None };

/// Returns the tensors of a threshold: mean, variance, scale and bias are the inputs, signs the first output.
pub(in crate::ops) fn bind(bound: &Bound<'_>, rows: Option<usize>) -> NamedBuffers {
    let vectors = ["mean", "variance", "scale", "bias"].into_iter().enumerate();
    let mut buffers: NamedBuffers = vectors.map(|(i, name)| (name, bound.input(i).into())).collect();
    buffers.push(("new_signs", share(bound.outputs[0], rows)));
    buffers
}

/// The epilogue on the processor.
pub(in crate::ops) struct Twin<'a> {
    mean: &'a [f32],
    variance: &'a [f32],
    scale: &'a [f32],
    bias: &'a [f32],
    epsilon: f32,
    signs: TaskPanels<'a, u32>,
    mask: Option<TaskPanels<'a, u32>>,
}

impl<'a> Consumer<'a> for Twin<'a> {
    fn take(task: &mut Task<'a>) -> Option<Self> {
        let signs = task.position("new_signs").map(|at| task.panels(at))?;
        let mask = task.position("new_mask").map(|at| task.panels(at));
        let [mean, variance, scale, bias] = ["mean", "variance", "scale", "bias"].map(|name| task.named(name));
        let epsilon = task.epilogue::<ThresholdParams>().epsilon;
        Some(Self { mean, variance, scale, bias, epsilon, signs, mask })
    }

    fn integers(&mut self, at: TileAt, tile: &[i32]) {
        self.consume(at, tile, |v| v as f32);
    }

    fn floats(&mut self, at: TileAt, tile: &mut [f32]) {
        self.consume(at, tile, |v| v);
    }
}

impl Twin<'_> {
    fn consume<T: Copy>(&mut self, at: TileAt, tile: &[T], value: impl Fn(T) -> f32) {
        let panel = at.panel;
        let (mean, bias) = (lanes(self.mean, panel, 0.0), lanes(self.bias, panel, 0.0));
        let (rstd, scale) = (rstd(self.variance, panel, self.epsilon), lanes(self.scale, panel, 0.0));
        let gain: Lanes = std::array::from_fn(|l| rstd[l] * scale[l]);
        let (words, width) = (words_of(at.all.columns), width(at.all.columns, panel));
        let (rows, _) = tile.as_chunks::<PANEL>();
        for (i, rows) in rows.chunks(PANEL).enumerate() {
            let mut z = [[0.0; PANEL]; PANEL];
            for (z, x) in z.iter_mut().zip(rows) {
                *z = std::array::from_fn(|l| (value(x[l]) - mean[l]) * gain[l] + bias[l]);
            }
            // A task that covers a whole panel of columns has 32 words in each panel of rows.
            let (part, first) = if self.signs.length() == PANEL { (i, 0) } else { (0, (i * words + panel) * PANEL) };
            let (z, here) = (z[..rows.len()].as_flattened(), rows.len());
            let signs = &mut self.signs.panel(part)[first..first + PANEL];
            signs[here..].fill(0);
            match &mut self.mask {
                None => bits::current().sign_pack(z, width, &mut signs[..here]),
                Some(mask) => {
                    let mask = &mut mask.panel(part)[first..first + PANEL];
                    mask[here..].fill(0);
                    bits::current().sign_pack_mask(z, width, &mut signs[..here], &mut mask[..here]);
                }
            }
        }
    }
}
