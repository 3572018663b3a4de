//! Max pooling of integers with batch norm and sign behind it, in one pass.

use crate::bits;
use crate::error::{Error, Result};
use crate::graph::{Bound, Fused, Fusion, Graph, Node, Op};
use crate::ops::geometry::geometry_of;
use crate::ops::norm::batch_norm::{EPSILON, rstd};
use crate::ops::norm::norm_sign::NormSign;
use crate::ops::pool::pool::MaxPool;
use crate::ops::pool::window::{geometry, pool_params, pooled};
use crate::ops::products::patches::Patches;
use crate::ops::reduce::{Lanes, lanes};
use crate::runtime::interface::ops::pool_bits::{Params, pool_norm_sign};
use crate::runtime::{Grid, Recording, kernel::kernel};
use crate::tensor::{DType, Geometry, PANEL, TensorType, Window, image_of, words_of};
use std::sync::Arc;

kernel!(
    /// Sign of batch norm of the largest of a window.
    POOL_NORM_SIGN = ops::pool_bits::{ pool_norm_sign }, twin = sign_twin
);

/// Max pool, batch norm and sign in one pass where the pooled integers are nothing else's: in evaluation, with running statistics. In training they are kept,
/// for the statistics of the batch and for the gradient.
pub const POOL_NORM_SIGN_FUSION: Fusion = Fusion { name: "pool-norm-sign", at: pool_and_sign };

fn pool_and_sign(graph: &Graph, i: usize) -> Option<Fused> {
    let pool = &graph.nodes()[i];
    let &MaxPool(window) = pool.op_as()?;
    let j = graph.only_reader(pool.outputs[0])?;
    let sign = &graph.nodes()[j];
    sign.op_as::<NormSign>()?;
    // Which tap it was and the mask are for gradients.
    let unread = [pool.outputs.get(1)?, &sign.outputs[1]].iter().all(|v| graph.consumers(**v).is_empty());
    let node = Node {
        op: Arc::new(PoolNormSign(window)),
        inputs: [&pool.inputs[..], &sign.inputs[1..]].concat(),
        outputs: sign.outputs[..1].to_vec(),
        ..sign.clone()
    };
    let integers = graph.ty(pool.inputs[0]).dtype == DType::I32;
    (unread && integers && graph.can_wait(i, j)).then(|| Fused { nodes: vec![i, j], node })
}

/// Inputs: images of integers; mean, variance, scale and bias as [`NormSign`]. Output: signs.
#[derive(Clone, Copy, Debug)]
pub struct PoolNormSign(pub Window);

impl PoolNormSign {
    fn geometry(&self, x: &TensorType) -> Result<Geometry> {
        let g = geometry("pool_norm_sign", self.0, image_of("pool_norm_sign", x)?)?;
        Ok(g)
    }
}

impl Op for PoolNormSign {
    fn name(&self) -> &'static str {
        "pool_norm_sign"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let (x, vectors) = (inputs[0], &inputs[1..]);
        if x.dtype != DType::I32 || vectors.iter().any(|v| v.elements() != x.columns()) {
            return Err(Error::shape(self.name(), "images of integers, and four vectors as long as a pixel", x));
        }
        Ok(vec![pooled(&self.geometry(x)?, DType::Bits)])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let (v, ty) = bound.inputs[0];
        let g = self.geometry(ty).expect("checked when the node was made");
        let [mean, variance, scale, bias] = [1, 2, 3, 4].map(|i| bound.input(i));
        let y = bound.output(0).per_task(words_of(ty.columns()) * PANEL);
        let buffers = pool_norm_sign::Buffers { y, v, mean, variance, scale, bias };
        let grid = Grid::Linear(bound.outputs[0].1.words() as u64);
        recording.dispatch(
            &POOL_NORM_SIGN,
            Params { epsilon: EPSILON, ..pool_params(&g, ty.dtype) },
            buffers,
            grid,
            g.out_rows().div_ceil(PANEL),
        );
    }
}

/// A task has 32 output pixels, all channels.
fn sign_twin(args: pool_norm_sign::Args<'_>) {
    let g = geometry_of(args.params);
    let (first, channels) = (args.index * PANEL, g.in_channels as usize);
    let here = PANEL.min(g.out_rows() - first);
    let patches = Patches::new(&g, first, here);
    let (v, _) = args.v.as_chunks::<PANEL>();
    for (panel, y) in args.y.chunks_exact_mut(PANEL).enumerate() {
        let mut best = [[i32::MIN; PANEL]; PANEL];
        for tap in 0..g.taps() {
            patches.sources(tap, |i, pixel| {
                let Some(pixel) = pixel else { return };
                let v = &v[panel * g.in_rows() + pixel];
                best[i] = std::array::from_fn(|l| best[i][l].max(v[l]));
            });
        }
        let (mean, bias) = (lanes(args.mean, panel, 0.0), lanes(args.bias, panel, 0.0));
        let (rstd, scale) = (rstd(args.variance, panel, args.params.epsilon), lanes(args.scale, panel, 0.0));
        let gain: Lanes = std::array::from_fn(|l| rstd[l] * scale[l]);
        let z = best.map(|best| -> Lanes { std::array::from_fn(|l| (best[l] as f32 - mean[l]) * gain[l] + bias[l]) });
        bits::current().sign_pack(z[..here].as_flattened(), PANEL.min(channels - panel * PANEL), &mut y[..here]);
        y[here..].fill(0);
    }
}
