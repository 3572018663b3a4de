//! Listing and opening of devices by name or index, and the selection of `auto`.

use super::cpu::CpuEngine;
use super::engine::{DeviceInfo, Engine};
use crate::error::{Error, Result};

/// Returns all devices: with the feature `gpu` the adapters, in the order of their indices, then the processor.
pub async fn list() -> Result<Vec<DeviceInfo>> {
    let mut found = adapters().await;
    found.push(CpuEngine::new(None)?.device().clone());
    Ok(found)
}

/// Opens a device: `auto`, `cpu`, `gpu`, an index into [`list`], or a part of a name, which selects the first device that contains it. Also
/// returns the reason for the selection.
///
/// `auto` selects the first hardware GPU, discrete before integrated, otherwise the processor. Software adapters are selected only by name
/// or index. `gpu` selects the same GPU as `auto`, and fails if there is none.
pub async fn open(wanted: &str, threads: Option<usize>) -> Result<(Box<dyn Engine>, String)> {
    let cpu =
        |why: &str| -> Result<(Box<dyn Engine>, String)> { Ok((Box::new(CpuEngine::new(threads)?), why.to_string())) };
    let is = |name: &str| wanted.trim().eq_ignore_ascii_case(name);
    if is("cpu") {
        return cpu("requested");
    }
    let found = adapters().await;
    let none = || {
        let mut names: Vec<String> = found.iter().enumerate().map(|(i, info)| format!("{i}: {}", info.name)).collect();
        names.push(format!("{}: cpu", found.len()));
        Error::NoDevice { wanted: wanted.into(), found: names.join(", ") }
    };
    if is("auto") || is("gpu") {
        let of_kind = |kind: &str| found.iter().position(|info| info.kind == kind);
        return match (of_kind("discrete gpu").or(of_kind("integrated gpu")).or(of_kind("gpu")), found.len()) {
            (Some(at), _) => Ok((adapter(at).await?, format!("{}: the first {}", wanted.trim(), found[at].kind))),
            (None, _) if is("gpu") => Err(none()),
            (None, 0) if cfg!(feature = "gpu") => cpu("auto: no GPU found"),
            (None, 0) => cpu("auto: built without the feature gpu"),
            (None, _) => cpu("auto: no hardware GPU; software adapters are selected only by name or index"),
        };
    }
    let named =
        |info: &DeviceInfo| !wanted.trim().is_empty() && info.name.to_lowercase().contains(&wanted.to_lowercase());
    let at = match wanted.parse::<usize>() {
        Ok(number) if number == found.len() => return cpu("requested by index"),
        Ok(number) => Some(number).filter(|&n| n < found.len()),
        Err(_) => found.iter().position(named),
    };
    match at {
        Some(at) => Ok((adapter(at).await?, format!("requested as `{wanted}`"))),
        None => Err(none()),
    }
}

#[cfg(feature = "gpu")]
async fn adapters() -> Vec<DeviceInfo> {
    super::gpu::adapters().await
}

#[cfg(feature = "gpu")]
async fn adapter(number: usize) -> Result<Box<dyn Engine>> {
    Ok(Box::new(super::gpu::GpuEngine::open(number).await?))
}

#[cfg(not(feature = "gpu"))]
async fn adapters() -> Vec<DeviceInfo> {
    Vec::new()
}

#[cfg(not(feature = "gpu"))]
async fn adapter(number: usize) -> Result<Box<dyn Engine>> {
    Err(Error::NoDevice { wanted: number.to_string(), found: "no adapters: built without the feature `gpu`".into() })
}
