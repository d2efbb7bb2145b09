use std::path::Path;
use std::sync::Arc;

use super::{Control, ControlKind, ControlSpec, KnownLeans, RerankingSpec};
use crate::{Embedded, FairRanking, Result};

/// Re-ranks the nearest documents so that the share of the positive pole follows a target.
pub struct Reranking {
    /// Name of the base.
    pub base: String,
    /// Seed of the draws.
    pub seed: u64,
    /// Which documents lean to which pole.
    pub leans: KnownLeans,
}

impl Control for Reranking {
    fn kind(&self) -> ControlKind {
        ControlKind::Reranking
    }

    fn turn(&self, base: &Embedded, setting: f64) -> Result<Embedded> {
        let leans = self.leans.in_corpus(base.corpus());
        Ok(base.ranked_by(Some(Arc::new(FairRanking::new(setting, self.seed, leans)))))
    }

    fn save(&self, setting: f64, folder: &Path) -> Result<ControlSpec> {
        let leans = self.leans.write(folder)?;
        let reranked = RerankingSpec { share: setting, seed: self.seed, leans };
        Ok(ControlSpec { reranking: Some(reranked), ..ControlSpec::of(&self.base) })
    }
}
