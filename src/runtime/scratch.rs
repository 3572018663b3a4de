//! Memory of a thread for the length of one task: packed tiles. It is set aside when a program is loaded, for its largest task.

use bytemuck::{Pod, Zeroable};
use std::cell::RefCell;

/// A cache line, so that tiles start on one.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u32; 16]);

thread_local! {
    static LINES: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Bytes that are set aside for so many words.
pub(super) fn bytes_of(words: usize) -> u64 {
    64 * words.div_ceil(16) as u64
}

/// Sets words of this thread's memory aside, in the place of those before.
pub(super) fn reserve_scratch(words: usize) {
    LINES.set(vec![Line([0; 16]); words.div_ceil(16)]);
}

/// Calls `task` with `words` words of this thread's memory, whatever they hold. Not from within itself.
///
/// # Panics
/// Where the dispatch has not declared so many ([`Recording::set_scratch`](super::Recording::set_scratch)).
pub fn with_scratch<R>(words: usize, task: impl FnOnce(&mut [u32]) -> R) -> R {
    LINES.with_borrow_mut(|lines| {
        let (count, held) = (words.div_ceil(16), lines.len());
        assert!(count <= held, "{words} words of scratch, more than the {} that are declared", 16 * held);
        task(&mut bytemuck::cast_slice_mut(&mut lines[..count])[..words])
    })
}
