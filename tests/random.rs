//! Tests that `shaders/shared/random.wgsl` and `tensor::Draws` are the same random number generator.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, reason = "tests panic on failure")]

mod support;

use plusminus::runtime::{Access, BufferId, BufferInfo, CustomKernel, Grid, Kernel, Program, Recording, StepParams};
use plusminus::tensor::{Draws, stream_word};
use std::sync::Arc;

const SOURCE: &str = "
struct Params { stream: u32, first: u32, pad0: u32, pad1: u32 }
@group(0) @binding(0) var<storage, read_write> out: array<vec4<u32>>;
@group(1) @binding(0) var<uniform> params: Params;
@compute @workgroup_size(64)
fn numbers(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < arrayLength(&out)) {
        out[id.x] = draw4(draws(step.seed, step.step, params.stream), params.first + 4u * id.x);
    }
}";

const COUNT: usize = 4096;

#[test]
fn shaders_and_the_processor_draw_the_same_numbers() {
    let custom = CustomKernel {
        label: "numbers",
        source: SOURCE,
        imports: &["random", "step"],
        entry: "numbers",
        bindings: &[("out", Access::Write)],
        cover: [256, 1, 1],
    };
    let kernel = Kernel::new(&custom, |task| {
        let ([stream, first, ..], step) = (*task.params::<[u32; 4]>(), *task.step());
        let (draws, out) = (Draws::new(step.seed, step.step, stream), task.write::<u32>(0));
        out.iter_mut().zip(0..).for_each(|(out, i)| *out = draws.word(first.wrapping_add(i)));
    })
    .unwrap();
    for (name, mut engine) in support::engines() {
        for (seed, step, stream, first) in
            [(0, 0, 0, 0), (1, 7, stream_word("dense1.weight.h"), 0), (u32::MAX, 1 << 31, 3, u32::MAX - 1000)]
        {
            let mut recording = Recording::new("numbers");
            let grid = Grid::Linear(COUNT as u64);
            recording.dispatch_raw(kernel, vec![stream, first, 0, 0], vec![BufferId(0).per_task(COUNT)], grid, 1);
            let buffers = vec![BufferInfo { name: "out".into(), ty: None, words: COUNT, slot: 0 }];
            let recordings = vec![recording];
            let program = Program { buffers, slots: vec![COUNT], recordings, ..Program::default() };
            pollster::block_on(engine.load(Arc::new(program))).unwrap();
            let values = StepParams { seed, step, ..StepParams::default() };
            pollster::block_on(engine.play(0, &[], &values)).unwrap();
            let got = pollster::block_on(engine.download(&[BufferId(0)]).unwrap()).unwrap().remove(0);
            let draws = Draws::new(seed, step, stream);
            let expected: Vec<u32> = (0..COUNT as u32).map(|i| draws.word(first.wrapping_add(i))).collect();
            assert!(got == expected, "{name}: numbers of seed {seed}, step {step}, stream {stream} from {first}");
        }
    }
}
