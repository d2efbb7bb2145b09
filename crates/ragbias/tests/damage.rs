//! For any content of a file written by a user or by the program itself, it is read, or refused with its name.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

#[path = "../../../tests/fuzz/src/checkpoint.rs"]
#[allow(dead_code, unreachable_pub, reason = "a fuzz target has it, too")]
mod checkpoint;
#[path = "../../../tests/fuzz/src/experiment.rs"]
#[allow(dead_code, unreachable_pub, reason = "a fuzz target has it, too")]
mod experiment;
#[path = "../../../tests/fuzz/src/saved.rs"]
#[allow(dead_code, unreachable_pub, reason = "a fuzz target has it, too")]
mod saved;

use std::path::Path;

use ragbias::core::testing::damaged;

use crate::experiment::Written;
use crate::saved::Saved;

/// The seeds of a fuzz target in `tests/fuzz`, which searches for many more.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/seeds").join(target);
    fs_err::read_dir(folder).unwrap().map(|entry| fs_err::read(entry.unwrap().path()).unwrap()).collect()
}

fn with_damage(whole: &[u8], seed: u64) -> Vec<u8> {
    [&whole[..1], &damaged(&whole[1..], seed)].concat()
}

#[test]
fn a_damaged_experiment_recipe_or_manifest_is_read_or_refused_with_its_name() {
    let written = Written::new(tempfile::tempdir().unwrap());
    let seeds = seeds("experiment");
    assert_eq!(seeds.len(), 9);
    for whole in &seeds {
        assert!(written.read(whole), "{}", String::from_utf8_lossy(whole));
        for seed in 0..200 {
            written.read(&with_damage(whole, seed));
        }
    }
}

/// Number of damaged versions of each file, for files of a report and for others.
const DAMAGES: [u64; 2] = [40, 300];

#[test]
fn a_damaged_file_is_read_or_refused_with_its_name_although_its_checksum_is_right() {
    let saved = Saved::new(|| tempfile::tempdir().unwrap());
    let seeds = seeds("saved");
    assert_eq!(seeds.len(), 15);
    for whole in &seeds {
        assert!(saved.read(whole), "{}", String::from_utf8_lossy(whole));
        for seed in 0..DAMAGES[usize::from(whole[0] > b'Q')] {
            saved.read(&with_damage(whole, seed));
        }
    }
    // Every file has been restored.
    assert!(seeds.iter().all(|whole| saved.read(whole)));
}

/// Found with the fuzz target: a negative temperature put the furthest documents first, and a direction of another embedder was
/// refused without naming the file.
#[test]
fn a_control_that_means_nothing_is_refused_with_its_name() {
    let saved = Saved::new(|| tempfile::tempdir().unwrap());
    let whole = include_str!("../../../tests/fuzz/seeds/saved/control");
    assert!(saved.read(whole.as_bytes()));
    for (from, to) in [
        ("\"temperature\": 0.5", "\"temperature\": -0.5"),
        ("\"alpha\": 0.5", "\"alpha\": 1e300"),
        ("\"direction\": [", "\"direction\": [0.1,"),
        ("\"seed\": 7", "\"seeds\": 7"),
    ] {
        let changed = whole.replacen(from, to, 1);
        assert_ne!(changed, whole);
        assert!(!saved.read(changed.as_bytes()), "{to}");
    }
}
