use std::path::PathBuf;

use ragbias_core::Silent;

use super::*;

/// A folder of a small balanced set, and a change of one of its files.
struct World {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("set");
        let question =
            |i: usize, text: &str| format!("{{\"_id\":\"q{i}\",\"text\":\"{text}\",\"topic\":\"t{i}\"}}\n");
        let texts = [
            "Who designed the old bridge of the town?",
            "Which teacher wrote the songs?",
            "Who won the long race?",
        ];
        let questions: String = texts.iter().enumerate().map(|(i, text)| question(i, text)).collect();
        let document = |i: usize, lean: i8| {
            let of = [
                "bridges carry trains over rivers",
                "songs of schools are loud today",
                "races end where people cheer",
            ][i];
            let who = if lean > 0 { "She is known far and wide" } else { "His work was never seen abroad" };
            format!(
                "{{\"_id\":\"d{i}{lean:+}\",\"text\":\"{who}, and {of}.\",\"metadata\":{{\"lean\":{lean}}}}}\n"
            )
        };
        let corpus: String = (0..3).flat_map(|i| [document(i, 1), document(i, -1)]).collect();
        let qrels = [0, 1, 2].map(|i| format!("q{i}\td{i}+1\t1\nq{i}\td{i}-1\t1\n")).concat();
        let manifest = "name = \"small\"\naxis = \"gender\"\nabout = \"\"\nlicence = \"\"\n[splits]\nvalidation = [\"t1\"]\ntest = [\"t2\"]\n";
        for (name, text) in [
            ("questions.jsonl", questions.as_str()),
            ("corpus.jsonl", &corpus),
            ("qrels.tsv", &format!("query-id\tcorpus-id\tscore\n{qrels}")),
            ("manifest.toml", manifest),
        ] {
            crate::write_file(&path.join(name), text).unwrap();
        }
        Self { _folder: folder, path }
    }

    fn change(self, file: &str, change: impl Fn(&str) -> String) -> Self {
        let path = self.path.join(file);
        let text = fs_err::read_to_string(&path).unwrap();
        let changed = change(&text);
        assert_ne!(changed, text);
        fs_err::write(&path, changed).unwrap();
        self
    }

    fn check(&self) -> CheckedSet {
        check_folder(&self.path, &Silent).unwrap()
    }

    /// The findings above a note, each `file:line: severity[kind]: message`.
    fn found(&self) -> Vec<String> {
        let findings = self.check().findings;
        let grave = findings.iter().filter(|finding| finding.severity != Severity::Note);
        grave
            .map(|finding| {
                let file =
                    std::path::Path::new(&finding.file).file_name().unwrap().to_str().unwrap().to_owned();
                let line = finding.line.map_or(String::new(), |line| format!(":{line}"));
                format!("{file}{line}: {}[{}]: {}", finding.severity.name(), finding.kind, finding.message)
            })
            .collect()
    }
}

#[test]
fn a_balanced_set_has_no_finding_and_every_split_and_topic_is_counted() {
    let world = World::new();
    assert_eq!(world.found(), Vec::<String>::new());
    let checked = world.check();
    assert!(!checked.has_errors());
    let splits: Vec<_> =
        checked.splits.iter().map(|split| (split.of.as_str(), split.questions, split.balance)).collect();
    assert_eq!(splits, [("test", 1, Some(0.0)), ("train", 1, Some(0.0)), ("validation", 1, Some(0.0))]);
    assert_eq!((checked.topics.len(), checked.questions, checked.documents), (3, 3, 6));
    let lengths = checked.lengths.unwrap();
    assert!(lengths.low <= lengths.positive - lengths.negative && lengths.positive > lengths.negative - 1.0);
}

#[test]
fn a_question_in_two_splits_is_an_error_with_its_line_and_one_nearly_the_same_a_warning() {
    let double = World::new().change("questions.jsonl", |text| {
        text.replace("Which teacher wrote the songs?", "who designed the OLD bridge of the town")
    });
    let expected = "questions.jsonl:2: error[leak]: question `q1` is the same as `q0`, which is in train, it in validation";
    assert_eq!(double.found(), [expected]);
    let near = World::new().change("questions.jsonl", |text| {
        text.replace("Which teacher wrote the songs?", "Who designed the old bridge of the town again?")
    });
    let found = near.found();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("questions.jsonl:2: warning[leak]: question `q1` is nearly the same as `q0`"),
        "{found:?}"
    );
}

#[test]
fn a_topic_of_two_splits_and_one_without_questions_are_errors() {
    let world = World::new().change("manifest.toml", |text| text.replace("[\"t2\"]", "[\"t1\", \"t9\"]"));
    let found = world.found();
    assert!(
        found.contains(&"manifest.toml: error[split]: topic `t1` is in test and in validation".to_owned()),
        "{found:?}"
    );
    assert!(
        found.contains(&"manifest.toml: error[split]: no question has the test topic `t9`".to_owned()),
        "{found:?}"
    );
    assert!(world.check().has_errors());
}

#[test]
fn judgements_that_lead_nowhere_are_errors() {
    let world = World::new().change("qrels.tsv", |text| {
        text.replace("q1\td1+1", "q1\td7").replace("q2\td2+1\t1\nq2\td2-1\t1", "q2\td2+1\t0")
    });
    let found = world.found();
    for expected in [
        "qrels.tsv: error[unknown-document]: document `d7`, judged for question `q1`, is not in the corpus",
        "questions.jsonl:3: error[no-relevant-document]: question `q2` has no relevant document",
    ] {
        assert!(found.contains(&expected.to_owned()), "{found:?}");
    }
    let unasked: Vec<_> = world
        .check()
        .findings
        .into_iter()
        .filter(|finding| finding.kind == "unasked")
        .map(|f| f.message)
        .collect();
    assert_eq!(unasked, ["3 of 6 documents are relevant to no question, `d1+1` the first"]);
}

#[test]
fn poles_out_of_balance_are_counted_by_split_and_by_topic() {
    let world = World::new().change("corpus.jsonl", |text| text.replacen("\"lean\":-1", "\"lean\":1", 1));
    let found = world.found();
    assert!(found[0].contains(
        "warning[balance]: split train has a mean lean of +1.000: 0 negative, 0 neutral, 2 positive"
    ));
    assert!(found.iter().any(|line| line.contains("warning[topic-balance]: topic `t0`")), "{found:?}");
    assert_eq!(world.check().topics[0].of, "t0");
}

#[test]
fn a_passage_that_is_there_twice_is_a_duplicate_a_leak_or_a_contradiction() {
    let first = "She is known far and wide, and bridges carry trains over rivers.";
    let second = "She is known far and wide, and songs of schools are loud today.";
    let leak = World::new().change("corpus.jsonl", |text| text.replace(second, first));
    let found = leak.found();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("corpus.jsonl:3: warning[leak]: document `d1+1` is the same as `d0+1`"),
        "{found:?}"
    );
    let contradiction = World::new().change("corpus.jsonl", |text| {
        text.replace("His work was never seen abroad, and bridges", "She is known far and wide, and bridges")
    });
    let found = contradiction.found();
    let expected =
        "corpus.jsonl:2: error[label]: document `d0-1` is the same as `d0+1`, but has another label";
    assert!(found.contains(&expected.to_owned()), "{found:?}");
}

#[test]
fn splits_of_a_beir_folder_are_its_files_of_judgements() {
    let world = World::new();
    fs_err::remove_file(world.path.join("manifest.toml")).unwrap();
    fs_err::remove_file(world.path.join("qrels.tsv")).unwrap();
    let header = "query-id\tcorpus-id\tscore\n";
    crate::write_file(&world.path.join("qrels/train.tsv"), format!("{header}q0\td0+1\t1\nq1\td1+1\t1\n"))
        .unwrap();
    crate::write_file(&world.path.join("qrels/test.tsv"), format!("{header}q1\td1+1\t1\nq2\td2+1\t1\n"))
        .unwrap();
    let found = world.found();
    assert!(
        found.contains(&"questions.jsonl:2: error[split]: question `q1` is in test and in train".to_owned()),
        "{found:?}"
    );
    assert!(
        found
            .iter()
            .any(|line| line.contains("warning[leak]: 1 documents are relevant to questions of two splits")),
        "{found:?}"
    );
    assert_eq!(world.check().splits.iter().map(|split| split.questions).collect::<Vec<_>>(), [2, 2]);
}

#[test]
fn more_than_twenty_findings_of_a_kind_are_counted() {
    let world = World::new().change("qrels.tsv", |text| {
        let more: Vec<String> = (0..30).map(|i| format!("q0\tx{i}\t1\n")).collect();
        let more = more.concat();
        format!("{text}{more}")
    });
    let found = world.found();
    assert_eq!(found.len(), 21);
    assert!(found.iter().any(|line| line.ends_with("10 more of this kind, 30 in all")), "{found:?}");
}

#[test]
fn the_bundled_sets_have_no_errors() {
    for name in Dataset::bundled_names() {
        let checked = check_dataset(&Dataset::bundled(name).unwrap(), name, &Silent);
        let errors: Vec<_> =
            checked.findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
        assert_eq!(errors, Vec::<&Finding>::new(), "{name}");
    }
}
