use std::time::Instant;

use ragbias_core::{Lean, Silent, Verdict};
use ragbias_stats::ClusterBootstrap;
use serde_json::Value;

use super::*;
use crate::measure::AnswerMode;
use crate::measured::{BASE_FAMILY, Measured};
use crate::report::report;
use crate::system::{TwinPreference, TwinsOf};

const LLMS: [&str; 3] = ["a", "b", "c"];

/// A synthetic study: E_b rises from embedder to embedder, and every answer has the lean of its document, except one question
/// in three, which is negative. Nothing is generated.
fn study(embedders: usize, questions: usize) -> Vec<PartResult> {
    let bootstrap = ClusterBootstrap::new(200, 0);
    let topics: Vec<String> = (0..questions).map(|question| format!("topic {}", question / 5)).collect();
    let mut results = Vec::new();
    for (llm, embedder) in LLMS.iter().flat_map(|llm| (0..embedders).map(move |embedder| (llm, embedder))) {
        let lean = |question: usize| {
            let place = (question * 7919 + 13) % questions;
            if place * embedders < embedder * questions { Lean::Positive } else { Lean::Negative }
        };
        let answered =
            |question: usize| if question.is_multiple_of(3) { Lean::Negative } else { lean(question) };
        let bias = |of: &dyn Fn(usize) -> Lean| {
            let verdicts: Vec<Verdict> = (0..questions).map(|question| of(question).into()).collect();
            bootstrap.bias(&verdicts, &topics).unwrap()
        };
        let (embedder_bias, rag_bias) = (bias(&lean), bias(&answered));
        let outcome = |question: usize| Outcome {
            embedder: format!("embedder {embedder}"),
            llm: Some((*llm).into()),
            axis: "gender".into(),
            corpus: "synthetic".into(),
            split: "all".into(),
            question: format!("question {question}"),
            topic: topics[question].clone(),
            document: format!("document {question} {:?}", lean(question)),
            lean_document: Some(lean(question)),
            lean_answer: Some(answered(question)),
            answer: format!(
                "an answer of some words, which other answers do not share: {question} {embedder}"
            ),
            lean_llm: Some(Lean::Negative),
            answer_llm: format!("an answer without context to {question}"),
            outcome_document: Some(lean(question).into()),
            outcome_answer: Some(answered(question).into()),
            outcome_llm: Some(Verdict::NEGATIVE),
            outcomes_by_rank: Vec::new(),
        };
        results.push(PartResult {
            axis: "gender".into(),
            negative: "male".into(),
            positive: "female".into(),
            data: "synthetic".into(),
            split: "all".into(),
            questions,
            embedder: format!("embedder {embedder}"),
            family: if embedder == 0 { BASE_FAMILY.into() } else { "family".into() },
            llm: Some((*llm).into()),
            measured: Measured {
                by_rank: None,
                p_of_no_bias: None,
                llm_bias: Some(bias(&|_| Lean::Negative)),
                corpus_bias: embedder_bias,
                neighbourhood_bias: embedder_bias,
                embedder_bias,
                expected_embedder_bias: None,
                twin_preference: Some(TwinPreference {
                    bias: embedder_bias,
                    twins_of: TwinsOf::Relevant,
                    draws: 1,
                }),
                answers: Some(AnswerMode::Text),
                rag_bias: Some(rag_bias),
                nothing_scored: Vec::new(),
                position_bias: None,
                coverage: None,
                ndcg10: Some(0.5),
                selections: Vec::new(),
                corrections: Vec::new(),
                outcomes: (0..questions).map(outcome).collect(),
            },
        });
    }
    results
}

fn manifest() -> Manifest {
    let experiment = "name = 'synthetic'\n[[part]]\naxis = 'gender'\ndata = 'gender'\nembedders = ['minilm']\nllms = ['a', 'b', 'c']";
    Manifest {
        version: "0".into(),
        commit: None,
        run: None,
        experiment: toml::from_str(experiment).unwrap(),
        axes: BTreeMap::new(),
        recipes: BTreeMap::new(),
        inputs: BTreeMap::new(),
        files: BTreeMap::new(),
        notes: BTreeMap::new(),
    }
}

#[test]
fn a_run_is_read_as_it_was_written_and_refused_when_a_file_of_it_changed() {
    let folder = tempfile::tempdir().unwrap();
    let results = study(6, 40);
    let fits = write(&RunFolder::open(folder.path()).unwrap(), manifest(), &results, &Silent).unwrap();
    let saved = SavedRun::read(folder.path()).unwrap();
    let outcomes: Vec<Outcome> = results.iter().flat_map(|result| result.measured.outcomes.clone()).collect();
    assert_eq!(saved.outcomes().unwrap(), outcomes);
    assert_eq!(saved.measurements().unwrap().len(), results.len());
    let read = saved.results().unwrap();
    for (read, written) in read.iter().zip(&results) {
        let written = Measured { outcomes: Vec::new(), ..written.measured.clone() };
        assert_eq!(read.measured, written);
    }
    assert_eq!(read.len(), results.len());
    assert_eq!(saved.fits().unwrap(), fits);
    assert!(!fits.fits.is_empty() && !fits.comparisons.is_empty());
    assert!(saved.choices(folder.path()).unwrap().is_empty());

    for (file, read) in [
        (
            "results.json",
            &(|saved: &SavedRun| saved.results().err()) as &dyn Fn(&SavedRun) -> Option<crate::Error>,
        ),
        ("fit.json", &|saved| saved.fits().err()),
        ("outcomes.parquet", &|saved| saved.outcomes().err()),
        ("measurements.parquet", &|saved| saved.measurements().err()),
    ] {
        let path = folder.path().join(file);
        let mut bytes = fs_err::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs_err::write(&path, bytes).unwrap();
        let error = read(&saved).expect("a changed file is refused").to_string();
        assert!(error.contains(file) && error.contains("not what was written here"), "{error}");
        fs_err::remove_file(&path).unwrap();
        let error = read(&saved).expect("a missing file is refused").to_string();
        assert!(error.contains(&format!("it has no {file}")), "{error}");
    }
}

#[test]
fn every_question_of_a_run_larger_than_a_page_is_in_the_page_or_in_files_that_it_loads() {
    let folder = tempfile::tempdir().unwrap();
    let (embedders, questions) = (40, 250);
    let results = study(embedders, questions);
    write(&RunFolder::open(folder.path()).unwrap(), manifest(), &results, &Silent).unwrap();
    let page = fs_err::read_to_string(folder.path().join("report.html")).unwrap();
    let (_, evidence) = page.split_once("id=\"evidence\">").unwrap();
    let evidence: Value = serde_json::from_str(evidence.split_once("</script>").unwrap().0).unwrap();
    let mut files = 0;
    for (system, firsts) in evidence["systems"].as_array().unwrap().iter().enumerate() {
        let mut row = 0;
        for (number, first) in firsts.as_array().unwrap().iter().enumerate() {
            assert_eq!(first.as_u64(), Some(row as u64));
            let key = format!("questions-{system}-{number}");
            let mut found = evidence["pages"][&key].clone();
            if found.is_null() {
                files += 1;
                let path = folder.path().join("figures").join(format!("{key}.js"));
                let text = fs_err::read_to_string(path).unwrap();
                let json = text.strip_prefix(&format!("loaded(\"{key}\", ")).unwrap();
                found = serde_json::from_str(json.trim_end().strip_suffix(");").unwrap()).unwrap();
            }
            let string = |place: &Value| found["strings"][place.as_u64().unwrap() as usize].as_str().unwrap();
            for outcomes in found["embedders"].as_array().unwrap() {
                for (question, outcome) in outcomes.as_array().unwrap().chunks(4).enumerate() {
                    let measured = &results[system * embedders + row].measured.outcomes[question];
                    assert_eq!(
                        (string(&outcome[0]), string(&outcome[2])),
                        (&*measured.document, &*measured.answer)
                    );
                }
                assert_eq!(outcomes.as_array().unwrap().len(), questions * 4);
                row += 1;
            }
        }
        assert_eq!(row, embedders);
    }
    assert!(files > 0 && !evidence["pages"].as_object().unwrap().is_empty());
}

#[test]
#[ignore = "prints how long a run of each size takes to be written, fitted and reported"]
fn times_of_large_runs() {
    for embedders in [50, 100, 200] {
        let folder = tempfile::tempdir().unwrap();
        let results = study(embedders, 250);
        let start = Instant::now();
        write(&RunFolder::open(folder.path()).unwrap(), manifest(), &results, &Silent).unwrap();
        let written = start.elapsed();
        let start = Instant::now();
        crate::fit_files(folder.path(), None, &FitConfig::default()).unwrap();
        let fitted = start.elapsed();
        let start = Instant::now();
        let page = report(folder.path(), &Silent).unwrap();
        let reported = start.elapsed();
        let size = fs_err::metadata(page).unwrap().len();
        let outcomes = LLMS.len() * embedders * 250;
        println!(
            "{outcomes} outcomes: written {written:.1?}, fitted {fitted:.1?}, reported {reported:.1?}, page of {size} bytes"
        );
    }
}
