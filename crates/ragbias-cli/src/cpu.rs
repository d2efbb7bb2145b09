//! Whether this CPU can run the instructions that the program was compiled to.
//!
//! Candle's quantised kernels choose AVX2 when they are compiled, so all of the program is compiled for it
//! (`.cargo/config.toml`), this file included: a check in Rust would be an illegal instruction itself. It is in `cpu.c`,
//! and runs before `main`.
#![allow(unsafe_code, reason = "an entry in a table of the loader")]

#[cfg(all(target_arch = "x86_64", target_os = "linux", target_feature = "avx2"))]
unsafe extern "C" {
    fn ragbias_check_cpu();
}

/// The loader calls what this section points to, before `main`.
#[cfg(all(target_arch = "x86_64", target_os = "linux", target_feature = "avx2"))]
#[used]
#[unsafe(link_section = ".init_array")]
static CHECK: unsafe extern "C" fn() = ragbias_check_cpu;
