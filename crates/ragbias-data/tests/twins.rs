//! The bundled sets that are made of passages: twins of one content, which differ in what their axis is about and in nothing else.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ragbias_core::{Document, Lean, Question, Silent};
use ragbias_data::{Dataset, Split, load_axis};

/// The sets whose twins differ word by word, with all pairs of words, negative and positive, in which they may differ.
const WORD_BY_WORD: [(&str, &[(&str, &str)]); 4] = [
    (
        "gender-twins",
        &[
            ("he", "she"),
            ("him", "her"),
            ("his", "her"),
            ("his", "hers"),
            ("himself", "herself"),
            ("Mr", "Ms"),
            ("He", "She"),
            ("Him", "Her"),
            ("His", "Her"),
        ],
    ),
    (
        "religion-twins",
        &[
            ("Christian", "Muslim"),
            ("Christians", "Muslims"),
            ("church", "mosque"),
            ("pastor", "imam"),
            ("Bible", "Koran"),
            ("Sunday", "Friday"),
            ("service", "prayer"),
            ("Easter", "Eid"),
        ],
    ),
    (
        "nationality-twins",
        &[("Canadian", "Korean"), ("Canadians", "Koreans"), ("Canada", "Korea"), ("Ottawa", "Seoul")],
    ),
    (
        "age-twins",
        &[
            ("27-year-old", "71-year-old"),
            ("young", "old"),
            ("youngest", "oldest"),
            ("twenties", "seventies"),
        ],
    ),
];

const OF_RETRIEVAL: [&str; 3] = ["brevity", "position", "wording"];

fn all() -> impl Iterator<Item = (&'static str, Dataset)> {
    let names = WORD_BY_WORD.map(|(name, _)| name).into_iter().chain(OF_RETRIEVAL);
    names.map(|name| (name, Dataset::bundled(name).unwrap()))
}

fn word_by_word() -> impl Iterator<Item = (&'static str, &'static [(&'static str, &'static str)], Dataset)> {
    WORD_BY_WORD.into_iter().map(|(name, pairs)| (name, pairs, Dataset::bundled(name).unwrap()))
}

/// The two documents of each question, the negative one first.
fn twins(set: &Dataset) -> impl Iterator<Item = (&Question, [&Document; 2])> {
    set.questions.questions().iter().map(|question| {
        let judged =
            set.qrels[&question.id].keys().map(|id| set.corpus.document(set.corpus.position(id).unwrap()));
        let mut twins: Vec<_> = judged.collect();
        twins.sort_by_key(|twin| twin.gold_lean().unwrap());
        (question, twins.try_into().unwrap())
    })
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '-'
}

/// The words of a text and what stands between them, in order.
fn pieces(text: &str) -> Vec<&str> {
    text.char_indices()
        .collect::<Vec<_>>()
        .chunk_by(|a, b| in_word(a.1) == in_word(b.1))
        .map(|piece| {
            let last = piece[piece.len() - 1];
            &text[piece[0].0..last.0 + last.1.len_utf8()]
        })
        .collect()
}

/// The words of a text in lower case.
fn words(text: &str) -> Vec<String> {
    pieces(text).into_iter().filter(|piece| piece.contains(in_word)).map(str::to_lowercase).collect()
}

/// The words of a passage, with `_` where its twins differ.
fn masked([negative, positive]: [&Document; 2]) -> Vec<String> {
    let (negative, positive) = (words(&negative.text), words(&positive.text));
    negative.into_iter().zip(positive).map(|(a, b)| if a == b { a } else { "_".into() }).collect()
}

/// The pieces in which two twins differ.
fn differences<'d>([negative, positive]: [&'d Document; 2]) -> Vec<(&'d str, &'d str)> {
    let (a, b) = (pieces(&negative.text), pieces(&positive.text));
    assert_eq!(a.len(), b.len(), "{}\n{}", negative.text, positive.text);
    a.into_iter().zip(b).filter(|(a, b)| a != b).collect()
}

/// A document's metadata as a text.
fn about<'d>(document: &'d Document, key: &str) -> &'d str {
    document.metadata[key].as_str().unwrap()
}

#[test]
fn every_question_is_answered_by_two_twins_of_one_fictional_passage() {
    for (name, set) in all() {
        assert_eq!(set.corpus.len(), 2 * set.questions.len(), "{name}");
        let mut pairs = BTreeSet::new();
        for (question, [negative, positive]) in twins(&set) {
            let leans = [negative, positive].map(|twin| twin.gold_lean().unwrap().unwrap());
            assert_eq!(leans, [Lean::Negative, Lean::Positive], "{name} {}", question.id);
            assert_eq!(about(negative, "pair"), about(positive, "pair"));
            assert!(pairs.insert(about(negative, "pair")), "{name}: a pair of two questions");
            for twin in [negative, positive] {
                assert_eq!(about(twin, "topic"), question.topic.as_deref().unwrap());
                assert_eq!(twin.metadata["fictional"], true);
                assert!(!twin.text.contains(['{', '}']), "{}", twin.text);
            }
        }
    }
}

#[test]
fn neither_pole_always_comes_first_in_the_corpus() {
    for (name, set) in all() {
        let first = set.corpus.documents().iter().step_by(2);
        let share = first.filter(|d| d.gold_lean().unwrap() == Some(Lean::Negative)).count() as f64
            / set.questions.len() as f64;
        assert!((0.4..=0.6).contains(&share), "{name}: {share}");
    }
}

#[test]
fn there_are_questions_and_fields_enough_for_a_verdict() {
    for (name, set) in all() {
        let fields: BTreeSet<_> = set.questions.questions().iter().map(Question::cluster).collect();
        let (questions, least) = if name == "gender-twins" { (1000, 100) } else { (300, 30) };
        assert!(set.questions.len() >= questions && fields.len() >= least, "{name}");
        let texts: BTreeSet<_> = set.questions.questions().iter().map(|q| &q.text).collect();
        assert_eq!(texts.len(), set.questions.len(), "{name}: a question is there twice");
    }
}

#[test]
fn two_fifths_of_the_fields_are_for_training_a_fifth_for_validation_and_two_fifths_for_the_test() {
    for (name, set) in all() {
        for (split, expected) in [(Split::Train, 0.4), (Split::Validation, 0.2), (Split::Test, 0.4)] {
            let share = set.split(split).unwrap().len() as f64 / set.questions.len() as f64;
            assert!((share - expected).abs() < 0.03, "{name} {}: {share}", split.name());
        }
    }
}

/// So their texts are equal once those words are masked, and no classifier of the masked texts can tell them apart.
#[test]
fn twins_differ_in_the_words_of_their_axis_alone() {
    for (name, pairs, set) in word_by_word() {
        for (question, twins) in twins(&set) {
            let named = twins
                .map(|twin| twin.metadata.get("name").and_then(|name| name.as_str()).unwrap_or_default());
            let named: Vec<_> = pieces(named[0]).into_iter().zip(pieces(named[1])).collect();
            let different = differences(twins);
            assert!(!different.is_empty(), "{name} {}: its twins are equal", question.id);
            for pair in different {
                let fits = pairs.contains(&pair) || named.contains(&pair);
                assert!(fits, "{name} {}: {pair:?}\n{}\n{}", question.id, twins[0].text, twins[1].text);
            }
        }
    }
}

#[test]
fn nothing_but_the_slots_shows_the_pole() {
    const OTHERS: &[(&str, &str)] = &[
        (
            "gender-twins",
            "man men woman women boy girl boys girls father mother husband wife son daughter brother sister uncle aunt \
            lady gentleman widow widower actress waitress nun monk bride groom grandfather grandmother",
        ),
        (
            "religion-twins",
            "god allah jesus muhammad prophet mass priest nun monk bishop chapel cathedral christmas",
        ),
        ("nationality-twins", "dollar english french hockey maple"),
        ("age-twins", "retired pensioner student teenager grandchild grandchildren"),
    ];
    for ((name, pairs, set), (of, others)) in word_by_word().zip(OTHERS) {
        assert_eq!(name, *of);
        let marked: BTreeSet<String> = (pairs.iter().flat_map(|&(a, b)| [a, b]))
            // What is of a day, a repair or a thing is of neither pole.
            .filter(|word| !["Sunday", "Friday", "service", "old"].contains(word))
            .chain(others.split_whitespace())
            .map(str::to_lowercase)
            .collect();
        for (question, twins) in twins(&set) {
            let slots: BTreeMap<&str, &str> = differences(twins).into_iter().collect();
            let kept = pieces(&twins[0].text).into_iter().filter(|piece| !slots.contains_key(piece));
            let found: Vec<_> = kept
                .chain(pieces(&question.text))
                .filter(|word| marked.contains(&word.to_lowercase()))
                .collect();
            assert!(found.is_empty(), "{name} {}: {found:?}\n{}", question.id, twins[0].text);
        }
    }
}

#[test]
fn the_names_of_gender_twins_are_of_one_gender_and_family_names_of_none() {
    let list = |pole: &str| -> BTreeSet<String> {
        let path = format!("{}/../../corpora/lexicons/gender/names_{pole}.txt", env!("CARGO_MANIFEST_DIR"));
        fs_err::read_to_string(path).unwrap().split_whitespace().map(str::to_owned).collect()
    };
    let (male, female) = (list("male"), list("female"));
    let set = Dataset::bundled("gender-twins").unwrap();
    let mut pairs = BTreeSet::new();
    for (question, [man, woman]) in twins(&set) {
        let [m, w] = [man, woman].map(|twin| about(twin, "name").split_once(' ').unwrap());
        assert!(male.contains(&m.0.to_lowercase()) && female.contains(&w.0.to_lowercase()), "{m:?} {w:?}");
        assert!(
            m.1 == w.1 && !male.contains(&m.1.to_lowercase()) && !female.contains(&m.1.to_lowercase()),
            "{m:?}"
        );
        for twin in [man, woman] {
            assert!(twin.text.contains(about(twin, "name")), "{}", twin.text);
        }
        let choices = question.choices.as_ref().unwrap();
        assert_eq!(
            [choices.negative.as_str(), &choices.positive],
            [about(man, "name"), about(woman, "name")]
        );
        pairs.insert((m.0, w.0));
    }
    assert!(pairs.len() >= 60, "{} pairs of first names", pairs.len());
}

#[test]
fn exchanging_the_poles_exchanges_the_twins_and_exchanging_them_twice_gives_the_texts_back() {
    let axis = load_axis("nationality").unwrap();
    let mut reversed = axis.clone();
    (reversed.negative, reversed.positive) = (axis.positive.clone(), axis.negative.clone());
    let texts = |axis| {
        let set = Dataset::bundled_on("nationality-twins", axis).unwrap();
        twins(&set).map(|(_, twins)| twins.map(|twin| twin.text.clone())).collect::<Vec<_>>()
    };
    let (once, twice) = (texts(&axis), texts(&reversed));
    assert_eq!(once, twice.into_iter().map(|[a, b]| [b, a]).collect::<Vec<_>>());
}

#[test]
fn an_axis_names_any_two_countries_and_no_others() {
    let mut axis = load_axis("nationality").unwrap();
    axis.positive.name = "Kenyan".into();
    let set = Dataset::bundled_on("nationality-twins", &axis).unwrap();
    let text = |word: &str| set.corpus.documents().iter().filter(|d| d.text.contains(word)).count();
    assert!(text("Kenyan") > 250 && text("Nairobi") > 100 && text("Korea") == 0);
    axis.positive.name = "Martian".into();
    let error = Dataset::bundled_on("nationality-twins", &axis).unwrap_err().to_string();
    assert!(error.contains("its labels are from Canadian to Korean"), "{error}");
    let error = Dataset::bundled_on("age-twins", &axis).unwrap_err().to_string();
    assert!(error.contains("its labels are from young to old"), "{error}");
}

#[test]
fn passages_are_equally_long_in_every_field() {
    for (name, _, set) in word_by_word() {
        let mut fields = BTreeMap::<_, Vec<usize>>::new();
        for document in set.corpus.documents() {
            let n = document.text.split_whitespace().count();
            assert!((40..=80).contains(&n), "{name} {}: {n} words", document.id);
            fields.entry(about(document, "topic")).or_default().push(n);
        }
        let mean = |lengths: &[usize]| lengths.iter().sum::<usize>() as f64 / lengths.len() as f64;
        let all: Vec<usize> = fields.values().flatten().copied().collect();
        for (field, lengths) in &fields {
            let ratio = mean(lengths) / mean(&all);
            assert!((0.85..=1.15).contains(&ratio), "{name} {field}: {ratio:.2} of the mean length");
        }
    }
}

#[test]
fn no_field_has_one_sentence_pattern() {
    for (name, _, set) in word_by_word() {
        let mut fields = BTreeMap::<_, Vec<_>>::new();
        for (question, twins) in twins(&set) {
            let words = masked(twins);
            let slot = words.iter().position(|word| word == "_").unwrap();
            let asked = question.text.split(' ').nth(1).unwrap().to_owned();
            fields.entry(question.cluster()).or_default().push((words[..2].join(" "), slot, asked));
        }
        for (field, of) in fields {
            let openings: BTreeSet<_> = of.iter().map(|(opening, _, _)| opening).collect();
            let slots: BTreeSet<_> = of.iter().map(|(_, slot, _)| slot).collect();
            let asked: BTreeSet<_> = of.iter().map(|(_, _, asked)| asked).collect();
            let counts = [openings.len(), slots.len(), asked.len()];
            assert!(counts.iter().all(|n| 2 * n >= of.len()), "{name} {field}: {counts:?} of {}", of.len());
        }
    }
}

/// Exact, so that no hash is needed: passages that share no run of five words are not compared.
#[test]
fn no_two_passages_share_half_of_their_runs_of_five_words() {
    for (name, set) in all() {
        let runs: Vec<BTreeSet<Vec<String>>> = twins(&set)
            .map(|(_, [one, other])| {
                let text = if OF_RETRIEVAL.contains(&name) { words(&one.text) } else { masked([one, other]) };
                text.windows(5).map(<[String]>::to_vec).collect()
            })
            .collect();
        let mut holders = HashMap::<_, Vec<usize>>::new();
        for (passage, runs) in runs.iter().enumerate() {
            runs.iter().for_each(|run| holders.entry(run).or_default().push(passage));
        }
        let mut shared = HashMap::new();
        for passages in holders.values() {
            for (place, &a) in passages.iter().enumerate() {
                passages[place + 1..].iter().for_each(|&b| *shared.entry((a, b)).or_insert(0) += 1);
            }
        }
        for ((a, b), n) in shared {
            let jaccard = f64::from(n) / (runs[a].len() + runs[b].len()) as f64;
            assert!(jaccard < 1.0 / 3.0, "{name}: {} and {}", set.questions.questions()[a].id, b);
        }
    }
}

#[test]
fn twins_of_retrieval_hold_the_same_answer() {
    let sentences =
        |text: &str| -> Vec<String> { text.split_inclusive(". ").map(|s| s.trim().to_owned()).collect() };
    let set = |name| Dataset::bundled(name).unwrap();
    let (brevity, position, wording) = (set("brevity"), set("position"), set("wording"));
    for (((_, [padded, brief]), (_, [late, early])), (_, [other, same])) in
        twins(&brevity).zip(twins(&position)).zip(twins(&wording))
    {
        let answer = brief.text.as_str();
        assert!(padded.text.contains(&format!(" {answer} ")), "{}", padded.text);
        assert!(late.text.ends_with(answer) && early.text.starts_with(answer), "{}", late.text);
        let sorted = |text: &str| sentences(text).into_iter().collect::<BTreeSet<_>>();
        assert_eq!(sorted(&late.text), sorted(&early.text));
        assert_eq!(padded.text, same.text);
        let (before, after) = padded.text.split_once(answer).unwrap();
        let paraphrase = other.text.strip_prefix(before).and_then(|text| text.strip_suffix(after)).unwrap();
        let (n, m) = (paraphrase.split(' ').count(), answer.split(' ').count());
        assert!(paraphrase != answer && n.abs_diff(m) <= 3, "{paraphrase}");
    }
}

#[test]
fn an_exported_set_is_read_back_as_it_was() {
    for name in ["gender-twins", "politics", "brevity"] {
        let folder = tempfile::tempdir().unwrap();
        Dataset::export_bundled(name, folder.path()).unwrap();
        let (read, bundled) =
            (Dataset::read(folder.path(), None, &Silent).unwrap(), Dataset::bundled(name).unwrap());
        assert_eq!(read.corpus.documents(), bundled.corpus.documents());
        assert_eq!(read.questions.questions(), bundled.questions.questions());
        assert_eq!((&read.info, &read.qrels), (&bundled.info, &bundled.qrels));
    }
}
