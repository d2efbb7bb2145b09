//! Whether this CPU can run the instructions that the binary was compiled to.

/// Refuses a CPU without AVX2, FMA and BMI2, in words rather than by an illegal instruction.
///
/// `is_x86_feature_detected!` would be answered by the compiler, which takes these features for granted here; the CPU
/// itself is asked.
#[cfg(target_arch = "x86_64")]
pub(crate) fn check() -> Result<(), String> {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    let has = |register: u32, bit: u32| register >> bit & 1 == 1;
    let basic = __cpuid(1);
    let extended = if __cpuid(0).eax >= 7 { __cpuid_count(7, 0) } else { __cpuid(0x8000_0000) };
    let known = __cpuid(0).eax >= 7;
    let features = [
        ("FMA", has(basic.ecx, 12)),
        ("AVX", has(basic.ecx, 28)),
        ("AVX2", known && has(extended.ebx, 5)),
        ("BMI2", known && has(extended.ebx, 8)),
    ];
    let missing: Vec<_> = features.iter().filter(|(_, there)| !there).map(|(name, _)| *name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!(
        "this CPU lacks {}, which this build of ragbias needs\nhint: build it with `RUSTFLAGS='-C \
         target-cpu=native' cargo build --release`; LLMs will answer more slowly",
        missing.join(", ")
    ))
}

/// Other architectures are compiled to their baseline.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn check() -> Result<(), String> {
    Ok(())
}
