//! Guards against libraries that panic on damaged files.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread will be caught, and should not be printed.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs a library call that may panic on a damaged file, and turns the panic into an error without a message on stderr.
///
/// Values that the call was modifying must not be used after an error.
///
/// # Errors
/// The text of the panic.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                before(panic);
            }
        }));
    });
    let outer = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown").to_owned()
    })
}

/// Stack size of [`with_deep_stack`], in bytes.
const STACK: usize = 128 << 20;

/// Runs a library call that recurses once per level of its input, on a thread with a stack of 128 MiB: enough
/// for 16,000 levels of the template engine. A panic is an error, as in [`guarded`].
///
/// # Errors
/// The text of the panic, or the reason why the thread could not be started.
pub fn with_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || guarded(work));
        let result = thread.map_err(|error| error.to_string())?.join();
        result.unwrap_or_else(|_| Err("unknown".into()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_has_a_deep_stack_and_its_panic_is_an_error() {
        fn deep(levels: usize) -> usize {
            let here = std::hint::black_box([levels; 128]);
            if levels == 0 { 0 } else { 1 + deep(here[7] - 1) }
        }
        assert_eq!(with_deep_stack(|| deep(50_000)), Ok(50_000));
        assert_eq!(with_deep_stack(|| -> u8 { panic!("of {}", "depth") }), Err("of depth".into()));
    }

    #[test]
    fn a_panic_is_an_error_with_its_text() {
        assert_eq!(guarded(|| 1), Ok(1));
        assert_eq!(guarded(|| -> u8 { panic!("of {}", "size") }), Err("of size".into()));
        assert!(!GUARDED.get());
    }
}
