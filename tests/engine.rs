//! Tests of the contract of both engines: the arguments of a play, the state after a program that cannot be loaded, cuts and host callbacks,
//! submissions, profiles.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, reason = "tests panic on failure")]

mod support;

use futures::{FutureExt, future::LocalBoxFuture};
use plusminus::error::Result;
use plusminus::graph::{Bound, Graph, Init, Op, Role, hoist};
use plusminus::ops::{ShiftChannels, XnorMatmul};
use plusminus::optim::{BinaryRule, BinaryUpdate, StateType};
use plusminus::runtime::{
    Access, BufferId, BufferInfo, CustomKernel, Engine, Grid, Host, Kernel, Program, Recording, StepLimits, StepParams,
};
use plusminus::tensor::{DType, TensorType};
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

/// y = x + step number.
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
    BufferInfo { name: format!("tensor {slot}"), ty: None, words, slot }
}

/// Records tensor `y` = tensor `x` + step number.
fn add_step(recording: &mut Recording, x: u32, y: u32) {
    let buffers = vec![BufferId(x).into(), BufferId(y).per_task(COUNT)];
    recording.dispatch_raw(&ADD_STEP, Vec::new(), buffers, Grid::Linear(COUNT as u64), 1);
}

/// What `Program::check` says of one recording over tensors of these words; empty where it fits.
fn refusal(words: &[usize], record: impl FnOnce(&mut Recording)) -> String {
    let mut recording = Recording::new("test");
    record(&mut recording);
    let program = Program {
        buffers: words.iter().enumerate().map(|(slot, &words)| tensor(slot, words)).collect(),
        slots: words.to_vec(),
        recordings: vec![recording],
        ..Program::default()
    };
    let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| program.check()));
    checked.err().map(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_default()).unwrap_or_default()
}

/// What a kernel of the crate may touch is compared with the tensors of a dispatch before a shader without bounds checks sees them.
#[test]
fn dispatches_beyond_their_tensors_are_refused() {
    let ids = |count: u32| (0..count).map(BufferId).collect::<Vec<_>>();
    // 5 rows of 40 signs by 3 rows of 40: two panels of words each, one panel of 5 x 32 integers.
    let product = |words: [usize; 3]| {
        refusal(&words, |recording| XnorMatmul::dispatch(recording, [0, 1, 2].map(BufferId), [5, 3, 40]))
    };
    assert_eq!(product([64, 64, 160]), "");
    assert!(product([63, 64, 160]).contains("`a`") && product([63, 64, 160]).contains("needs 64 words, 63 are bound"));
    assert!(product([64, 32, 160]).contains("`w`"), "{}", product([64, 32, 160]));
    assert!(product([64, 64, 128]).contains("`y`"), "{}", product([64, 64, 128]));
    // An update of 32 x 32 weights by `ema`: gradient, weight, counters of two layers, state.
    let update = |words: [usize; 4], layer: u32, hyper_offset: u32| {
        let rule = BinaryRule::named("ema").unwrap();
        let node = BinaryUpdate { rule, planes: 1, state: StateType::F32, stream: 1, hyper_offset, layer };
        refusal(&words, |recording| node.dispatch(recording, &ids(4), [32, 32], 2))
    };
    let fits = [1024, 32, 7, 1024];
    assert_eq!(update(fits, 1, 28), "");
    for (refused, word) in [
        (update(fits, 2, 0), "`epilogue.layer < epilogue.layers`"),
        (update(fits, 0, 29), "`epilogue.hyper_offset + 4 <= 32`"),
        (update([1024, 32, 6, 1024], 0, 0), "`counters`"),
        (update([1023, 32, 7, 1024], 0, 0), "`g`"),
        (update([1024, 32, 7, 1023], 0, 0), "`state_h`"),
    ] {
        assert!(refused.contains(word), "expected {word} in: {refused}");
    }
}

/// Recordings over four tensors.
fn program_of(recordings: Vec<Recording>) -> Program {
    Program {
        buffers: (0..4).map(|slot| tensor(slot, COUNT)).collect(),
        slots: vec![COUNT; 4],
        recordings,
        limits: StepLimits { rows: 7, losses: 4 },
        poison: Some(u32::MAX),
    }
}

/// A program that uploads tensor 0 and computes tensor 1 = tensor 0 + step number.
fn program() -> Program {
    let mut recording = Recording::new("test");
    recording.upload(BufferId(0));
    add_step(&mut recording, 0, 1);
    program_of(vec![recording])
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
        let input = &[(BufferId(0), &x[..])][..];
        for (recording, inputs, step, expected) in [
            (0, input, StepParams { valid_rows: 8, ..good }, "play `test`: expected at most 7 valid rows, got 8"),
            (0, input, StepParams { loss_slot: 4, ..good }, "play `test`: expected a loss slot below 4, got 4"),
            (1, &[][..], good, "play: expected one of 1 recordings, got 1"),
            (0, &[(BufferId(0), &x[1..])][..], good, "expected 64 words of `tensor 0`, got 63"),
            (0, &[][..], good, "expected words of `tensor 0`, got none"),
            (0, &[input[0], (BufferId(1), &x[..])][..], good, "expected inputs that it uploads, got BufferId(1)"),
            (0, &[input[0], (BufferId(9), &x[..])][..], good, "expected inputs that it uploads, got BufferId(9)"),
        ] {
            let error = block_on(engine.play(recording, inputs, &step)).unwrap_err().to_string();
            assert!(error.contains(expected), "{name}: expected `{expected}` in: {error}");
        }
        block_on(engine.play(0, &[(BufferId(0), &x)], &good)).unwrap();
        assert_eq!(words(engine.as_mut(), 1), [7; COUNT], "{name}");
    }
}

/// After a failed load the engine has no program, neither the new nor the previous one.
#[test]
fn an_engine_whose_load_failed_has_no_program() {
    for (name, mut engine) in support::engines() {
        block_on(engine.load(Arc::new(program()))).unwrap();
        let mut large = program();
        // Exceeds the memory and every limit on a binding.
        (large.buffers[1].words, large.slots[1]) = (1 << 50, 1 << 50);
        large.recordings.clear();
        let error = block_on(engine.load(Arc::new(large))).unwrap_err().to_string();
        assert!(error.contains("bytes"), "{name}: {error}");
        let step = StepParams { valid_rows: 1, ..StepParams::default() };
        let error = block_on(engine.play(0, &[], &step)).unwrap_err().to_string();
        assert!(error.contains("one of 0 recordings"), "{name}: {error}");
        // The engine accepts another program.
        block_on(engine.load(Arc::new(program()))).unwrap();
        block_on(engine.play(0, &[(BufferId(0), &[1; COUNT])], &step)).unwrap();
        assert_eq!(words(engine.as_mut(), 1), [1; COUNT], "{name}");
    }
}

/// Simulates a sum over ranks.
#[derive(Default)]
struct Ranks {
    seen: Vec<(String, Vec<Vec<u32>>)>,
    gives: usize,
}

impl Host for Ranks {
    fn at_cut<'a>(
        &'a mut self,
        cut: &'a str,
        downloads: Vec<Vec<u32>>,
    ) -> LocalBoxFuture<'a, plusminus::Result<Vec<Vec<u32>>>> {
        self.seen.push((cut.to_string(), downloads));
        let sums = |(_, words): &(String, Vec<Vec<u32>>)| words[0].iter().map(|word| 10 * word).collect();
        let given = self.seen.iter().rev().take(self.gives).map(sums).collect();
        async { Ok(given) }.boxed_local()
    }
}

/// A cut ends a submission. The host receives the downloads, and the engine uploads what the host returns before the next part.
#[test]
fn the_host_acts_where_a_recording_is_cut() {
    let mut recording = Recording::new("cut");
    recording.upload(BufferId(0));
    add_step(&mut recording, 0, 1);
    recording.download(BufferId(1));
    recording.cut("reduce");
    recording.upload(BufferId(2));
    add_step(&mut recording, 2, 3);
    add_step(&mut recording, 1, 0);
    recording.download(BufferId(3));
    recording.download(BufferId(0));
    for (name, mut engine) in support::engines() {
        block_on(engine.load(Arc::new(program_of(vec![recording.clone()])))).unwrap();
        let step = StepParams { step: 1, valid_rows: 1, ..StepParams::default() };
        let mut host = Ranks { gives: 1, ..Ranks::default() };
        let before = engine.stats();
        for x in [2, 5] {
            let input = [x; COUNT];
            let inputs = [(BufferId(0), &input[..])];
            let played = engine.play_with(0, &inputs, &step, Some(&mut host));
            let words = block_on(async { played.await?.await }).unwrap();
            assert_eq!(words, [[10 * (x + 1) + 1; COUNT], [x + 2; COUNT]], "{name}");
            assert_eq!(host.seen.pop(), Some(("reduce".to_string(), vec![vec![x + 1; COUNT]])), "{name}");
        }
        assert!(engine.stats().submissions >= before.submissions + 4, "{name}: two parts per play");
        // Without a host, or with too few uploads, the part after the cut cannot run.
        host.gives = 0;
        for host in &mut [Some(host), None] {
            let host = host.as_mut().map(|host| host as &mut dyn Host);
            let error = block_on(engine.play_with(0, &[(BufferId(0), &[1; COUNT])], &step, host)).err().unwrap();
            let expected = "uploads behind the cut `reduce`: expected [64] words, got []";
            assert!(error.to_string().contains(expected), "{name}: {error}");
        }
    }
}

/// The text output has one line per command and agrees with the JSON.
#[test]
fn a_recording_says_what_it_does() {
    let mut recording = Recording::new("test");
    recording.upload(BufferId(0));
    recording.set_scope("layer1");
    add_step(&mut recording, 0, 1);
    recording.set_multiply_adds([1000, 100]);
    recording.download(BufferId(1));
    recording.cut("reduce");
    let lines = program_of(vec![recording]).describe(0);
    let text: Vec<String> =
        lines.iter().map(|line| line.to_string().split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let expected = [
        "upload 256 B tensor 0 64 words",
        "dispatch layer1 test::add_step 512 B, 100.0 k multiply-adds tensor 0 64 words -> tensor 1 64 words",
        "download 256 B tensor 1 64 words",
        "cut reduce",
    ];
    assert_eq!(text, expected);
    let object = serde_json::to_value(&lines[1]).unwrap();
    assert_eq!((&object["bytes"], &object["tensors"][1]["access"]), (&512.into(), &"write".into()));
}

#[test]
#[should_panic(expected = "uploads first")]
fn uploads_behind_dispatches_of_a_part_are_refused() {
    let mut recording = Recording::new("wrong");
    add_step(&mut recording, 0, 1);
    recording.upload(BufferId(2));
    program_of(vec![recording]).check();
}

/// A recording with a long estimate is split from its first play on, independent of earlier plays, and is merged when it proves fast.
#[cfg(feature = "gpu")]
#[test]
fn long_recordings_are_split_from_the_first_play_on() {
    let Some(mut engine) = support::gpu() else { return };
    let (mut long, mut short) = (Recording::new("long"), Recording::new("short"));
    for _ in 0..12 {
        add_step(&mut long, 0, 1);
        long.set_multiply_adds([1 << 30]);
    }
    add_step(&mut short, 0, 1);
    block_on(engine.load(Arc::new(program_of(vec![long, short])))).unwrap();
    let step = StepParams { valid_rows: 1, ..StepParams::default() };
    let mut submits = |recording: usize| {
        let before = engine.stats().submissions;
        block_on(engine.play(recording, &[], &step)).unwrap();
        engine.stats().submissions - before
    };
    (0..5).for_each(|_| assert_eq!(submits(1), 1));
    let first = submits(0);
    (0..5).for_each(|_| assert_eq!(submits(1), 1));
    let later: Vec<u64> = (0..20).map(|_| submits(0)).collect();
    assert_eq!(first, 12, "each dispatch is estimated to take half a second");
    assert_eq!(later.last(), Some(&1), "{later:?}");
    assert!(later.is_sorted_by(|before, after| before >= after), "{later:?}");
}

/// Profiles cover any number of dispatches, whether profiling is enabled before or after loading; splitting is unaffected.
#[test]
fn every_dispatch_is_profiled() {
    const DISPATCHES: usize = 2048 + 300;
    let mut many = Recording::new("many");
    for i in 0..DISPATCHES {
        many.set_scope(if i % 2 == 0 { "even" } else { "odd" });
        add_step(&mut many, 0, 1);
        many.set_multiply_adds([if i % 500 == 0 { 1 << 30 } else { 0 }]);
    }
    for (name, mut engine) in support::engines() {
        for is_loaded in [false, true] {
            if !is_loaded {
                engine.set_profiling(true);
            }
            block_on(engine.load(Arc::new(program_of(vec![many.clone()])))).unwrap();
            if is_loaded {
                engine.set_profiling(true);
            }
            let before = engine.stats().submissions;
            for _ in 0..2 {
                let step = StepParams { valid_rows: 1, ..StepParams::default() };
                block_on(engine.play(0, &[], &step)).unwrap();
            }
            let profile = block_on(engine.profile()).unwrap();
            let calls: Vec<(String, u64)> = profile.sorted().into_iter().map(|row| (row.scope, row.calls)).collect();
            assert_eq!(calls.iter().map(|(_, calls)| calls).sum::<u64>(), 2 * DISPATCHES as u64, "{name}: {calls:?}");
            assert_eq!(calls.len(), 2, "{name}: {calls:?}");
            assert!(profile.sorted().iter().all(|row| row.seconds > 0.0), "{name}: {}", profile.clock);
            let is_split = engine.stats().submissions - before > 8;
            assert_eq!(is_split, name != "cpu", "{name}: submits");
            engine.set_profiling(false);
        }
    }
}

/// An operation on weights alone whose kernel reads the number of the step.
#[derive(Clone, Copy, Debug)]
struct AddStep;

impl Op for AddStep {
    fn name(&self) -> &'static str {
        "add_step"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![inputs[0].clone()])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        let buffers = vec![bound.input(0).into(), bound.output(0).per_task(COUNT)];
        recording.dispatch_raw(&ADD_STEP, Vec::new(), buffers, Grid::Linear(COUNT as u64), 1);
    }
}

/// Shifts by a number that its `Debug` does not show.
#[derive(Clone, Copy)]
struct Shift(isize);

impl std::fmt::Debug for Shift {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shift")
    }
}

impl Op for Shift {
    fn name(&self) -> &'static str {
        "shift"
    }

    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![inputs[0].clone()])
    }

    fn record(&self, recording: &mut Recording, bound: &Bound<'_>) {
        ShiftChannels { channels: 32, offset: self.0 }.record(recording, bound);
    }
}

/// What is computed when weights change reads no value of a step, and is shared only by operations that do the same.
#[test]
fn only_what_weights_alone_decide_is_prepared() {
    let graph = |ops: Vec<Arc<dyn Op>>| {
        let mut graph = Graph::new();
        let w = graph.parameter("w", TensorType::panels(DType::F32, 2, 32), Role::Float, Init::Fill(0.0));
        for op in ops {
            let y = graph.push(op, &[w], &[]).unwrap()[0];
            graph.add(Shift(0), &[y], &[]).unwrap();
        }
        graph
    };
    let mut prepare = Graph::new();
    assert!(!hoist(&mut graph(vec![Arc::new(AddStep)]), &mut prepare).unwrap(), "it changes with every step");
    assert!(hoist(&mut graph(vec![Arc::new(Shift(1)), Arc::new(Shift(1)), Arc::new(Shift(2))]), &mut prepare).unwrap());
    assert_eq!(prepare.nodes().len(), 2, "shifts by 1 are shared, the shift by 2 is another");
}
