//! A dispatch that is ready to be encoded: pipeline, bind groups and numbers of workgroups.

/// A dispatch with the objects that its encoding requires.
pub struct Prepared {
    pub label: &'static str,
    pub scope: String,
    pub pipeline: wgpu::ComputePipeline,
    pub tensors: wgpu::BindGroup,
    /// Parts of the grid.
    pub parts: Vec<PreparedPart>,
}

/// A part of a grid: the uniforms, which include the start of the part, and the numbers of groups.
pub struct PreparedPart {
    pub uniforms: Option<wgpu::BindGroup>,
    pub groups: [u32; 3],
}

impl Prepared {
    /// Encodes the dispatch into a pass.
    pub fn encode(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.tensors, &[]);
        for part in &self.parts {
            if let Some(uniforms) = &part.uniforms {
                pass.set_bind_group(1, uniforms, &[]);
            }
            let [x, y, z] = part.groups;
            pass.dispatch_workgroups(x, y, z);
        }
    }
}
