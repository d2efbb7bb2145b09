use std::path::Path;

use super::{Control, ControlKind, Drawn, How};
use crate::{Embedded, Result, StochasticRanking};

/// Draws from the nearest documents, at a temperature.
pub struct Draw {
    /// Name of the base.
    pub base: String,
    /// Seed of the draws.
    pub seed: u64,
}

impl Control for Draw {
    fn kind(&self) -> ControlKind {
        ControlKind::Ranking
    }

    fn turn(&self, base: &Embedded, setting: f64) -> Result<Embedded> {
        Ok(base.ranked_by(StochasticRanking::at(setting, self.seed)))
    }

    fn save(&self, setting: f64, _: &Path) -> Result<How> {
        let drawn = Drawn { temperature: setting, seed: self.seed };
        Ok(How { ranking: Some(drawn), ..How::of(&self.base) })
    }
}
