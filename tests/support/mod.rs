//! What several tests share: engines to run on.
#![allow(dead_code, reason = "each test file uses its part")]

use plusminus::runtime::{CpuEngine, Engine};

/// Name of the adapter that GPU tests use.
pub fn test_device() -> String {
    std::env::var("PLUSMINUS_TEST_DEVICE").unwrap_or_else(|_| "llvmpipe".into())
}

/// The processor's engine, and the one on the test adapter where it is found. Without it a line says so, and under
/// PLUSMINUS_REQUIRE_GPU=1 the test fails.
pub fn engines() -> Vec<(String, Box<dyn Engine>)> {
    let cpu: Box<dyn Engine> = Box::new(CpuEngine::new(None).expect("the processor"));
    let mut all = vec![("cpu".to_string(), cpu)];
    all.extend(gpu().map(|engine| (test_device(), Box::new(engine) as Box<dyn Engine>)));
    all
}

/// The engine on the test adapter.
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

/// Built without GPUs.
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
