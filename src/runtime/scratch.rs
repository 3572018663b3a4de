//! Scratch memory of each thread for the duration of one task, for packed tiles. It is allocated when a program is loaded, with the size
//! that the largest task needs.

use bytemuck::{Pod, Zeroable};
use std::cell::RefCell;

/// A cache line; tiles are aligned to it.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u32; 16]);

thread_local! {
    static LINES: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Returns the bytes that are allocated for `words` words.
pub(super) fn bytes_of(words: usize) -> u64 {
    64 * words.div_ceil(16) as u64
}

/// Allocates words of scratch memory on this thread and frees the previous allocation.
pub(super) fn reserve_scratch(words: usize) {
    LINES.set(vec![Line([0; 16]); words.div_ceil(16)]);
}

/// Calls `task` with `words` words of this thread's scratch memory, whose content is arbitrary. Calls must not be nested.
///
/// # Panics
/// Panics if fewer words are allocated: no dispatch of the program declares as many
/// ([`Recording::set_scratch`](super::Recording::set_scratch)).
pub fn with_scratch<R>(words: usize, task: impl FnOnce(&mut [u32]) -> R) -> R {
    LINES.with_borrow_mut(|lines| {
        let (count, held) = (words.div_ceil(16), lines.len());
        assert!(count <= held, "{words} words of scratch exceed the {} declared", 16 * held);
        task(&mut bytemuck::cast_slice_mut(&mut lines[..count])[..words])
    })
}
