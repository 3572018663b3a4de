//! Keeps the panics of decoders from the program: damaged files reach code that expects none.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether this thread runs a decoder, whose panics are reported as a reason and print nothing.
    static IS_DECODING: Cell<bool> = const { Cell::new(false) };
}

/// Calls a decoder. A panic becomes an error.
pub(super) fn guarded<T>(decode: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            if !IS_DECODING.get() {
                before(panic);
            }
        }));
    });
    let outer = IS_DECODING.replace(true);
    // The decoder's state is dropped on a panic, and nothing else is changed by it.
    let result = catch_unwind(AssertUnwindSafe(decode));
    IS_DECODING.set(outer);
    result.unwrap_or_else(|_| Err("the decoder failed on damaged data".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_reason() {
        let overrun = |at: usize| guarded(|| Ok([1, 2][at]));
        assert_eq!(overrun(1), Ok(2));
        assert_eq!(overrun(2), Err("the decoder failed on damaged data".into()));
        assert!(!IS_DECODING.get(), "later panics are printed");
    }
}
