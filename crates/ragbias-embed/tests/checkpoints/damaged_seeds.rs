//! The seeds of the fuzz target `checkpoint`, damaged. The target itself searches for many more.

use ragbias_core::testing::damaged;
use ragbias_core::{Embedder, Role};

use crate::load;
use crate::seeds::Folders;

/// Number of damaged versions of each file.
const SEEDS: u64 = 120;

#[test]
fn a_damaged_checkpoint_embeds_or_is_refused_with_its_name() {
    let folders = Folders::new(|| tempfile::tempdir().unwrap());
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/seeds/checkpoint");
    let mut files = 0;
    for entry in fs_err::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        let whole = fs_err::read(entry.path()).unwrap();
        folders.with(&whole, |folder| {
            let embedder = load(folder).unwrap_or_else(|error| panic!("{}: {error}", entry.path().display()));
            embedder.embed(&["the mill by the sea"], Role::Question).unwrap();
        });
        files += 1;
        for seed in 0..SEEDS {
            let input = [&whole[..1], &damaged(&whole[1..], seed)].concat();
            folders.with(&input, |folder| match load(folder) {
                Ok(embedder) => drop(embedder.embed(&["the mill by the sea"], Role::Question)),
                Err(error) => {
                    let message = error.to_string();
                    assert!(message.contains(folder.to_str().unwrap()), "damage {seed}: {message}");
                }
            });
        }
    }
    assert_eq!(files, 16);
}

/// Found by the fuzz target: the tokenizers crate panics on patterns that match the empty string, here and elsewhere.
#[test]
fn a_panic_of_the_tokenizer_is_an_error_of_its_file() {
    let folders = Folders::new(|| tempfile::tempdir().unwrap());
    let whole = include_str!("../../../../tests/fuzz/seeds/checkpoint/tokenizer-of-the-file-unigram");
    let input = whole.replacen(" {2,}", " {0,}", 1);
    assert_ne!(input, whole);
    folders.with(input.as_bytes(), |folder| {
        let error = load(folder).unwrap_err().to_string();
        assert!(error.contains("tokenizer.json") && error.contains("index out of bounds"), "{error}");
    });
}
