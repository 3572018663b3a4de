//! The contract of both engines: what a play may ask for, and what is left after a program that cannot be loaded.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

mod support;

use plusminus::runtime::{
    Access, BufferId, BufferInfo, CustomKernel, Engine, Grid, Kernel, Program, Recording, StepLimits, StepParams,
};
use pollster::block_on;
use std::sync::{Arc, LazyLock};

const COUNT: usize = 64;

const SOURCE: &str = "
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>; // as x
@compute @workgroup_size(64)
fn add_step(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < arrayLength(&y)) {
        y[id.x] = x[id.x] + step.step;
    }
}";

/// y = x + the step's number.
static ADD_STEP: LazyLock<&Kernel> = LazyLock::new(|| {
    let custom = CustomKernel {
        label: "test::add_step",
        source: SOURCE,
        imports: &["step"],
        entry: "add_step",
        bindings: &[("x", Access::Read), ("y", Access::Write)],
        cover: [64, 1, 1],
    };
    Kernel::new(&custom, |task| {
        let (step, x, y) = (task.step().step, task.read::<u32>(0), task.write::<u32>(1));
        y.iter_mut().zip(x).for_each(|(y, x)| *y = x.wrapping_add(step));
    })
    .unwrap()
});

fn tensor(slot: usize, words: usize) -> BufferInfo {
    BufferInfo { name: format!("tensor {slot}"), words, slot }
}

/// Tensor 1 = tensor 0 + the step's number.
fn program() -> Program {
    let mut recording = Recording::new("test");
    let buffers = vec![BufferId(0).into(), BufferId(1).per_task(COUNT)];
    recording.dispatch_raw(&ADD_STEP, Vec::new(), buffers, Grid::Linear(COUNT as u64), 1);
    Program {
        buffers: vec![tensor(0, COUNT), tensor(1, COUNT)],
        slots: vec![COUNT; 2],
        recordings: vec![recording],
        limits: StepLimits { rows: 7, losses: 4 },
        poison: Some(u32::MAX),
    }
}

fn words(engine: &mut dyn Engine, id: u32) -> Vec<u32> {
    block_on(engine.download(&[BufferId(id)]).unwrap()).unwrap().remove(0)
}

#[test]
fn a_play_beyond_the_program_s_limits_is_refused() {
    for (name, mut engine) in support::engines() {
        block_on(engine.load(Arc::new(program()))).unwrap();
        let good = StepParams { step: 5, valid_rows: 7, loss_slot: 3, ..StepParams::default() };
        let x = [2; COUNT];
        for (recording, inputs, step, expected) in [
            (0, &[][..], StepParams { valid_rows: 8, ..good }, "play `test`: expected at most 7 valid rows, got 8"),
            (0, &[][..], StepParams { loss_slot: 4, ..good }, "play `test`: expected a loss slot below 4, got 4"),
            (1, &[][..], good, "play: expected one of 1 recordings, got 1"),
            (0, &[(BufferId(0), &x[1..])][..], good, "expected 64 words of `tensor 0`, got 63"),
            (0, &[(BufferId(2), &x[..])][..], good, "expected one of 2 tensors"),
        ] {
            let error = block_on(engine.play(recording, inputs, &step)).unwrap_err().to_string();
            assert!(error.contains(expected), "{name}: expected `{expected}` in: {error}");
        }
        block_on(engine.play(0, &[(BufferId(0), &x)], &good)).unwrap();
        assert_eq!(words(engine.as_mut(), 1), [7; COUNT], "{name}");
    }
}

/// After a program that no device can hold there is none, neither the next nor the one before.
#[test]
fn an_engine_whose_load_failed_has_no_program() {
    for (name, mut engine) in support::engines() {
        block_on(engine.load(Arc::new(program()))).unwrap();
        let mut large = program();
        // More than there is memory, and than any limit on a binding.
        (large.buffers[1].words, large.slots[1]) = (1 << 50, 1 << 50);
        large.recordings.clear();
        let error = block_on(engine.load(Arc::new(large))).unwrap_err().to_string();
        assert!(error.contains("bytes"), "{name}: {error}");
        let step = StepParams { valid_rows: 1, ..StepParams::default() };
        let error = block_on(engine.play(0, &[], &step)).unwrap_err().to_string();
        assert!(error.contains("one of 0 recordings"), "{name}: {error}");
        // It takes another one.
        block_on(engine.load(Arc::new(program()))).unwrap();
        block_on(engine.play(0, &[(BufferId(0), &[1; COUNT])], &step)).unwrap();
        assert_eq!(words(engine.as_mut(), 1), [1; COUNT], "{name}");
    }
}
