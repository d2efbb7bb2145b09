//! Biases corrected for the errors of their scorers.

use ragbias_core::Question;

use super::llm::Answers;
use super::retrieved::{NEIGHBOURHOOD, Retrieved};
use crate::calibration::{Correction, Scored};

impl Retrieved {
    /// The corrected biases, as far as their scorers have a calibration.
    pub(crate) fn corrections(&self, alone: Option<&Answers>, given: Option<&Answers>) -> Vec<Correction> {
        let setting = &self.setting;
        let topics: Vec<&str> = self.questions.questions().iter().map(Question::cluster).collect();
        let nearest = (self.nearest.iter().zip(&topics)).flat_map(|(hits, topic)| {
            let verdicts = self.judged.of(&hits[..hits.len().min(NEIGHBOURHOOD)]);
            verdicts.into_iter().map(move |verdict| (*topic, verdict))
        });
        let documents = vec![
            Scored {
                name: "corpus_bias",
                bias: self.judged.bias(),
                texts: self.judged.by_topic().collect(),
                is_single: true,
            },
            Scored {
                name: "neighbourhood_bias",
                bias: self.neighbourhood_bias(),
                texts: nearest.collect(),
                is_single: true,
            },
            Scored {
                name: "embedder_bias",
                bias: self.bias(),
                texts: topics.iter().copied().zip(self.verdicts().iter().copied()).collect(),
                is_single: setting.top_k == 1,
            },
        ];
        let mut corrections =
            setting.calibrations.of_documents(self.judged.scorer(), documents, setting.seed);
        let Some(scorer) = setting.llm.as_ref().and_then(|llm| llm.scorer.as_ref()) else {
            return corrections;
        };
        let answers = [("llm_bias", alone), ("rag_bias", given)];
        let scored = answers.into_iter().filter_map(|(name, answers)| {
            let answers = answers?;
            let texts = topics.iter().copied().zip(answers.verdicts().iter().copied()).collect();
            Some(Scored { name, bias: answers.bias().ok()?, texts, is_single: true })
        });
        corrections.extend(setting.calibrations.of_answers(scorer.id(), scored.collect(), setting.seed));
        corrections
    }
}
