use std::path::Path;

use super::{Control, ControlKind, ControlSpec, RankingSpec};
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

    fn save(&self, setting: f64, _: &Path) -> Result<ControlSpec> {
        let drawn = RankingSpec { temperature: setting, seed: self.seed };
        Ok(ControlSpec { ranking: Some(drawn), ..ControlSpec::of(&self.base) })
    }
}
