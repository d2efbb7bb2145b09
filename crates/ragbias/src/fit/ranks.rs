//! How strongly answers follow the document at each rank.

use std::collections::{BTreeMap, BTreeSet};

use ragbias_core::message;
use ragbias_data::Outcome;
use ragbias_stats::{RankSensitivities, RankedAnswer};
use serde::{Deserialize, Serialize};

use super::key::{FitKey, LeftOut};

/// How strongly the answers of one LLM follow the document at each rank, over all embedders.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RankFit {
    /// Its LLM, axis, corpus and split.
    #[serde(flatten)]
    pub of: FitKey,
    /// Number of embedders.
    pub embedders: usize,
    /// The sensitivities.
    #[serde(flatten)]
    pub by_rank: RankSensitivities,
}

/// Fits the outcomes whose questions were answered from more than one document, and gives the reasons where that is not possible.
pub(super) fn ranks(outcomes: &[Outcome]) -> (Vec<RankFit>, Vec<LeftOut>) {
    let mut groups: BTreeMap<FitKey, Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes.iter().filter(|outcome| outcome.outcomes_by_rank.len() > 1) {
        if let Some(llm) = outcome.llm.clone() {
            let (axis, corpus) = (outcome.axis.clone(), Some(outcome.corpus.clone()));
            let of = FitKey { llm, axis, corpus, split: Some(outcome.split.clone()) };
            groups.entry(of).or_default().push(outcome);
        }
    }
    let (mut fitted, mut left_out) = (Vec::new(), Vec::new());
    for (of, outcomes) in groups {
        let mut seen = BTreeSet::new();
        let once = outcomes.iter().filter(|outcome| seen.insert((&outcome.embedder, &outcome.question)));
        let answers: Vec<RankedAnswer<'_>> = once
            .map(|outcome| RankedAnswer {
                question: &outcome.question,
                topic: &outcome.topic,
                documents: &outcome.outcomes_by_rank,
                answer: outcome.lean_answer,
            })
            .collect();
        let embedders: BTreeSet<&str> = outcomes.iter().map(|outcome| outcome.embedder.as_str()).collect();
        match RankSensitivities::of(answers) {
            Ok(by_rank) => fitted.push(RankFit { of, embedders: embedders.len(), by_rank }),
            Err(error) => left_out.push(LeftOut { of, reason: message(&error) }),
        }
    }
    (fitted, left_out)
}
