use ragbias_stats::Equivalence;

/// Settings of a fit.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `draws` | 10,000 | draws of the bootstrap | 200 to 1,000,000 |
/// | `seed` | 0 | seed of the draws | any |
/// | `delta` | 0.1 | \|R_b\| below it counts as 0 | above 0, up to 1 |
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct FitConfig {
    /// Draws of the bootstrap.
    pub draws: usize,
    /// Seed of the draws.
    pub seed: u64,
    /// |R_b| below it counts as 0.
    pub delta: f64,
}

ragbias_core::setters!(FitConfig { draws: usize, seed: u64, delta: f64 });

impl Default for FitConfig {
    fn default() -> Self {
        Self { draws: 10_000, seed: 0, delta: Equivalence::DELTA }
    }
}
