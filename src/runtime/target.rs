//! What the device of a plan can do: which tensors it binds, and which variants of kernels it runs.

use super::kernel::Requirements;

/// Limits and features of a device, as far as plans and kernels depend on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Name of the device.
    pub device: String,
    /// Bytes of the largest tensor that a kernel can bind.
    pub max_tensor_bytes: u64,
    /// Features by their names in WGSL: `subgroups`, `f16`.
    pub features: Vec<&'static str>,
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
    /// Invocations of a workgroup.
    pub invocations: u32,
}

impl Target {
    /// What every device of WebGPU has, but for tensors of any size: plans that no device is known for, and the processor.
    pub fn any() -> Self {
        let device = "any device".into();
        Self { device, max_tensor_bytes: u64::MAX, features: Vec::new(), workgroup_bytes: 16 << 10, invocations: 256 }
    }

    /// Whether it runs what requires this.
    pub fn meets(&self, required: &Requirements) -> bool {
        required.features.iter().all(|feature| self.features.contains(feature))
            && required.workgroup_bytes <= self.workgroup_bytes
            && required.invocations <= self.invocations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_without_what_is_required_does_not_meet_it() {
        let plain = Target::any();
        let required = Requirements { features: &["subgroups"], workgroup_bytes: 16 << 10, invocations: 256 };
        assert!(plain.meets(&Requirements::NONE) && !plain.meets(&required));
        let able = Target { features: vec!["subgroups"], ..plain };
        assert!(able.meets(&required));
        assert!(!able.meets(&Requirements { workgroup_bytes: (16 << 10) + 1, ..required }));
        assert!(!able.meets(&Requirements { invocations: 257, ..required }));
    }
}
