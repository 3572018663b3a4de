//! Memory: after planning, steps make nothing on the device and take no memory of the process. This test is alone in its file, since it
//! measures the process.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that fails panics, and says what it measured")]

mod support;

use plusminus::data::{Batch, Loader, digits};
use plusminus::nn::{ModelSpec, PixelScale};
use plusminus::optim::{Adam, CEMA, Schedule};
use plusminus::runtime::Engine;
use plusminus::tensor::Stream;
use plusminus::train::{Loss, Rules, Session};
use pollster::block_on;

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
    };
    let model = spec.build().unwrap();
    block_on(Session::new(&model, Loss::CrossEntropy(0.0), Some(rules), batch, 1, engine)).unwrap()
}

/// Sum of the steps' losses since the last look.
fn sum_of_losses(session: &mut Session) -> f64 {
    let read_back = session.read_back().unwrap();
    block_on(session.interval(read_back)).unwrap().unwrap().loss
}

/// Batches of digits, over and over.
fn batches(size: usize, count: usize) -> Vec<Batch> {
    let loader = Loader::new(digits().train, size).unwrap();
    (0..)
        .flat_map(|epoch| loader.epoch(Some(Stream::new(epoch, "order"))))
        .map(Result::unwrap)
        .filter(|b| b.valid as usize == size)
        .take(count)
        .collect()
}

/// Bytes of this process that are in memory.
#[cfg(target_os = "linux")]
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// Other systems tell it otherwise; what the engine made is compared there, too.
#[cfg(not(target_os = "linux"))]
fn resident() -> u64 {
    0
}

/// Steps that warm up every pool and cache, then steps in which nothing may grow.
#[test]
fn steps_allocate_nothing() {
    for (name, engine) in support::engines() {
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
        let (stats, memory) = (session.stats(), resident());
        let later = run(&mut session, total) / total as f64;
        let (now, after) = (session.stats(), resident());
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
        println!("{name}: {total} steps, memory {:+} KiB, {now:?}", (after as i64 - memory as i64) / 1024);
        assert!(!cfg!(target_os = "linux") || memory > 0, "{name}: /proc/self/statm tells the memory of this process");
        assert!(
            after <= memory + (2 << 20),
            "{name}: resident memory after {total} steps: expected at most {memory} + 2 MiB, got {after}"
        );
    }
}
