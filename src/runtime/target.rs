//! The target of a plan: the limits and features of a device, which determine the tensors it binds and the kernel variants it runs.

use super::kernel::Requirements;

/// Limits and features of a device that plans and kernels depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Name of the device.
    pub device: String,
    /// Maximum size in bytes of a tensor that a kernel can bind.
    pub max_tensor_bytes: u64,
    /// Features by their names in WGSL: `subgroups`, `f16`.
    pub features: Vec<&'static str>,
    /// Maximum workgroup memory in bytes.
    pub workgroup_bytes: u32,
    /// Maximum number of invocations per workgroup.
    pub invocations: u32,
    /// Minimum and maximum number of invocations per subgroup; zeros if unknown.
    pub subgroup_sizes: [u32; 2],
}

impl Target {
    /// Returns the target of the processor, and of plans for an unknown device: the defaults of WebGPU, with tensors of any size.
    pub fn any() -> Self {
        let device = "any device".into();
        Self {
            device,
            max_tensor_bytes: u64::MAX,
            features: Vec::new(),
            workgroup_bytes: 16 << 10,
            invocations: 256,
            subgroup_sizes: [0; 2],
        }
    }

    /// Returns whether the device meets these requirements.
    pub fn meets(&self, required: &Requirements) -> bool {
        required.features.iter().all(|feature| self.features.contains(feature))
            && required.workgroup_bytes <= self.workgroup_bytes
            && required.invocations <= self.invocations
            // A device that supports several subgroup sizes chooses the size of a pipeline itself.
            && (required.subgroup_size == 0 || self.subgroup_sizes == [required.subgroup_size; 2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_without_what_is_required_does_not_meet_it() {
        let plain = Target::any();
        let required = Requirements { features: &["subgroups"], workgroup_bytes: 16 << 10, ..Requirements::NONE };
        assert!(plain.meets(&Requirements::NONE) && !plain.meets(&required));
        let able = Target { features: vec!["subgroups"], ..plain };
        assert!(able.meets(&required));
        assert!(!able.meets(&Requirements { workgroup_bytes: (16 << 10) + 1, ..required }));
        assert!(!able.meets(&Requirements { invocations: 257, ..required }));
        let sized = Requirements { subgroup_size: 32, ..required };
        assert!(!able.meets(&sized) && !Target { subgroup_sizes: [8, 32], ..able.clone() }.meets(&sized));
        assert!(Target { subgroup_sizes: [32, 32], ..able }.meets(&sized));
    }
}
