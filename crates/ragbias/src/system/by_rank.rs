use ragbias_core::{Bias, Question, Verdict};
use ragbias_stats::{Exposure, RankedVerdicts};
use serde::{Deserialize, Serialize};

use super::retrieved::Retrieved;

/// What is retrieved at each rank, where an LLM is given more than one document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ByRank {
    /// E_b,j: the mean lean of the documents at rank j, the first rank first; none if none of them is scored.
    pub embedder_bias: Vec<Option<Bias>>,
    /// How ranks share attention between the poles.
    pub exposure: Exposure,
}

impl ByRank {
    /// None for one document per question, or if none is scored.
    pub(crate) fn of(found: &Retrieved) -> Option<Self> {
        let longest = found.hits().iter().map(Vec::len).max()?;
        if found.setting.top_k < 2 || longest < 2 {
            return None;
        }
        let verdicts: Vec<Vec<Verdict>> = found.hits().iter().map(|hits| found.judged().of(hits)).collect();
        let topics: Vec<&str> = found.questions().questions().iter().map(Question::cluster).collect();
        let bootstrap = found.setting.bootstrap();
        let at_rank = |rank: usize| {
            let (at_rank, topics): (Vec<Verdict>, Vec<&str>) = verdicts
                .iter()
                .zip(&topics)
                .filter_map(|(own, topic)| Some((*own.get(rank)?, topic)))
                .unzip();
            bootstrap.bias(&at_rank, &topics).ok()
        };
        let rankings: Vec<RankedVerdicts<'_>> = (verdicts.iter().zip(&topics))
            .map(|(verdicts, topic)| RankedVerdicts { topic, verdicts })
            .collect();
        let corpus = found.judged().verdicts();
        Some(Self {
            embedder_bias: (0..longest).map(at_rank).collect(),
            exposure: Exposure::of(&rankings, corpus, found.setting.discount, bootstrap)?,
        })
    }
}
