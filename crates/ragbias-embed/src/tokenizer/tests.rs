//! Token ids beside those of transformers.

#[path = "../../tests/checkpoints/files.rs"]
mod files;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use self::files::{Files, write_files};
use super::*;
use crate::files::read_json;

/// `token_ids.json`, made by scripts/reference/token_ids.py with transformers 5.24.0.
#[derive(Deserialize)]
struct Fixture {
    /// Accents, case, scripts, emoji, control characters, long words, special tokens in a text, white space at both ends.
    texts: Vec<String>,
    classes: BTreeMap<String, Folders>,
}

/// The folders of a class.
#[derive(Deserialize)]
struct Folders {
    files: Files,
    ids: Vec<Vec<u32>>,
    variants: BTreeMap<String, Variant>,
}

#[derive(Deserialize)]
struct Variant {
    files: Files,
    /// Ids of the texts, by number, that differ from those of the class.
    #[serde(default)]
    ids: BTreeMap<usize, Vec<u32>>,
    refused: Option<String>,
}

/// Folders that transformers reads, and that are refused here, with the error.
const REFUSED: [(&str, &str); 17] = [
    // transformers takes a vocabulary of its special tokens alone, without a word.
    ("DistilBertTokenizer/no-tokenizer-json", "no tokenizer.json in this folder"),
    ("RobertaTokenizer/no-tokenizer-json", "no tokenizer.json in this folder"),
    ("XLMRobertaTokenizer/no-tokenizer-json", "no tokenizer.json in this folder"),
    ("Qwen2Tokenizer/no-tokenizer-json", "no tokenizer.json in this folder"),
    ("GemmaTokenizer/no-tokenizer-json", "no tokenizer.json in this folder"),
    ("Qwen2Tokenizer/split-special-tokens", "split_special_tokens is `true`, expected false"),
    ("DistilBertTokenizer/split-special-tokens", "split_special_tokens is `true`, expected false"),
    ("MPNetTokenizer/split-special-tokens", "split_special_tokens is `true`, expected false"),
    ("RobertaTokenizer/split-special-tokens", "split_special_tokens is `true`, expected false"),
    ("XLMRobertaTokenizer/split-special-tokens", "split_special_tokens is `true`, expected false"),
    // transformers takes the vocabulary of a model of another kind as if it were its own.
    ("DistilBertTokenizer/byte-pairs", "the tokenizer's model is `BPE`, expected WordPiece"),
    ("MPNetTokenizer/byte-pairs", "the tokenizer's model is `BPE`, expected WordPiece"),
    ("Qwen2Tokenizer/word-pieces", "the tokenizer's model is `WordPiece`, expected BPE"),
    ("RobertaTokenizer/word-pieces", "the tokenizer's model is `WordPiece`, expected BPE"),
    ("XLMRobertaTokenizer/other-unknown-id", "unk_id is `Some(0)`, expected 3"),
    // Merges with a prefix that is not in the vocabulary.
    ("RobertaTokenizer/prefix", "tokenizer.json: "),
    // transformers takes null for false.
    ("XLMRobertaTokenizer/space-first-null", "add_prefix_space is `null`, expected true or false"),
];

fn fixture() -> Fixture {
    serde_json::from_slice(include_bytes!("../../tests/fixtures/token_ids.json")).unwrap()
}

impl Folders {
    fn make(&self, changes: &Files) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        write_files(folder.path(), &self.files, changes);
        folder
    }
}

fn load(folder: &Path) -> Result<(TextTokenizer, Source)> {
    load_with(folder, None)
}

fn load_with(folder: &Path, max_seq_length: Option<usize>) -> Result<(TextTokenizer, Source)> {
    let config: Value = read_json(&folder.join("config.json"))?;
    let class = config["tokenizer_class"].as_str();
    let wanted = Wanted {
        class,
        max_seq_length,
        do_lower_case: false,
        positions: 1000,
        usual_length: 1000,
        pads_anywhere: true,
    };
    TextTokenizer::read(folder, &wanted)
}

/// Loads a folder, and tokenises every text.
fn ids(folder: &Path, texts: &[String]) -> Result<Vec<Vec<u32>>> {
    let (tokenizer, _) = load(folder)?;
    texts.iter().enumerate().map(|(row, text)| tokenizer.ids(row, "", text)).collect()
}

#[test]
fn token_ids_of_every_class_are_those_of_transformers() {
    let fixture = fixture();
    let (mut compared, mut wrong) = (0, Vec::new());
    for (class, folders) in &fixture.classes {
        assert_eq!(ids(folders.make(&Files::new()).path(), &fixture.texts).unwrap(), folders.ids, "{class}");
        for (name, variant) in &folders.variants {
            let name = format!("{class}/{name}");
            if variant.refused.is_some() || REFUSED.iter().any(|(refused, _)| *refused == name) {
                continue;
            }
            let ours = match ids(folders.make(&variant.files).path(), &fixture.texts) {
                Ok(ours) => ours,
                Err(error) => {
                    wrong.push(format!("{name}: {error}"));
                    continue;
                }
            };
            for (row, ours) in ours.iter().enumerate() {
                let expected = variant.ids.get(&row).unwrap_or(&folders.ids[row]);
                if ours != expected {
                    wrong.push(format!("{name}: {:?}\n  {ours:?}\n  {expected:?}", fixture.texts[row]));
                }
            }
            compared += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared >= 140, "{compared} folders");
}

#[test]
fn tokenizers_that_transformers_refuses_are_refused_with_their_file() {
    let fixture = fixture();
    let mut refused = 0;
    for (class, folders) in &fixture.classes {
        for (name, variant) in &folders.variants {
            let Some(reason) = &variant.refused else { continue };
            let folder = folders.make(&variant.files);
            let result = ids(folder.path(), &fixture.texts);
            let error = result.expect_err(&format!("{class}/{name}: transformers says {reason}")).to_string();
            assert!(error.contains(folder.path().to_str().unwrap()), "{class}/{name}: {error}");
            refused += 1;
        }
    }
    assert!(refused >= 11, "{refused} folders");
}

#[test]
fn tokenizers_that_transformers_reads_by_chance_are_refused_by_name() {
    let fixture = fixture();
    for (place, expected) in REFUSED {
        let (class, name) = place.split_once('/').unwrap();
        let folders = &fixture.classes[class];
        let error = load(folders.make(&folders.variants[name].files).path()).err().expect(place).to_string();
        assert!(error.contains(expected), "{place}: {error}");
    }
}

#[test]
fn settings_that_replace_parts_of_a_tokenizer_are_refused_by_name() {
    let folders = &fixture().classes["RobertaTokenizer"];
    for (key, value) in [
        ("vocab", json!({"the": 0})),
        ("merges", json!([["t", "h"]])),
        ("fast_tokenizer_files", json!(["tokenizer.4.0.0.json"])),
        ("auto_map", json!({"AutoTokenizer": ["own.Tokenizer", null]})),
    ] {
        let change = json!({"$merge": {key: value}});
        let folder = folders.make(&Files::from([("tokenizer_config.json".to_owned(), change)]));
        let error = load(folder.path()).err().expect(key).to_string();
        assert!(error.contains("tokenizer_config.json") && error.contains(&format!("{key} is")), "{error}");
    }
    let dropout = Files::from([
        ("tokenizer.json".to_owned(), json!({"$merge": {"model": {"dropout": 0.1}}})),
        ("tokenizer_config.json".to_owned(), json!({"$merge": {"tokenizer_class": "TokenizersBackend"}})),
    ]);
    let error = load(folders.make(&dropout).path()).err().unwrap().to_string();
    assert!(error.contains("tokenizer.json: dropout is `0.1`"), "{error}");
    for class in ["Qwen2Tokenizer", "PreTrainedTokenizerFast"] {
        let own = json!({"$merge": {"tokenizer_class": class, "add_eos_token": true}});
        let ends = Files::from([
            ("tokenizer.json".to_owned(), json!({"$merge": {"post_processor": null}})),
            ("tokenizer_config.json".to_owned(), own),
        ]);
        let error = load(folders.make(&ends).path()).err().expect(class).to_string();
        assert!(error.contains("tokenizer_config.json: add_eos_token is `true`"), "{error}");
    }
    let unknown = Files::from([
        ("config.json".to_owned(), json!({"model_type": "roformer"})),
        ("tokenizer_config.json".to_owned(), Value::Null),
    ]);
    let error = load(folders.make(&unknown).path()).err().unwrap().to_string();
    assert!(error.contains("config.json: model_type is `roformer`"), "{error}");
}

#[test]
fn a_saved_tokenizer_json_has_the_same_ids_when_it_is_read_alone() {
    let fixture = fixture();
    for (class, folders) in &fixture.classes {
        for name in
            ["space-first", "no-listed-tokens", "other-ends", "extra-tokens", "other-start", "no-template"]
        {
            let Some(variant) = folders.variants.get(name) else { continue };
            let folder = folders.make(&variant.files);
            let (tokenizer, _) = load(folder.path()).unwrap();
            let saved = tokenizer.to_json(folder.path()).unwrap();
            let alone = Tokenizer::from_bytes(saved).unwrap();
            for (row, text) in fixture.texts.iter().enumerate() {
                let encoding = alone.encode(text.as_str(), true).unwrap();
                assert_eq!(
                    encoding.get_ids(),
                    tokenizer.ids(row, "", text).unwrap(),
                    "{class}/{name}: {text:?}"
                );
            }
        }
    }
}

#[test]
fn parts_of_a_tokenizer_that_are_not_from_its_file_are_part_of_the_id() {
    let fixture = fixture();
    let changes = |class: &str, name: Option<&str>| {
        let folders = &fixture.classes[class];
        let files = name.map(|name| folders.variants[name].files.clone()).unwrap_or_default();
        load(folders.make(&files).path()).unwrap().1.changes
    };
    for class in ["MPNetTokenizer", "RobertaTokenizer"] {
        assert_eq!(changes(class, None), "", "{class}");
        for name in ["parts-of-the-file", "mask-by-decoder", "other-ends"] {
            assert_ne!(changes(class, Some(name)), "", "{class}/{name}");
        }
    }
    assert_ne!(changes("MPNetTokenizer", Some("model-settings")), "");
    assert_ne!(changes("RobertaTokenizer", Some("unknown-token")), "");
}

#[test]
fn settings_of_a_vocabulary_without_tokenizer_json_are_part_of_the_id() {
    for (class, name) in [("DistilBertTokenizer", "vocabulary-alone"), ("RobertaTokenizer", "pair")] {
        let folders = &fixture().classes[class];
        let changes = |settings: Value| {
            let mut files = folders.variants[name].files.clone();
            files.insert("tokenizer_config.json".to_owned(), json!({"$merge": settings}));
            load(folders.make(&files).path()).unwrap().1.changes
        };
        let all = [
            json!({}),
            json!({"do_lower_case": false, "add_prefix_space": true}),
            json!({"mask_token": "the"}),
        ];
        let all = all.map(changes);
        assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2], "{class}: {all:?}");
    }
}

#[test]
fn of_a_long_text_the_tokens_are_those_of_the_whole() {
    let fixture = fixture();
    let words = |count: usize| "the council met, in the OLD hall — 1903 notes\n".repeat(count);
    // White space longer than what is read beyond the tokens, of an odd and of an even number of bytes.
    let spaces = |count: usize| format!("the mill{}by the sea", " ".repeat(count));
    for (class, folders) in &fixture.classes {
        for side in ["right", "left"] {
            let side = json!({"$merge": {"truncation_side": side}});
            let folder = folders.make(&Files::from([("tokenizer_config.json".to_owned(), side.clone())]));
            let (tokenizer, _) = load_with(folder.path(), Some(64)).unwrap();
            // Gemma's spaces are part of words.
            assert_eq!(tokenizer.splits_words, class != "GemmaTokenizer");
            for text in [words(20), words(3000), spaces(90_000), spaces(90_001), spaces(200_000)] {
                let ours = tokenizer.ids(0, " note ", &text).unwrap();
                let whole = long::whole(&tokenizer.tokenizer, 0, " note ", &text).unwrap();
                assert_eq!(ours, whole.get_ids(), "{class}, {side}: {} bytes", text.len());
            }
        }
    }
}

#[test]
fn no_changed_byte_of_a_vocabulary_ends_in_a_panic() {
    let fixture = fixture();
    let folders = [
        ("MPNetTokenizer", "vocabulary-alone", "vocab.txt"),
        ("RobertaTokenizer", "pair", "vocab.json"),
        ("RobertaTokenizer", "pair", "merges.txt"),
        ("RobertaTokenizer", "fast", "tokenizer.json"),
        ("RobertaTokenizer", "decoder-of-all", "tokenizer_config.json"),
    ];
    for (class, name, file) in folders {
        let folders = &fixture.classes[class];
        let folder = folders.make(&folders.variants[name].files);
        let path = folder.path().join(file);
        let whole = fs_err::read(&path).unwrap();
        let mut read = 0;
        for at in (0..whole.len()).step_by(whole.len() / 60 + 1) {
            for byte in [b'"', b'9', b' ', b'\n', 0xff] {
                let mut changed = whole.clone();
                changed[at] = byte;
                fs_err::write(&path, &changed).unwrap();
                match ids(folder.path(), &fixture.texts) {
                    Ok(_) => read += 1,
                    Err(Error::Tokenise { .. }) => {}
                    Err(error) => {
                        let error = error.to_string();
                        assert!(
                            error.contains(folder.path().to_str().unwrap()),
                            "{file}, byte {at}: {error}"
                        );
                    }
                }
            }
        }
        assert!(read > 0, "{class}/{name}: no changed file was read");
    }
}
