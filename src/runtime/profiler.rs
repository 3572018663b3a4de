//! Time by kernel and layer, from whichever clock the engine has.

use std::collections::HashMap;

/// Time of one kernel in one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelTime {
    /// `folder::file::entry`.
    pub kernel: String,
    /// Layer that asked for it.
    pub scope: String,
    /// Calls.
    pub calls: u64,
    /// Seconds in all.
    pub seconds: f64,
}

/// Times by kernel, and the clock they come from.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// "device timestamps", "processor clock", or why there is none.
    pub clock: String,
    times: HashMap<(String, String), (u64, f64)>,
}

impl Profile {
    /// An empty profile of a clock.
    pub fn new(clock: impl Into<String>) -> Self {
        Self { clock: clock.into(), times: HashMap::new() }
    }

    /// Adds one call.
    pub fn add(&mut self, kernel: &str, scope: &str, seconds: f64) {
        let entry = self.times.entry((kernel.to_string(), scope.to_string())).or_default();
        entry.0 += 1;
        entry.1 += seconds;
    }

    /// Slowest first.
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
