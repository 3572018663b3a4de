//! Timestamps around every dispatch while profiling.

use super::super::profiler::Profile;
use super::context::Context;
use super::prepared::Prepared;

/// Dispatches per query set, with two queries each: devices need not support sets of more than 4,096.
const SET: usize = 2048;

/// Queries for the longest recording, in as many sets as required.
pub struct Timing {
    sets: Vec<wgpu::QuerySet>,
    resolved: wgpu::Buffer,
    /// Seconds per tick.
    period: f64,
}

impl Timing {
    /// Creates queries for recordings of `dispatches` dispatches; `None` if the device has no timestamps.
    pub fn new(cx: &mut Context, dispatches: usize) -> Option<Self> {
        if dispatches == 0 || !Self::is_possible(cx) {
            return None;
        }
        let (label, ty) = (Some("profile"), wgpu::QueryType::Timestamp);
        let sets = (0..dispatches).step_by(SET).map(|first| {
            let count = 2 * SET.min(dispatches - first) as u32;
            cx.device.create_query_set(&wgpu::QuerySetDescriptor { label, ty, count })
        });
        let sets: Vec<_> = sets.collect();
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let size = 16 * dispatches as u64;
        let descriptor = wgpu::BufferDescriptor { label, size, usage, mapped_at_creation: false };
        let resolved = cx.device.create_buffer(&descriptor);
        cx.stats.allocations += 1 + sets.len() as u64;
        Some(Self { sets, resolved, period: f64::from(cx.queue.get_timestamp_period()) * 1e-9 })
    }

    /// Returns whether the device has timestamps.
    pub fn is_possible(cx: &Context) -> bool {
        cx.device.features().contains(wgpu::Features::TIMESTAMP_QUERY)
    }

    /// Begins a pass for dispatch number `i`, between two timestamps.
    pub fn pass<'a>(
        &self,
        encoder: &'a mut wgpu::CommandEncoder,
        i: usize,
        label: &'static str,
    ) -> wgpu::ComputePass<'a> {
        let first = 2 * (i % SET) as u32;
        let timestamp_writes = wgpu::ComputePassTimestampWrites {
            query_set: &self.sets[i / SET],
            beginning_of_pass_write_index: Some(first),
            end_of_pass_write_index: Some(first + 1),
        };
        encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some(label),
            timestamp_writes: Some(timestamp_writes),
        })
    }

    /// Resolves the timestamps of `dispatches` dispatches, of one or more submissions, into a readable buffer.
    pub fn resolve(&self, encoder: &mut wgpu::CommandEncoder, dispatches: usize) {
        for (set, first) in self.sets.iter().zip((0..dispatches).step_by(SET)) {
            let count = 2 * SET.min(dispatches - first) as u32;
            encoder.resolve_query_set(set, 0..count, &self.resolved, 16 * first as u64);
        }
    }

    /// Returns the buffer with the timestamps, and their size in bytes.
    pub fn piece(&self, dispatches: usize) -> (wgpu::Buffer, u64) {
        (self.resolved.clone(), 16 * dispatches as u64)
    }

    /// Adds the times of one play to a profile.
    pub fn add(&self, profile: &mut Profile, dispatches: &[Prepared], words: &[u32]) {
        let stamp = |words: &[u32]| u64::from(words[0]) | u64::from(words[1]) << 32;
        for (dispatch, pair) in dispatches.iter().zip(words.chunks_exact(4)) {
            let ticks = stamp(&pair[2..]).saturating_sub(stamp(&pair[..2]));
            profile.add(dispatch.label, &dispatch.scope, ticks as f64 * self.period);
        }
    }
}
