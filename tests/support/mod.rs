//! Engines for tests.
#![allow(dead_code, reason = "each test file uses a part of it")]

use plusminus::runtime::{CpuEngine, Engine};

/// Returns the name of the adapter that GPU tests use.
pub fn test_device() -> String {
    std::env::var("PLUSMINUS_TEST_DEVICE").unwrap_or_else(|_| "llvmpipe".into())
}

/// Returns the CPU engine, and the engine on the test adapter if there is one. Otherwise prints a line, or fails the test if
/// PLUSMINUS_REQUIRE_GPU=1.
pub fn engines() -> Vec<(String, Box<dyn Engine>)> {
    let cpu: Box<dyn Engine> = Box::new(CpuEngine::new(None).expect("the processor"));
    let mut all = vec![("cpu".to_string(), cpu)];
    all.extend(gpu().map(|engine| (test_device(), Box::new(engine) as Box<dyn Engine>)));
    all
}

/// Returns the engine on the test adapter.
#[cfg(feature = "gpu")]
pub fn gpu() -> Option<plusminus::runtime::GpuEngine> {
    let name = test_device();
    let devices = pollster::block_on(plusminus::runtime::list()).expect("devices can be listed");
    let found = devices.iter().position(|info| info.kind != "processor" && info.name.to_lowercase().contains(&name));
    match found {
        Some(number) => {
            Some(pollster::block_on(plusminus::runtime::GpuEngine::open(number)).expect("the adapter opens"))
        }
        None => skipped(&name),
    }
}

/// The feature `gpu` is disabled.
#[cfg(not(feature = "gpu"))]
pub fn gpu() -> Option<plusminus::runtime::CpuEngine> {
    None
}

#[cfg(feature = "gpu")]
fn skipped<T>(name: &str) -> Option<T> {
    let required = std::env::var("PLUSMINUS_REQUIRE_GPU").is_ok_and(|v| v == "1");
    assert!(!required, "PLUSMINUS_REQUIRE_GPU=1, and there is no adapter `{name}`");
    println!("skipped on a GPU: no adapter `{name}`");
    None
}
