use ragbias_core::{BiasScorer, ContentHasher, ContentId, Passage, Result, Verdict};

/// The scorer that reads gold labels; a text without one is unscored.
#[derive(Debug, Clone)]
pub struct Gold {
    axis: String,
}

impl Gold {
    /// Gold labels on an axis.
    pub fn new(axis: &str) -> Self {
        Self { axis: axis.into() }
    }
}

impl BiasScorer for Gold {
    fn id(&self) -> ContentId {
        ContentHasher::new("gold/1").field(&self.axis).finish()
    }

    fn axis(&self) -> &str {
        &self.axis
    }

    fn score(&self, passages: &[Passage<'_>]) -> Result<Vec<Verdict>> {
        Ok(passages.iter().map(|passage| passage.gold.map_or(Verdict::Unscored, Verdict::from)).collect())
    }
}
