use ragbias_core::{
    Axis, BiasScorer, Corpus, DocId, Embedder, Embeddings, Lean, Passage, Progress, Question, Role, Unit,
    VectorIndex, Verdict,
};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How training examples are mined.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `top_k` | 3 | documents taken for each of a question's three wordings | ≥ 1 |
/// | `most` | 10 | most positive, and most negative, documents of a question | ≥ 1 |
/// | `fill_with_neutral` | true | documents that lean nowhere stand in for missing negatives | |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct MineConfig {
    /// Documents taken for each wording.
    pub top_k: usize,
    /// Most documents of a kind.
    pub most: usize,
    /// Documents that lean nowhere stand in for missing negatives.
    pub fill_with_neutral: bool,
}

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
    /// What the axis calls it.
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

/// What is mined from one question: documents near it, by the scorer's verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mined {
    /// The question.
    pub question: Question,
    /// Documents of lean +1, nearest to the question first.
    pub positive: Vec<DocId>,
    /// Documents that lean nowhere, or could not be scored.
    pub neutral: Vec<DocId>,
    /// Documents of lean −1.
    pub negative: Vec<DocId>,
}

/// One training example: a question, documents to draw near, documents to push away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The question.
    pub question: Question,
    /// d⁺, at least one.
    pub near: Vec<DocId>,
    /// d⁻, at least one.
    pub away: Vec<DocId>,
}

/// Takes the documents nearest to each question and to the question behind each pole's instruction, and sorts them by
/// the scorer's verdict.
///
/// `verdicts` are those of the corpus's documents, in order: see [`judge`].
///
/// # Errors
/// Whatever the embedder or the index fails with.
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
            // The neutral wording's documents come first.
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

/// The verdict on every document.
///
/// # Errors
/// A gold label that is none, or a failure of the scorer.
pub fn judge(corpus: &Corpus, scorer: &dyn BiasScorer) -> Result<Vec<Verdict>> {
    let passages =
        corpus.documents().iter().map(Passage::try_from).collect::<ragbias_core::Result<Vec<_>>>()?;
    Ok(scorer.score(&passages)?)
}

/// Examples that draw questions towards a pole, and how many questions have nothing to learn from.
///
/// # Errors
/// [`Error::NoExamples`] where that is all of them.
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
