//! What the processor has beyond the target that this was compiled for.
#![allow(unsafe_code, reason = "code for instructions that not every machine has is unsafe to call")]
#![allow(clippy::inline_always, reason = "the loops are to be compiled where they are called")]

/// Whether the machine has AVX-512's foundation, and its instructions for shorter vectors.
#[inline]
pub fn has_avx512() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// Work whose loops [`widest_of`] compiles for more than one set of registers. `run` has to be `#[inline(always)]`, and so has
/// whatever it calls: a closure may not be inlined, and would then be compiled for the narrow registers.
pub trait Work {
    /// The result.
    type Output;

    /// Does the work. `WIDE` tells whether it is compiled for AVX-512, which has twice as many registers as AVX2, of up to twice
    /// the width.
    fn run<const WIDE: bool>(self) -> Self::Output;
}

/// Runs work compiled for the machine's widest registers.
#[inline(always)]
pub fn widest_of<W: Work>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512vl")]
        fn wide<W: Work>(work: W) -> W::Output {
            work.run::<true>()
        }
        if has_avx512() {
            // SAFETY: the machine has the instructions.
            return unsafe { wide(work) };
        }
    }
    work.run::<false>()
}

/// Runs work with its loops compiled for the machine's widest registers; results are bit-identical. For small loops: see [`Work`].
#[inline(always)]
pub fn widest<R>(work: impl FnOnce() -> R) -> R {
    widest_of(Closure(work))
}

struct Closure<F>(F);

impl<R, F: FnOnce() -> R> Work for Closure<F> {
    type Output = R;

    #[inline(always)]
    fn run<const WIDE: bool>(self) -> R {
        (self.0)()
    }
}
