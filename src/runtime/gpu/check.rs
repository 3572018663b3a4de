//! Validates kernels from outside the crate with naga before they reach a device. In a browser, which has no naga, its own compiler
//! validates them.
#![cfg(not(target_arch = "wasm32"))]

use super::super::kernel::Access;
use wgpu::naga::{AddressSpace, StorageAccess, TypeInner, front::wgsl, valid};

/// Checks that a kernel from outside the crate is valid, has the entry point, and binds the declared tensors. Returns whether it has each
/// of the uniforms `params`, `step`, `epilogue` and `grid`. Errors of naga contain an excerpt of the source.
pub fn check_source(source: &str, entry: &str, bindings: &[(&str, Access)]) -> std::result::Result<[bool; 4], String> {
    let module = wgsl::parse_str(source).map_err(|e| e.emit_to_string(source))?;
    let mut validator = valid::Validator::new(valid::ValidationFlags::all(), valid::Capabilities::empty());
    validator.validate(&module).map_err(|e| e.emit_to_string(source))?;
    if !module.entry_points.iter().any(|point| point.name == entry) {
        let names: Vec<&str> = module.entry_points.iter().map(|point| point.name.as_str()).collect();
        return Err(format!("expected an entry point `{entry}`, got {}", names.join(", ")));
    }
    let mut found = Vec::new();
    for (_, global) in module.global_variables.iter() {
        let (Some(binding), AddressSpace::Storage { access }) = (&global.binding, global.space) else { continue };
        let name = global.name.clone().unwrap_or_default();
        let TypeInner::Array { base, .. } = module.types[global.ty].inner else {
            return Err(format!("expected arrays in storage, got `{name}` of another kind"));
        };
        let access = match module.types[base].inner {
            TypeInner::Atomic(_) => Access::Atomic,
            _ if access.contains(StorageAccess::STORE) => Access::Write,
            _ => Access::Read,
        };
        if binding.group != 0 {
            return Err(format!("expected storage in group 0, got `{name}` in group {}", binding.group));
        }
        found.push((binding.binding, name, access));
    }
    found.sort_by_key(|(index, ..)| *index);
    let declared: Vec<_> =
        bindings.iter().enumerate().map(|(i, (name, access))| (i as u32, name.to_string(), *access)).collect();
    if found != declared {
        return Err(format!("expected the bindings {declared:?}, got {found:?}"));
    }
    let uniform = |number: u32| {
        module
            .global_variables
            .iter()
            .any(|(_, g)| g.binding.as_ref().is_some_and(|b| (b.group, b.binding) == (1, number)))
    };
    Ok([0, 1, 2, 3].map(uniform))
}
