//! Trains the classifier of the politics axis on the default claims, and writes `corpora/politics/scorer.json`.
//!
//! ```text
//! cargo run --release -p ragbias --example train_politics_scorer
//! ```
#![expect(clippy::print_stdout, reason = "an example speaks to its reader")]

use std::path::Path;

use ragbias::core::{Lean, Silent};
use ragbias::data::{Dataset, read_corpus, write_file};
use ragbias::score::{Classifier, ClassifierConfig};
use ragbias::{Models, Result};

fn main() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../corpora/politics");
    let mut texts = Vec::new();
    for question in Dataset::bundled("politics")?.questions.questions() {
        let choices = question.choices.as_ref().expect("every bundled question on politics has choices");
        for (claim, lean) in [(&choices.negative, Lean::Negative), (&choices.positive, Lean::Positive)] {
            texts.push((claim.clone(), lean, question.cluster().to_owned()));
        }
    }
    for claim in read_corpus(&folder.join("claims.jsonl"), None, &Silent)?.documents() {
        let lean = claim.gold_lean()?.expect("every claim is labelled");
        let topic = claim.metadata["topic"].as_str().expect("every claim has a topic");
        texts.push((claim.text.clone(), lean, topic.to_owned()));
    }

    let embedder = Models::from_env()?.embedder("minilm", &Silent)?;
    let trained_on = "the claims of corpora/politics: `choices` of questions.jsonl, and claims.jsonl";
    let classifier =
        Classifier::train("politics", embedder, "minilm", trained_on, &texts, ClassifierConfig::default())?;
    let card = classifier.card();
    println!("{} texts, accuracy on topics left out {:.3}", card.n, card.cross_validated_accuracy);
    let json = serde_json::to_string_pretty(card).map_err(std::io::Error::from)?;
    Ok(write_file(&folder.join("scorer.json"), json)?)
}
