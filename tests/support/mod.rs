//! The engines that tests run on.
#![allow(dead_code, clippy::print_stdout, reason = "not every test file uses all of it; what is skipped is said")]

use plusminus::runtime::{self, Engine};

/// The processor's engine, and the adapter whose name contains `PLUSMINUS_TEST_DEVICE` (default `llvmpipe`) where there is one.
/// With `PLUSMINUS_REQUIRE_GPU=1` a missing adapter is a failure.
pub fn engines() -> Vec<(String, Box<dyn Engine>)> {
    let cpu = pollster::block_on(runtime::open("cpu", None)).expect("the processor is always there");
    let mut engines = vec![("cpu".to_string(), cpu.0)];
    let wanted = std::env::var("PLUSMINUS_TEST_DEVICE").unwrap_or_else(|_| "llvmpipe".into());
    match pollster::block_on(runtime::open(&wanted, None)) {
        Ok((engine, _)) => engines.push((engine.device().name.clone(), engine)),
        Err(error) => {
            assert!(!required(), "PLUSMINUS_REQUIRE_GPU=1, but there is no adapter `{wanted}`: {error}");
            println!("skipped on a GPU: no adapter `{wanted}` ({error})");
        }
    }
    engines
}

fn required() -> bool {
    std::env::var("PLUSMINUS_REQUIRE_GPU").is_ok_and(|value| value == "1")
}
