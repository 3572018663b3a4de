//! Timestamps around every dispatch, while profiling.

use super::super::profiler::Profile;
use super::context::Context;
use super::engine::Prepared;

/// Queries for the longest recording, and what they told so far.
pub struct Timing {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    /// Seconds of a tick.
    period: f64,
    pub profile: Profile,
}

impl Timing {
    /// For recordings of so many dispatches; `None` where the device has no timestamps.
    pub fn new(cx: &mut Context, dispatches: usize) -> Option<Self> {
        if dispatches == 0 || !cx.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return None;
        }
        let (label, count) = (Some("profile"), 2 * dispatches as u32);
        let queries =
            cx.device.create_query_set(&wgpu::QuerySetDescriptor { label, ty: wgpu::QueryType::Timestamp, count });
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let descriptor = wgpu::BufferDescriptor { label, size: 8 * u64::from(count), usage, mapped_at_creation: false };
        let resolved = cx.device.create_buffer(&descriptor);
        cx.stats.allocations += 2;
        let period = f64::from(cx.queue.get_timestamp_period()) * 1e-9;
        Some(Self { queries, resolved, period, profile: Profile::new("device timestamps") })
    }

    /// A pass for dispatch number `i`, between two timestamps.
    pub fn pass<'a>(
        &self,
        encoder: &'a mut wgpu::CommandEncoder,
        i: usize,
        label: &'static str,
    ) -> wgpu::ComputePass<'a> {
        let timestamp_writes = wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(2 * i as u32),
            end_of_pass_write_index: Some(2 * i as u32 + 1),
        };
        encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some(label),
            timestamp_writes: Some(timestamp_writes),
        })
    }

    /// Writes the timestamps of so many dispatches where they can be read.
    pub fn resolve(&self, encoder: &mut wgpu::CommandEncoder, dispatches: usize) {
        encoder.resolve_query_set(&self.queries, 0..2 * dispatches as u32, &self.resolved, 0);
    }

    /// Buffer and bytes with them.
    pub fn piece(&self, dispatches: usize) -> (wgpu::Buffer, u64) {
        (self.resolved.clone(), 16 * dispatches as u64)
    }

    /// Adds the times of one play.
    pub fn add(&mut self, dispatches: &[Prepared], words: &[u32]) {
        let stamp = |words: &[u32]| u64::from(words[0]) | u64::from(words[1]) << 32;
        for (dispatch, pair) in dispatches.iter().zip(words.chunks_exact(4)) {
            let ticks = stamp(&pair[2..]).saturating_sub(stamp(&pair[..2]));
            self.profile.add(dispatch.label, &dispatch.scope, ticks as f64 * self.period);
        }
    }
}
