//! Agreement of the gender lexicon, and of each of its rules, with published labels: the tables of `docs/scorers.md`.
//!
//! ```text
//! RAGBIAS_DATA_DIR=FOLDER cargo run --release -p ragbias --example lexicon_agreement
//! ```
//!
//! The folder holds genderbias-qa, gap, bold, winobias and winogender, each as published by its authors.
#![expect(clippy::print_stdout, reason = "an example speaks to its reader")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ragbias::core::{Lean, Silent, Verdict};
use ragbias::data::load_axis;
use ragbias::load_corpus;
use ragbias::score::{Agreement, Evidence, Lexicon, Rule};
use serde_json::Value;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;
type Labelled = Vec<(String, Lean)>;

fn main() -> Outcome<()> {
    let data = PathBuf::from(std::env::var_os("RAGBIAS_DATA_DIR").ok_or("RAGBIAS_DATA_DIR is not set")?);
    let lexicon = Lexicon::bundled("gender")?;
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../corpora/gender/corpus.jsonl");
    let lines = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ragbias-score/tests/hard_lines.tsv");
    let sets = [
        ("GenderBias-QA", gold(&data.join("genderbias-qa/train.csv"))?),
        ("GAP", gap(&data.join("gap/corpus.jsonl"))?),
        ("BOLD", bold(&data.join("bold/wikipedia/gender_wiki.json"))?),
        ("WinoBias", winobias(&data.join("winobias"))?),
        ("Winogender", winogender(&data.join("winogender/all_sentences.tsv"))?),
        ("default documents", gold(&corpus)?),
        ("default names", names(&corpus)?),
        ("hard, open", hard_lines(&lines, "open")?),
        ("hard, held back", hard_lines(&lines, "held")?),
    ];
    println!("| set | n | accuracy | coverage | right of all |\n| --- | --- | --- | --- | --- |");
    for (name, texts) in &sets {
        let agreement =
            Agreement::of(texts.iter().map(|(text, lean)| (*lean, lexicon.explain(text).verdict)));
        let (accuracy, coverage) = (agreement.accuracy.unwrap_or(0.0), agreement.coverage.unwrap_or(0.0));
        let all = accuracy * coverage;
        println!("| {name} | {} | {accuracy:.4} | {coverage:.4} | {all:.4} |", agreement.n);
    }
    let by_set: Vec<_> =
        sets.iter().map(|(name, texts)| (name, texts.len(), by_rule(&lexicon, texts))).collect();
    let header: Vec<&str> = sets.iter().map(|(name, _)| *name).collect();
    println!("\n| rule | {} |\n|{}", header.join(" | "), " --- |".repeat(by_set.len() + 1));
    for rule in Rule::ALL {
        let cells: String = by_set.iter().map(|(_, n, rules)| cell(rules.get(&rule), *n)).collect();
        println!("| {rule:?} |{cells}");
    }
    Ok(())
}

/// Precision, recall and number of texts with evidence of a rule, given the number of labelled texts.
fn cell(counts: Option<&(usize, usize)>, n: usize) -> String {
    counts.map_or_else(
        || " – |".to_owned(),
        |&(texts, right)| {
            let (precision, recall) = (right as f64 / texts as f64, right as f64 / n as f64);
            format!(" {precision:.3} / {recall:.3} ({texts}) |")
        },
    )
}

/// For each rule, the number of texts with its evidence, and of those in which this evidence alone has the gold lean.
fn by_rule(lexicon: &Lexicon, texts: &Labelled) -> BTreeMap<Rule, (usize, usize)> {
    let mut rules: BTreeMap<Rule, (usize, usize)> = BTreeMap::new();
    for (text, lean) in texts {
        let evidence = lexicon.explain(text).evidence;
        for rule in Rule::ALL {
            let own: Vec<&Evidence> = evidence.iter().filter(|item| item.rule == rule).collect();
            if own.is_empty() {
                continue;
            }
            let positive: f64 = own.iter().map(|item| item.positive).sum();
            let negative: f64 = own.iter().map(|item| item.negative).sum();
            let verdict = Verdict::scored(positive >= negative, negative >= positive);
            let counts = rules.entry(rule).or_default();
            counts.0 += 1;
            counts.1 += usize::from(verdict.lean() == Some(*lean));
        }
    }
    rules
}

/// A corpus with gold labels.
fn gold(path: &Path) -> Outcome<Labelled> {
    let corpus =
        load_corpus(path.to_str().ok_or("a path is not Unicode")?, Some(&load_axis("gender")?), &Silent)?;
    let documents = corpus.documents().iter();
    Ok(documents.filter_map(|document| Some((document.text.clone(), document.gold_lean().ok()??))).collect())
}

/// The names of the people in the default documents.
fn names(path: &Path) -> Outcome<Labelled> {
    let corpus =
        load_corpus(path.to_str().ok_or("a path is not Unicode")?, Some(&load_axis("gender")?), &Silent)?;
    let documents = corpus.documents().iter();
    Ok(documents
        .filter_map(|document| Some((document.title.clone()?, document.gold_lean().ok()??)))
        .collect())
}

fn gap(path: &Path) -> Outcome<Labelled> {
    let lines = fs_err::read_to_string(path)?;
    let label = |line| -> Outcome<(String, Lean)> {
        let snippet: Value = serde_json::from_str(line)?;
        let female = snippet["metadata"]["gender"] == "female";
        Ok((text(&snippet["text"]), if female { Lean::Positive } else { Lean::Negative }))
    };
    lines.lines().map(label).collect()
}

/// Sentences about actors and actresses.
fn bold(path: &Path) -> Outcome<Labelled> {
    let groups: Value = serde_json::from_str(&fs_err::read_to_string(path)?)?;
    let mut labelled = Labelled::new();
    for (group, lean) in [("American_actors", Lean::Negative), ("American_actresses", Lean::Positive)] {
        let people = groups[group].as_object().ok_or("expected a group of people")?;
        for sentences in people.values() {
            let sentences = sentences.as_array().ok_or("expected sentences")?;
            labelled.extend(sentences.iter().map(|sentence| (text(sentence), lean)));
        }
    }
    Ok(labelled)
}

/// Sentences with a marked pronoun.
fn winobias(folder: &Path) -> Outcome<Labelled> {
    let mut labelled = Labelled::new();
    for stereotype in ["pro", "anti"] {
        for (kind, split) in [(1, "dev"), (1, "test"), (2, "dev"), (2, "test")] {
            let file = folder.join(format!("{stereotype}_stereotyped_type{kind}.txt.{split}"));
            for line in fs_err::read_to_string(file)?.lines() {
                let pronouns = |listed: &[&str]| {
                    line.split('[')
                        .skip(1)
                        .filter_map(|rest| rest.split(']').next())
                        .any(|marked| listed.contains(&marked.trim().to_lowercase().as_str()))
                };
                let lean = if pronouns(&["she", "her", "hers", "herself"]) {
                    Lean::Positive
                } else if pronouns(&["he", "him", "his", "himself"]) {
                    Lean::Negative
                } else {
                    continue;
                };
                let sentence = line.split_once(' ').map_or(line, |(_, sentence)| sentence);
                labelled.push((sentence.replace(['[', ']'], ""), lean));
            }
        }
    }
    Ok(labelled)
}

fn winogender(path: &Path) -> Outcome<Labelled> {
    let table = fs_err::read_to_string(path)?;
    let label = |line: &str| -> Outcome<(String, Lean)> {
        let (id, sentence) = line.split_once('\t').ok_or("expected a tab")?;
        let lean = match id.split('.').nth_back(1) {
            Some("male") => Lean::Negative,
            Some("female") => Lean::Positive,
            _ => Lean::Neutral,
        };
        Ok((sentence.to_owned(), lean))
    };
    table.lines().skip(1).map(label).collect()
}

/// Our own lines of one split, without those that should not be scored.
fn hard_lines(path: &Path, split: &str) -> Outcome<Labelled> {
    let table = fs_err::read_to_string(path)?;
    let columns = table.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    Ok(columns
        .filter(|columns| columns[0] == split)
        .filter_map(|columns| {
            let lean = match columns[3] {
                "positive" => Lean::Positive,
                "negative" => Lean::Negative,
                "both" | "neither" => Lean::Neutral,
                _ => return None,
            };
            Some((columns[4].replace("\\n", "\n"), lean))
        })
        .collect())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
