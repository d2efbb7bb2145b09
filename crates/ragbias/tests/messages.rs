//! Whole messages of errors: each layer once, and what to do about it at the end.

use std::error::Error as StdError;
use std::path::PathBuf;

use ragbias::core::{self, Counts, message};
use ragbias::{Error, data, embed, generate, index, models, score, stats, tune};

/// An error of a library crate as this one passes it on.
fn passed(error: impl Into<Error>) -> Box<dyn StdError> {
    Box::new(error.into())
}

fn toml_error() -> toml::de::Error {
    toml::from_str::<toml::Table>("name = ").expect_err("a value is missing")
}

fn json_error() -> serde_json::Error {
    serde_json::from_str::<u8>("{}").expect_err("not a number")
}

fn file() -> PathBuf {
    "a/file".into()
}

const TOML: &str = "TOML parse error at line 1, column 8\n  |\n1 | name = \n  |        ^\nstring values must be quoted, \
                    expected literal string\n";
const JSON: &str = "invalid type: map, expected u8 at line 1 column 0";
const TENSOR: &str = "candle failed";

fn tensor_error() -> candle_core::Error {
    candle_core::Error::Msg(TENSOR.into())
}

#[test]
fn every_error_says_what_is_wrong_once_and_what_to_do_last() {
    let full = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL), None);
    let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    let component = core::Error::component(embed::Error::Candle(tensor_error()));
    let counts = Counts { unscored: 1, cut: 2, ..Counts::default() };
    let cases: Vec<(Box<dyn StdError>, String)> = vec![
        // Passed through a trait, and through this crate's own error.
        (passed(component), format!("the encoder failed: {TENSOR}")),
        (
            passed(core::Error::NothingScored(counts)),
            "none of the 3 texts could be scored (1 unscored, 2 cut); a bias needs at least one scored text".into(),
        ),
        (
            passed(data::Error::Toml { path: file(), source: Box::new(toml_error()) }),
            format!("a/file: {TOML}"),
        ),
        (passed(embed::Error::Candle(tensor_error())), format!("the encoder failed: {TENSOR}")),
        (passed(generate::Error::Candle(tensor_error())), format!("the model failed: {TENSOR}")),
        (
            passed(index::Error::Dimension { expected: 3, received: 2 }),
            "questions of 2 dimensions for an index of 3".into(),
        ),
        (passed(models::Error::Registry(toml_error())), format!("the registry of models is malformed: {TOML}")),
        (
            passed(score::Error::Lexicon { axis: "gender".into(), source: toml_error() }),
            format!("the lexicon of `gender`: {TOML}"),
        ),
        (passed(score::Error::Json { path: file(), source: json_error() }), format!("a/file: {JSON}")),
        (
            passed(stats::Error::TooFew { what: "embedders", expected: 3, received: 2 }),
            "embedders: expected at least 3, received 2".into(),
        ),
        (passed(tune::Error::Candle(tensor_error())), format!("training failed: {TENSOR}")),
        (passed(tune::Error::Embed(embed::Error::Candle(tensor_error()))), format!("the encoder failed: {TENSOR}")),
        (
            passed(minijinja::Error::new(minijinja::ErrorKind::BadEscape, "x")),
            "the report could not be rendered: bad string escape: x".into(),
        ),
        (
            Box::new(Error::Store { path: file(), source: full }),
            "the store a/file: database or disk is full\nhint: the disk is full, or a quota is reached; make room, or let \
             `store FILE` name a file on another disk: all that was stored before is kept"
                .into(),
        ),
        (
            Box::new(Error::StorePlace { path: Some(file()), source: denied }),
            "the store a/file: permission denied\nhint: `store FILE`, or RAGBIAS_STORE, names a file in a folder that can be \
             written to"
                .into(),
        ),
    ];
    for (error, expected) in cases {
        assert_eq!(message(error.as_ref()), expected);
    }
}
