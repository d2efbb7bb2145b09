//! What an audit adds to the biases: corrections for the errors of scorers, selection rates.

use ragbias_core::Question;

use super::llm::Answers;
use super::retrieved::{NEIGHBOURHOOD, Retrieved};
use crate::calibration::Correction;
use crate::selection::{Scored, Selection};

const EMBEDDER_BIAS: &str = "embedder_bias";

/// The biases of a measurement, with the verdicts behind each.
pub(crate) struct Audited<'r> {
    found: &'r Retrieved,
    documents: Vec<Scored<'r>>,
    answers: Vec<Scored<'r>>,
}

impl<'r> Audited<'r> {
    pub(crate) fn new(found: &'r Retrieved, alone: Option<&Answers>, given: Option<&Answers>) -> Self {
        let topics: Vec<&str> = found.questions.questions().iter().map(Question::cluster).collect();
        let nearest = (found.nearest.iter().zip(&topics)).flat_map(|(hits, topic)| {
            let verdicts = found.judged.of(&hits[..hits.len().min(NEIGHBOURHOOD)]);
            verdicts.into_iter().map(move |verdict| (*topic, verdict))
        });
        let documents = vec![
            Scored {
                name: "corpus_bias",
                bias: found.judged.bias(),
                texts: found.judged.by_topic().collect(),
                is_single: true,
            },
            Scored {
                name: "neighbourhood_bias",
                bias: found.neighbourhood_bias(),
                texts: nearest.collect(),
                is_single: true,
            },
            Scored {
                name: EMBEDDER_BIAS,
                bias: found.bias(),
                texts: topics.iter().copied().zip(found.verdicts().iter().copied()).collect(),
                is_single: found.setting.top_k == 1,
            },
        ];
        let answers = [("llm_bias", alone), ("rag_bias", given)].into_iter().filter_map(|(name, answers)| {
            let answers = answers?;
            let texts = topics.iter().copied().zip(answers.verdicts().iter().copied()).collect();
            Some(Scored { name, bias: answers.bias().ok()?, texts, is_single: true })
        });
        Self { found, documents, answers: answers.collect() }
    }

    /// The corrected biases, as far as their scorers have a calibration.
    pub(crate) fn corrections(&self) -> Vec<Correction> {
        let setting = &self.found.setting;
        let calibrations = &setting.calibrations;
        let mut corrections =
            calibrations.of_documents(self.found.judged.scorer(), &self.documents, setting.seed);
        if let Some(scorer) = setting.llm.as_ref().and_then(|llm| llm.scorer.as_ref()) {
            corrections.extend(calibrations.of_answers(scorer.id(), &self.answers, setting.seed));
        }
        corrections
    }

    /// The selection rates behind L_b, E_b and R_b; a corpus selects nothing.
    pub(crate) fn selections(&self) -> Vec<Selection> {
        let retrieved = self.documents.iter().filter(|scored| scored.name == EMBEDDER_BIAS);
        retrieved.chain(&self.answers).map(|scored| Selection::of(scored, self.found.setting.seed)).collect()
    }
}
