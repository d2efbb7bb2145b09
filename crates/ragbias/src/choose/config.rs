use ragbias_embed::Sides;

use crate::control::ControlKind;

/// How a setting is chosen.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `delta` | declared by the experiment, else 0.1 | \|R_b\| below it counts as 0 | above 0, up to 1; as declared |
/// | `controls` | all | the controls to try | |
/// | `word` | none | projection along this word; by default along the direction between the poles | |
/// | `erased` | questions | whose vectors an erasure changes: those of questions, or of documents as well | |
/// | `steps` | 8 | maximum measurements of R_b on validation topics per control | 2 to 1000 |
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ChooseConfig {
    /// |R_b| below it is as good as 0; none means as the experiment declares, else 0.1.
    pub delta: Option<f64>,
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
    delta: Option<f64>,
    controls: Vec<ControlKind>,
    word: Option<String>,
    erased: Sides,
    steps: usize,
});

impl Default for ChooseConfig {
    fn default() -> Self {
        Self {
            delta: None,
            controls: ControlKind::ALL.to_vec(),
            word: None,
            erased: Sides::Questions,
            steps: 8,
        }
    }
}
