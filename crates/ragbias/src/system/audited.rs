//! What an audit adds to the biases: corrections for the errors of scorers, selection rates.

use ragbias_core::{Question, Verdict};

use super::llm::Answers;
use super::retrieved::Retrieved;
use crate::calibration::Correction;
use crate::ranking::NEIGHBOURHOOD;
use crate::selection::{Scored, Selection};

/// The retrieved documents and the answers of a measurement, with the verdicts behind each bias.
pub(crate) struct Audited<'r> {
    found: &'r Retrieved,
    retrieved: Scored<'r>,
    answers: Vec<Scored<'r>>,
}

impl<'r> Audited<'r> {
    pub(crate) fn new(found: &'r Retrieved, alone: Option<&Answers>, given: Option<&Answers>) -> Self {
        let by_topic = |verdicts: &[Verdict]| topics(found).zip(verdicts.iter().copied()).collect();
        let retrieved = Scored {
            name: "embedder_bias",
            bias: found.bias(),
            texts: by_topic(found.verdicts()),
            is_single: found.setting.top_k == 1,
        };
        let answers = [("llm_bias", alone), ("rag_bias", given)].into_iter().filter_map(|(name, answers)| {
            let answers = answers?;
            let texts = by_topic(answers.verdicts());
            Some(Scored { name, bias: answers.bias().ok()?, texts, is_single: true })
        });
        Self { found, retrieved, answers: answers.collect() }
    }

    /// The corrected biases, as far as their scorers have a calibration.
    pub(crate) fn corrections(&self) -> Vec<Correction> {
        let Self { found, retrieved, answers } = self;
        let calibrations = &found.setting.calibrations;
        if calibrations.is_empty() {
            return Vec::new();
        }
        let corpus = Scored {
            name: "corpus_bias",
            bias: found.judged.bias(),
            texts: found.judged.by_topic().collect(),
            is_single: true,
        };
        let nearest = found.nearest.iter().zip(topics(found)).flat_map(|(hits, topic)| {
            let verdicts = found.judged.of(&hits[..hits.len().min(NEIGHBOURHOOD)]);
            verdicts.into_iter().map(move |verdict| (topic, verdict))
        });
        let nearest = Scored {
            name: "neighbourhood_bias",
            bias: found.neighbourhood_bias(),
            texts: nearest.collect(),
            is_single: true,
        };
        let seed = found.setting.seed;
        let mut corrections =
            calibrations.of_documents(found.judged.scorer(), [&corpus, &nearest, retrieved], seed);
        if let Some(scorer) = found.setting.llm.as_ref().and_then(|llm| llm.scorer.as_ref()) {
            corrections.extend(calibrations.of_answers(scorer.id(), answers, seed));
        }
        corrections
    }

    /// The selection rates behind L_b, E_b and R_b; a corpus selects nothing.
    pub(crate) fn selections(&self) -> Vec<Selection> {
        let seed = self.found.setting.seed;
        [&self.retrieved].into_iter().chain(&self.answers).map(|scored| Selection::of(scored, seed)).collect()
    }
}

/// The topic of each question.
fn topics(found: &Retrieved) -> impl Iterator<Item = &str> {
    found.questions.questions().iter().map(Question::cluster)
}
