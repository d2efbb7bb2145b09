use ragbias_core::{BiasScorer, ContentHasher, ContentId, Error, Passage, Result, Verdict};

use crate::store::{Kind, Store};

/// A scorer that scores each passage once.
pub struct StoredScorer<S> {
    scorer: S,
    store: Store,
}

impl<S: BiasScorer> StoredScorer<S> {
    /// `scorer`, memoised in `store`.
    pub fn new(scorer: S, store: &Store) -> Self {
        Self { scorer, store: store.clone() }
    }
}

impl<S: BiasScorer> BiasScorer for StoredScorer<S> {
    fn id(&self) -> ContentId {
        self.scorer.id()
    }

    fn axis(&self) -> &str {
        self.scorer.axis()
    }

    fn is_judge(&self) -> bool {
        self.scorer.is_judge()
    }

    fn score(&self, passages: &[Passage<'_>]) -> Result<Vec<Verdict>> {
        let id = self.id();
        let keys: Vec<ContentId> = passages.iter().map(|passage| verdict_key(id, passage)).collect();
        let known = keys.iter().map(|&key| self.store.verdict(key)).collect::<crate::Result<Vec<_>>>();
        let mut verdicts = known.map_err(Error::component)?;
        let missing: Vec<usize> = (0..keys.len()).filter(|&row| verdicts[row].is_none()).collect();
        if !missing.is_empty() {
            let unknown: Vec<_> = missing.iter().map(|&row| passages[row]).collect();
            let fresh = self.scorer.score(&unknown)?;
            if fresh.len() != unknown.len() {
                let (expected, received) = (unknown.len(), fresh.len());
                return Err(Error::BatchLength { component: "the scorer", expected, received });
            }
            if let Some(verdict) =
                fresh.iter().find(|verdict| matches!(verdict, Verdict::Refused | Verdict::Cut))
            {
                return Err(Error::ScorerVerdict(verdict.name()));
            }
            let rows: Vec<_> = missing.iter().map(|&row| keys[row]).zip(fresh).collect();
            self.store.put_verdicts(&rows).map_err(Error::component)?;
            for (&row, (_, verdict)) in missing.iter().zip(rows) {
                verdicts[row] = Some(verdict);
            }
        }
        self.store.tally(Kind::Verdicts, passages.len() - missing.len(), missing.len());
        Ok(verdicts.into_iter().map(|verdict| verdict.expect("known or fresh; this is a bug")).collect())
    }
}

fn verdict_key(scorer: ContentId, passage: &Passage<'_>) -> ContentId {
    let gold = passage.gold.map_or_else(String::new, |lean| i64::from(lean).to_string());
    ContentHasher::new("verdict/1")
        .field(scorer.as_bytes())
        .field(passage.title.unwrap_or_default())
        .field(passage.text)
        .field(gold)
        .finish()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::memo::testing::{Counting, store};

    impl BiasScorer for Counting<ragbias_score::Lexicon> {
        fn id(&self) -> ContentId {
            self.0.id()
        }
        fn axis(&self) -> &str {
            self.0.axis()
        }
        fn score(&self, passages: &[Passage<'_>]) -> Result<Vec<Verdict>> {
            self.1.fetch_add(passages.len(), Ordering::Relaxed);
            self.0.score(passages)
        }
    }

    #[test]
    fn a_passage_is_judged_once_and_every_verdict_survives() {
        let (_folder, store) = store();
        let counting = Counting::new(ragbias_score::Lexicon::bundled("gender").unwrap());
        let stored = StoredScorer::new(&counting, &store);
        let passages: Vec<Passage<'_>> =
            ["She left.", "He left.", "He met her.", "I do not know.", "Xq Zrmt"].map(Passage::from).to_vec();
        let first = stored.score(&passages).unwrap();
        assert_eq!(first, counting.0.score(&passages).unwrap());
        assert_eq!(stored.score(&passages).unwrap(), first);
        assert_eq!(counting.1.load(Ordering::Relaxed), 5);
        assert_eq!(store.work().verdicts, crate::Saved { remembered: 5, computed: 5, set_aside: 0 });
    }
}
