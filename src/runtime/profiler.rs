//! Times by kernel and layer, measured with the clock of the engine.

use std::collections::HashMap;

/// Time of one kernel in one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelTime {
    /// Label of the kernel: `folder::file::entry`.
    pub kernel: String,
    /// Layer of the dispatch.
    pub scope: String,
    /// Number of calls.
    pub calls: u64,
    /// Total seconds.
    pub seconds: f64,
}

/// Times by kernel and layer, and the clock that measured them.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// The clock: "device timestamps", "processor clock", or the reason why there is none.
    pub clock: String,
    times: HashMap<(String, String), (u64, f64)>,
}

impl Profile {
    /// Creates an empty profile with the name of its clock.
    pub fn new(clock: impl Into<String>) -> Self {
        Self { clock: clock.into(), times: HashMap::new() }
    }

    /// Adds one call.
    pub fn add(&mut self, kernel: &str, scope: &str, seconds: f64) {
        let entry = self.times.entry((kernel.to_string(), scope.to_string())).or_default();
        entry.0 += 1;
        entry.1 += seconds;
    }

    /// Returns the entries by descending total time.
    pub fn sorted(&self) -> Vec<KernelTime> {
        let row = |((kernel, scope), (calls, seconds)): (&(String, String), &(u64, f64))| KernelTime {
            kernel: kernel.clone(),
            scope: scope.clone(),
            calls: *calls,
            seconds: *seconds,
        };
        let mut rows: Vec<KernelTime> = self.times.iter().map(row).collect();
        rows.sort_by(|a, b| b.seconds.total_cmp(&a.seconds).then_with(|| a.kernel.cmp(&b.kernel)));
        rows
    }
}
