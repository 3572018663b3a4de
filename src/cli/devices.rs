//! `plusminus devices`: lists the devices.

use super::args::Common;
use super::output::{json, line};
use crate::error::Result;
use crate::runtime;

/// Lists the devices that `--device` takes.
pub async fn run(common: &Common) -> Result<()> {
    for (number, info) in runtime::list().await?.iter().enumerate() {
        if common.json {
            let (name, kind, backend, detail) = (&info.name, info.kind, &info.backend, &info.detail);
            json(
                &serde_json::json!({ "index": number, "name": name, "kind": kind, "backend": backend, "detail": detail }),
            );
        } else {
            line(&format!("{number}  {info}"));
        }
    }
    Ok(())
}
