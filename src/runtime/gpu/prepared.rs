//! A dispatch with its pipeline, bind groups and number of groups.

/// A dispatch with everything made.
pub struct Prepared {
    pub label: &'static str,
    pub scope: String,
    pub pipeline: wgpu::ComputePipeline,
    pub tensors: wgpu::BindGroup,
    pub uniforms: Option<wgpu::BindGroup>,
    pub groups: [u32; 3],
}

impl Prepared {
    /// Encodes it into a pass.
    pub fn encode(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.tensors, &[]);
        if let Some(uniforms) = &self.uniforms {
            pass.set_bind_group(1, uniforms, &[]);
        }
        let [x, y, z] = self.groups;
        pass.dispatch_workgroups(x, y, z);
    }
}
