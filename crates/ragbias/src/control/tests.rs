use std::sync::Arc;

use ragbias_core::testing::HashEmbedder;
use ragbias_core::{Corpus, Document, Embedder, Role, Silent};
use ragbias_index::Exact;
use ragbias_score::Gold;
use ragbias_stats::ClusterBootstrap;
use serde_json::json;

use super::*;
use crate::{Judged, Models, Workspace};

/// Two topics, each with a document of either pole, and one with a single document.
fn corpus() -> Corpus {
    let document = |id: &str, text: &str, topic: &str, lean: i64| -> Document {
        let metadata = json!({ "topic": topic, "lean": lean });
        serde_json::from_value(json!({ "_id": id, "text": text, "metadata": metadata })).unwrap()
    };
    Corpus::new(vec![
        document("a", "Ada Lovelace wrote programs", "engines", 1),
        document("b", "Charles Babbage designed machines", "engines", -1),
        document("c", "Rosalind Franklin made images of crystals", "crystals", 1),
        document("d", "Max Perutz solved a structure", "crystals", -1),
        document("e", "Marie Curie measured rays", "rays", 1),
    ])
    .unwrap()
}

fn base() -> Embedded {
    let workspace = Workspace::new(Models::in_folder("none").unwrap());
    Embedded::new(&corpus(), Arc::new(HashEmbedder::new(64, 3)), Arc::new(Exact), &workspace).unwrap()
}

const QUESTIONS: [&str; 2] = ["Who wrote programs?", "Who made images of crystals?"];

fn direction() -> Result<Vec<f32>> {
    let judged = Judged::new(&corpus(), &Gold::new("gender"), ClusterBootstrap::new(200, 0))?;
    let topics = ["engines", "crystals", "rays", "unknown"].map(str::to_owned);
    direction_of_poles(base().embedder().as_ref(), &judged, &topics, &Silent)
}

#[test]
fn the_direction_is_the_mean_difference_within_topics_that_have_both_poles() {
    let (corpus, embedder) = (corpus(), HashEmbedder::new(64, 3));
    let texts: Vec<String> = corpus.documents().iter().map(Document::full_text).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let vectors = embedder.embed(&texts, Role::Document).unwrap();
    let found = direction().unwrap();
    for (column, &value) in found.iter().enumerate() {
        let x = |row: usize| vectors.row(row)[column];
        let expected = f32::midpoint(x(0) - x(1), x(2) - x(3));
        assert!((value - expected).abs() < 1e-6, "{column}: {value}, expected {expected}");
    }
}

#[test]
fn documents_without_topics_of_both_poles_have_no_direction() {
    let documents = corpus().documents().iter().take(1).cloned().collect();
    let judged =
        Judged::new(&Corpus::new(documents).unwrap(), &Gold::new("gender"), ClusterBootstrap::new(200, 0))
            .unwrap();
    let error = direction_of_poles(&HashEmbedder::new(64, 3), &judged, &["engines".into()], &Silent);
    assert!(
        error.unwrap_err().to_string().contains("projection: no training topic has documents of both poles")
    );
}

#[test]
fn a_control_at_its_neutral_setting_retrieves_as_the_base_and_elsewhere_it_does_not() {
    let base = base();
    let nearest = |embedded: &Embedded| embedded.nearest(&QUESTIONS, 5).unwrap();
    let projection = Projection { base: "b".into(), direction: direction().unwrap(), along: "poles".into() };
    let scores = |embedded: &Embedded| -> Vec<f32> {
        nearest(embedded).into_iter().flatten().map(|hit| hit.score).collect()
    };
    let neutral = projection.turn(&base, ControlKind::Projection.neutral()).unwrap();
    for (a, b) in scores(&neutral).into_iter().zip(scores(&base)) {
        assert!((a - b).abs() < 1e-6);
    }
    let away = projection.turn(&base, -2.0).unwrap();
    assert!(scores(&away).iter().zip(scores(&base)).any(|(a, b)| (a - b).abs() > 0.01));

    let draw = Draw { base: "b".into(), seed: 7 };
    assert!(draw.turn(&base, ControlKind::Ranking.neutral()).unwrap().ranking().is_none());
    assert!(draw.turn(&base, 0.5).unwrap().ranking().is_some());
}

#[test]
fn what_a_control_saves_is_read_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let projection = Projection { base: "b".into(), direction: vec![0.5, -0.25], along: "poles".into() };
    let draw = Draw { base: "b".into(), seed: 7 };
    for saved in [projection.save(-0.5, folder.path()).unwrap(), draw.save(0.3, folder.path()).unwrap()] {
        let text = serde_json::to_string(&saved).unwrap();
        assert_eq!(serde_json::from_str::<ControlSpec>(&text).unwrap(), saved);
        let misspelt = text.replacen("embedder", "embeder", 1);
        assert!(serde_json::from_str::<ControlSpec>(&misspelt).is_err());
    }
}
