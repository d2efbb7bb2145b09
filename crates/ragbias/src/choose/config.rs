use ragbias_embed::Sides;
use ragbias_stats::Equivalence;

use crate::control::ControlKind;

/// How a setting is chosen.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `delta` | 0.1 | \|R_b\| below it counts as 0 | above 0, up to 1 |
/// | `controls` | all | the controls to try | |
/// | `word` | none | projection along this word; by default along the direction between the poles | |
/// | `erased` | questions | whose vectors an erasure changes: those of questions, or of documents as well | |
/// | `steps` | 8 | maximum measurements of R_b on validation topics per control | 2 to 1000 |
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ChooseConfig {
    /// |R_b| below it is as good as 0.
    pub delta: f64,
    /// What is turned.
    pub controls: Vec<ControlKind>,
    /// The word whose direction is used for projection.
    pub word: Option<String>,
    /// Whose vectors an erasure changes.
    pub erased: Sides,
    /// Maximum measurements of R_b on validation topics per control.
    pub steps: usize,
}

ragbias_core::setters!(ChooseConfig {
    delta: f64,
    controls: Vec<ControlKind>,
    word: Option<String>,
    erased: Sides,
    steps: usize,
});

impl Default for ChooseConfig {
    fn default() -> Self {
        Self {
            delta: Equivalence::DELTA,
            controls: ControlKind::ALL.to_vec(),
            word: None,
            erased: Sides::Questions,
            steps: 8,
        }
    }
}
