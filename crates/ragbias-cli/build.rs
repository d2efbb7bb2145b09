//! Compiles the check of the CPU, which must not be Rust: see `src/cpu.rs`.

fn main() {
    println!("cargo::rerun-if-changed=src/cpu.c");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    let features = std::env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    let needs_avx2 = features.split(',').any(|feature| feature == "avx2");
    if is("CARGO_CFG_TARGET_ARCH", "x86_64") && is("CARGO_CFG_TARGET_OS", "linux") && needs_avx2 {
        cc::Build::new().file("src/cpu.c").compile("ragbias_cpu");
    }
}
