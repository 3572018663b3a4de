//! Adds a user-defined operation, y = x / (1 + |x|), to a network as a layer: its gradient, its WGSL kernel and the CPU twin.
//!
//! `cargo run --release --example custom_kernel` takes one to two seconds and prints a test accuracy above 97 %. `-- DEVICE` selects the
//! device (`-- llvmpipe`).

use plusminus::graph::{Backward, Bound, Op, Value};
use plusminus::nn::{Apply, BatchNorm, Dense, Model, PixelScale, Quantizer};
use plusminus::runtime::{Access, CustomKernel, Grid, Kernel, Recording, Task};
use plusminus::tensor::TensorType;
use plusminus::train::{Settings, Trainer};
use plusminus::{Result, data, runtime};
use std::sync::Arc;

const SOURCE: &str = "
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;         // as x; forward: x again, unused
@group(0) @binding(2) var<storage, read_write> out: array<f32>;  // as x
struct Params { backward: u32, pad0: u32, pad1: u32, pad2: u32 }
@group(1) @binding(0) var<uniform> params: Params;
@compute @workgroup_size(64)
fn softsign(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * 64u + local;
    if (i < arrayLength(&out)) {
        let d = 1.0 + abs(x[i]);
        out[i] = select(x[i] / d, dy[i] / (d * d), params.backward == 1u);
    }
}";
/// Words per CPU task.
const CHUNK: usize = 4096;

#[derive(Clone, Copy, Debug)]
struct Softsign {
    kernel: &'static Kernel,
    backward: bool,
}

fn twin(task: &mut Task<'_>) {
    let (first, [backward, ..]) = (task.index() * CHUNK, *task.params::<[u32; 4]>());
    let (x, dy, out) = (&task.read::<f32>(0)[first..], &task.read::<f32>(1)[first..], task.write::<f32>(2));
    for ((out, x), dy) in out.iter_mut().zip(x).zip(dy) {
        let d = 1.0 + x.abs();
        *out = if backward == 1 { dy / (d * d) } else { x / d };
    }
}

impl Op for Softsign {
    fn name(&self) -> &'static str {
        "softsign"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![inputs[0].clone()])
    }
    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let words = bound.outputs[0].1.words();
        let buffers = vec![
            bound.input(0).into(),
            bound.input(usize::from(self.backward)).into(),
            bound.output(0).per_task(CHUNK),
        ];
        let params = vec![u32::from(self.backward), 0, 0, 0];
        recording.dispatch_raw(self.kernel, params, buffers, Grid::Linear(words as u64), words.div_ceil(CHUNK));
    }
    fn backward(&self, cx: &mut Backward<'_>) -> Result<Vec<Option<Value>>> {
        let Some(dy) = cx.grad(0) else { return Ok(vec![None]) };
        let x = cx.input(0)?;
        Ok(vec![Some(cx.push(Softsign { backward: true, ..*self }, &[x, dy])?[0])])
    }
}

fn main() -> Result<()> {
    let bindings = &[("x", Access::Read), ("dy", Access::Read), ("out", Access::Write)];
    let custom = CustomKernel {
        label: "softsign",
        source: SOURCE,
        imports: &["index"],
        entry: "softsign",
        bindings,
        cover: [64, 1, 1],
    };
    let softsign = Softsign { kernel: Kernel::new(&custom, twin)?, backward: false };
    let (data, signs) = (data::digits(), Quantizer::sign());
    let model = Model::new("softsign", data.shape, PixelScale::to_unit(data.pixel_max))
        .with(Dense { units: 256, input: Quantizer::Float, weight: signs })
        .with(BatchNorm::default())
        .with(Apply(Arc::new(softsign)))
        .with(Dense { units: 10, input: signs, weight: signs })
        .with(BatchNorm::default());
    let device = std::env::args().nth(1).unwrap_or_else(|| "auto".into());
    let accuracy = plusminus::block_on(async {
        let device = runtime::open(&device, None).await?;
        let mut trainer = Trainer::from_parts(Settings::default().resolve()?, data, model, device, None).await?;
        trainer.fit(|_| ()).await.map(|outcome| outcome.test_accuracy)
    })?;
    println!("test accuracy {:.2} %", 100.0 * accuracy);
    assert!(accuracy > 0.97);
    Ok(())
}
