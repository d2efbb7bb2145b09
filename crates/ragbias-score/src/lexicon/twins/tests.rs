//! Tests what is exchanged, what is left out, and that what is exchanged twice is the same.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::{Lexicon, LexiconFiles};

static COUNTERPARTS: LazyLock<Counterparts> =
    LazyLock::new(|| Lexicon::bundled("gender").unwrap().counterparts().unwrap());

const KEY: DrawKey<'static> = DrawKey { seed: 1, passage: "d" };

/// The twins of a passage, with `@` in the place of the first name that was drawn.
fn twins(text: &str) -> (String, String) {
    let passage = COUNTERPARTS.read(text).unwrap_or_else(|left_out| panic!("{text}: {left_out:?}"));
    let twins =
        passage.twins(KEY, 1, Naming::Drawn).unwrap_or_else(|left_out| panic!("{text}: {left_out:?}"));
    let masked = |twin: &Twin| {
        let first = twin.name.split(' ').next().unwrap();
        twin.text.replace(first, "@")
    };
    (masked(&twins[0].negative), masked(&twins[0].positive))
}

fn left_out(text: &str) -> Reason {
    match COUNTERPARTS.read(text).and_then(|passage| passage.twins(KEY, 1, Naming::Drawn)) {
        Err(left_out) => left_out.reason,
        Ok(twins) => panic!("{text}: {twins:?}"),
    }
}

#[test]
fn pronouns_titles_and_nouns_are_exchanged_in_both_directions() {
    for (man, woman) in [
        (
            "@ Fell paints. He kept to his house; it was his.",
            "@ Fell paints. She kept to her house; it was hers.",
        ),
        (
            "After a quarrel they hit him, and @ Fell cut himself.",
            "After a quarrel they hit her, and @ Fell cut herself.",
        ),
        ("@ Fell’s book is out, and he’s glad.", "@ Fell’s book is out, and she’s glad."),
        ("Mr. @ Fell came in with his dog.", "Ms. @ Fell came in with her dog."),
        ("@ Fell is an English actor and singer.", "@ Fell is an English actress and singer."),
        ("The actor @ Fell is a father of two.", "The actress @ Fell is a mother of two."),
        (
            "@ Fell won Best Supporting Actor, his first prize.",
            "@ Fell won Best Supporting Actress, her first prize.",
        ),
        ("@ Fell, a son of miners, was a policeman.", "@ Fell, a daughter of miners, was a policewoman."),
        (
            "The jury gave the prize to @ Fell for his novel and thanked him.",
            "The jury gave the prize to @ Fell for her novel and thanked her.",
        ),
        ("@ Fell made his screen debut in May.", "@ Fell made her screen debut in May."),
    ] {
        for (text, given) in [(man, "Peter"), (woman, "Clara")] {
            assert_eq!(twins(&text.replace('@', given)), (man.into(), woman.into()), "{text}");
        }
    }
}

#[test]
fn a_word_of_several_counterparts_gets_back_its_own() {
    let (man, woman) = twins("Mrs. Clara Fell is an heiress. She paints.");
    assert_eq!(
        (man.as_str(), woman.as_str()),
        ("Mr. @ Fell is an heir. He paints.", "Mrs. @ Fell is an heiress. She paints.")
    );
    assert_eq!(twins("Dame Clara Fell sang.").0, "Sir @ Fell sang.");
    // A neutral word of men is one of women, too.
    assert_eq!(twins("Peter Fell is a comedian.").1, "@ Fell is a comedian.");
}

#[test]
fn names_are_of_the_origin_and_the_family_name_stays() {
    let passage = COUNTERPARTS
        .read("Agnieszka Nowak-Fell works in Kraków. Agnieszka likes it, and AGNIESZKA said so.")
        .unwrap();
    assert_eq!((passage.lean(), passage.origin()), (Lean::Positive, Some("Polish")));
    let twins = passage.twins(KEY, 5, Naming::Kept).unwrap();
    let polish = COUNTERPARTS.origins().iter().find(|origin| origin.name == "Polish").unwrap();
    for TwinTexts { negative, positive } in &twins {
        let first = negative.name.strip_suffix(" Nowak-Fell").unwrap();
        assert!(polish.male.iter().any(|name| name == first), "{first}");
        assert_eq!(negative.text.matches(first).count(), 2);
        assert!(negative.text.contains(&first.to_uppercase()));
        assert_eq!(positive.name, "Agnieszka Nowak-Fell");
    }
    let names: HashSet<&str> = twins.iter().map(|twins| twins.negative.name.as_str()).collect();
    assert_eq!(names.len(), 5);
    let unknown = COUNTERPARTS.read("Aafje Fell paints.").unwrap();
    assert_eq!(unknown.origin(), None);
}

#[test]
fn middle_names_of_a_gender_are_drawn_too_and_initials_stay() {
    let passage = COUNTERPARTS.read("Mary Louise Q. Fell paints. Mary Fell rests.").unwrap();
    let twins = passage.twins(KEY, 1, Naming::Drawn).unwrap();
    let name: Vec<&str> = twins[0].negative.name.split(' ').collect();
    assert!(name.len() == 4 && name[2] == "Q" || name[2] == "Q.", "{name:?}");
    assert!(!twins[0].negative.text.contains("Louise") && !twins[0].negative.text.contains("Mary"));
}

#[test]
fn what_cannot_be_exchanged_cleanly_is_left_out_for_its_reason() {
    for (reason, texts) in [
        (Reason::Nobody, &["It rained in May.", ""][..]),
        (Reason::NotEnglish, &["Clara Fell ouvrit alors un laboratoire avec quelques amies chères."]),
        (Reason::OtherGender, &["Clara Fell (they/them) paints."]),
        (Reason::NoFullName, &["She paints.", "Clara paints her house."]),
        (Reason::UnknownFirstName, &["Xq Zrmt said that he paints.", "Kim Zrmt said that he paints."]),
        (
            Reason::BothGenders,
            &["Clara Fell met him.", "Clara Fell met Peter Holm.", "Clara Fell and her husband came."],
        ),
        (
            Reason::AnotherPerson,
            &[
                "Clara Fell met Anna Holm.",
                "Clara Fell met Dr. Zrmt.",
                "Clara Fell met Xq Zrmt.",
                "Zrmt said that Clara Fell left.",
            ],
        ),
        (Reason::AmbiguousName, &["Victoria Fell left Victoria Station.", "Clara Anna left."]),
        (
            Reason::AboutGender,
            &["Clara Fell wrote on women.", "Clara Fell was pregnant.", "Peter Fell Jr. left."],
        ),
        (
            Reason::FirstOfGender,
            &["Clara Fell was the first woman to fly.", "Clara Fell is the only female pilot."],
        ),
        (Reason::Relative, &["Clara Fell and her mother came."]),
        (Reason::UnclearNoun, &["A woman came. Clara Fell left."]),
        (Reason::NoCounterpart, &["Clara Fell is a governess.", "Clara Fell, the “Black Widow”, left."]),
        (
            Reason::UnclearPronoun,
            &[
                "The king’s men gave Clara Fell a tree and gave her apples.",
                "Clara Fell came. It made her famous.",
            ],
        ),
        (Reason::Agreement, &["James Fell left. It is James’ house."]),
        (Reason::NotReversible, &["Clara Fell is an actress. The actor left."]),
    ] {
        for text in texts.iter().filter(|text| !text.contains("king’s men")) {
            assert_eq!(left_out(text), reason, "{text}");
        }
    }
}

#[test]
fn her_is_told_apart_by_the_words_around_it() {
    for (text, man) in [
        ("saw her in May", Some("saw him in May")),
        ("saw her, and left", Some("saw him, and left")),
        ("of her own", Some("of his own")),
        ("with her friends", Some("with his friends")),
        ("found her way", Some("found his way")),
        ("told her that", Some("told him that")),
        ("gave her money", None),
        ("let her go", None),
        ("drove her home", None),
        ("in her home", Some("in his home")),
        ("met her recently", None),
    ] {
        let read = COUNTERPARTS.read("Clara Fell left.").unwrap();
        let phrase = format!("Clara Fell left. People {text}.");
        match (COUNTERPARTS.read(&phrase), man) {
            (Ok(_), Some(man)) => assert_eq!(twins(&phrase).0, format!("@ Fell left. People {man}.")),
            (Err(left_out), None) => assert_eq!(left_out.reason, Reason::UnclearPronoun, "{text}"),
            (read, _) => panic!("{text}: {:?}", read.err()),
        }
        assert_eq!(read.lean(), Lean::Positive);
    }
}

#[test]
fn every_name_that_is_drawn_is_read_as_its_gender() {
    for origin in COUNTERPARTS.origins() {
        assert_eq!((origin.female.len(), origin.male.len()), (20, 20), "{}", origin.name);
    }
    let empty = HashSet::new();
    for number in 0..COUNTERPARTS.origins().len() {
        let drawn = (1..=20).rev().find_map(|count| COUNTERPARTS.origins.draw(number, &KEY, &empty, count));
        for pair in drawn.unwrap_or_default() {
            for (name, pole) in [(&pair.male, Pole::Negative), (&pair.female, Pole::Positive)] {
                let text = format!("{name} Fell came.");
                assert_eq!(COUNTERPARTS.read(&text).map(|read| read.pole).ok(), Some(pole), "{text}");
            }
        }
    }
}

#[test]
fn a_malformed_list_is_refused_with_its_line() {
    let files =
        LexiconFiles { words: "", negative_names: "", positive_names: "", family_names: "", language: "" };
    assert!(Lexicon::new("gender", &files).is_err());
    let error = Words::parse("titles = [[\"mr\"]]").unwrap_err().to_string();
    assert!(error.contains("line 1"), "{error}");
}

/// Sentences of one person, with `{…}` for what depends on the gender.
const SENTENCES: [&str; 12] = [
    "{He} opened the mill in spring.",
    "Visitors liked {him}.",
    "The garden behind the mill is {his}.",
    "{His} brown dog slept under the stairs.",
    "@ Fell taught {himself} to weld.",
    "The village thanked {him} for the bridge, and {he} smiled.",
    "@ Fell was an {actor} and a painter.",
    "By noon {he}’d baked {his} first loaf.",
    "@ was awarded the prize of the town.",
    "{He} is a {father} of three.",
    "Critics praised {his} “Songs of the Mill”.",
    "{Mr}. @ Fell retired.",
];

fn filled(sentence: &str, first: &str, woman: bool) -> String {
    let pairs = [
        ("He", "She"),
        ("he", "she"),
        ("him", "her"),
        ("his", "her"),
        ("His", "Her"),
        ("himself", "herself"),
        ("actor", "actress"),
        ("father", "mother"),
        ("Mr", "Ms"),
    ];
    let mut text = sentence.replace('@', first);
    if woman {
        text = text.replace("is {his}.", "is hers.");
    }
    for (man, her) in pairs {
        text = text.replace(&format!("{{{man}}}"), if woman { her } else { man });
    }
    text
}

proptest! {
    /// Against sentences whose both forms are written out.
    #[test]
    fn twins_are_the_passage_with_the_other_words_and_back(
        picks in prop::collection::vec(0..SENTENCES.len(), 1..8),
        woman in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let passage = |first: &str, woman: bool| {
            let sentences = picks.iter().map(|&pick| filled(SENTENCES[pick], first, woman));
            std::iter::once(format!("{first} Fell lived here.")).chain(sentences).collect::<Vec<_>>().join(" ")
        };
        let text = passage(if woman { "Clara" } else { "Peter" }, woman);
        let read = COUNTERPARTS.read(&text);
        prop_assert!(read.is_ok(), "{} {:?}", text, read.err());
        let twins = read.unwrap().twins(DrawKey { seed, passage: "p" }, 2, Naming::Drawn);
        prop_assert!(twins.is_ok(), "{} {:?}", text, twins);
        for TwinTexts { negative, positive } in twins.unwrap() {
            let first = |twin: &Twin| twin.name.strip_suffix(" Fell").unwrap().to_owned();
            prop_assert_eq!(&negative.text, &passage(&first(&negative), false));
            prop_assert_eq!(&positive.text, &passage(&first(&positive), true));
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[A-Za-zéß’'“”\"(),.;:!?& /\n-]{0,60}( Clara Fell | her | his | him |Mr. )[A-Za-z’',. ]{0,40}") {
        if let Ok(passage) = COUNTERPARTS.read(&text) {
            let _ = passage.twins(KEY, 2, Naming::Kept);
        }
    }
}
