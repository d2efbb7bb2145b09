//! Checks whether this CPU has the instructions that the program was compiled for.
//!
//! Candle's quantised kernels select AVX2 at compile time, so the whole program is compiled for it
//! (`.cargo/config.toml`), including this file: a check in Rust could itself be an illegal instruction. It is in `cpu.c`,
//! and runs before `main`.
#![allow(unsafe_code, reason = "an entry in a table of the loader")]

#[cfg(all(target_arch = "x86_64", target_os = "linux", target_feature = "avx2"))]
unsafe extern "C" {
    fn ragbias_check_cpu();
}

/// The loader calls the function in this section before `main`.
#[cfg(all(target_arch = "x86_64", target_os = "linux", target_feature = "avx2"))]
#[used]
#[unsafe(link_section = ".init_array")]
static CHECK: unsafe extern "C" fn() = ragbias_check_cpu;
