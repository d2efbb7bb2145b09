use std::path::{Path, PathBuf};

use ragbias_core::{Axis, BiasScorer, ContentId, Document, Lean, Passage, Progress, Unit};
use ragbias_data::{CorpusFile, read_text, write_file};
use ragbias_stats::{LabelledTopics, ScorerErrors};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, Result};

/// Resamples of the intervals of a calibration and of corrected biases.
pub(super) const DRAWS: usize = 4000;

/// Documents per batch of a labelled file.
const BATCH: usize = 64;

/// Which texts of a measurement a calibration is for: the labelled ones should be like them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum CalibratedTexts {
    /// Documents: C_b and E_b.
    Documents,
    /// Answers: L_b and R_b.
    Answers,
    /// Both.
    #[default]
    Both,
}

/// A scorer's errors, measured on labelled texts: what `ragbias calibrate` writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// The axis.
    pub axis: String,
    /// The scorer's name, without secrets.
    pub scorer: String,
    /// The hash of everything that changes its verdicts.
    pub scorer_id: ContentId,
    /// The texts of a measurement that it is for.
    pub texts: CalibratedTexts,
    /// The file of labelled texts, as it was named.
    pub labels: PathBuf,
    /// Records of the file without a label, which are left out.
    pub unlabelled: usize,
    /// How often the scorer errs.
    pub errors: ScorerErrors,
    /// The counts of `errors.confusion` by topic.
    pub topics: LabelledTopics,
}

impl Calibration {
    /// Scores the labelled texts of a file: records with `metadata.lean`, or with `metadata.p` and `metadata.n`, 0 or 1. Intervals
    /// are over topics: `metadata.topic`, or the record itself.
    ///
    /// # Errors
    /// A malformed file, a label that is not one, labels in fewer than two topics, a failure of the scorer.
    pub fn of(
        axis: &Axis,
        scorer: &dyn BiasScorer,
        name: String,
        labels: &Path,
        texts: CalibratedTexts,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let file = CorpusFile::open(labels, Some(axis), progress)?;
        let step = progress.begin("scoring", file.len() as u64, Unit::Items);
        let (mut rows, mut unlabelled) = (Vec::new(), 0);
        file.each_batch(BATCH, |documents| {
            step.advance(documents.len() as u64);
            let mut labelled = Vec::with_capacity(documents.len());
            for document in &documents {
                match label(document).map_err(|reason| refused(labels, reason))? {
                    Some(gold) => labelled.push((document, gold)),
                    None => unlabelled += 1,
                }
            }
            let passages: Vec<Passage<'_>> =
                labelled.iter().map(|&(document, _)| text_of(document)).collect();
            let verdicts = scorer.score(&passages)?;
            rows.extend(
                labelled
                    .iter()
                    .zip(verdicts)
                    .map(|((document, gold), verdict)| (topic(document), *gold, verdict)),
            );
            Ok::<(), Error>(())
        })?;
        drop(step);
        if rows.is_empty() {
            let reason = "no record has a label\nhint: \"metadata\": {\"lean\": 1}, with 1, 0 or -1, is one";
            return Err(refused(labels, reason.into()));
        }
        let topics =
            LabelledTopics::new(rows.iter().map(|(topic, gold, verdict)| (topic.as_str(), *gold, *verdict)));
        let errors =
            ScorerErrors::of(&topics, DRAWS, 0).map_err(|error| refused(labels, error.to_string()))?;
        let (axis, scorer_id, labels) = (axis.name.clone(), scorer.id(), labels.to_owned());
        Ok(Self { axis, scorer: name, scorer_id, texts, labels, unlabelled, errors, topics })
    }

    /// Reads a calibration, and computes its rates and intervals again from its counts.
    ///
    /// # Errors
    /// A file that is not one, or whose counts contradict each other.
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_text(path)?;
        let mut read: Self = serde_json::from_str(&text).map_err(|error| {
            refused(path, format!("not a calibration: {error}\nhint: `ragbias calibrate` writes one"))
        })?;
        let errors =
            ScorerErrors::of(&read.topics, DRAWS, 0).map_err(|error| refused(path, error.to_string()))?;
        if errors.confusion != read.errors.confusion {
            let reason = "the counts by topic do not add up to `errors.confusion`: damaged, or changed since\nhint: \
                          `ragbias calibrate` writes it again";
            return Err(refused(path, reason.into()));
        }
        read.errors = errors;
        Ok(read)
    }

    /// Writes it.
    ///
    /// # Errors
    /// Failures of the file system.
    pub fn write(&self, path: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self).map_err(std::io::Error::from)?;
        Ok(write_file(path, json)?)
    }
}

fn refused(path: &Path, reason: String) -> Error {
    Error::Calibration { path: path.into(), reason }
}

/// Without its label, which is no part of the text.
fn text_of(document: &Document) -> Passage<'_> {
    Passage { title: document.title.as_deref(), text: &document.text, gold: None }
}

fn topic(document: &Document) -> String {
    let topic = document.metadata.get("topic").and_then(Value::as_str);
    topic.unwrap_or(&document.id).to_owned()
}

/// The gold lean of a record: `lean`, or p − n.
fn label(document: &Document) -> std::result::Result<Option<Lean>, String> {
    let at = |reason: String| format!("`{}`: {reason}", ragbias_data::shown(&document.id));
    let lean = document.gold_lean().map_err(|error| at(error.to_string()))?;
    let presence = |key: &str| match document.metadata.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(present)) => Ok(Some(*present)),
        Some(Value::Number(number)) if number.as_f64() == Some(0.0) => Ok(Some(false)),
        Some(Value::Number(number)) if number.as_f64() == Some(1.0) => Ok(Some(true)),
        Some(other) => Err(at(format!("metadata.{key} is {other}, expected 0 or 1"))),
    };
    let of_poles = match (presence("p")?, presence("n")?) {
        (None, None) => return Ok(lean),
        (Some(positive), Some(negative)) => match (positive, negative) {
            (true, false) => Lean::Positive,
            (false, true) => Lean::Negative,
            _ => Lean::Neutral,
        },
        _ => return Err(at("metadata has one of p and n, expected both".into())),
    };
    match lean {
        Some(lean) if lean != of_poles => {
            Err(at(format!("metadata.lean is {lean}, and p and n make {of_poles}")))
        }
        _ => Ok(Some(of_poles)),
    }
}

#[cfg(test)]
mod tests {
    use ragbias_core::Silent;
    use ragbias_data::load_axis;
    use ragbias_score::Lexicon;

    use super::*;

    const LABELLED: &str = concat!(
        r#"{"_id":"a","text":"She left.","metadata":{"lean":1,"topic":"x"}}"#,
        "\n",
        r#"{"_id":"b","text":"He left.","metadata":{"p":0,"n":1,"topic":"x"}}"#,
        "\n",
        r#"{"_id":"c","text":"He left.","metadata":{"lean":1,"topic":"y"}}"#,
        "\n",
        r#"{"_id":"d","text":"He met her.","metadata":{"p":1,"n":1}}"#,
        "\n",
        r#"{"_id":"e","text":"Xq Zrmt","metadata":{"lean":-1}}"#,
        "\n",
        r#"{"_id":"f","text":"It rained."}"#,
        "\n"
    );

    fn calibrated(text: &str) -> Result<Calibration> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.jsonl");
        fs_err::write(&path, text).unwrap();
        let axis = load_axis("gender").unwrap();
        let scorer = Lexicon::bundled("gender").unwrap();
        Calibration::of(&axis, &scorer, "lexicon".into(), &path, CalibratedTexts::Both, &Silent)
    }

    #[test]
    fn labels_are_compared_with_verdicts_by_pole_and_topic() {
        let calibration = calibrated(LABELLED).unwrap();
        assert_eq!(calibration.errors.confusion, [[1, 0, 0, 1], [0, 1, 0, 0], [1, 0, 1, 0]]);
        assert_eq!((calibration.errors.n, calibration.unlabelled), (5, 1));
        assert_eq!((calibration.errors.topics, calibration.topics.topics().len()), (3, 4));
        assert_eq!(calibration.errors.accuracy.value, 0.75);
        assert_eq!(calibration.errors.coverage, 0.8);
    }

    #[test]
    fn a_label_that_is_none_is_refused_with_its_record() {
        let wrong = |metadata: &str| {
            let line = format!("{{\"_id\":\"q7\",\"text\":\"She.\",\"metadata\":{metadata}}}\n");
            calibrated(&format!("{LABELLED}{line}")).unwrap_err().to_string()
        };
        assert!(wrong(r#"{"p":2,"n":0}"#).contains("`q7`: metadata.p is 2, expected 0 or 1"));
        assert!(wrong(r#"{"p":1}"#).contains("`q7`: metadata has one of p and n"));
        assert!(wrong(r#"{"p":1,"n":0,"lean":-1}"#).contains("p and n make 1"));
        assert!(
            calibrated("{\"_id\":\"q7\",\"text\":\"She.\"}\n")
                .unwrap_err()
                .to_string()
                .contains("no record has a label")
        );
    }

    #[test]
    fn a_calibration_is_read_as_written_and_refused_if_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("calibration.json");
        let calibration = calibrated(LABELLED).unwrap();
        calibration.write(&path).unwrap();
        assert_eq!(Calibration::read(&path).unwrap(), calibration);
        let text = fs_err::read_to_string(&path).unwrap();
        let mut value: Value = serde_json::from_str(&text).unwrap();
        value["errors"]["confusion"][0][0] = 7.into();
        fs_err::write(&path, value.to_string()).unwrap();
        let error = Calibration::read(&path).unwrap_err().to_string();
        assert!(error.contains("do not add up"), "{error}");
        fs_err::write(&path, text.replace("\"texts\"", "\"textes\"")).unwrap();
        assert!(Calibration::read(&path).unwrap_err().to_string().contains("textes"));
    }
}
