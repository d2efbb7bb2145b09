//! Asking for memory before it is needed.
#![allow(unsafe_code, reason = "asking for memory ahead is an instruction of the processor")]
#![allow(clippy::inline_always, reason = "it is one instruction")]

/// Which cache memory is fetched into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// The one next to the registers, for what is needed at once.
    First,
    /// The one behind it, for what is needed after some more work.
    Second,
}

/// Asks for the cache line of an address, which may point anywhere; on other processors than x86-64 nothing is done.
#[inline(always)]
pub fn prefetch<T>(cache: Cache, address: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
        // SAFETY: a prefetch reads nothing, changes nothing, and may point anywhere.
        unsafe {
            match cache {
                Cache::First => _mm_prefetch::<_MM_HINT_T0>(address.cast()),
                Cache::Second => _mm_prefetch::<_MM_HINT_T1>(address.cast()),
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (cache, address);
}
