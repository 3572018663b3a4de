//! Tests of memory: after planning, steps create no device objects and allocate no process memory, and loading a model takes little more than
//! the size of the model. The file has only one test, because the test measures the process.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests panic on failure and print measurements")]
#![allow(unsafe_code, reason = "a counting allocator")]

mod support;

use plusminus::data::{Batch, Loader, digits};
use plusminus::nn::{ModelSpec, PixelScale};
use plusminus::optim::{Adam, CEMA, Schedule};
use plusminus::runtime::{BufferId, BufferInfo, Engine, Program};
use plusminus::tensor::Stream;
use plusminus::train::{Loss, Rules, Session};
use pollster::block_on;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// The system's allocator with a count of the allocations of all threads.
struct Counting;

static ASKED: AtomicU64 = AtomicU64::new(0);
static LARGEST: AtomicU64 = AtomicU64::new(0);
static HELD: AtomicI64 = AtomicI64::new(0);

fn count(bytes: usize) {
    ASKED.fetch_add(bytes as u64, Relaxed);
    LARGEST.fetch_max(bytes as u64, Relaxed);
    HELD.fetch_add(bytes as i64, Relaxed);
}

// SAFETY: every call is forwarded unchanged to the system's allocator; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size() as i64, Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Returns the allocations since the last call: total bytes, the largest allocation, and the net change of allocated bytes.
fn allocations() -> (u64, u64, i64) {
    (ASKED.swap(0, Relaxed), LARGEST.swap(0, Relaxed), HELD.swap(0, Relaxed))
}

/// An MLP for digits.
fn session(hidden: &[usize], batch: usize, engine: Box<dyn Engine>) -> Session {
    let spec = ModelSpec {
        model: "mlp".into(),
        hidden: Some(hidden.to_vec()),
        dropout: [0.0; 2],
        input: [8, 8, 1],
        classes: 10,
        width: 1.0,
        full_precision: false,
        surrogate: None,
        pixels: PixelScale::to_unit(16),
    };
    let rules = Rules {
        binary: Box::new(CEMA.with([("alpha", 1e-3), ("gamma", 0.1)]).unwrap()),
        float: Box::new(Adam::new(1e-3, Schedule::constant()).unwrap()),
        layers: Vec::new(),
        control: None,
    };
    let model = spec.build().unwrap();
    block_on(Session::new(&model, Loss::CrossEntropy(0.0), Some(rules), batch, 1, engine)).unwrap()
}

/// Returns the sum of the losses since the last call.
fn sum_of_losses(session: &mut Session) -> f64 {
    let read_back = session.read_back().unwrap();
    block_on(session.interval(read_back)).unwrap().unwrap().loss
}

/// Returns batches of digits, repeating the data set.
fn batches(size: usize, count: usize) -> Vec<Batch> {
    let loader = Loader::new(digits().train, size).unwrap();
    (0..)
        .flat_map(|epoch| loader.epoch(Some(Stream::new(epoch, "order"))))
        .map(Result::unwrap)
        .filter(|b| b.valid as usize == size)
        .take(count)
        .collect()
}

/// Returns the resident memory of this process in bytes (`VmRSS`), or its peak (`VmHWM`).
#[cfg(target_os = "linux")]
fn resident(what: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(what)).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().unwrap() * 1024
}

/// Returns 0: the test reads /proc, which only Linux has. Counts of engine objects are compared on all systems.
#[cfg(not(target_os = "linux"))]
fn resident(_what: &str) -> u64 {
    0
}

/// Loading takes little more memory than the model: staging buffers are freed during the load.
fn loading_takes_the_model_once(name: &str, mut engine: Box<dyn Engine>) {
    const TENSORS: usize = 64;
    const WORDS: usize = 1 << 20;
    let tensor = |slot| BufferInfo { name: format!("tensor {slot}"), ty: None, words: WORDS, slot };
    let program =
        Program { buffers: (0..TENSORS).map(tensor).collect(), slots: vec![WORDS; TENSORS], ..Program::default() };
    let (before, model) = (resident("VmRSS:"), program.bytes());
    block_on(engine.load(Arc::new(program))).unwrap();
    let words = vec![7; WORDS];
    (0..TENSORS as u32).for_each(|id| engine.upload(BufferId(id), &words).unwrap());
    let last = block_on(engine.download(&[BufferId(TENSORS as u32 - 1)]).unwrap()).unwrap();
    assert!(last[0] == words, "{name}");
    let peak = resident("VmHWM:");
    println!("{name}: {} MiB of tensors, {} MiB at most", model >> 20, (peak - before) >> 20);
    assert!(!cfg!(target_os = "linux") || peak >= model, "{name}: /proc/self/status has the memory of this process");
    assert!(peak <= before + model + (96 << 20), "{name}: {peak} bytes at most, {before} before, {model} of tensors");
}

/// After warm-up steps that fill every pool and cache, nothing may grow.
#[test]
fn memory_is_taken_before_the_first_step() {
    // First, because earlier allocations would hide the peak.
    support::engines().into_iter().rev().for_each(|(name, engine)| loading_takes_the_model_once(&name, engine));
    support::engines().into_iter().for_each(|(name, engine)| steps_allocate_nothing(&name, engine));
}

fn steps_allocate_nothing(name: &str, engine: Box<dyn Engine>) {
    {
        let mut session = session(&[64, 40], 32, engine);
        let batches = batches(32, 40);
        let (warm, total) = (200, 2000);
        session.set_total_steps(warm + total);
        let run = |session: &mut Session, steps: u64| {
            let mut losses = 0.0;
            for _ in 0..steps {
                let batch = &batches[session.step() as usize % batches.len()];
                block_on(session.train(batch)).unwrap();
                if session.is_read_back_due() {
                    losses += sum_of_losses(session);
                }
            }
            losses + sum_of_losses(session)
        };
        let first = run(&mut session, warm) / warm as f64;
        let (stats, memory, buffers) = (session.stats(), resident("VmRSS:"), session.buffer_bytes());
        allocations();
        let later = run(&mut session, total) / total as f64;
        let (bytes, largest, held) = allocations();
        let (now, after) = (session.stats(), resident("VmRSS:"));
        let made = [
            ("allocations", stats.allocations, now.allocations),
            ("pipelines", stats.pipelines, now.pipelines),
            ("bind groups", stats.bind_groups, now.bind_groups),
        ];
        for (what, before, after) in made {
            assert_eq!(after, before, "{name}: {what} after {total} more steps, expected as many as before");
        }
        // One every 64 steps and one at the end.
        assert_eq!(now.read_backs - stats.read_backs, total / 64 + 1, "{name}: read-backs in {total} steps");
        assert!(now.submissions - stats.submissions >= total, "{name}: submissions in {total} steps");
        assert!(
            later < first,
            "{name}: expected training: mean loss {first} of the first steps, {later} of the later ones"
        );
        println!(
            "{name}: {bytes} bytes allocated in {total} steps, {largest} at once, {held:+} held; {buffers} in buffers"
        );
        // Futures, read-back sums and rayon's job lists: nothing as large as a tensor, and nothing that stays allocated.
        if name == "cpu" {
            assert!(largest <= 2048, "{name}: a piece of {largest} bytes in {total} steps");
            assert!(bytes <= 2048 * total, "{name}: {bytes} bytes in {total} steps");
        }
        assert!(held <= 256 << 10, "{name}: {held} bytes more held after {total} steps");
        assert_eq!(session.buffer_bytes(), buffers, "{name}: bytes of buffers");
        println!("{name}: {total} steps, memory {:+} KiB, {now:?}", (after as i64 - memory as i64) / 1024);
        assert!(!cfg!(target_os = "linux") || memory > 0, "{name}: /proc/self/statm has the memory of this process");
        assert!(
            after <= memory + (2 << 20),
            "{name}: resident memory after {total} steps: expected at most {memory} + 2 MiB, got {after}"
        );
    }
}
