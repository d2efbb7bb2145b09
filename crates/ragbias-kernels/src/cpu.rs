//! What the processor has beyond the target that this was compiled for.
#![allow(unsafe_code, reason = "code for instructions that not every machine has is unsafe to call")]
#![allow(clippy::inline_always, reason = "the loops are to be compiled where they are called")]

/// Whether the machine has AVX-512's foundation.
#[inline]
pub fn has_avx512() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512f");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// Runs work with its loops compiled for the machine's widest registers; results are bit-identical.
#[inline(always)]
pub fn widest<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f")]
        fn wide<R>(work: impl FnOnce() -> R) -> R {
            work()
        }
        if has_avx512() {
            // SAFETY: the machine has the instructions.
            return unsafe { wide(work) };
        }
    }
    work()
}
