//! Memory of a thread for the length of one task: packed tiles. It grows to the largest task of a program once, in the first step.

use bytemuck::{Pod, Zeroable};
use std::cell::RefCell;

/// A cache line, so that tiles start on one.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u32; 16]);

thread_local! {
    static LINES: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Calls `task` with `words` words of this thread's memory, whatever they hold. Not from within itself.
pub fn with_scratch<R>(words: usize, task: impl FnOnce(&mut [u32]) -> R) -> R {
    LINES.with_borrow_mut(|lines| {
        let count = words.div_ceil(16);
        if lines.len() < count {
            lines.resize(count, Line([0; 16]));
        }
        task(&mut bytemuck::cast_slice_mut(&mut lines[..count])[..words])
    })
}
