use std::path::Path;
use std::sync::Arc;

use linfa::prelude::*;
use linfa_logistic::LogisticRegression;
use ndarray::{Array1, Array2};
use ragbias_core::{BiasScorer, ContentHasher, ContentId, Embedder, Lean, Passage, Role, Verdict};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A scorer that separates the poles by a hyperplane in the space of a frozen embedder.
///
/// P(positive | x) = 1 / (1 + exp(−(w·x + b))), with x the unit vector of the text. The positive pole is present if
/// the probability is above ½, the negative one if it is below. The scorer has its own embedder, never
/// the one being measured or tuned, as a bias must not be judged by itself.
pub struct Classifier {
    embedder: Arc<dyn Embedder>,
    card: ClassifierCard,
    id: ContentId,
}

/// A trained classifier as saved: its embedder, its training, its accuracy, and its parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifierCard {
    /// The axis it scores on.
    pub axis: String,
    /// Name of the embedder.
    pub embedder: String,
    /// Hash of the embedder's weights and settings.
    pub embedder_id: ContentId,
    /// Description of the training data.
    pub trained_on: String,
    /// Number of training texts.
    pub n: usize,
    /// Settings of the training.
    pub config: ClassifierConfig,
    /// Cross-validated accuracy on held-out topics, over 5 folds of topics.
    pub cross_validated_accuracy: f64,
    /// b.
    pub intercept: f64,
    /// w, one per dimension.
    pub weights: Vec<f64>,
}

/// Settings of the logistic regression.
///
/// Objective: Σᵢ log(1 + exp(−yᵢ(w·xᵢ + b))) + α/2·‖w‖², yᵢ ∈ {−1, +1}, minimised by L-BFGS.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `alpha` | 0.1 | L2 penalty; the best of 0.03 to 10 by cross-validation over topics of the default claims | ≥ 0 |
/// | `max_iterations` | 500 | limit of the optimiser | ≥ 1 |
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ClassifierConfig {
    /// Strength of the L2 penalty.
    pub alpha: f64,
    /// Limit of the optimiser.
    pub max_iterations: u64,
}

ragbias_core::setters!(ClassifierConfig { alpha: f64, max_iterations: u64 });

impl Default for ClassifierConfig {
    fn default() -> Self {
        Self { alpha: 0.1, max_iterations: 500 }
    }
}

/// Folds of the cross-validation.
const FOLDS: usize = 5;

impl Classifier {
    /// A saved classifier with its embedder.
    ///
    /// # Errors
    /// [`Error::Embedder`] if the embedder is not the one it was trained with.
    pub fn new(card: ClassifierCard, embedder: Arc<dyn Embedder>) -> Result<Self> {
        if card.embedder_id != embedder.id() || card.weights.len() != embedder.dim() {
            let (expected, received) = (card.embedder_id.short(), embedder.id().short());
            return Err(Error::Embedder { expected, received });
        }
        let numbers: Vec<u8> =
            card.weights.iter().chain([&card.intercept]).flat_map(|value| value.to_le_bytes()).collect();
        let id = ContentHasher::new("classifier/1")
            .field(&card.axis)
            .field(card.embedder_id.as_bytes())
            .field(numbers)
            .finish();
        Ok(Self { embedder, card, id })
    }

    /// Reads a saved classifier.
    ///
    /// # Errors
    /// A missing or malformed file.
    pub fn read_card(path: &Path) -> Result<ClassifierCard> {
        let text = fs_err::read_to_string(path)?;
        serde_json::from_str(&text).map_err(|source| Error::Json { path: path.into(), source })
    }

    /// The classifier that ragbias bundles for an axis: `politics` has one, which uses MiniLM's vectors.
    ///
    /// # Errors
    /// [`Error::Unknown`] for another axis.
    pub fn bundled_card(axis: &str) -> Result<ClassifierCard> {
        if axis != "politics" {
            let known = match axis {
                "gender" => vec!["lexicon".into(), "gold".into()],
                _ => vec!["gold".into()],
            };
            return Err(Error::Unknown { axis: axis.into(), scorer: "classifier".into(), known });
        }
        let text = include_str!("../../../corpora/politics/scorer.json");
        serde_json::from_str(text)
            .map_err(|source| Error::Json { path: "corpora/politics/scorer.json".into(), source })
    }

    /// Its embedder, training and parameters.
    pub fn card(&self) -> &ClassifierCard {
        &self.card
    }

    /// Trains on labelled texts: `(text, lean, topic)`. Neutral ones are left out.
    ///
    /// # Errors
    /// [`Error::OnePole`], or a failure of the embedder or the optimiser.
    pub fn train(
        axis: &str,
        embedder: Arc<dyn Embedder>,
        embedder_name: &str,
        trained_on: &str,
        texts: &[(String, Lean, String)],
        config: ClassifierConfig,
    ) -> Result<Self> {
        let texts: Vec<_> = texts.iter().filter(|(_, lean, _)| *lean != Lean::Neutral).collect();
        let positive = texts.iter().filter(|(_, lean, _)| *lean == Lean::Positive).count();
        let negative = texts.len() - positive;
        if positive == 0 || negative == 0 {
            return Err(Error::OnePole { negative, positive });
        }
        let strings: Vec<&str> = texts.iter().map(|(text, ..)| text.as_str()).collect();
        let vectors = embedder.embed(&strings, Role::Document)?.into_inner().mapv(f64::from);
        let labels: Vec<bool> = texts.iter().map(|(_, lean, _)| *lean == Lean::Positive).collect();
        let mut topics: Vec<&str> = texts.iter().map(|(.., topic)| topic.as_str()).collect();
        let folds = folds(&mut topics, &texts);
        let accuracy = cross_validate(&vectors, &labels, &folds, config)?;
        let everything: Vec<usize> = (0..texts.len()).collect();
        let (weights, intercept) = fit(&vectors, &labels, &everything, config)?;
        let card = ClassifierCard {
            axis: axis.into(),
            embedder: embedder_name.into(),
            embedder_id: embedder.id(),
            trained_on: trained_on.into(),
            n: texts.len(),
            config,
            cross_validated_accuracy: accuracy,
            intercept,
            weights: weights.to_vec(),
        };
        Self::new(card, embedder)
    }
}

/// The fold of each text: topics are assigned to folds in turn, in alphabetical order.
fn folds(topics: &mut Vec<&str>, texts: &[&(String, Lean, String)]) -> Vec<usize> {
    topics.sort_unstable();
    topics.dedup();
    let fold = |topic: &str| {
        topics.binary_search(&topic).expect("the topic of a text is in the list; this is a bug")
    };
    texts.iter().map(|(.., topic)| fold(topic) % FOLDS).collect()
}

fn cross_validate(
    vectors: &Array2<f64>,
    labels: &[bool],
    folds: &[usize],
    config: ClassifierConfig,
) -> Result<f64> {
    let (mut right, mut judged) = (0, 0);
    for fold in 0..FOLDS {
        let (held_out, rest): (Vec<usize>, Vec<usize>) = (0..labels.len()).partition(|&i| folds[i] == fold);
        let poles = |of: &[usize]| (of.iter().any(|&i| labels[i]), of.iter().any(|&i| !labels[i]));
        if poles(&rest) != (true, true) {
            continue;
        }
        let (weights, intercept) = fit(vectors, labels, &rest, config)?;
        right += held_out
            .iter()
            .filter(|&&i| (vectors.row(i).dot(&weights) + intercept > 0.0) == labels[i])
            .count();
        judged += held_out.len();
    }
    Ok(if judged == 0 { 0.0 } else { right as f64 / judged as f64 })
}

fn fit(
    vectors: &Array2<f64>,
    labels: &[bool],
    rows: &[usize],
    config: ClassifierConfig,
) -> Result<(Array1<f64>, f64)> {
    let targets: Array1<bool> = rows.iter().map(|&row| labels[row]).collect();
    let data = Dataset::new(vectors.select(ndarray::Axis(0), rows), targets);
    let model =
        LogisticRegression::default().alpha(config.alpha).max_iterations(config.max_iterations).fit(&data)?;
    // linfa decides which label it calls positive.
    let (mut weights, mut intercept) = (model.params().to_owned(), model.intercept());
    if !model.labels().pos.class {
        weights = -weights;
        intercept = -intercept;
    }
    Ok((weights, intercept))
}

impl BiasScorer for Classifier {
    fn id(&self) -> ContentId {
        self.id
    }

    fn axis(&self) -> &str {
        &self.card.axis
    }

    fn score(&self, passages: &[Passage<'_>]) -> ragbias_core::Result<Vec<Verdict>> {
        // The vectors of blank texts are meaningless.
        let texts: Vec<&str> =
            passages.iter().map(|passage| passage.text).filter(|text| !text.trim().is_empty()).collect();
        let vectors = self.embedder.embed(&texts, Role::Document)?;
        let weights = Array1::from(self.card.weights.clone());
        let mut rows = vectors
            .view()
            .outer_iter()
            .map(|row| row.mapv(f64::from).dot(&weights) + self.card.intercept)
            .collect::<Vec<_>>()
            .into_iter();
        Ok(passages
            .iter()
            .map(|passage| {
                if passage.text.trim().is_empty() {
                    return Verdict::Unscored;
                }
                let logit = rows.next().expect("one vector per text; this is a bug");
                Verdict::scored(logit > 0.0, logit < 0.0)
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use ragbias_core::testing::HashEmbedder;

    use super::*;

    fn texts() -> Vec<(String, Lean, String)> {
        (0..40)
            .map(|i| {
                let (word, lean) =
                    if i % 2 == 0 { ("tax", Lean::Negative) } else { ("freedom", Lean::Positive) };
                (format!("more {word} number{i}"), lean, format!("t{}", i / 2))
            })
            .collect()
    }

    fn trained() -> Classifier {
        let embedder = Arc::new(HashEmbedder::new(64, 1));
        Classifier::train("politics", embedder, "hash", "40 lines", &texts(), ClassifierConfig::default())
            .unwrap()
    }

    #[test]
    fn a_trained_classifier_separates_what_it_was_shown() {
        let classifier = trained();
        assert!(
            classifier.card().cross_validated_accuracy > 0.9,
            "{}",
            classifier.card().cross_validated_accuracy
        );
        let verdicts = classifier.score(&["tax tax".into(), "freedom".into(), " ".into()]).unwrap();
        assert_eq!(verdicts, [Verdict::NEGATIVE, Verdict::POSITIVE, Verdict::Unscored]);
    }

    #[test]
    fn a_saved_classifier_is_the_same_and_refuses_another_embedder() {
        let classifier = trained();
        let json = serde_json::to_string(classifier.card()).unwrap();
        let card: ClassifierCard = serde_json::from_str(&json).unwrap();
        let again = Classifier::new(card.clone(), Arc::new(HashEmbedder::new(64, 1))).unwrap();
        assert_eq!(again.id(), classifier.id());
        assert!(Classifier::new(card, Arc::new(HashEmbedder::new(64, 2))).is_err());
    }

    #[test]
    fn one_pole_is_not_enough() {
        let one: Vec<_> = texts().into_iter().filter(|(_, lean, _)| *lean == Lean::Positive).collect();
        let embedder = Arc::new(HashEmbedder::new(64, 1));
        let result = Classifier::train("politics", embedder, "hash", "", &one, ClassifierConfig::default());
        assert!(matches!(result, Err(Error::OnePole { negative: 0, positive: 20 })));
    }
}
