use ragbias_core::{
    Axis, DocId, Embedder, Embeddings, Lean, Progress, Question, Role, Unit, VectorIndex, Verdict,
};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Settings of mining.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `top_k` | 3 | documents retrieved for each of a question's three wordings | ≥ 1 |
/// | `most` | 10 | maximum positives, and maximum negatives, per question | ≥ 1 |
/// | `fill_with_neutral` | true | neutral documents replace missing negatives | |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct MineConfig {
    /// Documents retrieved for each wording.
    pub top_k: usize,
    /// Maximum number of documents of a kind.
    pub most: usize,
    /// Whether neutral documents replace missing negatives.
    pub fill_with_neutral: bool,
}

ragbias_core::setters!(MineConfig { top_k: usize, most: usize, fill_with_neutral: bool });

impl Default for MineConfig {
    fn default() -> Self {
        Self { top_k: 3, most: 10, fill_with_neutral: true }
    }
}

/// The pole that an embedder is trained towards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Towards {
    /// Lean +1.
    Positive,
    /// Lean −1.
    Negative,
}

impl Towards {
    /// Its name on the axis.
    pub fn name(self, axis: &Axis) -> &str {
        match self {
            Self::Positive => &axis.positive.name,
            Self::Negative => &axis.negative.name,
        }
    }

    fn lean(self) -> Lean {
        match self {
            Self::Positive => Lean::Positive,
            Self::Negative => Lean::Negative,
        }
    }
}

/// The documents mined for one question, by the scorer's verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mined {
    /// The question.
    pub question: Question,
    /// Documents of lean +1, nearest to the question first.
    pub positive: Vec<DocId>,
    /// Neutral or unscored documents.
    pub neutral: Vec<DocId>,
    /// Documents of lean −1.
    pub negative: Vec<DocId>,
}

/// One training example: a question with its positives and negatives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The question.
    pub question: Question,
    /// Positives d⁺, at least one.
    pub near: Vec<DocId>,
    /// Negatives d⁻, at least one.
    pub away: Vec<DocId>,
}

/// Retrieves the documents nearest to each question, alone and after each pole's instruction, and sorts them by
/// the scorer's verdict.
///
/// `verdicts` are those of the corpus's documents, in order.
///
/// # Errors
/// Errors of the embedder or the index.
pub fn mine(
    questions: &[Question],
    axis: &Axis,
    embedder: &dyn Embedder,
    index: &dyn VectorIndex,
    verdicts: &[Verdict],
    config: MineConfig,
    progress: &dyn Progress,
) -> Result<Vec<Mined>> {
    let step = progress.begin("mining", questions.len() as u64, Unit::Items);
    let mut mined = Vec::with_capacity(questions.len());
    for batch in questions.chunks(32) {
        let wordings: Vec<String> = batch
            .iter()
            .flat_map(|question| {
                let prefixed = |instruction: &str| format!("{instruction} {}", question.text);
                let instructions = [&axis.positive.instruction, &axis.negative.instruction];
                std::iter::once(question.text.clone()).chain(instructions.map(|text| prefixed(text)))
            })
            .collect();
        let texts: Vec<&str> = wordings.iter().map(String::as_str).collect();
        let vectors: Embeddings = embedder.embed(&texts, Role::Question)?;
        let hits = index.search(&vectors, config.top_k)?;
        for (question, hits) in batch.iter().zip(hits.chunks(3)) {
            let mut near: Vec<DocId> = Vec::new();
            // Documents of the plain wording come first.
            for document in hits.iter().flatten().map(|hit| hit.document) {
                if !near.contains(&document) {
                    near.push(document);
                }
            }
            let of = |lean: Option<Lean>| -> Vec<DocId> {
                let leans = |document: &&DocId| match (verdicts[document.index()].lean(), lean) {
                    (Some(Lean::Neutral) | None, None) => true,
                    (found, wanted) => found.is_some() && found == wanted,
                };
                near.iter().filter(leans).copied().collect()
            };
            mined.push(Mined {
                question: question.clone(),
                positive: of(Some(Lean::Positive)),
                neutral: of(None),
                negative: of(Some(Lean::Negative)),
            });
        }
        step.advance(batch.len() as u64);
    }
    Ok(mined)
}

/// Examples for training towards a pole, and the number of questions that have none.
///
/// # Errors
/// [`Error::NoExamples`] if no question has any.
pub fn examples(
    mined: &[Mined],
    axis: &Axis,
    towards: Towards,
    config: MineConfig,
) -> Result<(Vec<Example>, usize)> {
    let example = |mined: &Mined| {
        let (mut near, mut away) = match towards.lean() {
            Lean::Positive => (mined.positive.clone(), mined.negative.clone()),
            _ => (mined.negative.clone(), mined.positive.clone()),
        };
        if config.fill_with_neutral && away.len() < config.most {
            away.extend(&mined.neutral);
        }
        near.truncate(config.most);
        away.truncate(config.most);
        let complete = !near.is_empty() && !away.is_empty();
        complete.then(|| Example { question: mined.question.clone(), near, away })
    };
    let examples: Vec<Example> = mined.iter().filter_map(example).collect();
    if examples.is_empty() {
        return Err(Error::NoExamples { questions: mined.len(), towards: towards.name(axis).into() });
    }
    let skipped = mined.len() - examples.len();
    Ok((examples, skipped))
}

#[cfg(test)]
mod tests {
    use ragbias_core::testing::HashEmbedder;
    use ragbias_core::{Answering, Pole, Result as CoreResult, Silent};

    use super::*;

    /// Cosine with every document, without an index.
    struct Brute(Embeddings);

    impl VectorIndex for Brute {
        fn id(&self) -> ragbias_core::ContentId {
            ragbias_core::ContentId::of(b"brute")
        }
        fn len(&self) -> usize {
            self.0.len()
        }
        fn dim(&self) -> usize {
            self.0.dim()
        }
        fn search(&self, questions: &Embeddings, k: usize) -> CoreResult<Vec<Vec<ragbias_core::Hit>>> {
            let view = questions.view();
            let hits = view.rows().into_iter().map(|question| {
                let mut hits: Vec<_> = (self.0.view().rows().into_iter().enumerate())
                    .map(|(i, row)| ragbias_core::Hit {
                        document: DocId(i as u32),
                        score: row.dot(&question),
                    })
                    .collect();
                hits.sort_by(|a, b| b.score.total_cmp(&a.score));
                hits.truncate(k);
                hits
            });
            Ok(hits.collect())
        }
    }

    fn axis() -> Axis {
        let pole = |name: &str| Pole::new(name, format!("about {name} people:"));
        Axis::new("size", pole("small"), pole("large"), Answering::Name)
    }

    /// One question about cats, close to a document of each kind; one about nothing in the corpus.
    fn mined(config: MineConfig) -> Vec<Mined> {
        let texts = ["cats that are large people", "cats that are small people", "cats sleep", "rivers flow"];
        let embedder = HashEmbedder::new(512, 3);
        let index = Brute(embedder.embed(&texts, Role::Document).unwrap());
        let verdicts = [Verdict::POSITIVE, Verdict::NEGATIVE, Verdict::NEITHER, Verdict::Unscored];
        let question =
            |id: &str, text: &str| Question { id: id.into(), text: text.into(), topic: None, choices: None };
        let questions = [question("cats", "cats"), question("rivers", "rivers flow")];
        mine(&questions, &axis(), &embedder, &index, &verdicts, config, &Silent).unwrap()
    }

    #[test]
    fn documents_near_any_wording_are_sorted_by_verdict_each_once() {
        let mined = mined(MineConfig { top_k: 2, ..MineConfig::default() });
        let cats = &mined[0];
        assert_eq!((cats.positive.as_slice(), cats.negative.as_slice()), (&[DocId(0)][..], &[DocId(1)][..]));
        assert!(cats.neutral.contains(&DocId(2)), "{cats:?}");
        let mut all: Vec<_> = cats.positive.iter().chain(&cats.neutral).chain(&cats.negative).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), cats.positive.len() + cats.neutral.len() + cats.negative.len());
    }

    #[test]
    fn the_other_pole_exchanges_near_and_away() {
        let mined = mined(MineConfig { top_k: 2, ..MineConfig::default() });
        let config = MineConfig { fill_with_neutral: false, ..MineConfig::default() };
        let up = examples(&mined[..1], &axis(), Towards::Positive, config).unwrap().0;
        let down = examples(&mined[..1], &axis(), Towards::Negative, config).unwrap().0;
        assert_eq!((&up[0].near, &up[0].away), (&down[0].away, &down[0].near));
    }

    #[test]
    fn questions_that_teach_nothing_are_counted_and_all_of_them_are_an_error() {
        let mined = mined(MineConfig { top_k: 1, ..MineConfig::default() });
        let one_sided = Mined { positive: vec![], ..mined[0].clone() };
        let both = [mined[0].clone(), one_sided.clone()];
        let config = MineConfig::default();
        let (kept, skipped) = examples(&both, &axis(), Towards::Positive, config).unwrap();
        assert_eq!((kept.len(), skipped), (1, 1));
        let error = examples(&[one_sided], &axis(), Towards::Positive, config).unwrap_err().to_string();
        assert!(error.contains("none of the 1 questions") && error.contains("`large`"), "{error}");
    }

    #[test]
    fn neutral_documents_stand_in_for_missing_negatives() {
        let question = Question { id: "q".into(), text: "q".into(), topic: None, choices: None };
        let mined = [Mined { question, positive: vec![DocId(0)], neutral: vec![DocId(1)], negative: vec![] }];
        let filled = examples(&mined, &axis(), Towards::Positive, MineConfig::default()).unwrap().0;
        assert_eq!(filled[0].away, [DocId(1)]);
        let config = MineConfig { fill_with_neutral: false, ..MineConfig::default() };
        assert!(examples(&mined, &axis(), Towards::Positive, config).is_err());
    }
}
