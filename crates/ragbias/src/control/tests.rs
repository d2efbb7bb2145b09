use std::sync::Arc;

use ragbias_core::testing::HashEmbedder;
use ragbias_core::{Corpus, Document, Embedder, Question, Role, Silent};
use ragbias_embed::Sides;
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
    let neutral = projection.turn(&base, ControlKind::Projection.start()).unwrap();
    for (a, b) in scores(&neutral).into_iter().zip(scores(&base)) {
        assert!((a - b).abs() < 1e-6);
    }
    let away = projection.turn(&base, -2.0).unwrap();
    assert!(scores(&away).iter().zip(scores(&base)).any(|(a, b)| (a - b).abs() > 0.01));

    let draw = Draw { base: "b".into(), seed: 7 };
    assert!(draw.turn(&base, ControlKind::Ranking.start()).unwrap().ranking().is_none());
    assert!(draw.turn(&base, 0.5).unwrap().ranking().is_some());
}

fn fitted(corpus: &Corpus, topics: &[&str]) -> Result<FittedEraser> {
    let judged = Judged::new(corpus, &Gold::new("gender"), ClusterBootstrap::new(200, 0))?;
    let topics: Vec<String> = topics.iter().map(|&topic| topic.to_owned()).collect();
    FittedEraser::of_poles(base().embedder().as_ref(), &judged, &topics, &Silent)
}

#[test]
fn an_eraser_is_fitted_on_the_documents_of_the_topics_that_it_may_see_alone() {
    let engines_and_crystals = fitted(&corpus(), &["engines", "crystals"]).unwrap();
    let FittedEraser { positive, negative, topics, .. } = engines_and_crystals;
    assert_eq!((positive, negative, topics), (2, 2, 2));
    let mut documents = corpus().documents().to_vec();
    documents[4].text = "Lise Meitner explained fission".into();
    let changed = Corpus::new(documents).unwrap();
    assert_eq!(fitted(&changed, &["engines", "crystals"]).unwrap(), engines_and_crystals);
    let all = ["engines", "crystals", "rays"];
    assert_ne!(fitted(&changed, &all).unwrap(), fitted(&corpus(), &all).unwrap());
    let error = fitted(&corpus(), &["engines", "rays"]).unwrap_err().to_string();
    assert!(
        error.starts_with(
            "erasure: 2 documents of training topics lean positively and 1 negatively, expected at least 2 of each"
        ),
        "{error}"
    );
}

#[test]
fn erased_documents_of_either_pole_have_the_same_mean_and_a_strength_of_0_changes_no_bit() {
    let (base, fitted) = (base(), fitted(&corpus(), &["engines", "crystals"]).unwrap());
    let erasure = |sides| Erasure { base: "b".into(), fitted: fitted.clone(), sides, of: "poles".into() };
    for sides in [Sides::Questions, Sides::Both] {
        let nearest = |embedded: &Embedded| embedded.nearest(&QUESTIONS, 5).unwrap();
        assert_eq!(nearest(&erasure(sides).turn(&base, 0.0).unwrap()), nearest(&base));
        assert_ne!(nearest(&erasure(sides).turn(&base, 1.0).unwrap()), nearest(&base));
    }
    let texts: Vec<String> = corpus().documents().iter().map(Document::full_text).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let apart = |embedded: &Embedded| -> f32 {
        let vectors = embedded.embedder().embed(&texts[..4], Role::Document).unwrap();
        let x = |row: usize, column: usize| vectors.row(row)[column];
        let between = |column| x(0, column) + x(2, column) - x(1, column) - x(3, column);
        (0..vectors.dim()).map(|column| between(column) / 2.0).map(|d| d * d).sum::<f32>().sqrt()
    };
    let erased = apart(&erasure(Sides::Both).turn(&base, 1.0).unwrap());
    // Equal but for the scaling to unit length.
    assert!(erased < 0.1 * apart(&base), "{erased} of {}", apart(&base));
}

fn known() -> KnownLeans {
    KnownLeans::of(&Judged::new(&corpus(), &Gold::new("gender"), ClusterBootstrap::new(200, 0)).unwrap())
}

#[test]
fn a_re_ranking_puts_the_pole_first_that_its_share_asks_for_and_knows_documents_by_id_and_text() {
    let (base, reranking) = (base(), Reranking { base: "b".into(), seed: 7, leans: known() });
    let question = Question { id: "q".into(), text: QUESTIONS[0].into(), topic: None, choices: None };
    let order = |embedded: &Embedded, share: f64| -> Vec<u32> {
        let turned = reranking.turn(embedded, share).unwrap();
        let nearest = turned.nearest(&[QUESTIONS[0]], 5).unwrap().remove(0);
        turned.rank(&nearest, &question).into_iter().map(|hit| hit.document.0).collect()
    };
    let positive = |document: &u32| matches!(document, 0 | 2 | 4);
    assert!(order(&base, 1.0)[..3].iter().all(positive), "all that lean positively come first");
    assert!(!order(&base, 0.0)[..2].iter().any(positive), "all that lean negatively come first");
    // A document whose text has changed keeps its place, as does one that is not known.
    let mut documents = corpus().documents().to_vec();
    documents[0].text.push('!');
    documents[1].id = "z".into();
    let changed = Corpus::new(documents).unwrap();
    let leans: Vec<i64> = known().in_corpus(&changed).iter().map(|&lean| lean.into()).collect();
    assert_eq!(leans, [0, 0, 1, -1, 1]);
}

#[test]
fn leans_are_read_as_they_were_and_refused_if_they_were_changed() {
    let folder = tempfile::tempdir().unwrap();
    let hash = known().write(folder.path()).unwrap();
    assert_eq!(KnownLeans::read(folder.path(), hash).unwrap(), known());
    let path = folder.path().join("leans.jsonl");
    let text = fs_err::read_to_string(&path).unwrap();
    fs_err::write(&path, text.replacen("-1", "1", 1)).unwrap();
    let error = KnownLeans::read(folder.path(), hash).unwrap_err().to_string();
    assert!(error.contains("leans.jsonl") && error.contains("changed since"), "{error}");
    fs_err::remove_file(&path).unwrap();
    assert!(KnownLeans::read(folder.path(), hash).unwrap_err().to_string().contains("leans.jsonl"));
}

#[test]
fn what_a_control_saves_is_read_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let projection = Projection { base: "b".into(), direction: vec![0.5, -0.25], along: "poles".into() };
    let draw = Draw { base: "b".into(), seed: 7 };
    let fitted = fitted(&corpus(), &["engines", "crystals"]).unwrap();
    let erasure = Erasure { base: "b".into(), fitted, sides: Sides::Questions, of: "poles".into() };
    let reranking = Reranking { base: "b".into(), seed: 7, leans: known() };
    for saved in [
        projection.save(-0.5, folder.path()).unwrap(),
        draw.save(0.3, folder.path()).unwrap(),
        erasure.save(1.5, folder.path()).unwrap(),
        reranking.save(0.4, folder.path()).unwrap(),
    ] {
        let text = serde_json::to_string(&saved).unwrap();
        assert_eq!(serde_json::from_str::<ControlSpec>(&text).unwrap(), saved);
        let misspelt = text.replacen("embedder", "embeder", 1);
        assert!(serde_json::from_str::<ControlSpec>(&misspelt).is_err());
    }
}
