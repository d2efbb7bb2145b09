use std::collections::BTreeMap;

use candle_core::quantized::gguf_file::Value;

use super::*;
use crate::testing::write_gguf;

fn texts(texts: &[&str]) -> Value {
    Value::Array(texts.iter().map(|text| Value::String((*text).to_owned())).collect())
}

/// A file with nothing but a tokenizer.
struct Written(BTreeMap<String, Value>);

impl Written {
    fn sentence_piece() -> Self {
        let tokens = ["<unk>", "<s>", "</s>", "▁", "a", "b", "▁a", "ab", "<end_of_turn>", "<0x0A>"];
        let kinds = [2, 3, 3, 1, 1, 1, 1, 1, 1, 6];
        let scores = [0.0, 0.0, 0.0, -9.0, -9.0, -9.0, -1.0, -2.0, 0.0, 0.0];
        Self(BTreeMap::new())
            .set("model", Value::String("llama".into()))
            .set("tokens", texts(&tokens))
            .set("token_type", Value::Array(kinds.map(Value::I32).to_vec()))
            .set("scores", Value::Array(scores.map(Value::F32).to_vec()))
    }

    fn byte_level(pre: &str) -> Self {
        let tokens = ["<|endoftext|>", "a", "b", "Ġ", "1", "2", "3", "12", "123", ".", ".a", "ab"];
        let mut kinds = [1; 12];
        kinds[0] = 3;
        Self(BTreeMap::new())
            .set("model", Value::String("gpt2".into()))
            .set("pre", Value::String(pre.into()))
            .set("tokens", texts(&tokens))
            .set("token_type", Value::Array(kinds.map(Value::I32).to_vec()))
            .set("merges", texts(&["1 2", "12 3", ". a"]))
            .set("bos_token_id", Value::U32(0))
            .set("eos_token_id", Value::U32(0))
    }

    fn set(mut self, key: &str, value: Value) -> Self {
        self.0.insert(format!("tokenizer.ggml.{key}"), value);
        self
    }

    fn unset(mut self, key: &str) -> Self {
        self.0.remove(&format!("tokenizer.ggml.{key}"));
        self
    }

    fn load(&self) -> Result<Tokens> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        fs_err::write(&path, write_gguf(&self.0, [("a".to_owned(), vec![1], vec![0.0])])).unwrap();
        Tokens::load(&GgufFile::open(&path)?)
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        self.load().unwrap().encode(text).unwrap()
    }

    fn error(&self) -> String {
        self.load().err().unwrap().to_string()
    }
}

#[test]
fn sentence_piece_puts_bos_and_a_space_before_a_text_unless_the_file_says_otherwise() {
    let plain = Written::sentence_piece();
    assert_eq!(plain.encode("ab"), [1, 6, 5]);
    assert_eq!(plain.encode("<s>a"), [1, 6], "a BOS that is there already");
    let flag = |key, flag| Written::sentence_piece().set(key, Value::Bool(flag));
    assert_eq!(flag("add_bos_token", true).encode("ab"), [1, 6, 5]);
    assert_eq!(flag("add_bos_token", false).encode("ab"), [6, 5]);
    assert_eq!(flag("add_space_prefix", false).encode("ab"), [1, 7]);
    assert_eq!(Written::sentence_piece().set("bos_token_id", Value::U32(2)).encode("ab"), [2, 6, 5]);
}

/// As in llama.cpp for models named Phi-3.
#[test]
fn phi_3_drops_white_space_after_control_tokens() {
    let phi = |text| {
        let mut written = Written::sentence_piece();
        let tokens = ["<unk>", "<s>", "</s>", "▁", "a", "b", "▁a", "ab", "<|user|>", "<0x0A>"];
        let kinds = [2, 3, 3, 1, 1, 1, 1, 1, 3, 6];
        written = written.set("tokens", texts(&tokens));
        written = written.set("token_type", Value::Array(kinds.map(Value::I32).to_vec()));
        written = written.set("add_bos_token", Value::Bool(false));
        let plain = written.encode(text);
        written.0.insert("general.architecture".into(), Value::String("phi3".into()));
        [plain, written.encode(text)]
    };
    assert_eq!(phi("<|user|>\nab"), [vec![8, 3, 9, 7], vec![8, 6, 5]]);
    assert_eq!(phi("<|user|> \n ab</s> a"), [vec![8, 3, 3, 9, 6, 5, 2, 3, 6], vec![8, 6, 5, 2, 6]]);
    assert_eq!(phi("<s>\nab"), [vec![1, 3, 9, 7], vec![1, 3, 9, 7]]);
}

/// Of a vocabulary cut short; from transformers and llama.cpp (`scripts/reference/gguf_tokens.py`).
#[test]
fn qwen2_cuts_texts_as_transformers_does() {
    #[derive(serde::Deserialize)]
    struct Fixture {
        tokens: Vec<String>,
        /// The number of control tokens at the end.
        special: usize,
        merges: Vec<String>,
        cases: Vec<Case>,
    }
    #[derive(serde::Deserialize)]
    struct Case {
        text: String,
        ids: Vec<u32>,
    }
    let fixture: Fixture = serde_json::from_str(include_str!("fixtures/qwen2.json")).unwrap();
    let list = |list: &[String]| texts(&list.iter().map(String::as_str).collect::<Vec<_>>());
    let ordinary = fixture.tokens.len() - fixture.special;
    let kinds = (0..fixture.tokens.len()).map(|id| Value::I32(if id < ordinary { 1 } else { 3 }));
    let tokens = Written::byte_level("qwen2")
        .set("tokens", list(&fixture.tokens))
        .set("token_type", Value::Array(kinds.collect()))
        .set("merges", list(&fixture.merges))
        .load()
        .unwrap();
    assert!(fixture.cases.len() > 20);
    for Case { text, ids } in fixture.cases {
        assert_eq!(tokens.encode(&text).unwrap(), ids, "{text:?}");
    }
}

#[test]
fn byte_level_bpe_puts_bos_before_a_text_only_where_its_pre_tokenizer_does() {
    assert_eq!(Written::byte_level("smollm").encode("a"), [1]);
    assert_eq!(Written::byte_level("gpt-2").encode("a"), [1]);
    for pre in ["llama-bpe", "llama3", "llama-v3"] {
        assert_eq!(Written::byte_level(pre).encode("a"), [0, 1]);
        assert_eq!(Written::byte_level(pre).set("add_bos_token", Value::Bool(false)).encode("a"), [1]);
    }
    assert_eq!(Written::byte_level("smollm").set("add_bos_token", Value::Bool(true)).encode("a"), [0, 1]);
    let nothing = Written::byte_level("llama-bpe").unset("bos_token_id");
    assert!(nothing.error().contains("there is no tokenizer.ggml.bos_token_id"));
}

#[test]
fn pre_tokenizers_cut_as_their_names_say() {
    let encode = |pre| Written::byte_level(pre).set("add_bos_token", Value::Bool(false)).encode("123.a ab");
    assert_eq!(encode("gpt-2"), [8, 9, 1, 3, 1, 2]);
    assert_eq!(encode("smollm"), [4, 5, 6, 9, 1, 3, 1, 2], "digits are alone");
    assert_eq!(encode("default"), [8, 9, 1, 3, 1, 2]);
    assert_eq!(encode("llama-bpe"), [8, 10, 3, 1, 2], "a sign before letters goes with them");
    assert_eq!(encode("dbrx"), [8, 10, 3, 1, 2]);
    assert_eq!(encode("qwen2"), [4, 5, 6, 10, 3, 1, 2], "digits are alone, a sign before letters is not");
    let whole = Written::byte_level("llama-bpe").set("add_bos_token", Value::Bool(false));
    assert_eq!(whole.encode("ab"), [11], "a whole piece is a token, although nothing merges to it");
}

#[test]
fn unknown_pre_tokenizers_are_refused_by_name() {
    let message = Written::byte_level("tekken").error();
    assert!(
        message.contains("`tokenizer.ggml.pre`") && message.contains("it is tekken, expected one of gpt-2"),
        "{message}"
    );
    assert!(Written::byte_level("x").unset("pre").error().contains("it is absent"));
    assert!(
        Written::byte_level("gpt-2")
            .set("model", Value::String("t5".into()))
            .error()
            .contains("is t5, expected gpt2")
    );
}

#[test]
fn answers_end_with_eos_and_with_whatever_ends_a_turn() {
    let ends = |written: Written| {
        let tokens = written.load().unwrap();
        (0..12).filter(|&id| tokens.ends(id)).collect::<Vec<u32>>()
    };
    assert_eq!(ends(Written::sentence_piece()), [2, 8]);
    assert_eq!(
        ends(
            Written::byte_level("gpt-2")
                .set("eot_token_id", Value::U32(1))
                .set("eom_token_id", Value::U32(2))
        ),
        [0, 1, 2]
    );
    assert_eq!(Written::sentence_piece().encode("a<end_of_turn>"), [1, 6, 8], "one token, whatever its kind");
}

#[test]
fn an_eos_after_prompts_is_refused() {
    let message = Written::sentence_piece().set("add_eos_token", Value::Bool(true)).error();
    assert!(message.contains("`tokenizer.ggml.add_eos_token`") && message.contains("hint: "), "{message}");
}

#[test]
fn lists_and_ids_that_do_not_go_together_are_refused() {
    for key in ["bos_token_id", "eos_token_id", "unknown_token_id", "eot_token_id", "fim_pad_token_id"] {
        let message = Written::sentence_piece().set(key, Value::U32(100_000)).error();
        assert!(
            message.contains(&format!("tokenizer.ggml.{key} is 100000, expected less than 10")),
            "{message}"
        );
    }
    let short = Written::sentence_piece().set("scores", Value::Array(vec![Value::F32(0.0)]));
    assert!(short.error().contains("1 scores for 10 tokens"));
    let kinds = Written::sentence_piece().set("token_type", Value::Array(vec![Value::I32(1)]));
    assert!(kinds.error().contains("1 kinds for 10 tokens"));
    assert!(Written::byte_level("gpt-2").set("merges", texts(&["ab"])).error().contains("merge `ab`"));
    assert!(Written::byte_level("gpt-2").set("tokens", Value::U32(1)).error().contains("a list of texts"));
}
